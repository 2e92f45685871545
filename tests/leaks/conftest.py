"""Two tenants with a simulated Scaleway, an operator of the rig, and the command beside it."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from prometheus_client import CollectorRegistry

from inventiv_operator.domain.ledger import Fence
from inventiv_operator.domain.prices import BUILT_IN
from inventiv_operator.leaks.command import LIMITS, take
from inventiv_operator.leaks.report import CredentialReport, Priced, Report
from inventiv_operator.scaleway.factory import ClientFactory
from inventiv_operator.store.database import Database
from inventiv_operator.store.keyring import KeyringFile
from provider_parts.wire_httpx import HttpxWire
from rig.fake_kube import FakeKube
from rig.fixtures import Premises, PremisesFactory
from rig.jumping_loop import JumpingLoop, LoopClock
from rig.process import INSTALLATION, Process, Surroundings
from rig.tenant import RigTenant, deployment_spec, new_tenant, write_tenant
from scaleway_simulator.app import create_app
from scaleway_simulator.faults import FaultPlan
from scaleway_simulator.in_process import InProcessTransport
from scaleway_simulator.world import World

NAME = "llama"
ZONE = "fr-par-2"
KNOWN = [("known", "server"), ("known", "volume"), ("known", "security_group")]
OURS = [f"inventiv-installation={INSTALLATION}"]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], JumpingLoop]]:
    return {"virtual": JumpingLoop}


@dataclass(slots=True, kw_only=True)
class Stage:
    """`acme` and `beta` each have a credential; `run` is the command, with everything of its own."""

    premises: Premises
    clock: LoopClock
    world: World
    transport: InProcessTransport
    kube: FakeKube
    process: Process
    acme: RigTenant
    beta: RigTenant
    keyring: KeyringFile
    said: list[Report] = field(default_factory=list)

    # -- the tenants

    async def deploy(self, tenant: RigTenant, replicas: int = 1, **changes: Any) -> None:
        self.kube.apply(tenant.namespace, NAME, deployment_spec(replicas, **changes))
        await self.process.drive(
            tenant.namespace, NAME, until=lambda: self.kube.is_ready(tenant.namespace, NAME)
        )

    async def rest(self, seconds: float = 120.0) -> None:
        """Until what was written down just now is older than the leeway between two clocks."""
        await self.clock.sleep(seconds)

    async def by_hand(self, tenant: RigTenant, method: str, path: str, body: Any = None) -> Any:
        """What anybody with the tenant's key can do."""
        request = httpx.Request(
            method,
            f"http://scaleway.test{path}",
            headers={"X-Auth-Token": tenant.secret_key, "Content-Type": "application/json"},
            content=None if body is None else json.dumps(body),
        )
        answer = await self.transport.handle_async_request(request)
        content = await answer.aread()
        assert answer.status_code < 300, content
        return json.loads(content) if content else None

    async def make_server(self, tenant: RigTenant, *, tags: list[str], zone: str = ZONE) -> str:
        """By hand; stopped, with a root volume of its own. Its id."""
        body = {
            "name": "by-hand",
            "commercial_type": "DEV1-S",
            "image": "ubuntu_jammy",
            "project": tenant.project_id,
            "tags": tags,
            "dynamic_ip_required": False,
            "volumes": {"0": {"volume_type": "sbs_volume", "size": 20 * 10**9}},
        }
        made = await self.by_hand(tenant, "POST", f"/instance/v1/zones/{zone}/servers", body)
        found: str = made["server"]["id"]
        return found

    def server_of(self, tenant: RigTenant) -> str:
        (found,) = (s.id for s in self.world.servers if s.project_id == tenant.project_id)
        return found

    def fault(self, kind: str, path: str, **more: Any) -> None:
        match = {"method": "GET", "path_regex": path} | more.pop("match", {})
        faults = FaultPlan.parse({"kind": kind, "match": match, **more})
        self.world.faults.add(faults, seconds=self.world.seconds)

    # -- the command

    async def run(self, organization: str | None = None, *, keyring: KeyringFile | None = None) -> Report:
        async with (
            Database(self.premises.place.operator, clock=self.clock) as database,
            ClientFactory(
                api_url="http://scaleway.test",
                timeout_s=30.0,
                clock=self.clock,
                registry=CollectorRegistry(),
                limits=LIMITS,
                wire=HttpxWire(self.transport),
            ) as factory,
        ):
            report = await take(
                database,
                factory,
                keyring or self.keyring,
                clock=self.clock,
                prices=BUILT_IN,
                organization=organization,
            )
        self.said.append(report)
        return report

    def calls(self, *, since: int) -> list[tuple[str, str | None]]:
        """Method and access key of each."""
        return [(call.method, call.access_key) for call in self.world.calls.since(since)]

    @property
    def last_call(self) -> int:
        return max((call.n for call in self.world.calls.since(0)), default=0)

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """As the database's administrator, past row-level security."""
        with psycopg.connect(self.premises.place.superuser, autocommit=True) as conn:
            cursor = conn.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []


def of(report: Report, tenant: RigTenant) -> CredentialReport:
    """The only credential of the tenant."""
    (found,) = (one for one in report.organizations if one.name == tenant.namespace)
    (credential,) = found.credentials
    return credential


def findings(report: CredentialReport) -> list[tuple[str, str]]:
    return [(str(one.thing.finding), str(one.thing.kind)) for one in report.things]


def thing(report: CredentialReport, ref: str) -> Priced:
    (found,) = (one for one in report.things if one.thing.ref == ref)
    return found


@pytest.fixture
async def stage(new_premises: PremisesFactory) -> AsyncIterator[Stage]:
    """The database is this test's alone: the command looks at everybody."""
    premises, clock = new_premises(), LoopClock()
    world = World(clock=clock, seed=uuid4().int)
    acme, beta, kube = new_tenant(), new_tenant(), FakeKube()
    worlds = acme.world(), beta.world()
    world.reset({key: [*worlds[0][key], *worlds[1][key]] for key in worlds[0]})
    keyring, epoch = KeyringFile(premises.keyring), premises.take_over()
    with psycopg.connect(premises.place.superuser, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO installation (installation_id, cluster_uid) VALUES (%s, 'the rig')", (INSTALLATION,)
        )
    async with (
        Database(premises.place.operator, clock=clock) as database,
        InProcessTransport(create_app(world)) as transport,
    ):
        for tenant in (acme, beta):
            await write_tenant(
                database,
                tenant,
                fence=Fence(shard=0, epoch=epoch),
                namespace_uid=kube.make_namespace(tenant.namespace),
                keyring=keyring.current(),
                now=clock.now(),
            )
        around = Surroundings(database=database, kube=kube, clock=clock, keyring=premises.keyring)
        async with Process(around, epoch=epoch, wire=HttpxWire(transport)) as process:
            yield Stage(
                premises=premises,
                clock=clock,
                world=world,
                transport=transport,
                kube=kube,
                process=process,
                acme=acme,
                beta=beta,
                keyring=keyring,
            )
