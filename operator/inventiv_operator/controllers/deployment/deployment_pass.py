"""One pass over one deployment: observe, plan, apply.

The same pass serves a living deployment and one that is going; they differ in what is wanted.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

from inventiv_operator.controllers.deployment.group_driver import GROUP_ROLE, GroupDriver
from inventiv_operator.controllers.deployment.instance_driver import Driven, InstanceDriver
from inventiv_operator.controllers.deployment.observe import ZoneView, duplicates, instance_facts
from inventiv_operator.controllers.deployment.readiness import ReadinessMemory
from inventiv_operator.controllers.deployment.resolve import Start
from inventiv_operator.controllers.deployment.scene import Cloud, Scene, Template
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.cloud import IngressRule, SeenServer, volume_api_of
from inventiv_operator.domain.ids import InstanceId, ProviderRef, ResourceId, Zone
from inventiv_operator.domain.instance_plan import POLL_S, InstanceFacts, InstancePolicy, Wait
from inventiv_operator.domain.ledger import (
    DeploymentLedger,
    Instance,
    InstanceState,
    NewInstance,
    NewResource,
    Origin,
    Resource,
    ResourceKind,
    ResourceState,
)
from inventiv_operator.domain.replica_plan import ReplicaFacts, ReplicaPlan, plan_replicas
from inventiv_operator.domain.sight import Unknown
from inventiv_operator.domain.wanted import Readiness
from inventiv_operator.scaleway.errors import ScalewayError
from inventiv_operator.store import ledger

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a pass is to bring about. `start` None: nothing new can be made."""

    replicas: int
    hold: bool  # nothing is started or let go: paused, or blocked for a reason that people must settle
    max_start_failures: int
    policy: InstancePolicy
    template: Template | None
    start: Start | None
    rules: tuple[IngressRule, ...]
    readiness: Readiness | None
    steady_age_s: float  # how old a listing may be while nothing is in transition


@dataclass(frozen=True, slots=True, kw_only=True)
class PassResult:
    """Where everything stands after the pass."""

    driven: tuple[Driven, ...]
    plan: ReplicaPlan
    group_wait: Wait | None


class DeploymentPass:
    """Collaborators of one pass; made anew for each."""

    def __init__(
        self,
        services: Services,
        cloud: Cloud,
        readiness: ReadinessMemory,
        *,
        snapshot: DeploymentLedger,
        deadline_s: float,
    ) -> None:
        self._services = services
        self._cloud = cloud
        self._readiness = readiness
        self._snapshot = snapshot
        self._deadline_s = deadline_s

    async def run(self, aim: Aim) -> PassResult:
        """Towards `aim.replicas` ready instances."""
        views = await self._list_zones(aim)
        await self._take_in_duplicates(views)
        group_wait = await self._ensure_groups(aim)
        ready = await self._ask_instances(aim, views)
        plan = self._plan_replicas(aim, ready)
        await self._write_intents(aim, plan)
        facts = self._facts(views, ready)
        driven = await self._drive(facts, aim)
        return PassResult(driven=driven, plan=plan, group_wait=group_wait)

    async def remove(self, policy: InstancePolicy) -> PassResult:
        """Towards nothing left: instances first, then the groups they were in."""
        nothing = Aim(
            replicas=0,
            hold=True,
            max_start_failures=0,
            policy=policy,
            template=None,
            start=None,
            rules=(),
            readiness=None,
            steady_age_s=POLL_S,
        )
        views = await self._list_zones(nothing)
        await self._take_in_duplicates(views)
        await self._retire_all()
        driven = await self._drive(self._facts(views, frozenset()), nothing)
        group_wait = None
        if all(d.facts.instance.state is InstanceState.GONE for d in driven):
            group_wait = await self._remove_groups()
        empty = ReplicaPlan(start=(), retire=(), held_back="", wait_s=None)
        return PassResult(driven=driven, plan=empty, group_wait=group_wait)

    # -- observe -----------------------------------------------------------------------------------------------------

    async def _list_zones(self, aim: Aim) -> dict[Zone, ZoneView]:
        """Zones with a server of ours, or with an intent that may have become one."""
        zones = {
            row.zone
            for row in self._snapshot.resources
            if row.kind is ResourceKind.SERVER and (row.provider_ref or row.send_before)
        }
        age_s = POLL_S if self._in_transition() else aim.steady_age_s
        views = await asyncio.gather(*(self._list(zone, max_age_s=age_s) for zone in sorted(zones)))
        return dict(zip(sorted(zones), views, strict=True))

    async def _list(self, zone: Zone, *, max_age_s: float) -> ZoneView:
        try:
            servers = await self._cloud.client.servers(zone, max_age_s=max_age_s)
        except ScalewayError as error:
            unknown = Unknown(reason=error.reason, message=str(error))
            return ZoneView(servers=None, listed_at=None, unknown=unknown)
        age_s = self._services.clock.monotonic() - servers.started_s
        return ZoneView(servers=servers, listed_at=self._services.clock.now() - timedelta(seconds=age_s))

    def _in_transition(self) -> bool:
        return any(
            i.state is not InstanceState.ACTIVE or i.ready_at is None for i in self._snapshot.instances
        ) or any(
            row.state in {ResourceState.INTENDED, ResourceState.DELETING} for row in self._snapshot.resources
        )

    def _facts(
        self, views: Mapping[Zone, ZoneView], ready: frozenset[InstanceId]
    ) -> tuple[InstanceFacts, ...]:
        groups = self._group_refs()
        return tuple(
            instance_facts(instance, self._snapshot, views=views, group_refs=groups, ready=ready)
            for instance in self._snapshot.instances
        )

    async def _ask_instances(self, aim: Aim, views: Mapping[Zone, ZoneView]) -> frozenset[InstanceId]:
        return await self._readiness.ready(
            self._facts(views, frozenset()), readiness=aim.readiness, deadline_s=self._deadline_s
        )

    # -- groups ------------------------------------------------------------------------------------------------------

    def _groups(self) -> list[Resource]:
        return [row for row in self._snapshot.resources if row.role == GROUP_ROLE]

    def _group_refs(self) -> dict[Zone, ProviderRef]:
        return {
            row.zone: row.provider_ref
            for row in self._groups()
            if row.provider_ref is not None and row.prepared_at is not None
        }

    def _group_driver(self, zone: Zone) -> GroupDriver:
        row = self._snapshot.deployment
        return GroupDriver(
            self._services,
            self._cloud,
            deployment_id=row.id,
            zone=zone,
            name=f"{row.namespace}-{row.name}",
        )

    async def _ensure_groups(self, aim: Aim) -> Wait | None:
        if aim.start is None or not aim.policy.create_allowed:
            return None
        if aim.replicas == 0 and not self._groups():
            return None
        row = next((group for group in self._groups() if group.zone == aim.start.zone), None)
        driven = await self._group_driver(aim.start.zone).ensure(row, aim.rules)
        await self._reload()
        return driven.wait

    async def _remove_groups(self) -> Wait | None:
        waits = [
            driven.wait
            for row in self._groups()
            if (driven := await self._group_driver(row.zone).remove(row)).wait is not None
        ]
        return waits[0] if waits else None

    # -- plan --------------------------------------------------------------------------------------------------------

    def _plan_replicas(self, aim: Aim, ready: frozenset[InstanceId]) -> ReplicaPlan:
        row = self._snapshot.deployment
        return plan_replicas(
            ReplicaFacts(
                replicas=aim.replicas,
                instances=self._snapshot.instances,
                ready=ready,
                start_failures=row.start_failures,
                next_start_at=row.next_start_at,
                max_start_failures=aim.max_start_failures,
                create_allowed=aim.policy.create_allowed and aim.start is not None,
            ),
            now=self._services.clock.now(),
        )

    async def _write_intents(self, aim: Aim, plan: ReplicaPlan) -> None:
        """All that this pass begins, in one commit, before the first call (S6)."""
        if aim.hold or not (plan.start or plan.retire):
            return
        deployment = self._snapshot.deployment
        instances, resources = self._new_rows(aim.start, plan.start) if aim.start else ([], [])
        async with self._services.writing(deployment.organization_id) as conn:
            for instance_id in plan.retire:
                await ledger.set_instance(conn, instance_id, state=InstanceState.DELETING, reason="ScaleDown")
            if instances and aim.start is not None:
                if deployment.template_hash != aim.start.template_hash:
                    await ledger.set_template(conn, deployment.id, template_hash=aim.start.template_hash)
                await ledger.insert_instances(conn, instances)
                await ledger.insert_resources(conn, resources)
        await self._reload()

    def _new_rows(
        self, start: Start, ordinals: Sequence[int]
    ) -> tuple[list[NewInstance], list[NewResource]]:
        deployment = self._snapshot.deployment
        instances = [
            NewInstance(
                id=InstanceId(uuid4()),
                organization_id=deployment.organization_id,
                deployment_id=deployment.id,
                ordinal=ordinal,
                name=f"{start.name_prefix}-{ordinal}",
                zone=start.zone,
                instance_type=start.instance_type,
                image_ref=start.image_ref,
                root_volume_type=start.root_volume_type,
                template_hash=start.template_hash,
            )
            for ordinal in ordinals
        ]
        resources = [row for new in instances for row in self._rows_of(new, start)]
        return instances, resources

    def _rows_of(self, new: NewInstance, start: Start) -> tuple[NewResource, NewResource]:
        deployment = self._snapshot.deployment
        common = NewResource(
            id=ResourceId(uuid4()),
            organization_id=deployment.organization_id,
            credential_id=deployment.credential_id,
            deployment_id=deployment.id,
            instance_id=new.id,
            kind=ResourceKind.SERVER,
            role="server",
            zone=new.zone,
            volume_api=None,
            size_gb=None,
        )
        root = replace(
            common,
            id=ResourceId(uuid4()),
            kind=ResourceKind.VOLUME,
            role="root",
            volume_api=volume_api_of(new.root_volume_type),
            size_gb=start.root_size_gb,
        )
        return common, root

    async def _retire_all(self) -> None:
        going = [i for i in self._snapshot.instances if i.state is not InstanceState.DELETING]
        if not going:
            return
        async with self._services.writing(self._snapshot.deployment.organization_id) as conn:
            for instance in going:
                await ledger.set_instance(
                    conn, instance.id, state=InstanceState.DELETING, reason="DeploymentDeleted"
                )
        await self._reload()

    async def _take_in_duplicates(self, views: Mapping[Zone, ZoneView]) -> None:
        """A second server from one of our own attempts goes, with its volumes (L3)."""
        for zone, view in views.items():
            if view.servers is None:
                continue
            found = duplicates(view.servers.items.values(), self._snapshot.resources)
            for seen, row in found:
                await self._take_in(zone, seen, row)

    async def _take_in(self, zone: Zone, seen: SeenServer, row: Resource) -> None:
        original = next((i for i in self._snapshot.instances if i.id == row.instance_id), None)
        logger.warning("duplicate server found", extra={"server_ref": seen.ref, "kept": row.provider_ref})
        instance, resources = duplicate_rows(self._snapshot, original, zone, seen, row)
        async with self._services.writing(row.organization_id) as conn:
            await ledger.insert_instances(conn, [instance])
            await ledger.insert_resources(conn, resources)
        await self._reload()

    # -- apply -------------------------------------------------------------------------------------------------------

    async def _drive(self, facts: Iterable[InstanceFacts], aim: Aim) -> tuple[Driven, ...]:
        scene = Scene(
            deployment_id=self._snapshot.deployment.id,
            cloud=self._cloud,
            policy=aim.policy,
            template=aim.template,
            group_refs=self._group_refs(),
            deadline_s=self._deadline_s,
        )
        driver = InstanceDriver(self._services, scene)
        # No TaskGroup: one failure must not cut the calls that the others have under way.
        results = await asyncio.gather(*(driver.drive(each) for each in facts), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return tuple(result for result in results if isinstance(result, Driven))

    async def _reload(self) -> None:
        deployment = self._snapshot.deployment
        async with self._services.db.reading(deployment.organization_id) as conn:
            self._snapshot = await ledger.read_ledger(conn, deployment.id)


def duplicate_rows(
    snapshot: DeploymentLedger, original: Instance | None, zone: Zone, seen: SeenServer, row: Resource
) -> tuple[NewInstance, list[NewResource]]:
    """Ledger rows under which a duplicate leaves by the ordinary way."""
    instance = NewInstance(
        id=InstanceId(uuid4()),
        organization_id=row.organization_id,
        deployment_id=snapshot.deployment.id,
        ordinal=0 if original is None else original.ordinal,
        name=seen.name[:63],
        zone=zone,
        instance_type=seen.commercial_type,
        image_ref="" if original is None else original.image_ref,
        root_volume_type="sbs_volume",
        template_hash="" if original is None else original.template_hash,
        state=InstanceState.DELETING,
        reason="Duplicate",
    )
    server = NewResource(
        id=ResourceId(uuid4()),
        organization_id=row.organization_id,
        credential_id=row.credential_id,
        deployment_id=snapshot.deployment.id,
        instance_id=instance.id,
        kind=ResourceKind.SERVER,
        role="duplicate",
        zone=zone,
        volume_api=None,
        size_gb=None,
        state=ResourceState.PRESENT,
        provider_ref=seen.ref,
        origin=Origin.ADOPTED,
    )
    volumes = [
        replace(
            server,
            id=ResourceId(uuid4()),
            kind=ResourceKind.VOLUME,
            role=f"duplicate-{volume.slot}",
            volume_api=volume_api_of(volume.volume_type),
            provider_ref=volume.ref,
        )
        for volume in seen.volumes
    ]
    return instance, [server, *volumes]
