"""One pass over one deployment: observe, plan, apply.

The same pass serves a living deployment and one that is going; they differ in what is wanted.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import AsyncConnection

from inventiv_operator.controllers.deployment import new_rows
from inventiv_operator.controllers.deployment.groups import Groups
from inventiv_operator.controllers.deployment.in_flight import InFlight
from inventiv_operator.controllers.deployment.instance_driver import QUEUED, Driven, InstanceDriver
from inventiv_operator.controllers.deployment.observe import (
    Suspect,
    ZoneView,
    facts_of,
    suspects,
    view_of,
    with_readiness,
)
from inventiv_operator.controllers.deployment.readiness import ReadinessMemory
from inventiv_operator.controllers.deployment.resolve import Start
from inventiv_operator.controllers.deployment.scene import Cloud, Scene, Starts, Template
from inventiv_operator.controllers.ledger_writer import Writes
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.cloud import IngressRule
from inventiv_operator.domain.ids import Zone
from inventiv_operator.domain.instance_facts import InstanceFacts, InstancePolicy, is_under_way, settling
from inventiv_operator.domain.instance_plan import plan_instance
from inventiv_operator.domain.instance_steps import BeginServerDeletion, DeleteServer, RecordVolume, Terminate
from inventiv_operator.domain.ledger import (
    DeploymentLedger,
    InstanceState,
    Resource,
    ResourceKind,
    ResourceState,
)
from inventiv_operator.domain.replica_plan import ReplicaFacts, ReplicaPlan, plan_replicas
from inventiv_operator.domain.sight import Unknown
from inventiv_operator.domain.start_record import StartRecord
from inventiv_operator.domain.verdict import is_ready
from inventiv_operator.domain.waits import POLL_S, Wait
from inventiv_operator.domain.wanted import Readiness
from inventiv_operator.runtime.queue import Key
from inventiv_operator.scaleway.errors import ScalewayError
from inventiv_operator.store import ledger
from inventiv_operator.store.errors import IdTaken

logger = logging.getLogger(__name__)

ENDS_A_SERVER = (BeginServerDeletion, Terminate, DeleteServer, RecordVolume)  # the last: right before it
AT_ONCE = 24
"""Instances that are driven at once: enough to keep the gate busy, and each one's calls close together, so
that the window in which a create may leave is not spent in a queue.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a pass is to bring about. `start` None: nothing new can be made."""

    replicas: int
    may_scale_down: bool
    keeps_group: bool  # the group is made, and its rules are set
    policy: InstancePolicy
    template: Template
    start: Start | None
    zone: Zone
    rules: tuple[IngressRule, ...]
    readiness: Readiness | None
    steady_age_s: float  # how old a listing may be while nothing is in transition


@dataclass(frozen=True, slots=True, kw_only=True)
class PassResult:
    """Where everything stands after the pass; `reported` are servers that carry our tags and are not ours."""

    driven: tuple[Driven, ...]
    record: StartRecord
    group_wait: Wait | None
    groups: tuple[Resource, ...]  # those that are not proven absent
    reported: tuple[Suspect, ...] = ()


def is_anything_under_way(snapshot: DeploymentLedger) -> bool:
    """Whether a pass that only settles would have anything to do."""
    servers = {row.instance_id: row for row in snapshot.resources if row.kind is ResourceKind.SERVER}
    groups = (row for row in snapshot.resources if row.kind is ResourceKind.SECURITY_GROUP)
    return any(is_under_way(i, servers.get(i.id)) for i in snapshot.instances) or any(
        row.state is ResourceState.DELETING or (row.provider_ref is None and row.send_before is not None)
        for row in groups
    )


class DeploymentPass:
    """Collaborators of one pass; made anew for each."""

    def __init__(
        self,
        services: Services,
        cloud: Cloud,
        *,
        key: Key,
        readiness: ReadinessMemory,
        writer: Writes,
        in_flight: InFlight[Driven],
        snapshot: DeploymentLedger,
        record: StartRecord,
        deadline_s: float,
    ) -> None:
        self._services = services
        self._cloud = cloud
        self._key = key
        self._readiness = readiness
        self._writer = writer
        self._in_flight = in_flight
        self._snapshot = snapshot
        self._deadline_s = deadline_s
        self._groups = Groups(services, writer, cloud, snapshot.deployment, snapshot.resources)
        self._starts = Starts(record=record)

    async def run(self, aim: Aim) -> PassResult:
        """Towards `aim.replicas` ready instances."""
        age_s = POLL_S if self._in_transition(aim.readiness) else aim.steady_age_s
        views = await self._list_zones(max_age_s=age_s)
        reported = await self._take_in(views)
        group_wait = await self._ensure_group(aim)
        if aim.readiness is None:
            self._readiness.forget(self._key)
        facts = self._facts(views, aim.readiness)
        await self._write_intents(aim, self._plan(aim, facts))
        scene = self._scene(aim.policy, aim.template)
        driven = await self._drive(await self._last_look(views, aim.policy, aim.readiness), scene)
        if scene.starts.lacks_group:
            await self._groups.verify(aim.zone)
        return self._result(driven, group_wait=group_wait, reported=reported)

    async def remove(self, policy: InstancePolicy) -> PassResult:
        """Towards nothing left: instances first, then the groups they were in."""
        views = await self._list_zones(max_age_s=POLL_S)
        reported = await self._take_in(views)
        await self._retire_all()
        driven = await self._drive(await self._last_look(views, policy, None), self._scene(policy, None))
        group_wait = None
        if all(each.facts.instance.state is InstanceState.GONE for each in driven):
            group_wait = await self._groups.remove()
        return self._result(driven, group_wait=group_wait, reported=reported)

    async def settle(self) -> PassResult:
        """Only what was begun is brought to its end: creates whose outcome is open, and deletions. What runs
        is not touched, and nothing is made or started (L9).
        """
        policy = settling(self._services.timing)
        views = await self._list_zones(max_age_s=POLL_S)
        facts = await self._last_look(views, policy, None)
        begun = [each for each in facts if is_under_way(each.instance, each.server)]
        driven = await self._drive(begun, self._scene(policy, None))
        return self._result(driven, group_wait=await self._groups.settle(), reported=())

    def _result(
        self, driven: tuple[Driven, ...], *, group_wait: Wait | None, reported: tuple[Suspect, ...]
    ) -> PassResult:
        return PassResult(
            driven=driven,
            record=self._starts.record,
            group_wait=group_wait,
            groups=self._groups.rows,
            reported=reported,
        )

    # -- observe ---------------------------------------------------------------------------------------------

    async def _list_zones(self, *, max_age_s: float) -> dict[Zone, ZoneView]:
        """Zones with a server of ours, or with an intent that may have become one (B1)."""
        zones = sorted(
            {
                row.zone
                for row in self._snapshot.resources
                if row.kind is ResourceKind.SERVER and (row.provider_ref is not None or row.attempts)
            }
        )
        views = await asyncio.gather(*(self._list(zone, max_age_s=max_age_s) for zone in zones))
        return dict(zip(zones, views, strict=True))

    async def _list(self, zone: Zone, *, max_age_s: float) -> ZoneView:
        """Waits no longer than the step may last; the reading goes on, and the next pass finds it further."""
        clock = self._services.clock
        try:
            async with asyncio.timeout(max(0.0, self._deadline_s - clock.monotonic())):
                servers = await self._cloud.client.servers(zone, max_age_s=max_age_s)
        except TimeoutError:
            unknown = Unknown(reason="ProviderUnreachable", message=f"list servers in {zone}: no answer yet")
            return ZoneView(servers=None, listed_at=None, unknown=unknown)
        except ScalewayError as error:
            unknown = Unknown(reason=error.reason, message=str(error))
            return ZoneView(servers=None, listed_at=None, unknown=unknown)
        return view_of(servers, now=clock.now(), now_s=clock.monotonic())

    async def _last_look(
        self, views: Mapping[Zone, ZoneView], policy: InstancePolicy, readiness: Readiness | None
    ) -> tuple[InstanceFacts, ...]:
        """The facts to act on. Before a server is ended its zone is listed once more, whatever age would do
        otherwise: a disk that was attached by hand a moment ago must be seen, or it goes with the server
        (L7).
        """
        facts = self._facts(views, readiness)
        now = self._services.clock.now()
        steps = (plan_instance(each, now=now, policy=policy) for each in facts)
        if any(isinstance(step, ENDS_A_SERVER) for step in steps):
            facts = self._facts(await self._list_zones(max_age_s=0.0), readiness)
        return facts

    def _in_transition(self, readiness: Readiness | None) -> bool:
        """Whether anything may change at the provider soon: then its listing must be fresh.

        An instance that runs and only has not answered its probe yet is at rest, as far as the provider goes.
        """
        starting = any(
            i.state is not InstanceState.ACTIVE
            or (i.ready_at is None and not (readiness and self._readiness.runs(i.id)))
            for i in self._snapshot.instances
        )
        return starting or any(
            row.state in {ResourceState.INTENDED, ResourceState.DELETING} for row in self._snapshot.resources
        )

    def _facts(
        self, views: Mapping[Zone, ZoneView], readiness: Readiness | None
    ) -> tuple[InstanceFacts, ...]:
        facts = facts_of(
            self._snapshot, views=views, group_refs=self._groups.refs(), timing=self._services.timing
        )
        if readiness is not None:  # what runs, and where, before what is known of it is asked for
            organization_id = self._snapshot.deployment.organization_id
            self._readiness.watch(self._key, organization_id, facts, readiness=readiness)
        return tuple(self._judged(each, readiness) for each in facts)

    def _judged(self, facts: InstanceFacts, readiness: Readiness | None) -> InstanceFacts:
        return with_readiness(
            facts,
            ready=self._readiness.is_ready(facts, readiness=readiness),
            asked=self._readiness.is_told(facts, readiness=readiness),
        )

    # -- plan ------------------------------------------------------------------------------------------------

    def _plan(self, aim: Aim, facts: Sequence[InstanceFacts]) -> ReplicaPlan:
        plan = plan_replicas(
            ReplicaFacts(
                replicas=aim.replicas,
                instances=self._snapshot.instances,
                ready=frozenset(f.instance.id for f in facts if is_ready(f)),
                may_create=aim.policy.may_create and aim.start is not None,
            )
        )
        return plan if aim.may_scale_down else replace(plan, retire=())

    async def _write_intents(self, aim: Aim, plan: ReplicaPlan) -> None:
        """All that this pass begins, in one commit, before the first call (S6)."""
        deployment, now = self._snapshot.deployment, self._services.clock.now()
        instances, resources = (
            ([], []) if aim.start is None else new_rows.intents(deployment, aim.start, plan.start)
        )
        if not (plan.retire or instances):
            return
        template_hash = aim.policy.template_hash
        self._in_flight.retire(plan.retire)

        async def note(conn: AsyncConnection[Any]) -> None:
            for instance_id in plan.retire:
                await ledger.set_instance(conn, instance_id, state=InstanceState.DELETING, reason="ScaleDown")
            if instances:
                if deployment.template_hash != template_hash:
                    await ledger.set_template(conn, deployment.id, template_hash=template_hash)
                await ledger.insert_instances(conn, instances)
                await ledger.insert_resources(conn, resources)

        await self._writer.write(deployment.organization_id, note)
        kept = tuple(
            replace(i, state=InstanceState.DELETING, reason="ScaleDown") if i.id in plan.retire else i
            for i in self._snapshot.instances
        )
        self._snapshot = replace(
            self._snapshot,
            instances=(*kept, *(new.as_row(now=now) for new in instances)),
            resources=(*self._snapshot.resources, *(new.as_row(now=now) for new in resources)),
        )

    async def _retire_all(self) -> None:
        going = [i for i in self._snapshot.instances if i.state is not InstanceState.DELETING]
        if not going:
            return
        reason = "DeploymentDeleted"
        self._in_flight.retire(i.id for i in going)

        async def note(conn: AsyncConnection[Any]) -> None:
            for instance in going:
                await ledger.set_instance(conn, instance.id, state=InstanceState.DELETING, reason=reason)

        await self._writer.write(self._snapshot.deployment.organization_id, note)
        retired = tuple(
            i
            if i.state is InstanceState.DELETING
            else replace(i, state=InstanceState.DELETING, reason=reason)
            for i in self._snapshot.instances
        )
        self._snapshot = replace(self._snapshot, instances=retired)

    async def _take_in(self, views: Mapping[Zone, ZoneView]) -> tuple[Suspect, ...]:
        """A second server from one of our own calls goes, with its volumes (L3); the rest is reported."""
        found = [
            suspect
            for view in views.values()
            if view.servers is not None
            for suspect in suspects(view.servers, self._snapshot.resources)
        ]
        now = self._services.clock.now()
        strangers = [suspect for suspect in found if not suspect.is_ours]
        for suspect in (s for s in found if s.is_ours):
            instance, resources = new_rows.duplicate(self._snapshot, suspect)

            async def note(
                conn: AsyncConnection[Any], instance: Any = instance, resources: Any = resources
            ) -> None:
                await ledger.insert_instances(conn, [instance])
                await ledger.insert_resources(conn, resources)

            try:
                await self._writer.write(self._snapshot.deployment.organization_id, note)
            except IdTaken:  # our tags were copied to a server of something else
                strangers.append(suspect)
                continue
            logger.warning(
                "duplicate server of ours found; it is removed",
                extra={"server_ref": suspect.seen.ref, "kept": suspect.row.provider_ref},
            )
            self._snapshot = replace(
                self._snapshot,
                instances=(*self._snapshot.instances, instance.as_row(now=now)),
                resources=(*self._snapshot.resources, *(new.as_row(now=now) for new in resources)),
            )
        return tuple(strangers)

    async def _ensure_group(self, aim: Aim) -> Wait | None:
        if not aim.keeps_group:
            return None
        in_use = frozenset(i.zone for i in self._snapshot.instances)
        wait = await self._groups.remove(keep=in_use | {aim.zone})
        nobody_needs_it = aim.replicas == 0 or aim.start is None
        if nobody_needs_it and not any(row.zone == aim.zone for row in self._groups.rows):
            return wait
        return await self._groups.ensure(aim.zone, aim.rules, tags=aim.policy.tags) or wait

    # -- apply -----------------------------------------------------------------------------------------------

    def _scene(self, policy: InstancePolicy, template: Template | None) -> Scene:
        return Scene(
            deployment_id=self._snapshot.deployment.id,
            cloud=self._cloud,
            policy=policy,
            template=template,
            starts=self._starts,
            is_retired=self._in_flight.is_retired,
            deadline_s=self._deadline_s,
        )

    async def _drive(self, facts: Sequence[InstanceFacts], scene: Scene) -> tuple[Driven, ...]:
        driver = InstanceDriver(self._services, self._writer, scene)
        turns = asyncio.Semaphore(AT_ONCE)

        async def drive(each: InstanceFacts) -> Driven:
            async with turns:
                return await driver.drive(each)

        free = [each for each in facts if each.instance.id not in self._in_flight]
        ended = await self._in_flight.run(
            {each.instance.id: (lambda each=each: drive(each)) for each in free}  # type: ignore[misc]
        )
        return tuple(
            ended.get(each.instance.id) or Driven(facts=each, wait=replace(QUEUED, after_s=POLL_S))
            for each in facts
        )
