"""The credential reconciler: read object, namespace and Secret live, keep the key, write status."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from inventiv_operator.api.conditions import Reason
from inventiv_operator.api.credential import CredentialSpec
from inventiv_operator.api.objects import CredentialObject, InvalidSpec, parse_credential
from inventiv_operator.api.supported import ABANDON
from inventiv_operator.controllers.credential.abandoning import Abandoning, GivenUp
from inventiv_operator.controllers.credential.custody import Custody, KeyState, Offer, SaidOfKey
from inventiv_operator.controllers.credential.following import Followed, Following, allowed_zones
from inventiv_operator.controllers.credential.key import ApiKey, KeyProblem, read_key
from inventiv_operator.controllers.credential.left_behind import LeftBehind
from inventiv_operator.controllers.credential.removal import Removal, Waiting
from inventiv_operator.controllers.credential.report import Report, is_unsaid
from inventiv_operator.controllers.credential.schedule import Turn
from inventiv_operator.controllers.credential.stored_copy import StoredCopy
from inventiv_operator.controllers.credential.upkeep import has_moved, past_its_end, sooner
from inventiv_operator.controllers.credential.validation import zones_to_try
from inventiv_operator.controllers.credential.words import said_of_abandoned
from inventiv_operator.controllers.deployment.translate import RECONCILE_AT
from inventiv_operator.controllers.secret_users import SecretUsers
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.status import ObjectStatusWriter
from inventiv_operator.controllers.tenancy import Home, Tenancy
from inventiv_operator.controllers.tenant_objects import TenantObjects
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.kube.kinds import CLEANUP_FINALIZER, CREDENTIAL
from inventiv_operator.runtime.logging import bind, bound
from inventiv_operator.runtime.queue import DONE, Key, Lane, Result
from inventiv_operator.store import credentials
from inventiv_operator.store.errors import DecryptionFailed, KeyUnavailable
from inventiv_operator.store.usage import CredentialUsage, usage_of

logger = logging.getLogger(__name__)

REFRESH_S = 30.0
"""How often the counts in the status are brought up to date, and an unwatched Secret that is wrong is
read again.
"""
LISTING = Waiting(message="", again_in_s=0.0)
ENDED = Waiting(message="nothing of it is left, and it serves nothing any more", again_in_s=0.0)
UNHELD = (
    f"the finalizer {CLEANUP_FINALIZER} was taken away: the operator goes on with the deletion, but nothing"
    " keeps the object until that is done"
)

WakeNamespace = Callable[[str], Awaitable[None]]
"""Have every Deployment of a namespace looked at: its credential became ready, or ceased to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Credential:
    """One object in one pass, with its row if it has one."""

    body: Mapping[str, Any]
    obj: CredentialObject
    row: CredentialRow | None

    @property
    def namespace(self) -> str:
        return self.obj.metadata.namespace

    @property
    def is_held(self) -> bool:
        """By our finalizer: it does not go before we say so."""
        return CLEANUP_FINALIZER in self.obj.metadata.finalizers


class CredentialReconciler:
    """One call is one pass over one ProviderCredential."""

    def __init__(
        self,
        services: Services,
        kube: TenantObjects,
        *,
        custody: Custody,
        removal: Removal,
        tenancy: Tenancy,
        status: ObjectStatusWriter,
        secret_users: SecretUsers,
        wake_deployments: WakeNamespace,
    ) -> None:
        self._services = services
        self._kube = kube
        self._custody = custody
        self._removal = removal
        self._tenancy = tenancy
        self._report = Report(status, clock=services.clock)
        self._stored_copy = StoredCopy(services, custody=custody)
        self._left_behind = LeftBehind(stored_copy=self._stored_copy, removal=removal)
        self._abandoning = Abandoning(services)
        self._following = Following(services)
        self._secret_users = secret_users
        self._wake_deployments = wake_deployments
        self._to_wake: set[str] = set()  # namespaces; a restart looks at everything anyway

    async def reconcile(self, key: Key, *, deadline_s: float) -> Result:
        """See the module."""
        body = await self._kube.get(CREDENTIAL, key.namespace, key.name)
        self._secret_users.saw(key.namespace, key.name, body)  # before the Secret is read: see there
        obj = None if body is None else parse_credential(body)
        own, is_left_behind = await self._settle_rows(key, obj, deadline_s=deadline_s)
        bind(organization=None if own is None else str(own.organization_id))
        if body is None or obj is None:
            return DONE  # the terminator has a row without an object looked at again
        result = await self._settle(_Credential(body=body, obj=obj, row=own), deadline_s=deadline_s)
        if is_left_behind and result.requeue_after_s is None:
            return replace(result, requeue_after_s=REFRESH_S)  # to the terminator this object is the row's
        return result

    async def _settle(self, one: _Credential, *, deadline_s: float) -> Result:
        obj = one.obj
        if obj.metadata.deletion_timestamp is not None:
            return await self._delete(one, deadline_s=deadline_s)
        try:
            return await self._run(one, obj.spec)
        except InvalidSpec as error:
            return await self._refuse(one, Reason.INVALID_SPEC, str(error), again_in_s=None)

    # -- rows ------------------------------------------------------------------------------------------------

    async def _settle_rows(
        self, key: Key, obj: CredentialObject | None, *, deadline_s: float
    ) -> tuple[CredentialRow | None, bool]:
        """The object's row, and whether another of the name waits for its end: rows whose object is gone are
        on their way out after this, whoever has made the name anew.
        """
        async with self._services.db.platform() as conn:
            owners = await credentials.owner_of(conn, key.namespace, key.name)
        own: CredentialRow | None = None
        is_left_behind = False
        for organization_id in owners:
            async with self._services.db.reading(organization_id) as conn:
                row = await credentials.find(conn, namespace=key.namespace, name=key.name)
            if row is None:
                continue
            if obj is not None and await self._belongs_to(row, obj):
                own = row
            elif row.state == "open":
                with bound(organization=str(row.organization_id)):
                    waiting = await self._left_behind.advance(row, deadline_s=deadline_s)
                is_left_behind = is_left_behind or waiting is not None
        return own, is_left_behind

    async def _belongs_to(self, row: CredentialRow, obj: CredentialObject) -> bool:
        """Whether the row is this object's. One made anew for the same project takes over an open row, if
        the namespace as it is now is of the row's organization: who made the namespace anew, too, may be a
        stranger (T1).
        """
        if row.uid == obj.metadata.uid:
            return True
        if not _is_for_the_same(row, obj):
            return False
        home = await self._home(obj.metadata.namespace)
        return home is not None and home.organization_id == row.organization_id

    # -- a living credential ---------------------------------------------------------------------------------

    async def _run(self, one: _Credential, spec: CredentialSpec) -> Result:
        home = await self._home(one.namespace)
        if home is None or (one.row is not None and one.row.organization_id != home.organization_id):
            return await self._refuse(
                one,
                Reason.ORGANIZATION_MISSING,
                f"namespace {one.namespace} belongs to no Organization; ask the platform team to list it"
                " in one's"
                " spec.namespaces",
                again_in_s=None,
            )
        owner = str(home.organization_id)
        bind(organization=owner)
        if CLEANUP_FINALIZER not in one.obj.metadata.finalizers:
            await self._kube.add_finalizer(CREDENTIAL, one.body)
            return Result(requeue_after_s=0.0, organization=owner, lane=Lane.CREATE)
        known = None if one.row is None else await self._follow(one, spec, home)
        given = await self._given(one, spec)
        if isinstance(given, KeyProblem):
            return await self._without_key(one, given)
        return await self._keep(one, spec, known or await self._follow(one, spec, home), given)

    async def _follow(self, one: _Credential, spec: CredentialSpec, home: Home) -> Followed:
        """With the Secret missing too: what people set counts for what exists."""
        followed = await self._following.follow(one.obj, spec, row=one.row, home=home)
        if followed.is_new_to_deployments:
            self._to_wake.add(one.namespace)  # at the end of this pass
        return followed

    async def _home(self, namespace: str) -> Home | None:
        return await self._tenancy.home(await self._kube.get_namespace(namespace))

    async def _given(self, one: _Credential, spec: CredentialSpec) -> ApiKey | KeyProblem:
        """Read live, and only in the object's own namespace (T2)."""
        return read_key(await self._kube.get_secret(one.namespace, spec.secret_ref.name), spec.secret_ref)

    async def _keep(
        self, one: _Credential, spec: CredentialSpec, followed: Followed, given: ApiKey
    ) -> Result:
        row = followed.row
        usage = await self._usage(row)
        try:
            state = await self._custody.keep(row, _offer(one, spec, given, usage, leaving=False))
        except (KeyUnavailable, DecryptionFailed) as error:
            await self._custody.set_not_ready(row, Reason.KEY_UNAVAILABLE)
            said = SaidOfKey(ready=False, reason=Reason.KEY_UNAVAILABLE, message=str(error))
            state = KeyState(row=await self._custody.read(row), said=said, again_in_s=REFRESH_S)
        state = _with_problem(
            await past_its_end(self._custody, state, now=self._services.clock.now()), followed.problem
        )
        await self._write(one, state.row, state.said, usage=await self._usage(state.row))
        await self._wake(one, is_due=has_moved(row, state.row))
        return Result(
            requeue_after_s=self._sooner(min(state.again_in_s, REFRESH_S), state.row),
            organization=str(row.organization_id),
            lane=Lane.REFRESH if state.said.ready else Lane.CREATE,
        )

    async def _without_key(self, one: _Credential, problem: KeyProblem) -> Result:
        """Creates stop first; then the stored copy, which everything else goes on with, is looked after."""
        message = problem.message
        if one.row is not None:
            await self._custody.set_not_ready(one.row, problem.reason)
            row = await self._custody.read(one.row)
            message = "; ".join(filter(None, (message, await self._watch_stored(one, row, problem.reason))))
        return await self._refuse(one, problem.reason, message, again_in_s=REFRESH_S)

    async def _watch_stored(self, one: _Credential, row: CredentialRow, held_back: Reason) -> str:
        """What is wrong with the stored copy, in words; empty: nothing."""
        try:
            state = await self._stored_copy.look_after(row, turn=_turn(one), held_back=held_back)
        except (KeyUnavailable, DecryptionFailed) as error:
            return f"the stored copy: {error}"
        if state is None or state.said.ready is not False:
            return ""
        return f"the stored copy: {state.said.message}"

    async def _refuse(
        self, one: _Credential, reason: Reason, message: str, *, again_in_s: float | None
    ) -> Result:
        """Nothing new is made with it; what exists is watched and deleted with the stored key (T4)."""
        row, usage = one.row, None
        if row is not None:
            before = row
            await self._custody.set_not_ready(row, reason)
            row = await self._custody.read(row)
            usage = await self._usage(row)
            await self._wake(one, is_due=has_moved(before, row))
        await self._write(one, row, SaidOfKey(ready=False, reason=reason, message=message), usage=usage)
        return Result(
            requeue_after_s=self._sooner(again_in_s, row),
            organization=None if row is None else str(row.organization_id),
        )

    # -- deletion --------------------------------------------------------------------------------------------

    async def _delete(self, one: _Credential, *, deadline_s: float) -> Result:
        """Also when our finalizer was taken away and another keeps the object: an open row serves."""
        if not one.is_held and (one.row is None or one.row.state != "open"):
            return DONE
        if one.row is not None:
            row = await self._renewed(one, one.row)
            given_up = await self._given_up(one, row)
            waiting = await self._removal.advance(row, deadline_s=deadline_s)
            if waiting is None and is_unsaid(one.body, given_up.things):
                waiting = LISTING  # the object goes when it has said what was given up
            if waiting is not None:
                return await self._wait(one, row, waiting, given_up)
            self._custody.forget(row.id)
            if not one.is_held:
                await self._wait(one, row, ENDED, given_up)
                return DONE
        await self._kube.remove_finalizer(CREDENTIAL, one.body)
        return DONE

    async def _given_up(self, one: _Credential, row: CredentialRow) -> GivenUp:
        given_up = await self._abandoning.settle(
            row,
            asked=one.obj.metadata.annotations.get(ABANDON, ""),
            is_listed=bool((one.body.get("status") or {}).get("abandonedCount")),
        )
        await self._wake(one, is_due=given_up.is_new)  # what waited for those things can go now
        return given_up

    async def _wait(
        self, one: _Credential, row: CredentialRow, waiting: Waiting, given_up: GivenUp
    ) -> Result:
        unheld = "" if one.is_held or waiting is ENDED else UNHELD
        parts = (said_of_abandoned(given_up.things), waiting.message, unheld)
        message = "; ".join(part for part in parts if part)
        said = SaidOfKey(ready=False, reason=Reason.DELETING, message=message)
        after = await self._custody.read(row)
        await self._write(one, after, said, usage=await self._usage(after), given_up=given_up)
        return Result(
            requeue_after_s=self._sooner(waiting.again_in_s, after),
            organization=str(row.organization_id),
            lane=Lane.DELETE,
        )

    async def _renewed(self, one: _Credential, row: CredentialRow) -> CredentialRow:
        """A new key in the Secret is taken also now: the stored one may have been revoked, with servers
        left.
        """
        try:
            spec = one.obj.spec
            given = await self._given(one, spec)
            if isinstance(given, KeyProblem):
                await self._watch_stored(one, row, Reason.DELETING)
            else:
                usage = await self._usage(row)
                await self._custody.keep(row, _offer(one, spec, given, usage, leaving=True))
        except (InvalidSpec, KeyUnavailable, DecryptionFailed) as error:
            logger.info(
                "the key of a credential on its way out is not looked after", extra={"why": str(error)}
            )
        after = await self._custody.read(row)
        await self._wake(one, is_due=has_moved(row, after))
        return after

    # -- shared ----------------------------------------------------------------------------------------------

    async def _wake(self, one: _Credential, *, is_due: bool) -> None:
        """Have its deployments looked at: now, or in the next pass when the API server does not list them."""
        if is_due:
            self._to_wake.add(one.namespace)
        if one.namespace in self._to_wake:
            await self._wake_deployments(one.namespace)
            self._to_wake.discard(one.namespace)

    async def _usage(self, row: CredentialRow) -> CredentialUsage:
        async with self._services.db.reading(row.organization_id) as conn:
            return await usage_of(conn, row.id)

    async def _write(
        self,
        one: _Credential,
        row: CredentialRow | None,
        said: SaidOfKey,
        *,
        usage: CredentialUsage | None,
        given_up: GivenUp | None = None,
    ) -> None:
        things = () if given_up is None else given_up.things
        await self._report.write(one.body, one.obj, row, said, usage=usage, abandoned=things)

    def _sooner(self, again_in_s: float | None, row: CredentialRow | None) -> float | None:
        return sooner(again_in_s, row, now=self._services.clock.now())


def _with_problem(state: KeyState, problem: str) -> KeyState:
    """What is wrong with the key is graver than what is wrong with the rest of the spec."""
    if not problem or not state.said.ready:
        return state
    said = SaidOfKey(ready=False, reason=Reason.INVALID_SPEC, message=problem)
    return replace(state, said=said)


def _turn(one: _Credential) -> Turn:
    metadata = one.obj.metadata
    return Turn(generation=metadata.generation, nudge=metadata.annotations.get(RECONCILE_AT, "")[:256])


def _is_for_the_same(row: CredentialRow, obj: CredentialObject) -> bool:
    """Whether an object of the name that is not the row's own could go on with it."""
    try:
        return row.state == "open" and row.project_id == obj.spec.project_id
    except InvalidSpec:
        return False


def _offer(
    one: _Credential, spec: CredentialSpec, given: ApiKey, usage: CredentialUsage, *, leaving: bool
) -> Offer:
    return Offer(
        key=given,
        generation=one.obj.metadata.generation,
        scaleway_organization=spec.organization_id,
        zones=zones_to_try(usage.zones, allowed=allowed_zones(spec)),
        leaving=leaving,
        nudge=_turn(one).nudge,
    )
