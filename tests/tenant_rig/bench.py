"""The organization and credential controllers on a real database, a simulated Scaleway and virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from prometheus_client import CollectorRegistry

from inventiv_operator.controllers.access import Access
from inventiv_operator.controllers.audit_trail import AuditTrail
from inventiv_operator.controllers.claiming import Claiming
from inventiv_operator.controllers.credential.custody import Custody
from inventiv_operator.controllers.credential.doubts import Doubts
from inventiv_operator.controllers.credential.reconciler import CredentialReconciler
from inventiv_operator.controllers.credential.removal import Removal
from inventiv_operator.controllers.credential.schedule import ValidationSchedule
from inventiv_operator.controllers.ledger_writer import LedgerWriter
from inventiv_operator.controllers.namespaces import NamespaceIndex
from inventiv_operator.controllers.organization import OrganizationReconciler
from inventiv_operator.controllers.secret_users import SecretUsers
from inventiv_operator.controllers.seeding.ending import SeededEnd
from inventiv_operator.controllers.seeding.keeping import SeededCredentials
from inventiv_operator.controllers.seeding.opening import SeedOpening
from inventiv_operator.controllers.seeding.seeding import Seeding
from inventiv_operator.controllers.seeding.warning import SeedWarnings
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.status import ObjectStatusWriter
from inventiv_operator.controllers.sweeps.closing import ClosingCredentials
from inventiv_operator.controllers.sweeps.control_groups import ControlGroups
from inventiv_operator.controllers.sweeps.terminator import Terminator
from inventiv_operator.controllers.tenancy import Tenancy
from inventiv_operator.controllers.waking import Waking
from inventiv_operator.domain.ids import CredentialId, InstallationId, OrganizationId
from inventiv_operator.domain.intents import Timing
from inventiv_operator.domain.ledger import CredentialRow, Fence
from inventiv_operator.kube.events import EventRecorder
from inventiv_operator.kube.kinds import CREDENTIAL, NAMESPACE, ORGANIZATION
from inventiv_operator.runtime.audit_metrics import AuditMetrics
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.runtime.queue import Key, QueueKey, Result
from inventiv_operator.scaleway.factory import ClientFactory
from inventiv_operator.store import credentials, organizations, settings
from inventiv_operator.store.database import Database
from inventiv_operator.store.keyring import KeyringFile
from inventiv_operator.store.settings import ProviderSecrets
from provider_parts.wire_httpx import HttpxWire
from rig.fixtures import Premises
from rig.jumping_loop import LoopClock
from scaleway_simulator.app import create_app
from scaleway_simulator.billing import billed
from scaleway_simulator.faults import FaultPlan
from scaleway_simulator.identity import key_from
from scaleway_simulator.in_process import InProcessTransport
from scaleway_simulator.world import World
from tenant_rig.fake_cluster import Body, FakeCluster

TIMING = Timing(send_window_s=10.0, provider_timeout_s=30.0, settle_s=120.0)
STEP_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    epoch: int

    def fence(self) -> Fence:
        return Fence(shard=0, epoch=self.epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestKey:
    """A pair that the simulated Scaleway lets in, unless a test says otherwise."""

    __test__ = False
    access_key: str = field(default_factory=lambda: f"SCW{uuid4().hex[:17].upper()}")
    secret_key: str = field(default_factory=lambda: str(uuid4()))


@dataclass(slots=True, kw_only=True)
class Bench:
    services: Services
    access: Access
    custody: Custody
    cluster: FakeCluster
    world: World
    keyring_path: Path
    organization: OrganizationReconciler
    credential: CredentialReconciler
    waking: Waking
    opening: SeedOpening
    seeded: SeededCredentials
    tenancy: Tenancy
    closing: ClosingCredentials
    terminator: Terminator
    queued: list[QueueKey]
    living: set[Key] | None
    name: str = field(default_factory=lambda: f"acme-{uuid4().hex[:10]}")
    project_id: str = field(default_factory=lambda: str(uuid4()))

    @property
    def clock(self) -> Clock:
        return self.services.clock

    # -- the tenant ----------------------------------------------------------------------------------------

    def admit(self, key: TestKey, *, project_id: str | None = None, **more: Any) -> None:
        """Scaleway knows the key."""
        described = {
            "access_key": key.access_key,
            "secret_key": key.secret_key,
            "project_id": project_id or self.project_id,
            **more,
        }
        now = self.world.now
        self.world.identity.project(str(described["project_id"]), now=now)
        self.world.identity.add_key(key_from(described, now=now, seconds=self.world.seconds))

    def put_secret(self, key: TestKey) -> None:
        self.cluster.put_secret(
            self.name, "scaleway", SCW_ACCESS_KEY=key.access_key, SCW_SECRET_KEY=key.secret_key
        )

    def namespace_uid(self) -> str:
        """As it is now."""
        body = self.cluster.read(NAMESPACE, "", self.name)
        assert body is not None
        return str(body["metadata"]["uid"])

    def put_credential(self, name: str = "scaleway", **spec: Any) -> Body:
        whole = {"projectID": self.project_id, "secretRef": {"name": "scaleway"}, **spec}
        return self.cluster.put(CREDENTIAL, self.name, name, spec=whole)

    def put_organization(self, name: str = "", **spec: Any) -> Body:
        whole = {"namespaces": [self.name], **spec}
        return self.cluster.put(ORGANIZATION, "", name or self.name, spec=whole)

    async def claimed(self) -> None:
        """The namespace exists and is the organization's."""
        self.cluster.put(NAMESPACE, "", self.name)
        self.put_organization()
        await self.settle_organization()

    async def made(self) -> TestKey:
        """Everything of a tenant, and the credential Ready."""
        key = TestKey()
        self.admit(key)
        return await self.made_with(key)

    async def made_with(self, key: TestKey) -> TestKey:
        """The same with a key that Scaleway knows already."""
        await self.claimed()
        self.put_secret(key)
        self.put_credential()
        await self.settle_credential()
        assert self.said()[:2] == ("True", "Ready"), self.said()
        return key

    def key(self, name: str = "scaleway") -> Key:
        """Of the credential, on the queue."""
        return Key(CREDENTIAL.kind, self.name, name)

    # -- driving -------------------------------------------------------------------------------------------

    async def settle_organization(self, name: str = "") -> Result:
        return await self._settle(self.organization, Key(ORGANIZATION.kind, "", name or self.name))

    async def settle_credential(self, name: str = "scaleway") -> Result:
        return await self._settle(self.credential, Key(CREDENTIAL.kind, self.name, name))

    async def sweep(self) -> Result:
        row = await self.row()
        deadline_s = self.clock.monotonic() + STEP_S
        return await self.closing.sweep(row.organization_id, row.id, deadline_s=deadline_s)

    async def _settle(self, reconciler: OrganizationReconciler | CredentialReconciler, key: Key) -> Result:
        """Passes that ask for the next one at once are followed."""
        for _ in range(10):
            result = await reconciler.reconcile(key, deadline_s=self.clock.monotonic() + STEP_S)
            if result.requeue_after_s != 0.0:
                return result
        raise AssertionError("it never comes to rest")

    async def pass_for(self, seconds: float) -> None:
        """Pass after pass of the credential, each when the one before asked for it."""
        end_s = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end_s:
            result = await self.settle_credential()
            left_s = end_s - self.clock.monotonic()
            await self.clock.sleep(max(0.0, min(result.requeue_after_s or left_s, left_s)))

    # -- looking -------------------------------------------------------------------------------------------

    def said(self, name: str = "scaleway") -> tuple[str, str, str]:
        """Status, reason and message of the credential's condition Ready."""
        c = self.cluster.condition(CREDENTIAL, self.name, name)
        return c.get("status", ""), c.get("reason", ""), c.get("message", "")

    def said_of_organization(self, name: str = "") -> tuple[str, str, str]:
        c = self.cluster.condition(ORGANIZATION, "", name or self.name)
        return c.get("status", ""), c.get("reason", ""), c.get("message", "")

    def status(self) -> Body:
        return (self.cluster.read(CREDENTIAL, self.name, "scaleway") or {}).get("status") or {}

    async def organization_id(self, name: str = "") -> OrganizationId:
        async with self.services.db.platform() as conn:
            row = await organizations.find(conn, name or self.name)
        assert row is not None
        return row.id

    async def row(self) -> CredentialRow:
        """The row of the credential, also when its object or its organization is gone."""
        async with self.services.db.platform() as conn:
            rows = [r for r in await credentials.rows_to_sweep(conn) if r.namespace == self.name]
        assert len(rows) == 1, rows
        async with self.services.db.reading(rows[0].organization_id) as conn:
            row = await credentials.get(conn, rows[0].credential_id)
        assert row is not None
        return row

    async def stored(self, organization_id: OrganizationId, credential_id: CredentialId) -> ProviderSecrets:
        """Raises MissingProviderCredentials."""
        keyring = KeyringFile(self.keyring_path).current()
        async with self.services.db.reading(organization_id) as conn:
            return await settings.read_secrets(conn, credential_id, keyring=keyring)

    async def stored_access_key(self) -> str:
        row = await self.row()
        return (await self.stored(row.organization_id, row.id)).access_key

    def calls(self) -> int:
        return len(list(self.world.calls.since(0)))

    def groups(self) -> list[Body]:
        self.world.settle()
        found: list[Body] = billed(self.world)["security_groups"]
        return found

    def without_default_group(self) -> None:
        """The project lists no default group, so that controls make one of ours."""
        body: dict[str, list[str]] = {"security_groups": []}
        self.fault("status", r"security_groups\?", status=200, body=body, times=None)

    def fault(self, kind: str, path: str, *, method: str = "GET", **more: Any) -> None:
        faults = FaultPlan.parse({"kind": kind, "match": {"method": method, "path_regex": path}, **more})
        self.world.faults.add(faults, seconds=self.world.seconds)


@asynccontextmanager
async def bench_on(
    premises: Premises, *, seed_dir: Path | None = None, world: World | None = None
) -> AsyncIterator[Bench]:
    clock = LoopClock()
    world = world or World(clock=clock, seed=uuid4().int)  # ids that no earlier test left in the ledger
    cluster = FakeCluster()
    queued: list[QueueKey] = []
    async with (
        Database(premises.place.operator, clock=clock) as database,
        InProcessTransport(create_app(world)) as transport,
        ClientFactory(
            api_url="http://scaleway.test",
            timeout_s=TIMING.provider_timeout_s,
            clock=clock,
            registry=CollectorRegistry(),
            wire=HttpxWire(transport),
        ) as factory,
    ):
        services = Services(
            db=database,
            clock=clock,
            leadership=Leader(epoch=premises.take_over()),
            timing=TIMING,
            installation_id=InstallationId(UUID("11111111-1111-4111-8111-111111111111")),
        )
        status = ObjectStatusWriter(
            cluster, events=EventRecorder(cluster, clock=clock, instance="rig"), clock=clock
        )
        keyring = KeyringFile(premises.keyring)
        writer = LedgerWriter(services)
        trail = AuditTrail(services, writer=writer, metrics=AuditMetrics(CollectorRegistry()))
        schedule = ValidationSchedule(clock, jitter=lambda: 0.5)
        doubts = Doubts(schedule, enqueue=lambda key, **_: queued.append(key))
        access = Access(services, factory=factory, keyring=keyring, trail=trail, doubt=doubts)
        users = SecretUsers()
        waking = Waking(cluster, secret_users=users, enqueue=lambda key, **_: queued.append(key))
        removal = Removal(services, access=access, control_groups=ControlGroups(services))
        custody = Custody(services, access=access, keyring=keyring, schedule=schedule)
        tenancy, warnings = Tenancy(services, cluster), SeedWarnings()
        seeded = SeededCredentials(
            services,
            cluster,
            custody=custody,
            end=SeededEnd(services, removal=removal),
            keyring=keyring,
            directory=seed_dir,
            warnings=warnings,
            enqueue=lambda key, **_: queued.append(key),
            wake_deployments=waking.deployments_in,
        )
        opening = SeedOpening(services, cluster, keyring=keyring, directory=seed_dir, warnings=warnings)
        bench = Bench(
            services=services,
            access=access,
            custody=custody,
            cluster=cluster,
            world=world,
            keyring_path=premises.keyring,
            organization=OrganizationReconciler(
                services,
                cluster,
                claiming=Claiming(services, cluster),
                seeding=Seeding(
                    services,
                    opening=opening,
                    keeping=seeded,
                    enqueue=lambda key, **_: queued.append(key),
                ),
                index=NamespaceIndex(),
                status=status,
                wake_namespace=waking.everything_in,
            ),
            credential=CredentialReconciler(
                services,
                cluster,
                custody=custody,
                removal=removal,
                tenancy=tenancy,
                status=status,
                secret_users=users,
                wake_deployments=waking.deployments_in,
            ),
            waking=waking,
            opening=opening,
            seeded=seeded,
            tenancy=tenancy,
            closing=ClosingCredentials(services, removal=removal, access=access, forget=(custody.forget,)),
            terminator=Terminator(
                services, enqueue=lambda key, **_: queued.append(key), living=lambda: bench.living
            ),
            queued=queued,
            living=None,
        )
        yield bench
        await trail.close()
        await writer.close()
