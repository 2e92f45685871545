"""The key of one credential: taken in, proven, replaced, and watched for the day on which it stops working.

The first key is stored before it is proven, because proving may make a control group, and what is made must
stay deletable. Later keys are candidates: they replace the stored one in the transaction that notes their
proof. The stored key is proven on its own schedule all the while: with a bad candidate in the Secret, or
without a Secret, it is what everything that exists is watched and deleted with.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.access import Access
from inventiv_operator.controllers.credential.key import IN_SECRET, ApiKey, KeyPlace
from inventiv_operator.controllers.credential.records import KeyRecords, Proof, key_of, same_key
from inventiv_operator.controllers.credential.schedule import VALID_FOR_S, Role, Turn, ValidationSchedule
from inventiv_operator.controllers.credential.validation import Finding, Validation, validate
from inventiv_operator.controllers.deployment.scene import Cloud
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.ids import CredentialId, ProjectId, Zone
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.store.errors import Conflict, DecryptionFailed
from inventiv_operator.store.keyring import KeyringFile
from inventiv_operator.store.settings import ProviderSecrets

_AGAIN_IN_S = {Finding.ELSEWHERE: 120.0, Finding.DENIED: 60.0, Finding.UNKNOWN: 10.0}
_GRACE_POLL_S = 5.0
_AFTER_FREEZE_S = 1.0
PROJECT_TAKEN = (
    "the project of {place} is already in use by another Organization; a project belongs to the first that"
    " proves access to it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the Secret holds now, and how to try it. `leaving`: the credential is being deleted, so a new key
    is of interest only where the stored one no longer serves. `nudge`: of `inventiv.io/reconcile-at`.
    """

    key: ApiKey
    generation: int
    scaleway_organization: str | None
    zones: Sequence[Zone]
    place: KeyPlace = IN_SECRET
    leaving: bool = False
    nudge: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidOfKey:
    """What the condition Ready says about the key; `ready` None: under way."""

    ready: bool | None
    reason: Reason
    message: str


PROVEN = SaidOfKey(ready=True, reason=Reason.READY, message="the key gives access to the project")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyState:
    """How it stands with the key. `row` is as it is in the ledger now."""

    row: CredentialRow
    said: SaidOfKey
    again_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How the stored key is asked about. `scaleway_organization`: that its project is said to be of.
    `held_back`: why nothing new is made, however good it is.
    """

    turn: Turn
    zones: Sequence[Zone]
    scaleway_organization: str | None = None
    place: KeyPlace = IN_SECRET
    held_back: Reason | None = None
    only_in_doubt: bool = False  # a key on its way out is asked about only when it may have stopped working


@dataclass(slots=True, kw_only=True)
class _Tried:
    """A candidate. `refused` is the last clear no to it: without a clear answer nothing changes."""

    key: ApiKey
    said: SaidOfKey
    refused: Reason | None = None


class Custody:
    def __init__(
        self, services: Services, *, access: Access, keyring: KeyringFile, schedule: ValidationSchedule
    ) -> None:
        self._services = services
        self._access = access
        self._records = KeyRecords(services, access=access, keyring=keyring)
        self._schedule = schedule
        self._noted: dict[CredentialId, SaidOfKey] = {}
        """What was found about the stored key."""
        self._tried: dict[CredentialId, _Tried] = {}

    async def keep(self, row: CredentialRow, offer: Offer) -> KeyState:
        """Bring the stored key in line with the offered one, and prove either when it is time.

        Raises:
            KeyUnavailable, DecryptionFailed: the stored key cannot be read.
        """
        try:
            stored = await self._records.stored(row)
        except DecryptionFailed:
            if (state := await self._replace_unreadable(row, offer)) is not None:
                return state
            raise
        if stored is not None and _is_candidate(row, stored, offer):
            return await self._keep_both(row, offer, stored)
        self._no_candidate(row.id)
        secrets = _secrets(row, offer)
        if stored != secrets and not offer.leaving:
            row = await self._records.store(row, secrets, before=stored)
            stored = secrets
        if stored is None:
            return KeyState(row=row, said=self._noted.get(row.id, PROVEN), again_in_s=0.0)
        return await self._keep_stored(row, key_of(stored), _watch(offer))

    async def watch(self, row: CredentialRow, watch: Watch) -> KeyState | None:
        """Only the stored key, because nothing is offered; None: there is none, or it never served.

        Raises:
            KeyUnavailable, DecryptionFailed: it cannot be read.
        """
        self._no_candidate(row.id)
        stored = await self._records.stored(row)
        if stored is None or row.validated_at is None:
            return None
        return await self._keep_stored(row, key_of(stored), watch)

    async def set_not_ready(self, row: CredentialRow, reason: Reason) -> None:
        """Note it in the ledger, where the deployments read it; no write when it is noted already."""
        await self._records.hold_back(row, reason)

    async def read(self, row: CredentialRow) -> CredentialRow:
        return await self._records.read(row)

    def forget(self, credential_id: CredentialId) -> None:
        """Of a credential that is gone nothing is kept in memory."""
        self._noted.pop(credential_id, None)
        self._tried.pop(credential_id, None)
        self._schedule.forget(credential_id)

    # -- the stored key --------------------------------------------------------------------------------------

    async def _keep_stored(self, row: CredentialRow, key: ApiKey, watch: Watch) -> KeyState:
        noted = self._noted.get(row.id, PROVEN)
        age_s = self._proof_age_s(row)
        due_s = self._schedule.due_in_s(row.id, Role.STORED, key, turn=watch.turn, age_s=age_s)
        if watch.only_in_doubt and not self._is_in_doubt(row):
            return KeyState(row=row, said=noted, again_in_s=VALID_FOR_S)
        is_undone = bool(row.frozen_reason) or (watch.held_back is None and not row.ready)
        if due_s > 0 and not (noted.ready and is_undone):
            return KeyState(row=row, said=noted, again_in_s=due_s)
        if row.frozen_reason:
            await self._records.start_over(row)
        # One that was never proven has nothing to freeze.
        freezes = row.validated_at is not None
        cloud = await self._access.for_validation(row.organization_id, row.id, freezes=freezes)
        found = await self._ask(
            cloud,
            row,
            watch.zones,
            watch.place,
            scaleway_organization=watch.scaleway_organization,
            known_end=row.expires_at,
        )
        after = await self._records.read(row)
        if found.finding is Finding.VALID and after.frozen_reason and not row.frozen_reason:
            state = self._frozen_meanwhile(after)
        else:
            state = await self._conclude(after, key, watch, found)
        self._noted[row.id] = state.said
        return state

    def _is_in_doubt(self, row: CredentialRow) -> bool:
        return bool(row.frozen_reason) or row.rejected_at is not None or self._schedule.is_doubted(row.id)

    def _proof_age_s(self, row: CredentialRow) -> float | None:
        """Age of a proof that still stands; None: there is none."""
        if not row.ready or row.validated_at is None:
            return None
        return (self._services.clock.now() - row.validated_at).total_seconds()

    async def _ask(
        self,
        cloud: Cloud,
        row: CredentialRow,
        zones: Sequence[Zone],
        place: KeyPlace,
        *,
        scaleway_organization: str | None,
        known_end: datetime | None,
    ) -> Validation:
        return await validate(
            cloud,
            zones=zones,
            project_id=ProjectId(row.project_id),
            scaleway_organization=scaleway_organization,
            known_end=known_end,
            clock=self._services.clock,
            place=place,
        )

    def _frozen_meanwhile(self, row: CredentialRow) -> KeyState:
        """By what another zone's control saw: this validation began before that, and thaws nothing."""
        said = _frozen(SaidOfKey(ready=False, reason=Reason.FROZEN, message=row.frozen_reason))
        again_in_s = self._schedule.asked(row.id, Role.STORED, again_in_s=_AFTER_FREEZE_S)
        return KeyState(row=row, said=said, again_in_s=again_in_s)

    async def _conclude(self, row: CredentialRow, key: ApiKey, watch: Watch, found: Validation) -> KeyState:
        """Nothing new is made until a key is proven; what exists is watched and deleted with the stored
        one.
        """
        if found.finding is Finding.VALID:
            try:
                proof = Proof(key=key, expires_at=found.expires_at, held_back=watch.held_back)
                row = await self._records.accept(row, proof)
            except Conflict:
                found = _project_taken(watch.place)
            else:
                again_in_s = self._schedule.asked(row.id, Role.STORED, again_in_s=None)
                return KeyState(row=row, said=PROVEN, again_in_s=again_in_s)
        again_in_s = self._again_in_s(row, Role.STORED, found)
        if found.finding is Finding.DENIED and self._schedule.is_fresh(row.id, Role.STORED):
            return KeyState(row=row, said=_not_yet(found), again_in_s=again_in_s)
        said = SaidOfKey(ready=False, reason=found.reason, message=found.message)
        if found.finding is Finding.REFUSED:
            row = await self._records.refuse(row, key, watch.held_back or found.reason)
        elif found.finding is not Finding.UNKNOWN:  # which would say nothing about the key
            row = await self._records.hold_back(row, watch.held_back or found.reason)
        if found.finding is not Finding.UNKNOWN and row.frozen_reason and row.validated_at is not None:
            said = _frozen(said)
        return KeyState(row=row, said=said, again_in_s=again_in_s)

    def _again_in_s(self, row: CredentialRow, role: Role, found: Validation) -> float:
        if found.finding is Finding.REFUSED:
            return self._schedule.refused(row.id, role)
        if found.finding is Finding.DENIED and self._schedule.is_fresh(row.id, role):
            return self._schedule.asked(row.id, role, again_in_s=_GRACE_POLL_S)
        return self._schedule.asked(row.id, role, again_in_s=_AGAIN_IN_S[found.finding])

    # -- a candidate -----------------------------------------------------------------------------------------

    async def _keep_both(self, row: CredentialRow, offer: Offer, stored: ProviderSecrets) -> KeyState:
        """The candidate first: where it is good, nobody needs to know any more how good the old one is."""
        tried = self._tried.get(row.id)
        due_s = self._schedule.due_in_s(row.id, Role.OFFERED, offer.key, turn=_watch(offer).turn, age_s=None)
        if tried is None or due_s <= 0:
            found = await self._ask_offered(row, offer)
            if found.finding is Finding.VALID:
                state = await self._take(row, offer, found)
                if state is not None:
                    return state
                found = _project_taken(offer.place)
            tried, row, due_s = await self._decline(row, offer, found)
        watch = replace(_watch(offer), held_back=tried.refused or _watch(offer).held_back)
        kept = await self._keep_stored(row, key_of(stored), watch)
        said = _of_both(tried, kept)
        return KeyState(row=kept.row, said=said, again_in_s=min(due_s, kept.again_in_s))

    async def _replace_unreadable(self, row: CredentialRow, offer: Offer) -> KeyState | None:
        """A new key may take the place of one that was altered in the database; None: it does not (yet).

        The same key may not: somebody wrote to the database past the operator, and people should know.
        """
        turn = _watch(offer).turn
        if offer.key.fingerprint == row.key_fingerprint or (
            self._schedule.due_in_s(row.id, Role.OFFERED, offer.key, turn=turn, age_s=None) > 0
        ):
            return None
        found = await self._ask_offered(row, offer)
        state = await self._take(row, offer, found) if found.finding is Finding.VALID else None
        if state is None:
            self._again_in_s(row, Role.OFFERED, found)
        return state

    async def _ask_offered(self, row: CredentialRow, offer: Offer) -> Validation:
        return await self._ask(
            self._access.candidate(row, _secrets(row, offer)),
            row,
            offer.zones,
            offer.place,
            scaleway_organization=offer.scaleway_organization,
            known_end=None,
        )

    async def _take(self, row: CredentialRow, offer: Offer, found: Validation) -> KeyState | None:
        """None: the project is somebody else's."""
        proof = Proof(key=offer.key, expires_at=found.expires_at, held_back=_watch(offer).held_back)
        try:
            row = await self._records.replace(row, _secrets(row, offer), proof)
        except Conflict:
            return None
        self._tried.pop(row.id, None)
        self._schedule.adopted(row.id)
        self._noted[row.id] = PROVEN
        again_in_s = self._schedule.asked(row.id, Role.STORED, again_in_s=None)
        return KeyState(row=row, said=PROVEN, again_in_s=again_in_s)

    async def _decline(
        self, row: CredentialRow, offer: Offer, found: Validation
    ) -> tuple[_Tried, CredentialRow, float]:
        """It stays a candidate, and is asked about again. Returns it, the row and when, in seconds."""
        before = self._tried.get(row.id)
        refused = before.refused if before is not None and before.key == offer.key else None
        is_first = refused is None
        again_in_s = self._again_in_s(row, Role.OFFERED, found)
        if found.finding is Finding.DENIED and self._schedule.is_fresh(row.id, Role.OFFERED):
            said = _not_yet(found)
        else:
            said = SaidOfKey(ready=False, reason=found.reason, message=found.message)
            if found.finding is not Finding.UNKNOWN:
                refused = found.reason
                reason = _watch(offer).held_back or refused
                is_news = is_first and (before is not None or row.ready or row.reason != reason)
                row = await self._records.hold_back(row, reason, candidate=offer.key, is_news=is_news)
        tried = self._tried[row.id] = _Tried(key=offer.key, said=said, refused=refused)
        return tried, row, again_in_s

    def _no_candidate(self, credential_id: CredentialId) -> None:
        self._tried.pop(credential_id, None)
        self._schedule.withdrawn(credential_id)


def _is_candidate(row: CredentialRow, stored: ProviderSecrets, offer: Offer) -> bool:
    """A first key that never proved itself is simply another one, unless something may have been made with
    it.
    """
    return not same_key(stored, offer.key) and (row.validated_at is not None or offer.leaving)


def _watch(offer: Offer) -> Watch:
    return Watch(
        turn=Turn(generation=offer.generation, nudge=offer.nudge),
        zones=offer.zones,
        scaleway_organization=offer.scaleway_organization,
        place=offer.place,
        held_back=Reason.DELETING if offer.leaving else None,
        only_in_doubt=offer.leaving,
    )


def _project_taken(place: KeyPlace) -> Validation:
    return Validation(
        finding=Finding.ELSEWHERE,
        reason=Reason.PROJECT_CONFLICT,
        message=PROJECT_TAKEN.format(place=place.project),
    )


def _not_yet(found: Validation) -> SaidOfKey:
    message = f"a fresh key may be refused for up to two minutes; so far: {found.message}"
    return SaidOfKey(ready=None, reason=Reason.PROGRESSING, message=message)


def _frozen(said: SaidOfKey) -> SaidOfKey:
    message = f"{said.message}; nothing is made, deleted or concluded until the key is proven again"
    return replace(said, reason=Reason.FROZEN, message=message)


def _of_both(tried: _Tried, kept: KeyState) -> SaidOfKey:
    """The graver one gives the reason: a stored key that does not serve leaves nothing to go on with."""
    stored, offered = kept.said, tried.said
    if stored.ready is False and (kept.row.rejected_at is not None or kept.row.frozen_reason):
        message = f"{stored.message}; the key that is offered now is no replacement: {offered.message}"
        return replace(stored, message=message)
    if offered.ready is None:
        return offered
    goes_on = "the earlier key stays in use for watching and deleting, nothing new is made"
    if tried.refused is None:
        goes_on = "the earlier key stays in use meanwhile"
    return replace(offered, message=f"{offered.message}; {goes_on}")


def _secrets(row: CredentialRow, offer: Offer) -> ProviderSecrets:
    return ProviderSecrets(
        project_id=ProjectId(row.project_id),
        organization_ref=offer.scaleway_organization,
        access_key=offer.key.access_key,
        secret_key=offer.key.secret_key,
    )
