"""Tenant A against everything of tenant B, for every table there is."""

# ruff: noqa: PT012 (what is tested is a body)

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
from psycopg import AsyncConnection, sql
from psycopg import errors as pg
from psycopg.rows import dict_row

from inventiv_operator.domain.audit import Action
from inventiv_operator.domain.ids import OrganizationId, Zone
from inventiv_operator.store import audit
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import BypassesRowSecurity, DatabaseUnavailable, StoreDefect
from store.conftest import FENCE, Tenant
from store.every_table import OF_NO_TENANT, TENANT_TABLES, filled_tenant, rows_of
from store.postgres_server import OPERATOR, OPERATOR_ROLE, Place

_TABLES = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
"""
_UNPROTECTED = f"""
{_TABLES} AND c.relname <> ALL(%s) AND NOT (
    c.relrowsecurity AND c.relforcerowsecurity
    AND EXISTS (
        SELECT FROM pg_policy p
        WHERE p.polrelid = c.oid AND p.polcmd = '*' AND p.polroles = '{{0}}'
          AND pg_get_expr(p.polqual, c.oid) = pg_get_expr(p.polwithcheck, c.oid)
          AND pg_get_expr(p.polqual, c.oid) LIKE
              '(%%id = (NULLIF(current_setting(''inventiv.organization_id''::text, true), ''''::text))::uuid)'
    )
)
"""


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


async def test_every_table_is_known_to_these_tests(everything: AsyncConnection[dict[str, Any]]) -> None:
    found = {row["relname"] for row in await (await everything.execute(_TABLES.encode())).fetchall()}
    assert found == OF_NO_TENANT | set(TENANT_TABLES)


_REFERENCES = """
SELECT c.conrelid::regclass::text AS source, c.confrelid::regclass::text AS target,
       array(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(n, i)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.i) AS columns
FROM pg_constraint c
WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace
"""


async def test_no_row_refers_to_one_of_another_tenant(
    mine: Tenant, theirs: Tenant, everything: AsyncConnection[dict[str, Any]]
) -> None:
    """Tried past row-level security, so that the foreign keys alone stand in the way."""
    tried = 0
    for reference in await (await everything.execute(_REFERENCES.encode())).fetchall():
        source, target, columns = reference["source"], reference["target"], reference["columns"]
        if target == "organizations":
            assert columns == ["organization_id"], source
            continue
        assert columns[0] == "organization_id", f"{source} -> {target} is not bound to the tenant"
        if target == "organization_keys":
            continue  # a version, not an id: the tenant's own of that number is meant
        [there] = [row["id"] for row in await rows_of(everything, target, theirs.organization_id)]
        statement = sql.SQL("UPDATE {} SET {} = %s WHERE organization_id = %s").format(
            sql.Identifier(source), sql.Identifier(columns[1])
        )
        with pytest.raises(pg.ForeignKeyViolation):
            await everything.execute(statement, (there, mine.organization_id))
        tried += 1
    assert tried >= 6


async def test_a_reused_connection_remembers_no_tenant(place: Place, mine: Tenant, theirs: Tenant) -> None:
    async with Database(place.operator, max_size=1) as db:
        assert await _namespaces(db, mine) == {mine.namespace}
        assert await _namespaces(db, theirs) == {theirs.namespace}
        with pytest.raises(RuntimeError):
            async with db.writing(mine.organization_id, FENCE):
                raise RuntimeError
        assert await _visible_without_tenant(db) == 0
        with pytest.raises(StoreDefect):
            async with db.writing(mine.organization_id, FENCE) as conn:
                await conn.execute("SELECT 1 / 0")
        assert await _visible_without_tenant(db) == 0
        assert await _namespaces(db, theirs) == {theirs.namespace}


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_body_that_hides_an_error_commits_nothing(
    db: Database, mine: Tenant, *, goes_on: bool
) -> None:
    """PostgreSQL answers COMMIT with a rollback then, and with no error."""
    with pytest.raises(StoreDefect) as caught:
        async with db.writing(mine.organization_id, FENCE) as conn:
            await audit.append(
                conn, organization_id=mine.organization_id, action=Action.KEY_USED, name="lost"
            )
            with pytest.raises(pg.DivisionByZero):
                await conn.execute("SELECT 1 / 0")
            if goes_on:
                await conn.execute("SELECT 1")
    assert caught.value.sqlstate == pg.InFailedSqlTransaction.sqlstate
    async with db.reading(mine.organization_id) as conn:
        cursor = await conn.execute("SELECT count(*) FROM action_logs WHERE object_name = 'lost'")
        assert await cursor.fetchone() == (0,)


async def _namespaces(db: Database, tenant: Tenant) -> set[str]:
    async with db.reading(tenant.organization_id) as conn:
        cursor = await conn.execute("SELECT namespace FROM providers")
        return {row[0] for row in await cursor.fetchall()}


async def _visible_without_tenant(db: Database) -> int:
    async with db.platform() as conn:
        row = await (await conn.execute("SELECT count(*) FROM providers")).fetchone()
        assert row is not None
        return int(row[0])


async def test_reading_changes_nothing(db: Database, mine: Tenant) -> None:
    with pytest.raises(DatabaseUnavailable, match="25006"):
        async with db.reading(mine.organization_id) as conn:
            await audit.append(conn, organization_id=mine.organization_id, action=Action.KEY_USED)


async def test_an_unknown_tenant_sees_nothing(db: Database, mine: Tenant) -> None:
    async with db.reading(OrganizationId(uuid4())) as conn:
        for table in TENANT_TABLES:
            cursor = await conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
            assert await cursor.fetchone() == (0,)


async def test_every_tenant_table_has_the_policy(everything: AsyncConnection[dict[str, Any]]) -> None:
    cursor = await everything.execute(_UNPROTECTED.encode(), (list(OF_NO_TENANT),))
    assert await cursor.fetchall() == []


@pytest.mark.parametrize(
    "security",
    [
        pytest.param("", id="none"),
        pytest.param("ALTER TABLE fresh ENABLE ROW LEVEL SECURITY", id="not-forced"),
        pytest.param(
            "ALTER TABLE fresh ENABLE ROW LEVEL SECURITY; ALTER TABLE fresh FORCE ROW LEVEL SECURITY;"
            "CREATE POLICY tenant ON fresh USING (true)",
            id="everybody-may",
        ),
    ],
)
async def test_a_new_table_without_the_policy_is_noticed(own_place: Place, security: str) -> None:
    own_place.server.run(
        f"CREATE TABLE fresh (organization_id uuid); ALTER TABLE fresh OWNER TO inventiv_owner; {security}",
        own_place.name,
    )
    with psycopg.connect(own_place.superuser) as conn:
        found = conn.execute(_UNPROTECTED.encode(), (list(OF_NO_TENANT),)).fetchall()
    assert found == [("fresh",)]


async def test_start_up_notices_a_table_that_nothing_protects(own_place: Place) -> None:
    own_place.server.run("CREATE TABLE fresh (organization_id uuid)", own_place.name)
    async with Database(own_place.operator) as db:
        with pytest.raises(BypassesRowSecurity, match="table fresh"):
            await db.check()


async def test_the_look_ups_are_for_the_operator_alone(own_place: Place) -> None:
    own_place.server.run(
        "CREATE ROLE passer_by LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA public TO passer_by", own_place.name
    )
    try:
        with psycopg.connect(own_place.server.url(own_place.name, "passer_by", "p"), autocommit=True) as conn:
            names = conn.execute(
                "SELECT proname, pronargs FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            )
            for name, number in names.fetchall():
                nulls = sql.SQL(", ").join([sql.NULL] * number)
                with pytest.raises(pg.InsufficientPrivilege):
                    conn.execute(sql.SQL("SELECT {}({})").format(sql.Identifier(name), nulls))
    finally:
        own_place.server.run("DROP OWNED BY passer_by; DROP ROLE passer_by", own_place.name)


async def test_the_look_ups_resist_a_search_path_of_the_caller(own_place: Place) -> None:
    with psycopg.connect(own_place.superuser) as conn:
        found = conn.execute(
            "SELECT proname, proconfig FROM pg_proc"
            " WHERE pronamespace = 'public'::regnamespace AND prosecdef ORDER BY 1"
        ).fetchall()
    assert len(found) == 11
    assert all(config == ["search_path=pg_catalog, pg_temp"] for _, config in found)


async def test_the_audit_log_only_grows(db: Database, mine: Tenant) -> None:
    for statement in (
        b"DELETE FROM action_logs",
        b"UPDATE action_logs SET action = 'x'",
        b"TRUNCATE action_logs",
    ):
        with pytest.raises(StoreDefect) as caught:
            async with db.writing(mine.organization_id, FENCE) as conn:
                await conn.execute(statement)
        assert caught.value.sqlstate == pg.InsufficientPrivilege.sqlstate


async def test_the_operator_deletes_settings_and_key_material_only(own_place: Place) -> None:
    with psycopg.connect(own_place.superuser) as conn:
        found = conn.execute(
            "SELECT c.relname FROM pg_class c"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
            " AND has_table_privilege(%(login)s, c.oid, 'DELETE, TRUNCATE')"
            " ORDER BY 1",
            {"login": OPERATOR},
        ).fetchall()
    assert [name for (name,) in found] == ["organization_keys", "provider_settings", "provider_zone_controls"]
    assert OPERATOR_ROLE != OPERATOR
