"""One tenant with a simulator of its own, the real database, and virtual time."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from inventiv_operator.domain.ledger import DeploymentLedger, Fence
from inventiv_operator.store import ledger
from inventiv_operator.store.database import Database
from inventiv_operator.store.keyring import KeyringFile
from provider_parts.wire_httpx import HttpxWire
from rig.fake_kube import FakeKube
from rig.fixtures import Premises
from rig.jumping_loop import JumpingLoop, LoopClock
from rig.process import Process, Surroundings
from rig.tenant import RigTenant, deployment_spec, new_tenant, write_tenant
from scaleway_simulator.app import create_app
from scaleway_simulator.billing import billed
from scaleway_simulator.faults import FaultPlan
from scaleway_simulator.in_process import InProcessTransport
from scaleway_simulator.world import World

NAME = "llama"


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], JumpingLoop]]:
    return {"virtual": JumpingLoop}


@dataclass(slots=True)
class Rig:
    """Everything around the process under test, and short words for what tests do to it."""

    premises: Premises
    around: Surroundings
    world: World
    tenant: RigTenant
    kube: FakeKube
    process: Process
    transport: InProcessTransport
    wire: HttpxWire

    # -- what people do

    def apply(self, replicas: int = 1, **changes: Any) -> None:
        annotations = changes.pop("annotations", {})
        spec = deployment_spec(replicas, **changes)
        self.kube.apply(self.tenant.namespace, NAME, spec, **annotations)

    def delete(self) -> None:
        self.kube.delete(self.tenant.namespace, NAME)

    def fault(self, kind: str, method: str, path: str, **more: Any) -> None:
        match = {"method": method, "path_regex": path} | more.pop("match", {})
        faults = FaultPlan.parse({"kind": kind, "match": match, **more})
        self.world.faults.add(faults, seconds=self.world.seconds)

    # -- what happens

    async def step(self) -> float | None:
        """One pass; when it wants the next one."""
        return (await self.process.reconcile(self.tenant.namespace, NAME)).requeue_after_s

    async def until(self, true: Callable[[], bool], *, within_s: float = 3600.0) -> float:
        """Drive until it is so; how many (virtual) seconds that took."""
        clock = self.around.clock
        began_s = clock.monotonic()

        def over() -> bool:
            assert clock.monotonic() - began_s < within_s, (
                f"not within {within_s:g} s: {self.status} {self.process.errors[-3:]}"
            )
            return true()

        await self.process.drive(self.tenant.namespace, NAME, until=over)
        return clock.monotonic() - began_s

    async def until_ready(self, *, within_s: float = 3600.0) -> float:
        return await self.until(lambda: self.is_ready, within_s=within_s)

    async def until_reason(self, reason: str, *, within_s: float = 7200.0) -> float:
        return await self.until(
            lambda: self.ready["reason"] == reason if self.ready else False, within_s=within_s
        )

    async def until_gone(self, *, within_s: float = 3600.0) -> float:
        return await self.until(
            lambda: self.kube.read(self.tenant.namespace, NAME) is None, within_s=within_s
        )

    async def rest(self, seconds: float) -> None:
        """Let so much time pass under the process's eyes."""
        end_s = self.around.clock.monotonic() + seconds
        await self.until(lambda: self.around.clock.monotonic() >= end_s, within_s=seconds + 100.0)

    # -- what is seen

    @property
    def body(self) -> dict[str, Any] | None:
        return self.kube.read(self.tenant.namespace, NAME)

    @property
    def status(self) -> dict[str, Any]:
        return self.kube.status(self.tenant.namespace, NAME)

    @property
    def ready(self) -> dict[str, Any]:
        return self.kube.condition(self.tenant.namespace, NAME)

    @property
    def is_ready(self) -> bool:
        return self.kube.is_ready(self.tenant.namespace, NAME)

    def billed(self) -> dict[str, Any]:
        self.world.settle()
        return billed(self.world)

    @property
    def servers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.billed()["servers"]
        return found

    def calls(self, method: str, template: str, *, since: int = 0) -> int:
        """How many calls of an endpoint were made; `template` is a part of it."""
        return sum(1 for c in self.world.calls.since(since) if c.method == method and template in c.template)

    async def ledger(self) -> DeploymentLedger:
        async with self.around.database.reading(self.tenant.organization_id) as conn:
            (row,) = await ledger.get_deployment(conn, namespace=self.tenant.namespace, name=NAME)
            return await ledger.read_ledger(conn, row.id)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What anybody with the tenant's key is answered."""
        request = httpx.Request(
            method,
            f"http://scaleway.test{path}",
            headers={"X-Auth-Token": self.tenant.secret_key, "Content-Type": "application/json"},
            content=None if body is None else json.dumps(body),
        )
        answer = await self.transport.handle_async_request(request)
        content = await answer.aread()
        assert answer.status_code < 300, content
        return json.loads(content)

    def assert_nothing_left(self) -> None:
        left = self.billed()
        assert (left["servers"], left["volumes"], left["ips"], left["security_groups"]) == ([], [], [], [])


def settings_of(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    marker = request.node.get_closest_marker("world")
    return {} if marker is None else marker.kwargs


@pytest.fixture
async def rig(shared_premises: Premises, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    premises = shared_premises
    clock = LoopClock()
    world = World(clock=clock, seed=uuid4().int)  # ids that no earlier test left in the ledger
    tenant, kube = new_tenant(), FakeKube()
    world.reset(tenant.world() | dict(settings_of(request)))
    epoch = premises.take_over()
    async with (
        Database(premises.place.operator, clock=clock) as database,
        InProcessTransport(create_app(world)) as transport,
    ):
        around = Surroundings(database=database, kube=kube, clock=clock, keyring=premises.keyring)
        await write_tenant(
            database,
            tenant,
            fence=Fence(shard=0, epoch=epoch),
            namespace_uid=kube.make_namespace(tenant.namespace),
            keyring=KeyringFile(premises.keyring).current(),
            now=clock.now(),
        )
        wire = HttpxWire(transport)
        async with Process(around, epoch=epoch, wire=wire) as process:
            yield Rig(
                premises=premises,
                transport=transport,
                wire=wire,
                around=around,
                world=world,
                tenant=tenant,
                kube=kube,
                process=process,
            )
