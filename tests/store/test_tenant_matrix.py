"""Every table with tenant data, against every way to reach for another tenant's rows, from every kind of
session (T2): fresh, reused from the pool, after an aborted transaction of the other tenant, in autocommit.
"""

# ruff: noqa: PT012 (what is tested is a body)

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from psycopg import AsyncConnection, sql
from psycopg import errors as pg
from psycopg.rows import dict_row

from inventiv_operator.domain.ids import Zone
from inventiv_operator.store.database import Database
from store.conftest import FENCE, Tenant
from store.every_table import TENANT_TABLES, filled_tenant, owner_column, rows_of
from store.postgres_server import Place

Connection = AsyncConnection[Any]
_BIND = "SELECT set_config('inventiv.organization_id', %s, %s)"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mine(place: Place) -> Tenant:
    return await filled_tenant(place, Zone("fr-par-1"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theirs(place: Place) -> Tenant:
    return await filled_tenant(place, Zone("fr-par-2"))


@pytest.fixture
async def everything(place: Place) -> AsyncIterator[AsyncConnection[dict[str, Any]]]:
    """Past row-level security."""
    async with await AsyncConnection.connect(place.superuser, autocommit=True, row_factory=dict_row) as conn:
        yield conn


# -- sessions of `mine` ------------------------------------------------------------------------------------


async def _login(place: Place, *, autocommit: bool = False) -> Connection:
    return await AsyncConnection.connect(place.operator.get_secret_value(), autocommit=autocommit)


@asynccontextmanager
async def fresh(place: Place, mine: Tenant, theirs: Tenant) -> AsyncIterator[Connection]:
    del theirs
    async with await _login(place) as conn:
        await conn.execute(_BIND, (str(mine.organization_id), True))
        yield conn
        await conn.rollback()


@asynccontextmanager
async def reused(place: Place, mine: Tenant, theirs: Tenant) -> AsyncIterator[Connection]:
    """The pool's one connection has just served the other tenant."""
    async with Database(place.operator, max_size=1) as db:
        async with db.writing(theirs.organization_id, FENCE) as conn:
            before = conn
            assert await _count(conn, "providers") > 0
        with pytest.raises(_Enough):
            async with db.writing(mine.organization_id, FENCE) as conn:
                assert conn is before
                yield conn
                raise _Enough


@asynccontextmanager
async def after_an_abort(place: Place, mine: Tenant, theirs: Tenant) -> AsyncIterator[Connection]:
    async with await _login(place) as conn:
        await conn.execute(_BIND, (str(theirs.organization_id), True))
        with pytest.raises(pg.DivisionByZero):
            await conn.execute("SELECT 1 / 0")
        await conn.rollback()
        assert await _count(conn, "providers") == 0  # of nobody
        await conn.execute(_BIND, (str(mine.organization_id), True))
        yield conn
        await conn.rollback()


@asynccontextmanager
async def autocommit(place: Place, mine: Tenant, theirs: Tenant) -> AsyncIterator[Connection]:
    """Every statement is a transaction of its own, so what was bound for one is gone with it."""
    async with await _login(place, autocommit=True) as conn:
        await conn.execute(_BIND, (str(theirs.organization_id), True))
        assert await _count(conn, "providers") == 0
        await conn.execute(_BIND, (str(mine.organization_id), False))
        yield conn


class _Enough(Exception):
    """Rolls back what was tried."""


SESSIONS = [fresh, reused, after_an_abort, autocommit]


async def _count(conn: Connection, table: str) -> int:
    cursor = await conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
    [number] = await cursor.fetchone() or [0]
    return int(number)


# -- what is tried -----------------------------------------------------------------------------------------

Attack = Callable[[Connection, str, Tenant, dict[str, Any]], Awaitable[None]]


async def read(conn: Connection, table: str, theirs: Tenant, row: dict[str, Any]) -> None:
    del row
    found = await conn.execute(
        sql.SQL("SELECT count(*), count(*) FILTER (WHERE {owner} = %s) FROM {table}").format(
            owner=owner_column(table), table=sql.Identifier(table)
        ),
        (theirs.organization_id,),
    )
    visible, of_theirs = await found.fetchone() or (0, 0)
    assert visible > 0, f"nothing of {table} is visible, so nothing is proven"
    assert of_theirs == 0


async def insert(conn: Connection, table: str, theirs: Tenant, row: dict[str, Any]) -> None:
    del theirs
    given = (
        row if table != "action_logs" else {n: v for n, v in row.items() if n not in {"id", "recorded_at"}}
    )
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, given)),
        sql.SQL(", ").join(sql.Placeholder() * len(given)),
    )
    values = [psycopg.types.json.Jsonb(v) if isinstance(v, dict) else v for v in given.values()]
    with pytest.raises(pg.InsufficientPrivilege):
        async with conn.transaction():
            await conn.execute(statement, values)


async def update(conn: Connection, table: str, theirs: Tenant, row: dict[str, Any]) -> None:
    for column in row.keys() - ({"id"} if table == "action_logs" else set()):  # which nobody can set
        statement = sql.SQL("UPDATE {table} SET {column} = {column} WHERE {owner} = %s").format(
            table=sql.Identifier(table), column=sql.Identifier(column), owner=owner_column(table)
        )
        await _refused_or_without_effect(conn, statement, theirs)


async def delete(conn: Connection, table: str, theirs: Tenant, row: dict[str, Any]) -> None:
    del row
    statement = sql.SQL("DELETE FROM {} WHERE {} = %s").format(sql.Identifier(table), owner_column(table))
    await _refused_or_without_effect(conn, statement, theirs)


async def reference(conn: Connection, table: str, theirs: Tenant, row: dict[str, Any]) -> None:
    """Every row of ours that is visible is to become one of theirs, or to point to one."""
    pointing = [owner_column(table).as_string()]
    pointing += [f'"{name}"' for name in ("provider_id", "deployment_id", "instance_id") if row.get(name)]
    for column in pointing:
        value = theirs.organization_id if column == pointing[0] else row[column.strip('"')]
        statement = sql.SQL("UPDATE {} SET {} = %s").format(sql.Identifier(table), sql.SQL(column))
        with pytest.raises((pg.InsufficientPrivilege, pg.ForeignKeyViolation)):
            async with conn.transaction():
                await conn.execute(statement, (value,))


async def _refused_or_without_effect(conn: Connection, statement: sql.Composed, theirs: Tenant) -> None:
    try:
        async with conn.transaction():
            cursor = await conn.execute(statement, (theirs.organization_id,))
            assert cursor.rowcount == 0
    except pg.InsufficientPrivilege:
        return


ATTACKS = [read, insert, update, delete, reference]


@pytest.mark.parametrize("session", SESSIONS, ids=lambda s: s.__name__)
@pytest.mark.parametrize("table", TENANT_TABLES)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.__name__)
async def test_T2_no_session_reaches_a_row_of_another_tenant(
    place: Place,
    mine: Tenant,
    theirs: Tenant,
    everything: AsyncConnection[dict[str, Any]],
    session: Callable[[Place, Tenant, Tenant], Any],
    table: str,
    attack: Attack,
) -> None:
    before = await rows_of(everything, table, theirs.organization_id)
    assert before, f"no row of {table} to reach for"
    async with session(place, mine, theirs) as conn:
        await attack(conn, table, theirs, before[0])
    assert await rows_of(everything, table, theirs.organization_id) == before
