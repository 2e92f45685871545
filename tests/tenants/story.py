"""One sequence: three tenants, what happens to them, how it is mended, and what must be so in the end."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from psycopg import AsyncConnection

from inventiv_operator.kube.kinds import CREDENTIAL, DEPLOYMENT, ORGANIZATION
from rig.asgi_wire import AsgiWire
from scaleway_simulator.app import create_app
from scaleway_simulator.billing import billed
from scaleway_simulator.faults import FaultPlan
from scaleway_simulator.world import World
from tenants.api_server import ApiServer
from tenants.key_watch import KeyWatch, Tenancy
from tenants.operations import CONTENTS, FAULTED, HOUR_S, NAMES, SECRETS, TENANTS, Do, Step
from tenants.still_loop import StillLoop
from tenants.tenant import Tenant
from tenants.whole_operator import Place, WholeOperator

PATIENCE_S = 3600.0
LOOK_S = 4.0
SWIFT = {
    "boot_s": 1.0,
    "terminate_s": 1.0,
    "stop_s": 2.0,
    "volume_create_s": 0.5,
    "detach_s": 1.0,
    "detach_while_booting_s": 4.0,
    "delete_detach_s": 1.0,
    "attach_s": 0.5,
    "allocate_s": 0.5,
    "update_s": 0.5,
}
"""Durations at the provider: polling for minutes would only cost time."""
_TABLES = (
    "action_logs cloud_resources instances deployments provider_settings provider_zone_controls"
    " project_claims organization_keys providers namespace_claims organizations"
)
WIPE = ";".join(
    ("SET session_replication_role = replica", *(f"DELETE FROM {table}" for table in _TABLES.split()))
)
OPEN_REFS = """
SELECT d.namespace, d.name, d.state AS deployment, r.kind, r.state, r.provider_ref, r.role, r.organization_id
FROM cloud_resources r LEFT JOIN deployments d ON d.id = r.deployment_id
WHERE r.state NOT IN ('absent', 'released', 'abandoned')
  AND NOT (r.state = 'intended' AND r.send_before IS NULL AND (r.role = 'control' OR d.state = 'lost'))
"""
"""Without what was intended and never sent: it stays so until a control, or the lost object, needs it again.
"""
OPEN_DEPLOYMENTS = "SELECT id, namespace, name, state FROM deployments WHERE state <> 'closed'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What all sequences share."""

    loop: StillLoop
    place: Place
    admin: AsyncConnection[Any]


@dataclass(slots=True)
class Story:
    """See the module. `trace` says what happened, for whoever has to find out why."""

    stage: Stage
    trace: list[str]
    world: World = field(init=False)
    api: ApiServer = field(init=False)
    watch: KeyWatch = field(init=False)
    tenants: list[Tenant] = field(init=False)
    wire: AsgiWire = field(init=False)
    operator: WholeOperator = field(init=False)

    def __post_init__(self) -> None:
        self.world = World(clock=self.stage.place.clock, seed=uuid4().int)
        self.world.reset(dict(SWIFT))
        self.api = ApiServer()
        self.watch = KeyWatch(Tenancy(), self.world)
        self.tenants = [
            Tenant(number=n, api=self.api, world=self.world, watch=self.watch) for n in range(TENANTS)
        ]
        self.wire = AsgiWire(create_app(self.world))

    # -- the story -----------------------------------------------------------------------------------------

    async def live(self, steps: Sequence[Step], *, settled: bool) -> None:
        """Raises AssertionError when something is not as it must be.

        `settled`: the first step comes when everybody is Ready, else while everything is being made.
        """
        await self.begin()
        try:
            if settled:
                await self.until_at_rest()
            for step in steps:
                self.note(repr(step))
                await self._do(step)
                await self._sleep(step.then_s)
            await self._mend()
            await self._assert_all_is_well()
        finally:
            await self.operator.stop()
            await self.wire.close()

    async def begin(self) -> None:
        """Three tenants come to an operator that has just started."""
        await self.stage.admin.execute(WIPE)
        await self.start()
        for tenant in self.tenants:
            self._arrive(tenant)

    def note(self, what: str) -> None:
        self.trace.append(f"{self.world.seconds:10.1f} s: {what}")

    def _arrive(self, tenant: Tenant) -> None:
        tenant.put_namespace()
        tenant.put_organization()
        for secret in SECRETS:
            tenant.put_secret(secret, CONTENTS[1], neighbour=tenant)
        tenant.put_credential()
        tenant.deploy(NAMES[0], 1)

    async def start(self) -> None:
        await self.stage.admin.execute("UPDATE operator_lease SET expires_at = '-infinity'")
        cursor = await self.stage.admin.execute("SELECT take_lease(0, gen_random_uuid()::text, '100 years')")
        row = await cursor.fetchone()
        assert row is not None
        self.operator = WholeOperator(self.stage.place, self.api, self.wire, self.watch, epoch=int(row[0]))
        await self.operator.start()

    async def _sleep(self, seconds: float) -> None:
        if seconds >= HOUR_S:
            await self.stage.loop.suspend(seconds)
            seconds = 1.0
        await asyncio.sleep(seconds)

    async def _do(self, step: Step) -> None:
        tenant, neighbour = self.tenants[step.tenant], self.tenants[(step.tenant + 1) % TENANTS]
        match step.do:
            case Do.DEPLOY:
                tenant.deploy(step.what, step.number)
            case Do.UNDEPLOY:
                tenant.undeploy(step.what)
            case Do.CREDENTIAL:
                tenant.put_credential()
            case Do.NO_CREDENTIAL:
                tenant.delete_credential()
            case Do.FORCE_CREDENTIAL:
                tenant.force(CREDENTIAL)
            case Do.SECRET:
                tenant.put_secret(step.what, CONTENTS[step.number], neighbour=neighbour)
            case Do.POINT:
                tenant.point(step.what)
            case Do.KEY:
                tenant.key(step.number, step.what, neighbour=neighbour)
            case Do.ORGANIZATION:
                tenant.put_organization()
            case Do.NO_ORGANIZATION:
                tenant.delete_organization()
            case Do.FORCE_ORGANIZATION:
                tenant.force(ORGANIZATION)
            case Do.NAMESPACE:
                tenant.put_namespace()
            case Do.NO_NAMESPACE:
                tenant.delete_namespace()
            case Do.FORCE_NAMESPACE:
                tenant.force_namespace()
            case Do.RESTART:
                await self.operator.kill()
                await self._sleep(step.number)
                await self.start()
            case Do.PASS:
                await self._sleep(step.number)
            case Do.FAULT:
                self._break(tenant, step)

    def _break(self, tenant: Tenant, step: Step) -> None:
        method, path = FAULTED[step.number]
        fault: dict[str, Any] = {
            "kind": "status" if step.what.isdigit() else step.what,
            "match": {"method": method, "path_regex": path, "project": tenant.project_id},
            "times": 2,
            "seconds": 8.0,  # longer than the client waits
        }
        if step.what.isdigit():
            fault["status"] = int(step.what)
        self.world.faults.add(FaultPlan.parse(fault), seconds=self.world.seconds)

    # -- the end -------------------------------------------------------------------------------------------

    async def _mend(self) -> None:
        self.note("mended")
        self.world.faults.clear()
        for tenant in self.tenants:
            tenant.mend_keys()
            tenant.look_again()
        await self.until_at_rest()

    async def until_at_rest(self) -> None:
        end_s = self.stage.loop.time() + PATIENCE_S
        while True:
            for tenant in self.tenants:
                tenant.mend_objects()
            waiting = [t for t in self.tenants if not (t.has_left or await self._is_held_by_what_is_lost(t))]
            said = [t.unrest() for t in waiting]
            ended = self.operator.ended()
            assert not ended, ended
            if not any(said):
                said = [await self._unsettled()]
            if not any(said):
                return
            assert self.stage.loop.time() < end_s, f"it never comes to rest: {'; '.join(filter(None, said))}"
            await asyncio.sleep(LOOK_S)

    async def _is_held_by_what_is_lost(self, tenant: Tenant) -> bool:
        """An Organization on its way out waits for lost servers as long as nobody gives them up (L9)."""
        if not self.api.is_going(ORGANIZATION, "", tenant.name) or tenant.holds_anything:
            return False
        rows = await self._rows(OPEN_DEPLOYMENTS)
        return any(r["namespace"] == tenant.name and r["state"] == "lost" for r in rows)

    async def _unsettled(self) -> str:
        """What the ledger still has under way."""
        under_way = [r for r in await self._rows(OPEN_REFS) if r["state"] not in {"present", "lost"}]
        under_way += [r for r in await self._rows(OPEN_DEPLOYMENTS) if r["state"] == "closing"]
        return f"under way: {under_way}" if under_way else ""

    async def _rows(self, query: str) -> list[dict[str, Any]]:
        cursor = await self.stage.admin.execute(query.encode())
        names = [c.name for c in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]

    async def _assert_all_is_well(self) -> None:
        assert not self.watch.violations, "\n".join(self.watch.violations)
        self.world.settle()
        self.watch.compare(list(self.world.calls.since(0)))
        bill, rows, deployments = (
            billed(self.world),
            await self._rows(OPEN_REFS),
            await self._rows(OPEN_DEPLOYMENTS),
        )
        for tenant in self.tenants:
            mine = {kind: [t for t in bill[kind] if t["project"] == tenant.project_id] for kind in _KINDS}
            self._assert_account(tenant, mine, [d for d in deployments if d["namespace"] == tenant.name])
            organizations = {str(o) for o, n in self.watch.organizations.items() if n == tenant.number}
            in_ledger = {
                (r["kind"], str(r["provider_ref"]))
                for r in rows
                if str(r["organization_id"]) in organizations
            }
            at_provider = {(_KINDS[kind], thing["id"]) for kind, things in mine.items() for thing in things}
            assert in_ledger == at_provider, f"tenant {tenant.number}: ledger {in_ledger} != {at_provider}"
            for thing in (t for things in mine.values() for t in things):
                says = {v for tag in thing["tags"] for n, _, v in [tag.partition("=")] if n == _OWNER_TAG}
                assert says <= organizations, f"tenant {tenant.number} holds another's: {thing}"
        projects = {t.project_id for t in self.tenants}
        assert {t["project"] for kind in _KINDS for t in bill[kind]} <= projects

    def _assert_account(
        self, tenant: Tenant, mine: dict[str, list[dict[str, Any]]], deployments: list[dict[str, Any]]
    ) -> None:
        """Exactly what its living objects want, and what ran for those that were taken away by force (L9)."""
        wanted: Counter[str] = Counter()
        for name in tenant.names():
            body = self.api.read(DEPLOYMENT, tenant.name, name)
            assert body is not None
            wanted[body["status"]["deploymentID"]] = body["spec"]["replicas"]
        lost = {str(d["id"]) for d in deployments if d["state"] == "lost"}
        lost_names = {d["name"] for d in deployments if d["state"] == "lost"}
        assert tenant.must_be_lost <= lost_names <= tenant.may_be_lost, deployments
        assert {str(d["id"]) for d in deployments} - lost <= set(wanted), deployments
        servers = Counter(
            v
            for s in mine["servers"]
            for n, _, v in [tag.partition("=") for tag in s["tags"]]
            if n == _ID_TAG
        )
        assert sum(servers.values()) == len(mine["servers"])
        found = {d: n for d, n in servers.items() if d not in lost}
        assert found == +wanted, f"tenant {tenant.number}: holds {found}, wants {wanted}"
        assert all(s["state"] == "running" for s in mine["servers"]), mine["servers"]
        assert len(mine["volumes"]) == len(mine["servers"]), mine["volumes"]
        assert mine["ips"] == []


_ID_TAG, _OWNER_TAG = "inventiv-deployment", "inventiv-organization"
_KINDS = {"servers": "server", "volumes": "volume", "ips": "ip", "security_groups": "security_group"}
