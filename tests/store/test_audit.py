"""The audit log: what is added to it, that nothing is taken from it, and what becomes of a line that cannot
be written at once.
"""

# ruff: noqa: PT012 (what is tested is a body)

import asyncio
import json
import math
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection
from psycopg import errors as pg

from inventiv_operator.controllers import audit_trail
from inventiv_operator.controllers.audit_trail import AuditTrail
from inventiv_operator.controllers.ledger_writer import LedgerWriter
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.audit import Action, AuditLine
from inventiv_operator.domain.ids import InstallationId, OrganizationId
from inventiv_operator.domain.intents import Timing
from inventiv_operator.domain.ledger import Fence
from inventiv_operator.runtime.audit_metrics import AuditMetrics
from inventiv_operator.runtime.clock import SystemClock
from inventiv_operator.store import audit, claims, organizations
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import Conflict, DatabaseUnavailable, Fenced, StoreDefect
from rig.log_lines import log_lines
from store.conftest import FENCE, NOW, Tenant, new_tenant, write_tenant
from store.postgres_server import Place
from store.proxy import Proxy

WITHIN_S = 20.0
LINE = AuditLine(
    at=NOW,
    action=Action.CLOUD_WRITE,
    kind="server",
    name="web-0",
    ref="cb63eaec-e7c5-4c1a-b3da-04a7c4bd51cd",
    request_id="r-1",
    detail={"verb": "create", "outcome": "201"},
)


async def told(db: Database, organization_id: OrganizationId) -> list[tuple[Any, ...]]:
    """Action, kind, name, id, request and detail of every line, in the order of their writing."""
    async with db.reading(organization_id) as conn:
        cursor = await conn.execute(
            "SELECT action, object_kind, object_name, object_ref, request_id, detail FROM action_logs"
            " ORDER BY id"
        )
        return await cursor.fetchall()


async def requests(db: Database, tenant: Tenant) -> list[str]:
    return [line[4] for line in await told(db, tenant.organization_id) if line[0] == Action.CLOUD_WRITE]


# -- lines in the transaction of what they tell -------------------------------------------------------------


async def test_an_organization_and_its_claims_are_told_when_they_change_and_only_then(db: Database) -> None:
    tenant, first, second = new_tenant(), str(uuid4()), str(uuid4())
    organization_id, uid = tenant.organization_id, str(uuid4())
    for is_default in (False, True, False):
        async with db.writing(organization_id, FENCE) as conn:
            await organizations.upsert(
                conn, id=organization_id, name=tenant.name, uid=uid, is_default=is_default
            )
    place: dict[str, Any] = {"organization_id": organization_id, "namespace": tenant.namespace}
    for _ in range(2):
        async with db.writing(organization_id, FENCE) as conn:
            await claims.claim(conn, **place, uid=first)
    for _ in range(2):
        async with db.writing(organization_id, FENCE) as conn:
            await claims.renew(conn, **place, uid=second)
    for _ in range(2):
        async with db.writing(organization_id, FENCE) as conn:
            assert await claims.release(conn, **place)
    async with db.writing(organization_id, FENCE) as conn:
        await claims.claim(conn, **place, uid=second)
    async with db.writing(organization_id, FENCE) as conn:
        await organizations.close(conn, organization_id)
    named = ("namespace", tenant.namespace, "", "")
    assert await told(db, organization_id) == [
        ("organization-opened", "organization", tenant.name, "", "", {"uid": uid}),
        ("namespace-claimed", *named, {"uid": first}),
        ("namespace-renewed", *named, {"uid": second, "fromUID": first}),
        ("namespace-released", *named, {"uid": second}),
        ("namespace-claimed", *named, {"uid": second}),
        ("namespace-released", *named, {"uid": second}),
        ("organization-closed", "organization", tenant.name, "", "", {"uid": uid}),
    ]


async def test_a_project_that_becomes_free_with_its_organization_is_told(db: Database) -> None:
    tenant = new_tenant()
    organization_id = tenant.organization_id
    async with db.writing(organization_id, FENCE) as conn:
        await organizations.upsert(conn, id=organization_id, name=tenant.name, uid="object", is_default=False)
        await conn.execute(
            "INSERT INTO project_claims (organization_id, project_id) VALUES (%s, %s)",
            (organization_id, tenant.project_id),
        )
    async with db.writing(organization_id, FENCE) as conn:
        await organizations.close(conn, organization_id)
    line = ("project-released", "project", "", tenant.project_id, "", {"projectID": tenant.project_id})
    assert line in await told(db, organization_id)


async def test_what_is_undone_is_not_told(db: Database, tenant: Tenant) -> None:
    place: dict[str, Any] = {"organization_id": tenant.organization_id, "namespace": tenant.namespace}
    before = await told(db, tenant.organization_id)
    with pytest.raises(RuntimeError):
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await claims.claim(conn, **place | {"namespace": "another"}, uid="namespace")
            raise RuntimeError
    async with db.writing(tenant.organization_id, FENCE) as conn:
        assert not await claims.release(conn, **place)  # a credential is in it
    with pytest.raises(Conflict):
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await organizations.close(conn, tenant.organization_id)
    assert await told(db, tenant.organization_id) == before


# -- nothing is taken from it -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM action_logs",
        "DELETE FROM action_logs WHERE at < now() - interval '10 years'",
        "UPDATE action_logs SET detail = '{}'",
        "UPDATE action_logs SET at = now()",
        "TRUNCATE action_logs",
        "ALTER TABLE action_logs DISABLE ROW LEVEL SECURITY",
        "DROP TABLE action_logs",
        "SET ROLE inventiv_owner",
        "INSERT INTO action_logs (organization_id, action) SELECT organization_id, '' FROM action_logs",
        (
            "INSERT INTO action_logs (id, organization_id, action) OVERRIDING SYSTEM VALUE"
            " SELECT max(id) + 1, max(organization_id::text)::uuid, 'forged' FROM action_logs"
        ),
        (
            "INSERT INTO action_logs (organization_id, action, recorded_at)"
            " SELECT max(organization_id::text)::uuid, 'forged', now() - interval '1 year' FROM action_logs"
        ),
    ],
)
async def test_the_operator_can_neither_change_nor_remove_a_line(
    db: Database, tenant: Tenant, statement: str
) -> None:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await audit.append_all(conn, tenant.organization_id, [LINE], again=False)
    before = await told(db, tenant.organization_id)
    with pytest.raises(StoreDefect) as caught:
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await conn.execute(statement.encode())
    assert caught.value.sqlstate in {pg.InsufficientPrivilege.sqlstate, pg.CheckViolation.sqlstate}
    assert await told(db, tenant.organization_id) == before


async def test_a_line_cannot_be_written_into_anothers_log_without_the_fence_either(
    db: Database, tenant: Tenant, other: Tenant
) -> None:
    before = await told(db, other.organization_id)
    with pytest.raises(StoreDefect) as caught:
        async with db.appending(tenant.organization_id) as conn:
            await audit.append_all(conn, other.organization_id, [LINE], again=False)
    assert caught.value.sqlstate == pg.InsufficientPrivilege.sqlstate
    assert await told(db, other.organization_id) == before


# -- lines that nobody waits for ----------------------------------------------------------------------------


@dataclass(slots=True)
class Leader:
    leads: bool = True

    def fence(self) -> Fence:
        if not self.leads:
            raise Fenced("this process does not lead")
        return FENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    trail: AuditTrail
    writer: LedgerWriter
    leader: Leader
    registry: CollectorRegistry

    def dropped(self) -> float:
        return self.registry.get_sample_value("inventiv_audit_dropped_lines_total") or 0.0

    def waiting(self) -> float:
        return self.registry.get_sample_value("inventiv_audit_waiting_lines") or 0.0

    async def until_written(self) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while self.waiting():
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.005)


@asynccontextmanager
async def desk_on(
    db: Database, *, close_within_s: float = 5.0, first_retry_s: float = 0.02
) -> AsyncIterator[Desk]:
    leader, registry = Leader(), CollectorRegistry()
    services = Services(
        db=db,
        clock=SystemClock(),
        leadership=leader,
        timing=Timing(send_window_s=10.0, provider_timeout_s=30.0, settle_s=120.0),
        installation_id=InstallationId(UUID(int=1)),
    )
    writer = LedgerWriter(services)
    trail = AuditTrail(services, writer=writer, metrics=AuditMetrics(registry), first_retry_s=first_retry_s)
    try:
        yield Desk(trail=trail, writer=writer, leader=leader, registry=registry)
    finally:
        await trail.close(within_s=close_within_s)
        await writer.close()


def numbered(count: int) -> list[AuditLine]:
    return [replace(LINE, request_id=f"r-{n}", at=NOW + timedelta(milliseconds=n)) for n in range(count)]


async def test_lines_are_written_in_their_order_however_many(db: Database, tenant: Tenant) -> None:
    async with desk_on(db) as desk:
        for line in numbered(500):
            desk.trail.note(tenant.organization_id, line)
        await desk.until_written()
        assert await requests(db, tenant) == [f"r-{n}" for n in range(500)]
        assert desk.dropped() == 0
    async with db.reading(tenant.organization_id) as conn:
        cursor = await conn.execute("SELECT at FROM action_logs WHERE request_id = 'r-499'")
        assert await cursor.fetchone() == (NOW + timedelta(milliseconds=499),)


async def test_a_line_shares_the_transaction_of_what_is_written_next(db: Database, tenant: Tenant) -> None:
    ids: list[int] = []

    async def write(conn: AsyncConnection[Any]) -> None:
        row = await (await conn.execute("SELECT pg_current_xact_id()::text::bigint")).fetchone()
        assert row is not None
        ids.append(row[0])

    async with desk_on(db) as desk:
        desk.trail.note(tenant.organization_id, LINE)
        await desk.writer.write(tenant.organization_id, write)
    async with db.reading(tenant.organization_id) as conn:
        cursor = await conn.execute("SELECT xmin::text::bigint FROM action_logs WHERE request_id = 'r-1'")
        assert await cursor.fetchall() == [(ids[0] % 2**32,)]


async def test_a_write_that_fails_takes_no_line_with_it(db: Database, tenant: Tenant) -> None:
    async def conflict(conn: AsyncConnection[Any]) -> None:
        raise Conflict("moved on")

    async with desk_on(db) as desk:
        desk.trail.note(tenant.organization_id, LINE)
        with pytest.raises(Conflict):
            await desk.writer.write(tenant.organization_id, conflict)
        await desk.until_written()
    assert await requests(db, tenant) == ["r-1"]


async def test_what_waits_at_the_end_is_written(db: Database, tenant: Tenant, other: Tenant) -> None:
    async with desk_on(db) as desk:
        for line in numbered(3):
            desk.trail.note(tenant.organization_id, line)
        desk.trail.note(other.organization_id, LINE)
    assert await requests(db, tenant) == ["r-0", "r-1", "r-2"]
    assert await requests(db, other) == ["r-1"]
    assert desk.dropped() == 0


async def test_B7_who_does_not_lead_any_more_still_tells_what_it_did(db: Database, tenant: Tenant) -> None:
    """And nothing else: what is written along with it is fenced."""
    done: list[str] = []

    async def write(conn: AsyncConnection[Any]) -> None:
        done.append("written")

    async with desk_on(db, first_retry_s=3600.0) as desk:  # it needs none
        desk.trail.note(tenant.organization_id, LINE)
        desk.leader.leads = False
        with pytest.raises(Fenced):
            await desk.writer.write(tenant.organization_id, write)
        await desk.until_written()
        desk.trail.note(tenant.organization_id, replace(LINE, request_id="r-2"))
    assert await requests(db, tenant) == ["r-1", "r-2"]
    assert desk.dropped() == 0
    assert done == []


def test_nothing_but_lines_of_the_audit_log_goes_without_the_fence() -> None:
    """The two places that may: the writer for what is posted, and who posts is the trail."""
    package = Path(audit_trail.__file__).parents[1]
    uses = {
        (path.name, name)
        for path in package.rglob("*.py")
        for name in re.findall(r"\.(appending|post)\(", path.read_text())
    }
    assert uses == {("ledger_writer.py", "appending"), ("audit_trail.py", "post")}


@pytest.fixture
async def far(place: Place, proxy: Proxy) -> AsyncIterator[Database]:
    async with Database(
        place.operator_by(proxy.port), max_size=2, timeout_s=0.2, transaction_timeout_s=1.0
    ) as database:
        yield database


@pytest.mark.parametrize("leads", [True, False])
async def test_B6_lines_wait_for_the_database_and_keep_their_order(
    db: Database, far: Database, proxy: Proxy, tenant: Tenant, *, leads: bool
) -> None:
    async with desk_on(far) as desk:
        desk.leader.leads = leads
        lines = numbered(40)
        for line in lines[:10]:
            desk.trail.note(tenant.organization_id, line)
        await desk.until_written()
        await proxy.cut()
        for line in lines[10:]:
            desk.trail.note(tenant.organization_id, line)
            await asyncio.sleep(0)
        while not any(b.failures for b in desk.trail._backlogs.values()):  # noqa: ASYNC110 (no event tells it)
            await asyncio.sleep(0.005)
        assert desk.waiting() == 30
        await proxy.restore()
        await desk.until_written()
    assert await requests(db, tenant) == [f"r-{n}" for n in range(40)]
    assert desk.dropped() == 0


class LosesAnswer:
    """The commit goes through, and its answer is lost: nobody knows."""

    def __init__(self) -> None:
        self.lost = 0

    async def before_commit(self) -> None: ...

    async def after_commit(self) -> None:
        if not self.lost:
            self.lost += 1
            raise DatabaseUnavailable("the connection was lost")


async def test_a_line_whose_commit_went_unanswered_is_there_once(place: Place, tenant: Tenant) -> None:
    async def nothing(conn: AsyncConnection[Any]) -> None:
        pass

    loses = LosesAnswer()
    async with Database(place.operator, observer=loses) as database, desk_on(database) as desk:
        for line in numbered(3):
            desk.trail.note(tenant.organization_id, line)
        with pytest.raises(DatabaseUnavailable):
            await desk.writer.write(tenant.organization_id, nothing)
        await desk.until_written()
        assert loses.lost == 1
        assert await requests(database, tenant) == ["r-0", "r-1", "r-2"]


async def test_a_line_that_is_refused_is_told_and_no_other_waits_for_it(db: Database, tenant: Tenant) -> None:
    lines = numbered(5)
    lines[2] = replace(lines[2], name="a\x00b")  # PostgreSQL keeps no NUL
    with log_lines() as logged:
        async with desk_on(db) as desk:
            for line in lines:
                desk.trail.note(tenant.organization_id, line)
            await desk.until_written()
            assert desk.dropped() == 1
    assert await requests(db, tenant) == ["r-0", "r-1", "r-3", "r-4"]
    (lost,) = [line for line in logged if "audit log" in line["message"]]
    assert (lost["level"].upper(), lost["request_id"], lost["object_ref"]) == ("ERROR", "r-2", LINE.ref)
    assert lost["organization_id"] == str(tenant.organization_id)


async def test_what_finds_no_room_and_what_the_end_cuts_off_is_told_whole(
    far: Database, proxy: Proxy, tenant: Tenant, other: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_trail, "WAITING_OF_ONE_MAX", 3)
    monkeypatch.setattr(audit_trail, "WAITING_MAX", 5)
    await proxy.cut()
    with log_lines() as logged:
        async with desk_on(far, close_within_s=0.05) as desk:
            for line in numbered(5):
                desk.trail.note(tenant.organization_id, line)
            assert desk.dropped() == 2
            for line in numbered(3):
                desk.trail.note(other.organization_id, line)
            assert desk.dropped() == 3
            assert desk.waiting() == 5
        assert desk.dropped() == 8
        assert desk.waiting() == 0
    lost = [line for line in logged if "audit log" in line["message"]]
    assert sorted(line["request_id"] for line in lost) == sorted(
        [*(f"r-{n}" for n in range(5)), *(f"r-{n}" for n in range(3))]
    )
    assert {line["reason"] for line in lost} == {
        "too many wait for the database",
        "the process ended before it could be written",
    }
    assert all(json.loads(line["detail"]) == LINE.detail for line in lost)


async def test_a_line_costs_next_to_nothing(db: Database, tenant: Tenant) -> None:
    """Not its time is asserted, but what it is made of: a statement for many lines."""
    statements: list[int] = []
    real: Callable[..., Any] = audit.append_all

    async def counting(*args: Any, **options: Any) -> None:
        lines = list(args[2])
        statements.append(len(lines))
        await real(args[0], args[1], lines, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit, "append_all", counting)
        async with desk_on(db) as desk:
            for line in numbered(800):
                desk.trail.note(tenant.organization_id, line)
            await desk.until_written()
    assert sum(statements) == 800
    assert len(statements) == math.ceil(800 / audit_trail.LINES_PER_STATEMENT)


async def test_the_log_is_read_by_its_indexes(place: Place, db: Database) -> None:
    """By organization and time, and by the thing that it is about; other tenants' lines are not gone
    through.
    """
    tenant = new_tenant()
    await write_tenant(db, tenant)
    with psycopg.connect(place.superuser, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO action_logs (organization_id, at, action, object_ref)"
            " SELECT %s, now() - n * interval '1 minute', 'cloud-write', n::text"
            " FROM generate_series(1, 5000) n",
            (tenant.organization_id,),
        )
        conn.execute("ANALYZE action_logs")
    for condition, index in (
        ("at > now() - interval '1 hour'", "action_logs_organization"),
        ("object_ref = '77'", "action_logs_ref"),
    ):
        async with db.reading(tenant.organization_id) as session:
            cursor = await session.execute(f"EXPLAIN SELECT * FROM action_logs WHERE {condition}".encode())
            plan = "\n".join(row[0] for row in await cursor.fetchall())
        assert index in plan, plan
