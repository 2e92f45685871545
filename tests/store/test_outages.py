"""PostgreSQL going away and coming back (B6), and every error in the store's own tree."""

# ruff: noqa: PT012 (what is tested is a body)

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import pytest
from psycopg import errors as pg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from inventiv_operator.domain.ledger import Fence
from inventiv_operator.store import errors, ledger, organizations
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import (
    Conflict,
    DatabaseBusy,
    DatabaseUnavailable,
    Fenced,
    StoreDefect,
    StoreError,
    translate,
)
from inventiv_operator.store.lease import Lease
from rig.log_lines import log_lines
from store.conftest import FENCE, Tenant, is_alone
from store.postgres_server import Place
from store.proxy import Proxy


@pytest.fixture
async def far(place: Place, proxy: Proxy) -> AsyncIterator[Database]:
    async with Database(
        place.operator_by(proxy.port), max_size=2, timeout_s=0.5, transaction_timeout_s=1.0
    ) as database:
        yield database


async def until_it_works(ask: Callable[[], Awaitable[object]], *, timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            await ask()
        except DatabaseUnavailable:
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.02)
        else:
            return


async def ask(db: Database) -> None:
    async with db.platform() as conn:
        await organizations.all_open(conn)


async def test_B6_a_connection_that_is_cut_under_a_write_leaves_nothing_behind(
    far: Database, proxy: Proxy, db: Database, tenant: Tenant
) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with far.writing(tenant.organization_id, FENCE) as conn:
            await ledger.insert_resources(conn, [tenant.server()])
            proxy.drop()
    async with db.reading(tenant.organization_id) as conn:
        assert await ledger.credential_resources(conn, tenant.credential_id) == ()
    await until_it_works(lambda: ask(far))


async def test_B6_work_goes_on_when_the_database_returns(far: Database, proxy: Proxy, tenant: Tenant) -> None:
    await ask(far)
    await proxy.cut()
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            await ask(far)
    with pytest.raises(DatabaseUnavailable):
        async with far.reading(tenant.organization_id):
            pytest.fail("the body must not run")
    await proxy.restore()
    await until_it_works(lambda: ask(far))
    async with far.writing(tenant.organization_id, FENCE) as conn:
        await ledger.insert_resources(conn, [tenant.server()])


async def test_B6_a_database_that_is_away_at_the_start_is_waited_for(place: Place, proxy: Proxy) -> None:
    await proxy.cut()
    async with Database(place.operator_by(proxy.port), timeout_s=0.3) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.check()
        with pytest.raises(DatabaseUnavailable):
            await ask(database)
        await proxy.restore()
        await database.check()
        await until_it_works(lambda: ask(database))


async def test_B6_a_silent_network_ends_in_an_error_and_not_in_a_wait_for_ever(
    far: Database, proxy: Proxy, tenant: Tenant
) -> None:
    with pytest.raises(DatabaseUnavailable, match="in time"):
        async with asyncio.timeout(8), far.writing(tenant.organization_id, FENCE) as conn:
            proxy.silence()
            await conn.execute("SELECT 1")
    with pytest.raises(DatabaseUnavailable):
        await ask(far)
    proxy.drop()
    await proxy.restore()
    await until_it_works(lambda: ask(far))


async def test_an_outage_is_no_storm_of_connections(far: Database, proxy: Proxy) -> None:
    await ask(far)
    proxy.silence()
    before = proxy.connections
    await asyncio.gather(*(ask(far) for _ in range(50)), return_exceptions=True)
    assert proxy.connections - before <= 4
    proxy.drop()


async def test_a_server_that_restarts_is_an_outage(own_place: Place) -> None:
    async with Database(own_place.operator, timeout_s=0.5) as database:
        await ask(database)
        own_place.server.stop()
        with pytest.raises(DatabaseUnavailable):
            await ask(database)
        own_place.server.start()
        await until_it_works(lambda: ask(database))


async def test_a_session_that_the_server_ends_is_an_outage(
    place: Place, db: Database, tenant: Tenant
) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with db.writing(tenant.organization_id, FENCE) as conn:
            with psycopg.connect(place.superuser, autocommit=True) as superuser:
                superuser.execute("SELECT pg_terminate_backend(%s)", (conn.pgconn.backend_pid,))
            await conn.execute("SELECT 1")
    await until_it_works(lambda: ask(db))


async def test_the_lease_outlives_a_short_outage_and_is_lost_in_a_long_one(
    own_place: Place,
) -> None:
    told: list[str] = []
    stop = asyncio.Event()
    async with (
        Proxy(own_place.server.port) as proxy,
        Database(own_place.operator_by(proxy.port), timeout_s=0.2) as database,
    ):
        lease = Lease(
            database,
            holder="only",
            duration_s=1.5,
            renew_s=0.05,
            on_gained=lambda: told.append("gained"),
            on_lost=lambda: told.append("lost"),
        )
        running = asyncio.create_task(lease.run(stop))
        async with asyncio.timeout(20):
            await lease.wait_held()
            await proxy.cut()
            while lease.is_held or told != ["gained", "lost"]:  # noqa: ASYNC110 (another task's work)
                await asyncio.sleep(0.01)
            with pytest.raises(Fenced):
                lease.fence()
            await proxy.restore()
            await lease.wait_held()
        assert lease.fence() == Fence(shard=0, epoch=2)
        stop.set()
        await running
    assert told == ["gained", "lost", "gained", "lost"]


async def hold_on(lease: Lease, stop: asyncio.Event, condition: Callable[[], bool]) -> None:
    """Run it until something is so."""
    running = asyncio.create_task(lease.run(stop))
    async with asyncio.timeout(10):
        while not condition():
            assert not running.done(), running.exception()
            await asyncio.sleep(0.01)
    stop.set()
    await running


async def test_B6_a_primary_that_was_demoted_is_waited_for(own_place: Place) -> None:
    set_read_only = f'ALTER DATABASE "{own_place.name}" SET default_transaction_read_only = '
    with psycopg.connect(own_place.superuser, autocommit=True) as superuser:
        superuser.execute(set_read_only + "on")
        async with Database(own_place.operator) as database:
            lease = Lease(database, holder="only", renew_s=0.02)
            with pytest.raises(DatabaseUnavailable, match="25006"):
                await lease.take_or_renew()
            superuser.execute(set_read_only + "off")
            # The connection that was read-only is not used again: another one may lead to the new primary.
            await hold_on(lease, asyncio.Event(), lambda: lease.is_held)


async def test_B6_the_loop_of_the_lease_outlives_a_statement_that_is_refused(own_place: Place) -> None:
    with psycopg.connect(own_place.superuser, autocommit=True) as superuser:
        superuser.execute("ALTER TABLE operator_lease RENAME TO away")
        with log_lines() as lines:
            async with Database(own_place.operator) as database:
                lease = Lease(database, holder="only", renew_s=0.02)
                await hold_on(
                    lease,
                    asyncio.Event(),
                    lambda: any("lease not renewed" in line["message"] for line in lines),
                )
                assert not lease.is_held


async def test_a_body_that_fails_is_undone_and_its_error_is_its_own(db: Database, tenant: Tenant) -> None:
    class OurError(Exception):
        pass

    with pytest.raises(OurError):
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await ledger.insert_resources(conn, [tenant.server()])
            raise OurError
    with pytest.raises(TimeoutError):
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await ledger.insert_resources(conn, [tenant.server()])
            raise TimeoutError
    async with db.reading(tenant.organization_id) as conn:
        assert await ledger.credential_resources(conn, tenant.credential_id) == ()


def sleeps(place: Place, pid: int) -> bool:
    with psycopg.connect(place.superuser) as conn:
        query = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
        return conn.execute(query, (pid,)).fetchone() is not None


async def test_a_cancelled_write_is_undone_and_gives_its_connection_back(
    place: Place, tenant: Tenant
) -> None:
    pids: list[int] = []
    async with Database(place.operator, max_size=1) as db:

        async def write() -> None:
            async with db.writing(tenant.organization_id, FENCE) as conn:
                await ledger.insert_resources(conn, [tenant.server()])
                pids.append(conn.pgconn.backend_pid)
                await conn.execute("SELECT pg_sleep(10)")

        task = asyncio.create_task(write())
        async with asyncio.timeout(10):
            while not (pids and sleeps(place, pids[0])):  # noqa: ASYNC110 (another process's work)
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with db.reading(tenant.organization_id) as conn:
            assert await ledger.credential_resources(conn, tenant.credential_id) == ()


async def test_a_lock_that_cannot_be_had_is_busy(db: Database, tenant: Tenant) -> None:
    async with db.writing(tenant.organization_id, FENCE) as holder:
        await holder.execute("SELECT FROM organizations FOR UPDATE")
        with pytest.raises(DatabaseBusy):
            async with db.writing(tenant.organization_id, FENCE) as conn:
                await conn.execute("SET LOCAL lock_timeout = '50ms'")
                await conn.execute("SELECT FROM organizations FOR UPDATE")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(pg.UniqueViolation(), Conflict, id="unique"),
        pytest.param(pg.SerializationFailure(), DatabaseBusy, id="serialization"),
        pytest.param(pg.DeadlockDetected(), DatabaseBusy, id="deadlock"),
        pytest.param(pg.LockNotAvailable(), DatabaseBusy, id="lock"),
        pytest.param(pg.QueryCanceled(), DatabaseBusy, id="statement-timeout"),
        pytest.param(pg.AdminShutdown(), DatabaseUnavailable, id="shutdown"),
        pytest.param(pg.CannotConnectNow(), DatabaseUnavailable, id="starting"),
        pytest.param(pg.TooManyConnections(), DatabaseUnavailable, id="too-many"),
        pytest.param(pg.DiskFull(), DatabaseUnavailable, id="disk-full"),
        pytest.param(pg.IdleInTransactionSessionTimeout(), DatabaseUnavailable, id="idle"),
        pytest.param(pg.TransactionTimeout(), DatabaseUnavailable, id="transaction-timeout"),
        pytest.param(pg.ReadOnlySqlTransaction(), DatabaseUnavailable, id="read-only"),
        pytest.param(pg.ConnectionFailure(), DatabaseUnavailable, id="connection"),
        pytest.param(psycopg.OperationalError("x"), DatabaseUnavailable, id="lost"),
        pytest.param(psycopg.InterfaceError("x"), DatabaseUnavailable, id="closed"),
        pytest.param(PoolTimeout(), DatabaseUnavailable, id="pool-timeout"),
        pytest.param(PoolClosed(), DatabaseUnavailable, id="pool-closed"),
        pytest.param(TooManyRequests(), DatabaseUnavailable, id="pool-full"),
        pytest.param(pg.CheckViolation(), StoreDefect, id="check"),
        pytest.param(pg.ForeignKeyViolation(), StoreDefect, id="foreign-key"),
        pytest.param(pg.InsufficientPrivilege(), StoreDefect, id="privilege"),
        pytest.param(pg.UndefinedTable(), StoreDefect, id="undefined"),
        pytest.param(psycopg.ProgrammingError("x"), StoreDefect, id="programming"),
        pytest.param(psycopg.DataError("x"), StoreDefect, id="data"),
    ],
)
def test_every_error_of_psycopg_has_its_place(error: Exception, kind: type[StoreError]) -> None:
    assert type(translate(error)) is kind


def test_every_sqlstate_that_psycopg_knows_lands_in_the_tree() -> None:
    for name in dir(pg):
        found = getattr(pg, name)
        if isinstance(found, type) and issubclass(found, psycopg.Error) and not name.startswith("_"):
            assert isinstance(translate(found()), StoreError), name


def test_an_error_of_another_kind_is_not_swallowed() -> None:
    with pytest.raises(TypeError):
        translate(ValueError())


async def test_T7_no_value_of_a_tenant_is_in_the_text_of_an_error(
    place: Place, db: Database, tenant: Tenant
) -> None:
    secret = "a-very-secret-value"
    statements = [
        f"INSERT INTO organizations (id, name, uid) VALUES ('{secret}', '{secret}', '{secret}')",
        f"UPDATE providers SET access_key = '{secret}'",
        f"SELECT '{secret}'::int",
        f"SELECT {secret.replace('-', '_')}",
        f"DO $$ BEGIN RAISE EXCEPTION '{secret}'; END $$",
    ]
    for statement in statements:
        with pytest.raises(StoreError) as caught:
            async with db.writing(tenant.organization_id, FENCE) as conn:
                await conn.execute(statement.encode())
        assert "secret" not in str(caught.value)
        assert is_alone(caught.value)


async def test_the_tree_is_whole() -> None:
    ending = {
        errors.DatabaseMisconfigured,
        errors.SchemaMismatch,
        errors.BypassesRowSecurity,
        errors.OtherCluster,
        errors.KeyringError,
    }
    assert all(issubclass(kind, errors.CannotStart) for kind in ending)
    assert not issubclass(errors.DatabaseUnavailable, errors.CannotStart)
