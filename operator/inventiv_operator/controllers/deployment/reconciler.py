"""The deployment reconciler: read the object live, observe, plan, apply, write status."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from inventiv_operator.api.objects import parse_deployment
from inventiv_operator.controllers.access import Access
from inventiv_operator.controllers.deployment.desk import Desk, Intervals
from inventiv_operator.controllers.deployment.in_flight import InFlight
from inventiv_operator.controllers.deployment.living import Call, Living
from inventiv_operator.controllers.deployment.overtime import Overtime
from inventiv_operator.controllers.deployment.readiness import ReadinessMemory
from inventiv_operator.controllers.deployment.removal import Removal
from inventiv_operator.controllers.deployment.status import StatusWriter
from inventiv_operator.controllers.ledger_writer import LedgerWriter
from inventiv_operator.controllers.objects import Objects
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.tenancy import Home, Tenancy
from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.domain.ledger import DeploymentRow, DeploymentState
from inventiv_operator.kube.kinds import CLEANUP_FINALIZER, DEPLOYMENT
from inventiv_operator.runtime.logging import bind, bound
from inventiv_operator.runtime.queue import DONE, Key, Lane, Result
from inventiv_operator.store import ledger

__all__ = ["DeploymentReconciler", "Intervals"]

logger = logging.getLogger(__name__)

FOUND_AGAIN = frozenset({DeploymentState.OPEN, DeploymentState.LOST})


class DeploymentReconciler:
    """One call is one pass over one key. What the store and the API server raise goes to the caller."""

    def __init__(
        self,
        services: Services,
        kube: Objects,
        *,
        access: Access,
        tenancy: Tenancy,
        readiness: ReadinessMemory,
        status: StatusWriter,
        writer: LedgerWriter,
        probe_rules: Sequence[str],
        intervals: Intervals,
    ) -> None:
        """`probe_rules`: the networks that readiness probes come from."""
        self._services = services
        self._writer = writer
        self._desk = Desk(
            services=services,
            kube=kube,
            access=access,
            tenancy=tenancy,
            readiness=readiness,
            status=status,
            writer=writer,
            in_flight=InFlight(),
            probe_cidrs=tuple(probe_rules),
            intervals=intervals,
        )
        self._overtime = Overtime(services.clock)

    async def close(self) -> None:
        """Cut the passes that outlived their step, and the calls that outlived their pass; after the queue
        has drained.
        """
        await self._overtime.close()
        await self._desk.in_flight.close()

    async def reconcile(self, key: Key, *, deadline_s: float) -> Result:
        """See the module. Returns by `deadline_s`, whatever hangs.

        Raises:
            KubeError, StoreError: try again later; `Fenced`: another process leads, it is not ours any more.
        """
        return await self._overtime.within(
            key, lambda: self._one_pass().run(key, deadline_s=deadline_s), deadline_s=deadline_s
        )

    def _one_pass(self) -> "_OnePass":
        """It may outlive its step, and a lease: it is good for the epoch it begins under, and no other."""
        services = self._services.of_this_epoch()
        desk = replace(self._desk, services=services, writer=self._writer.under(services.leadership))
        return _OnePass(desk)


class _OnePass:
    """Over one key."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._living = Living(desk)
        self._removal = Removal(desk)

    async def run(self, key: Key, *, deadline_s: float) -> Result:
        desk = self._desk
        body = await desk.kube.get(DEPLOYMENT, key.namespace, key.name)
        rows = await desk.tenancy.deployment_rows(key.namespace, key.name)
        obj = None if body is None else parse_deployment(body)
        if obj is None or body is None:
            if not rows:
                desk.readiness.forget(key)
            return await self._settle_left_behind(key, rows, deadline_s=deadline_s)
        own = next((row for row in rows if row.uid == obj.metadata.uid), None)
        bind(organization=None if own is None else str(own.organization_id))
        call = Call(key=key, obj=obj, body=body, row=own, deadline_s=deadline_s)
        home: Home | None = None
        if obj.metadata.deletion_timestamp is None and not _is_under_way(own):
            home = await desk.tenancy.home(await desk.kube.get_namespace(key.namespace))
            owner = None if home is None else home.organization_id
            bind(organization=None if owner is None else str(owner))
            call = replace(call, row=_found_again(own, rows, owner=owner))
        others = [row for row in rows if call.row is None or row.id != call.row.id]
        left_behind = await self._settle_left_behind(key, others, deadline_s=deadline_s)
        if obj.metadata.deletion_timestamp is not None or _is_closing(call.row):
            # Closing without a deletion can only be after a restored etcd: it was seen, and there is no way
            # back.
            return _sooner(await self._delete(call), left_behind)
        return _sooner(await self._living.run(call, home=home), left_behind)

    async def _delete(self, call: Call) -> Result:
        if CLEANUP_FINALIZER not in call.obj.metadata.finalizers:
            if call.row is None:
                return DONE
        elif call.row is None:
            await self._desk.kube.remove_finalizer(DEPLOYMENT, call.body)  # nothing was ever begun for it
            return DONE
        await self._removal.begin(call.row)
        remains = await self._removal.advance(call.row, key=call.key, deadline_s=call.deadline_s)
        if not remains.done:
            await self._desk.status.write(call.body, call.obj, remains.facts)
            return Result(
                requeue_after_s=remains.wait_s, organization=str(call.row.organization_id), lane=Lane.DELETE
            )
        await self._desk.kube.remove_finalizer(DEPLOYMENT, call.body)
        return DONE

    async def _settle_left_behind(
        self, key: Key, rows: Sequence[DeploymentRow], *, deadline_s: float
    ) -> Result:
        """Deletions that were seen go on without their object; an object that vanished unseen is lost (L9),
        and only what had begun for it is brought to its end. It has vanished also when its name was made anew
        and the new object is not the one that finds its servers again: a stranger's, or one in a namespace
        that nobody has claimed yet.
        """
        result = DONE
        for row in rows:
            with bound(organization=str(row.organization_id)):  # each may be another's
                again = await self._settle_one(key, row, deadline_s=deadline_s)
            result = _sooner(result, again)
        return result

    async def _settle_one(self, key: Key, row: DeploymentRow, *, deadline_s: float) -> Result:
        if row.state is DeploymentState.CLOSING:
            remains = await self._removal.advance(row, key=key, deadline_s=deadline_s)
            if not remains.done:
                return Result(
                    requeue_after_s=remains.wait_s,
                    organization=str(row.organization_id),
                    lane=Lane.DELETE,
                )
        elif row.state is DeploymentState.OPEN:
            logger.error(
                "deployment lost: its object vanished without a deletion being seen; its servers run on",
                extra={"deployment_id": str(row.id)},
            )
            async with self._desk.services.writing(row.organization_id) as conn:
                await ledger.set_deployment_state(conn, row.id, to=DeploymentState.LOST)
            return await self._removal.settle(row, key=key, deadline_s=deadline_s)
        elif row.state is DeploymentState.LOST:
            return await self._removal.settle(row, key=key, deadline_s=deadline_s)
        return DONE


def _is_under_way(own: DeploymentRow | None) -> bool:
    """Whether the row goes on as it is, whoever the namespace belongs to now."""
    return own is not None and own.state in {DeploymentState.OPEN, DeploymentState.CLOSING}


def _is_closing(row: DeploymentRow | None) -> bool:
    return row is not None and row.state is DeploymentState.CLOSING


def _found_again(
    own: DeploymentRow | None, rows: Sequence[DeploymentRow], *, owner: OrganizationId | None
) -> DeploymentRow | None:
    """An object that is new to us may be one that was lost; only its namespace's owner finds it again
    (T1).
    """
    known = rows if own is None else (own,)
    return next((row for row in known if row.state in FOUND_AGAIN and row.organization_id == owner), None)


def _sooner(one: Result, other: Result) -> Result:
    if other.requeue_after_s is None:
        return one
    if one.requeue_after_s is None or other.requeue_after_s < one.requeue_after_s:
        return other
    return one
