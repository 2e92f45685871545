"""The credential reconciler: read object, namespace and Secret live, keep the key, write status."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from inventiv_operator.api.conditions import Reason
from inventiv_operator.api.credential import CredentialSpec
from inventiv_operator.api.objects import CredentialObject, InvalidSpec, parse_credential
from inventiv_operator.api.supported import annotations_without_effect, unsupported_credential_fields
from inventiv_operator.controllers.credential.custody import Custody, KeyState, Offer, SaidOfKey
from inventiv_operator.controllers.credential.key import ApiKey, KeyProblem, read_key
from inventiv_operator.controllers.credential.removal import Removal
from inventiv_operator.controllers.credential.report import said_expiring, said_ready, status_fields
from inventiv_operator.controllers.credential.validation import zones_to_try
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.status import ObjectStatusWriter
from inventiv_operator.controllers.tenancy import Tenancy
from inventiv_operator.controllers.tenant_objects import TenantObjects
from inventiv_operator.domain.ids import CredentialId, OrganizationId
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
        wake_deployments: WakeNamespace,
    ) -> None:
        self._services = services
        self._kube = kube
        self._custody = custody
        self._removal = removal
        self._tenancy = tenancy
        self._status = status
        self._wake_deployments = wake_deployments
        self._to_wake: set[str] = set()  # namespaces; a restart looks at everything anyway

    async def reconcile(self, key: Key, *, deadline_s: float) -> Result:
        """See the module."""
        body = await self._kube.get(CREDENTIAL, key.namespace, key.name)
        obj = None if body is None else parse_credential(body)
        own = await self._settle_rows(key, obj, deadline_s=deadline_s)
        bind(organization=None if own is None else str(own.organization_id))
        if body is None or obj is None:
            return DONE
        one = _Credential(body=body, obj=obj, row=own)
        if obj.metadata.deletion_timestamp is not None:
            return await self._delete(one, deadline_s=deadline_s)
        try:
            return await self._run(one, obj.spec)
        except InvalidSpec as error:
            return await self._refuse(one, Reason.INVALID_SPEC, str(error), again_in_s=None)

    # -- rows ------------------------------------------------------------------------------------------------

    async def _settle_rows(
        self, key: Key, obj: CredentialObject | None, *, deadline_s: float
    ) -> CredentialRow | None:
        """The object's row; rows of the same name whose object is gone are on their way out after this."""
        async with self._services.db.platform() as conn:
            owners = await credentials.owner_of(conn, key.namespace, key.name)
        own: CredentialRow | None = None
        for organization_id in owners:
            async with self._services.db.reading(organization_id) as conn:
                row = await credentials.find(conn, namespace=key.namespace, name=key.name)
            if row is None:
                continue
            if obj is not None and _belongs_to(row, obj):
                own = row
            elif row.state == "open":
                with bound(organization=str(row.organization_id)):
                    await self._removal.advance(row, deadline_s=deadline_s)
        return own

    async def _row_for(
        self, one: _Credential, spec: CredentialSpec, organization_id: OrganizationId
    ) -> CredentialRow:
        """Opened, or brought in line with an object that was made anew or changed its `default`."""
        row, metadata = one.row, one.obj.metadata
        if row is not None and (row.uid, row.is_default) == (metadata.uid, spec.default):
            return row
        async with self._services.writing(organization_id) as conn:
            return await credentials.open_credential(
                conn,
                id=CredentialId(uuid4()) if row is None else row.id,
                organization_id=organization_id,
                namespace=metadata.namespace,
                name=metadata.name,
                uid=metadata.uid,
                project_id=spec.project_id,
                is_default=spec.default,
            )

    # -- a living credential ---------------------------------------------------------------------------------

    async def _run(self, one: _Credential, spec: CredentialSpec) -> Result:
        unsupported = unsupported_credential_fields(spec)
        if unsupported:
            return await self._refuse(one, Reason.NOT_SUPPORTED, "; ".join(unsupported), again_in_s=None)
        owner = await self._owner(one.namespace)
        if owner is None or (one.row is not None and one.row.organization_id != owner):
            return await self._refuse(
                one,
                Reason.ORGANIZATION_MISSING,
                f"namespace {one.namespace} belongs to no Organization; ask the platform team to list it"
                " in one's"
                " spec.namespaces",
                again_in_s=None,
            )
        bind(organization=str(owner))
        if CLEANUP_FINALIZER not in one.obj.metadata.finalizers:
            await self._kube.add_finalizer(CREDENTIAL, one.body)
            return Result(requeue_after_s=0.0, organization=str(owner), lane=Lane.CREATE)
        given = await self._given(one, spec)
        if isinstance(given, KeyProblem):
            return await self._refuse(one, given.reason, given.message, again_in_s=REFRESH_S)
        row = await self._row_for(one, spec, owner)
        return await self._keep(one, spec, row, given)

    async def _owner(self, namespace: str) -> OrganizationId | None:
        body = await self._kube.get_namespace(namespace)
        if body is None:
            return None
        return await self._tenancy.owner(namespace, namespace_uid=str(body["metadata"]["uid"]))

    async def _given(self, one: _Credential, spec: CredentialSpec) -> ApiKey | KeyProblem:
        """Read live, and only in the object's own namespace (T2)."""
        return read_key(await self._kube.get_secret(one.namespace, spec.secret_ref.name), spec.secret_ref)

    async def _keep(
        self, one: _Credential, spec: CredentialSpec, row: CredentialRow, given: ApiKey
    ) -> Result:
        usage = await self._usage(row)
        try:
            state = await self._custody.keep(row, _offer(one, spec, given, usage, leaving=False))
        except (KeyUnavailable, DecryptionFailed) as error:
            await self._custody.set_not_ready(row, Reason.KEY_UNAVAILABLE)
            said = SaidOfKey(ready=False, reason=Reason.KEY_UNAVAILABLE, message=str(error))
            state = KeyState(row=await self._custody.read(row), said=said, again_in_s=REFRESH_S)
        await self._write(one, state.row, state.said, usage=await self._usage(state.row))
        await self._wake(one, is_due=state.row.ready != row.ready)
        return Result(
            requeue_after_s=min(state.again_in_s, REFRESH_S),
            organization=str(row.organization_id),
            lane=Lane.REFRESH if state.said.ready else Lane.CREATE,
        )

    async def _refuse(
        self, one: _Credential, reason: Reason, message: str, *, again_in_s: float | None
    ) -> Result:
        """Nothing new is made with it; what exists is watched and deleted with the stored key (T4)."""
        row, usage = one.row, None
        if row is not None:
            was_ready = row.ready
            await self._custody.set_not_ready(row, reason)
            row = await self._custody.read(row)
            usage = await self._usage(row)
            await self._wake(one, is_due=was_ready)
        await self._write(one, row, SaidOfKey(ready=False, reason=reason, message=message), usage=usage)
        return Result(
            requeue_after_s=again_in_s, organization=None if row is None else str(row.organization_id)
        )

    # -- deletion --------------------------------------------------------------------------------------------

    async def _delete(self, one: _Credential, *, deadline_s: float) -> Result:
        if CLEANUP_FINALIZER not in one.obj.metadata.finalizers:
            return DONE
        if one.row is not None:
            row = await self._renewed(one, one.row)
            waiting = await self._removal.advance(row, deadline_s=deadline_s)
            if waiting is not None:
                said = SaidOfKey(ready=False, reason=Reason.DELETING, message=waiting.message)
                after = await self._custody.read(row)
                await self._write(one, after, said, usage=await self._usage(after))
                return Result(
                    requeue_after_s=waiting.again_in_s,
                    organization=str(row.organization_id),
                    lane=Lane.DELETE,
                )
            self._custody.forget(row.id)
        await self._kube.remove_finalizer(CREDENTIAL, one.body)
        return DONE

    async def _renewed(self, one: _Credential, row: CredentialRow) -> CredentialRow:
        """A new key in the Secret is taken also now: the stored one may have been revoked, with servers
        left.
        """
        try:
            spec = one.obj.spec
            given = await self._given(one, spec)
            if isinstance(given, KeyProblem):
                return row
            usage = await self._usage(row)
            state = await self._custody.keep(row, _offer(one, spec, given, usage, leaving=True))
        except (InvalidSpec, KeyUnavailable, DecryptionFailed):
            return row  # the removal says what it waits for
        return state.row

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
        self, one: _Credential, row: CredentialRow | None, said: SaidOfKey, *, usage: CredentialUsage | None
    ) -> None:
        unheard = annotations_without_effect(one.obj.metadata.annotations)
        await self._status.write(
            CREDENTIAL,
            one.body,
            status_fields(row, usage),
            said=[
                said_ready(ready=said.ready, reason=said.reason, message="; ".join((said.message, *unheard))),
                said_expiring(row, now=self._services.clock.now()),
            ],
        )


def _belongs_to(row: CredentialRow, obj: CredentialObject) -> bool:
    """Whether the row is this object's. One made anew for the same project takes over an open row."""
    if row.uid == obj.metadata.uid:
        return True
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
        zones=zones_to_try(usage.zones),
        leaving=leaving,
    )
