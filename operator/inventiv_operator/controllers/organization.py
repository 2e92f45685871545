"""The organization reconciler: a durable id, and the namespaces that belong to it."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from inventiv_operator.api.conditions import Reason
from inventiv_operator.api.objects import InvalidSpec, OrganizationObject, parse_organization
from inventiv_operator.api.organization import OrganizationSpec
from inventiv_operator.api.supported import unsupported_organization_fields
from inventiv_operator.controllers.claiming import Claiming, NamespaceClaim, verdict_on
from inventiv_operator.controllers.namespaces import NamespaceIndex
from inventiv_operator.controllers.seeding.seeding import NOTHING, SeededLine, Seeding
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.settings_keeping import SettingsKeeping
from inventiv_operator.controllers.status import ObjectStatusWriter, said_ready
from inventiv_operator.controllers.tenant_objects import TenantObjects
from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.domain.ledger import OrganizationRow
from inventiv_operator.domain.verdict import Verdict, refused
from inventiv_operator.kube.kinds import CLEANUP_FINALIZER, ORGANIZATION
from inventiv_operator.runtime.logging import bind
from inventiv_operator.runtime.queue import DONE, Key, Lane, Result
from inventiv_operator.store import claims, organizations
from inventiv_operator.store.errors import Conflict

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 300.0
AWAITED_S = 30.0
"""When a namespace that does not exist yet, or is held by another, is looked for again without an event."""
WAIT_S = 5.0

DEFAULT_CONFLICT = (
    "another Organization has default: true already, and at most one may: set it to false on one of them"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tenant:
    """One object in one pass, with its row if it has one."""

    body: Mapping[str, Any]
    obj: OrganizationObject
    row: OrganizationRow | None


class OrganizationReconciler:
    """One call is one pass over one Organization."""

    def __init__(
        self,
        services: Services,
        kube: TenantObjects,
        *,
        claiming: Claiming,
        seeding: Seeding,
        index: NamespaceIndex,
        status: ObjectStatusWriter,
        wake_namespace: Callable[[str], Awaitable[None]],
    ) -> None:
        """`wake_namespace` has everything of ours in a namespace looked at: it has just become a tenant's."""
        self._services = services
        self._kube = kube
        self._claiming = claiming
        self._seeding = seeding
        self._settings = SettingsKeeping(services)
        self._to_wake: set[str] = set()  # namespaces; a restart looks at everything anyway
        self._index = index
        self._status = status
        self._wake_namespace = wake_namespace

    async def reconcile(self, key: Key, *, deadline_s: float) -> Result:
        """See the module."""
        del deadline_s  # a handful of quick calls
        body = await self._kube.get(ORGANIZATION, None, key.name)
        async with self._services.db.platform() as conn:
            row = await organizations.find(conn, key.name)
        bind(organization=None if row is None else str(row.id))
        if body is None:
            self._index.forget(key.name)
            return await self._vanished(row)
        one = _Tenant(body=body, obj=parse_organization(body), row=row)
        if one.obj.metadata.deletion_timestamp is not None:
            self._index.forget(key.name)
            return await self._delete(one)
        try:
            return await self._run(one, one.obj.spec)
        except InvalidSpec as error:
            return await self._refuse(one, refused(Reason.INVALID_SPEC, str(error)), again_in_s=None)

    # -- a living organization -------------------------------------------------------------------------------

    async def _run(self, one: _Tenant, spec: OrganizationSpec) -> Result:
        self._index.put(one.obj.metadata.name, spec.namespaces)
        unsupported = unsupported_organization_fields(spec)
        if unsupported:
            return await self._refuse(
                one, refused(Reason.NOT_SUPPORTED, "; ".join(unsupported)), again_in_s=None
            )
        if CLEANUP_FINALIZER not in one.obj.metadata.finalizers:
            await self._kube.add_finalizer(ORGANIZATION, one.body)
            return Result(requeue_after_s=0.0, lane=Lane.CREATE)
        try:
            row = await self._open(one, spec)
        except Conflict:
            verdict = refused(Reason.DEFAULT_CONFLICT, DEFAULT_CONFLICT)
            return await self._refuse(one, verdict, again_in_s=AWAITED_S)
        bind(organization=str(row.id))
        lines = await self._claiming.settle(row, spec.namespaces, annotations=one.obj.metadata.annotations)
        verdict = verdict_on(lines)
        kept = await self._settings.of_organization(row, spec.settings)
        if kept.problem:
            verdict = refused(Reason.INVALID_SPEC, kept.problem)
        if kept.has_changed:
            self._to_wake.update(line.name for line in lines if line.claimed)
        await self._wake_new(one, lines)  # first: what the status says is not woken again
        seeded = await self._seeding.settle(row, [line.name for line in lines if line.claimed])
        await self._write(one, row, verdict, lines=lines, seeded=seeded)
        again_in_s = LOOK_AGAIN_S if verdict.ready else AWAITED_S
        return Result(
            requeue_after_s=min(again_in_s, seeded.again_in_s or again_in_s), organization=str(row.id)
        )

    async def _open(self, one: _Tenant, spec: OrganizationSpec) -> OrganizationRow:
        """The row, made or brought in line. An object made anew takes over a row that is not closed.

        Raises:
            Conflict: another one is the default.
        """
        row, metadata = one.row, one.obj.metadata
        if row is not None and (row.uid, row.is_default) == (metadata.uid, spec.default):
            return row
        organization_id = OrganizationId(uuid4()) if row is None else row.id
        async with self._services.writing(organization_id) as conn:
            return await organizations.upsert(
                conn, id=organization_id, name=metadata.name, uid=metadata.uid, is_default=spec.default
            )

    async def _wake_new(self, one: _Tenant, lines: list[NamespaceClaim]) -> None:
        """What waits in a namespace for an organization, or for its settings, need not wait for its next
        look.
        """
        before = {(known.name, known.uid) for known in one.obj.status.namespaces if known.claimed}
        for line in lines:
            if line.claimed and ((line.name, line.uid) not in before or line.name in self._to_wake):
                await self._wake_namespace(line.name)
                self._to_wake.discard(line.name)

    async def _refuse(self, one: _Tenant, verdict: Verdict, *, again_in_s: float | None) -> Result:
        """What is claimed stays claimed."""
        lines: list[NamespaceClaim] = []
        if one.row is not None:
            async with self._services.db.reading(one.row.id) as conn:
                held = await claims.of_organization(conn, one.row.id)
            lines = [
                NamespaceClaim(name=claim.namespace, uid=claim.namespace_uid, claimed=True) for claim in held
            ]
        seeded = NOTHING if one.row is None else await self._seeding.look(one.row, leaving=False)
        await self._write(one, one.row, verdict, lines=lines, seeded=seeded)
        return Result(requeue_after_s=again_in_s, organization=None if one.row is None else str(one.row.id))

    # -- the end ---------------------------------------------------------------------------------------------

    async def _delete(self, one: _Tenant) -> Result:
        if CLEANUP_FINALIZER not in one.obj.metadata.finalizers:
            return DONE
        row = one.row
        if row is not None and row.uid == one.obj.metadata.uid:
            left = await self._close(row)
            if left:
                seeded = await self._seeding.look(row, leaving=True)  # its end comes with the organization's
                verdict = refused(Reason.DELETING, f"waiting for {', '.join(left)}", phase="Deleting")
                await self._write(one, row, verdict, lines=None, seeded=seeded)
                return Result(requeue_after_s=WAIT_S, organization=str(row.id), lane=Lane.DELETE)
        await self._kube.remove_finalizer(ORGANIZATION, one.body)
        return DONE

    async def _vanished(self, row: OrganizationRow | None) -> Result:
        """Its finalizer was forced, or etcd put back: it stays as long as the ledger holds anything of it."""
        if row is None:
            return DONE
        left = await self._close(row)
        if left:
            await self._seeding.look(row, leaving=True)
        return Result(requeue_after_s=LOOK_AGAIN_S if left else None, organization=str(row.id))

    async def _close(self, row: OrganizationRow) -> list[str]:
        """Close it when nothing is left; else what is left, in words."""
        async with self._services.db.reading(row.id) as conn:
            left = await organizations.what_is_left(conn, row.id)
        if left:
            return left
        await self._claiming.release_all(row)
        async with self._services.writing(row.id) as conn:
            await organizations.close(conn, row.id)
        logger.info("organization closed: nothing of it is left", extra={"organization_id": str(row.id)})
        return []

    async def _write(
        self,
        one: _Tenant,
        row: OrganizationRow | None,
        verdict: Verdict,
        *,
        lines: list[NamespaceClaim] | None,
        seeded: SeededLine,
    ) -> None:
        """`lines` None: what the status says about namespaces stays."""
        before = one.body.get("status") or {}
        namespaces = before.get("namespaces") if lines is None else [line.as_status() for line in lines]
        written = await self._status.write(
            ORGANIZATION,
            one.body,
            {
                "organizationID": None if row is None else str(row.id),
                "installationID": str(self._services.installation_id),
                "namespaces": namespaces or None,
                "seededCredential": seeded.status,
            },
            said=[said_ready(verdict)],
        )
        for told in seeded.news(one.body) if written is not None else ():
            await self._status.announce(
                ORGANIZATION, one.body, reason=told.reason, message=told.message, event_type=told.event_type
            )
