"""A private PostgreSQL for the session, one migrated database for most tests, and a tenant per test."""

import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from inventiv_operator.domain.ids import (
    CredentialId,
    DeploymentId,
    InstanceId,
    OrganizationId,
    ResourceId,
    Zone,
)
from inventiv_operator.domain.ledger import (
    Fence,
    NewInstance,
    NewResource,
    ResourceKind,
)
from inventiv_operator.store import claims, credentials, ledger, organizations
from inventiv_operator.store.database import Database
from inventiv_operator.store.migrate import migrate
from store.postgres_server import (
    OPERATOR,
    OPERATOR_ROLE,
    Place,
    PostgresServer,
    empty_database,
    make_logins,
    running_server,
)
from store.proxy import Proxy

ZONE = Zone("fr-par-2")
FENCE = Fence(shard=0, epoch=7)
NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
NAMESPACE_UID = "u1"
"""Of every tenant's namespace."""
_numbers = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with running_server(tmp_path_factory.mktemp("postgres")) as running:
        make_logins(running)
        yield running


@pytest.fixture(scope="session")
def migrated(server: PostgresServer) -> Place:
    """Migrated and empty: the template of the others. Nobody stays connected to it."""
    place = empty_database(server, "migrated")
    migrate(place.owner, operator_role=OPERATOR_ROLE)
    server.run(f"GRANT {OPERATOR_ROLE} TO {OPERATOR}")
    return place


@pytest.fixture
def own_place(server: PostgresServer, migrated: Place) -> Place:
    """A migrated database that no other test uses."""
    return empty_database(server, f"own_{next(_numbers)}", template=migrated.name)


@pytest.fixture(scope="session")
def place(server: PostgresServer, migrated: Place) -> Place:
    """Shared by tests that each make their own tenants. Shard 0 is led for ever, under `FENCE`."""
    shared = empty_database(server, "shared", template=migrated.name)
    lead_for_ever(shared)
    return shared


@pytest.fixture
def led(own_place: Place) -> Place:
    """A database of this test alone, led under `FENCE`: for what is about all tenants there are."""
    lead_for_ever(own_place)
    return own_place


def lead_for_ever(place: Place) -> None:
    with psycopg.connect(place.superuser, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO operator_lease VALUES (%s, 'the tests', %s, now(), 'infinity')",
            (FENCE.shard, FENCE.epoch),
        )


@pytest.fixture
async def proxy(place: Place) -> AsyncIterator[Proxy]:
    """A way to the server of `place` that can be cut."""
    async with Proxy(place.server.port) as running:
        yield running


@pytest.fixture
async def db(place: Place) -> AsyncIterator[Database]:
    async with Database(place.operator) as database:
        yield database


@pytest.fixture
async def own(led: Place) -> AsyncIterator[Database]:
    async with Database(led.operator) as database:
        yield database


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """An organization with a credential and a deployment."""

    organization_id: OrganizationId
    credential_id: CredentialId
    deployment_id: DeploymentId
    name: str
    namespace: str
    project_id: str

    def instance(self, ordinal: int = 0) -> NewInstance:
        return NewInstance(
            id=InstanceId(uuid4()),
            organization_id=self.organization_id,
            deployment_id=self.deployment_id,
            ordinal=ordinal,
            name=f"{self.name}-{ordinal}",
            zone=ZONE,
            instance_type="L4-1-24G",
            image_ref=str(uuid4()),
            root_volume_type="sbs_volume",
            template_hash="t1",
        )

    def server(self, instance: NewInstance | None = None) -> NewResource:
        return NewResource(
            id=ResourceId(uuid4()),
            organization_id=self.organization_id,
            credential_id=self.credential_id,
            deployment_id=self.deployment_id,
            instance_id=None if instance is None else instance.id,
            kind=ResourceKind.SERVER,
            role="server" if instance is not None else f"server-{uuid4().hex}",
            zone=ZONE,
            volume_api=None,
            size_gb=None,
        )

    def group(self) -> NewResource:
        return replace(self.server(), kind=ResourceKind.SECURITY_GROUP, role="group")


def new_tenant() -> Tenant:
    name = f"tenant-{uuid4().hex[:12]}"
    return Tenant(
        organization_id=OrganizationId(uuid4()),
        credential_id=CredentialId(uuid4()),
        deployment_id=DeploymentId(uuid4()),
        name=name,
        namespace=name,
        project_id=str(uuid4()),
    )


async def write_tenant(db: Database, tenant: Tenant, *, fence: Fence = FENCE) -> None:
    async with db.writing(tenant.organization_id, fence) as conn:
        await organizations.upsert(
            conn, id=tenant.organization_id, name=tenant.name, uid=str(uuid4()), is_default=False
        )
        await claims.claim(
            conn, organization_id=tenant.organization_id, namespace=tenant.namespace, uid=NAMESPACE_UID
        )
        await credentials.open_credential(
            conn,
            id=tenant.credential_id,
            organization_id=tenant.organization_id,
            namespace=tenant.namespace,
            namespace_uid=NAMESPACE_UID,
            name="scaleway",
            uid=str(uuid4()),
            project_id=tenant.project_id,
            is_default=True,
        )
        await ledger.open_deployment(
            conn,
            id=tenant.deployment_id,
            organization_id=tenant.organization_id,
            credential_id=tenant.credential_id,
            namespace=tenant.namespace,
            namespace_uid=NAMESPACE_UID,
            name="llama",
            uid=str(uuid4()),
            reset_token="1",
        )


@pytest.fixture
async def tenant(db: Database) -> Tenant:
    made = new_tenant()
    await write_tenant(db, made)
    return made


@pytest.fixture
async def other(db: Database) -> Tenant:
    made = new_tenant()
    await write_tenant(db, made)
    return made


class SetClock:
    """A clock that stands until it is moved."""

    def __init__(self, now: datetime = NOW) -> None:
        self._now = now
        self._monotonic_s = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic_s

    async def sleep(self, delay_s: float) -> None:
        self.advance(delay_s)

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += seconds


def is_alone(error: BaseException) -> bool:
    """Whether a traceback shows this error only, and not the one that it stands for."""
    return error.__cause__ is None and error.__suppress_context__
