"""The sweep that keeps a seeded credential: what an object drives for others, the ledger drives for it."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.credential.custody import PROVEN, Custody, KeyState, Offer, SaidOfKey
from inventiv_operator.controllers.credential.key import ApiKey
from inventiv_operator.controllers.credential.upkeep import has_moved, past_its_end, sooner
from inventiv_operator.controllers.credential.validation import zones_to_try
from inventiv_operator.controllers.objects import Objects
from inventiv_operator.controllers.seeding.decision import Choice, FromFiles, StartOver, StoredCopy, choose
from inventiv_operator.controllers.seeding.directory import PLACE, read_seed
from inventiv_operator.controllers.seeding.ending import Left, SeededEnd
from inventiv_operator.controllers.seeding.warning import SeedWarnings
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.waking import Enqueue
from inventiv_operator.domain.ids import AccessKey, CredentialId, OrganizationId
from inventiv_operator.domain.ledger import CredentialRow, OrganizationRow
from inventiv_operator.kube.kinds import ORGANIZATION
from inventiv_operator.runtime.queue import DONE, Key, Lane, Result
from inventiv_operator.store import claims, credentials, organizations, settings
from inventiv_operator.store.abandon import Abandoned
from inventiv_operator.store.errors import DecryptionFailed, KeyUnavailable, MissingProviderCredentials
from inventiv_operator.store.keyring import KeyringFile
from inventiv_operator.store.usage import CredentialUsage, usage_of

logger = logging.getLogger(__name__)

REFRESH_S: Final = 30.0
"""How often the files are read, and the counts in the status brought up to date."""
_FILES: Final = "files"
_KEY: Final = "key"
"""Topics of the warnings."""
_UNDER_WAY: Final = SaidOfKey(
    ready=None, reason=Reason.PROGRESSING, message="the key is yet to prove that it sees the project"
)
_NOTHING_STORED: Final = SaidOfKey(
    ready=False,
    reason=Reason.SECRET_MISSING,
    message="no key is stored, and none can be read from the seed directory",
)

WakeNamespace = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the Organization's status is made of. `leaving`: the organization was on its way out then."""

    row: CredentialRow
    usage: CredentialUsage
    said: SaidOfKey
    leaving: bool
    abandoned: tuple[Abandoned, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """One sweep: the row, whose it is, and that one's object; `body` None: it is gone."""

    row: CredentialRow
    organization: OrganizationRow
    body: Mapping[str, Any] | None
    usage: CredentialUsage

    @property
    def leaving(self) -> bool:
        return self.body is None or bool(self.body["metadata"].get("deletionTimestamp"))


class SeededCredentials:
    """One call is one pass over one seeded credential."""

    def __init__(
        self,
        services: Services,
        kube: Objects,
        *,
        custody: Custody,
        end: SeededEnd,
        keyring: KeyringFile,
        directory: Path | None,
        warnings: SeedWarnings,
        enqueue: Enqueue,
        wake_deployments: WakeNamespace,
    ) -> None:
        """`wake_deployments` takes a namespace: the credential became ready, or ceased to be."""
        self._services = services
        self._kube = kube
        self._custody = custody
        self._end = end
        self._keyring = keyring
        self._directory = directory
        self._warnings = warnings
        self._enqueue = enqueue
        self._wake_deployments = wake_deployments
        self._told: dict[CredentialId, Told] = {}
        self._to_wake: set[OrganizationId] = set()  # a restart looks at everything anyway

    def told(self, row: CredentialRow, usage: CredentialUsage) -> Told:
        """What is to be said of it now: by the last pass, or by the row where this process made none yet."""
        told = self._told.get(row.id)
        if told is not None:
            return replace(told, row=row, usage=usage)
        return Told(row=row, usage=usage, said=PROVEN if row.ready else _UNDER_WAY, leaving=False)

    def is_news(self, row: CredentialRow, *, leaving: bool) -> bool:
        """Whether a pass is due at once: none was made yet, or none since the organization is on its way out.
        Any other comes by itself.
        """
        told = self._told.get(row.id)
        return told is None or told.leaving != leaving

    async def sweep(
        self, organization_id: OrganizationId, credential_id: CredentialId, *, deadline_s: float
    ) -> Result:
        """See the module. One in its quarantine is the terminator's.

        Raises:
            KubeError: whether the Organization is still there cannot be said now.
        """
        async with self._services.db.reading(organization_id) as conn:
            row = await credentials.get(conn, credential_id)
            organization = await organizations.get(conn, organization_id)
            usage = await usage_of(conn, credential_id)
        if row is None or organization is None or row.state != "open" or not row.is_seeded:
            return DONE
        body = await self._kube.get(ORGANIZATION, None, organization.name)
        one = _Pass(row=row, organization=organization, body=body, usage=usage)
        choice = self._choice(one)
        if isinstance(choice, StartOver):
            logger.info("seeding: %s", choice.message)
            return await self._remove(one, deadline_s=deadline_s, why=choice.message)
        state = await self._keep(one, choice)
        if one.leaving:  # the stored key may have been revoked, with servers left: a new one was taken above
            return await self._remove(replace(one, row=state.row), deadline_s=deadline_s)
        await self._tell(one, state.row, _with_note(state.said, choice))
        await self._wake(one, is_due=has_moved(row, state.row))
        return Result(
            requeue_after_s=self._sooner(min(state.again_in_s, REFRESH_S), state.row),
            organization=str(organization_id),
            lane=Lane.REFRESH if state.said.ready else Lane.CREATE,
        )

    # -- the key ---------------------------------------------------------------------------------------------

    def _choice(self, one: _Pass) -> Choice:
        """The files are the default organization's; what it was filled with stays an earlier one's own."""
        seed = None
        if self._directory is not None and one.organization.is_default:
            seed = read_seed(self._directory)
        choice = choose(one.row, seed, directory=str(self._directory))
        if isinstance(choice, StoredCopy) and choice.problem is not None:
            stays = "the seeded credential goes on with its stored key"
            self._warnings.say(one.organization.id, _FILES, f"{choice.problem.message}; {stays}")
        else:
            self._warnings.is_fine(one.organization.id, _FILES)
        return choice

    async def _keep(self, one: _Pass, choice: Choice) -> KeyState:
        try:
            offer = await self._offer(one, choice)
            state = await self._custody.keep(one.row, offer)
        except MissingProviderCredentials:
            return await self._without_key(one.row, _NOTHING_STORED)
        except (KeyUnavailable, DecryptionFailed) as error:
            said = SaidOfKey(ready=False, reason=Reason.KEY_UNAVAILABLE, message=str(error))
            return await self._without_key(one.row, said)
        if not one.leaving:
            state = await past_its_end(self._custody, state, now=self._services.clock.now(), place=PLACE)
        self._warn_of_key(one, offer, state.said)
        return state

    async def _without_key(self, row: CredentialRow, said: SaidOfKey) -> KeyState:
        await self._custody.set_not_ready(row, said.reason)
        return KeyState(row=await self._custody.read(row), said=said, again_in_s=REFRESH_S)

    async def _offer(self, one: _Pass, choice: Choice) -> Offer:
        """The stored key is offered to itself where the files have no say: it is proven again in its time."""
        row = one.row
        if isinstance(choice, FromFiles):
            key, organization_ref = choice.seed.key, choice.seed.organization_ref
        else:
            async with self._services.db.reading(row.organization_id) as conn:
                stored = await settings.read_secrets(conn, row.id, keyring=self._keyring.current())
            key = ApiKey(access_key=AccessKey(stored.access_key), secret_key=stored.secret_key)
            organization_ref = stored.organization_ref
        return Offer(
            key=key,
            generation=0,  # there is no spec that could change
            scaleway_organization=organization_ref,
            zones=zones_to_try(one.usage.zones),
            place=PLACE,
            leaving=one.leaving,
        )

    def _warn_of_key(self, one: _Pass, offer: Offer, said: SaidOfKey) -> None:
        """Once for each reason and key: the provider's own words may differ each time."""
        if said.ready:
            self._warnings.is_fine(one.organization.id, _KEY)
        elif said.ready is False:
            where = "" if self._directory is None else f"seed directory {self._directory}: "
            self._warnings.say(
                one.organization.id,
                _KEY,
                f"{where}{said.message}",
                about=(said.reason, offer.key.access_key, offer.key.fingerprint),
            )

    def _sooner(self, again_in_s: float, row: CredentialRow) -> float | None:
        return sooner(again_in_s, row, now=self._services.clock.now())

    # -- the end ---------------------------------------------------------------------------------------------

    async def _remove(self, one: _Pass, *, deadline_s: float, why: str = "") -> Result:
        """`why`: the credential alone goes, not its organization."""
        before = await self._custody.read(one.row)
        left = await self._end.advance(before, one.body, deadline_s=deadline_s)
        if left is None:
            self._custody.forget(before.id)
            self._told.pop(before.id, None)
            self._wake_organization(one)  # it may have waited for just this, or is to be seeded anew
            return DONE
        message = "; ".join(part for part in (why, left.message) if part)
        said = SaidOfKey(ready=False, reason=Reason.DELETING, message=message)
        after = await self._custody.read(before)
        await self._tell(one, after, said, left=left)
        await self._wake(one, is_due=left.is_less or has_moved(one.row, after))
        return Result(
            requeue_after_s=self._sooner(left.again_in_s, after),
            organization=str(after.organization_id),
            lane=Lane.DELETE,
        )

    # -- who is to know --------------------------------------------------------------------------------------

    async def _tell(
        self, one: _Pass, row: CredentialRow, said: SaidOfKey, *, left: Left | None = None
    ) -> None:
        """Have the Organization say it, where it is news."""
        async with self._services.db.reading(row.organization_id) as conn:
            usage = await usage_of(conn, row.id)
        abandoned = () if left is None else left.abandoned
        told = Told(row=row, usage=usage, said=said, leaving=one.leaving, abandoned=abandoned)
        if self._told.get(row.id) != told:
            self._told[row.id] = told
            self._wake_organization(one)

    def _wake_organization(self, one: _Pass) -> None:
        key = Key(ORGANIZATION.kind, "", one.organization.name)
        self._enqueue(key, organization=str(one.organization.id), lane=Lane.CREATE)

    async def _wake(self, one: _Pass, *, is_due: bool) -> None:
        """Its deployments too: now, or in the next pass when the API server does not list them."""
        organization_id = one.organization.id
        if is_due:
            self._to_wake.add(organization_id)
        if organization_id not in self._to_wake:
            return
        async with self._services.db.reading(organization_id) as conn:
            held = await claims.of_organization(conn, organization_id)
        for claim in held:
            await self._wake_deployments(claim.namespace)
        self._to_wake.discard(organization_id)


def _with_note(said: SaidOfKey, choice: Choice) -> SaidOfKey:
    """What is wrong with the files is said beside what is true of the key."""
    if not isinstance(choice, StoredCopy) or choice.problem is None:
        return said
    return replace(said, message=f"{said.message}; the stored copy is used, because {choice.problem.message}")
