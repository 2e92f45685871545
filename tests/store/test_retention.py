"""What ended long ago goes, what is younger stays, and nobody gets around the bounds."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors as pg
from psycopg import sql
from pydantic import SecretStr

from inventiv_operator.config import ConfigError, OperatorSettings, load_settings
from inventiv_operator.controllers.retention import BATCH_PAUSE_S, INTERVAL_S, Retention
from inventiv_operator.domain.ids import Zone
from inventiv_operator.store import retention
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import StoreDefect
from rig.log_lines import log_lines
from store.conftest import Tenant, new_tenant, write_tenant
from store.every_table import fill_every_table
from store.postgres_server import OPERATOR_ROLE, Place
from store.proxy import Proxy

LEAST = {"audit_days": retention.LEAST_AUDIT_DAYS, "tombstone_days": retention.LEAST_TOMBSTONE_DAYS}
FOR_EVER_DAYS = 36_500
TABLES = (
    "action_logs",
    "cloud_resources",
    "instances",
    "deployments",
    "provider_zone_controls",
    "providers",
    "namespace_claims",
    "project_claims",
    "provider_settings",
    "organization_keys",
    "organizations",
)
_END_EVERYTHING = (
    "UPDATE cloud_resources SET state = %(final)s, changed_at = %(at)s WHERE organization_id = %(id)s",
    "UPDATE instances SET state = 'gone', gone_at = %(at)s WHERE organization_id = %(id)s",
    "UPDATE deployments SET state = 'closed', closed_at = %(at)s WHERE organization_id = %(id)s",
    "DELETE FROM provider_settings WHERE organization_id = %(id)s AND provider_id IS NOT NULL",
    "UPDATE providers SET state = 'closed', closed_at = %(at)s WHERE organization_id = %(id)s",
    "UPDATE namespace_claims SET released_at = %(at)s WHERE organization_id = %(id)s",
    "UPDATE project_claims SET released_at = %(at)s WHERE organization_id = %(id)s",
    "UPDATE organizations SET state = 'closed', closed_at = %(at)s WHERE id = %(id)s",
    "UPDATE action_logs SET recorded_at = %(at)s WHERE organization_id = %(id)s",
)


def rows(place: Place, tenant: Tenant) -> dict[str, int]:
    """How many rows each table has of a tenant."""
    found = {}
    with psycopg.connect(place.superuser) as conn:
        for table in TABLES:
            column = "id" if table == "organizations" else "organization_id"
            query = sql.SQL("SELECT count(*) FROM {} WHERE {} = %s").format(
                sql.Identifier(table), sql.Identifier(column)
            )
            row = conn.execute(query, (tenant.organization_id,)).fetchone()
            assert row is not None
            found[table] = row[0]
    return found


async def full_tenant(db: Database, place: Place) -> Tenant:
    """With a row in every table, and a setting of the organization itself."""
    tenant = new_tenant()
    await write_tenant(db, tenant)
    await fill_every_table(db, tenant, zone=Zone("fr-par-1"))
    run(
        place,
        "INSERT INTO provider_settings (organization_id, key, value_int)"
        " VALUES (%(id)s, 'WORKER_HEALTH_PORT', 8080)",
        tenant,
    )
    assert all(rows(place, tenant).values())
    return tenant


def run(place: Place, statement: str, tenant: Tenant, **values: Any) -> None:
    with psycopg.connect(place.superuser, autocommit=True) as conn:
        conn.execute(statement.encode(), {"id": tenant.organization_id, **values})


def end(place: Place, tenant: Tenant, *, days_ago: float, final: str = "absent") -> None:
    """Everything of it ended so long ago."""
    with psycopg.connect(place.superuser, autocommit=True) as conn:
        row = conn.execute("SELECT now() - %s", (timedelta(days=days_ago),)).fetchone()
        assert row is not None
        for statement in _END_EVERYTHING:
            conn.execute(statement.encode(), {"id": tenant.organization_id, "at": row[0], "final": final})


async def prune_all(db: Database, **days: int) -> dict[str, int]:
    removed: dict[str, int] = {}
    while True:
        async with db.platform() as conn:
            batch = await retention.prune(conn, **{**LEAST, **days})
        if not batch:
            return removed
        for table, count in batch.items():
            removed[table] = removed.get(table, 0) + count


@pytest.mark.parametrize("final", ["absent", "released", "abandoned"])
async def test_what_ended_before_the_retention_goes_in_every_table(
    own: Database, led: Place, final: str
) -> None:
    old, young, living = [await full_tenant(own, led) for _ in range(3)]
    end(led, old, days_ago=40, final=final)
    end(led, young, days_ago=6.9, final=final)
    before = {one.name: rows(led, one) for one in (old, young, living)}
    before[old.name]["provider_settings"] = 1  # those of the credential went with it
    before[young.name]["provider_settings"] = 1
    removed = await prune_all(own)
    assert removed == before[old.name]
    assert not any(rows(led, old).values())
    assert rows(led, young) == before[young.name]
    assert rows(led, living) == before[living.name]


async def test_the_audit_log_has_a_time_of_its_own_and_keeps_its_organization(
    own: Database, led: Place
) -> None:
    tenant = await full_tenant(own, led)
    end(led, tenant, days_ago=100)
    lines = rows(led, tenant)["action_logs"]
    await prune_all(own, audit_days=101, tombstone_days=90)
    assert {table: count for table, count in rows(led, tenant).items() if count} == {
        "action_logs": lines,
        "organizations": 1,
    }
    await prune_all(own, audit_days=99, tombstone_days=101)
    assert {table for table, count in rows(led, tenant).items() if count} == {"organizations"}
    await prune_all(own)
    assert not any(rows(led, tenant).values())


@pytest.mark.parametrize("state", ["intended", "present", "deleting", "lost"])
async def test_what_may_still_exist_stays_and_holds_everything_above_it(
    own: Database, led: Place, state: str
) -> None:
    """However old it is."""
    tenant = await full_tenant(own, led)
    end(led, tenant, days_ago=1000)
    ref = None if state == "intended" else str(uuid4())
    run(
        led,
        "UPDATE cloud_resources SET state = %(state)s, provider_ref = %(ref)s::text,"
        " origin = CASE WHEN %(ref)s::text IS NOT NULL THEN 'created' END"
        " WHERE organization_id = %(id)s AND instance_id IS NOT NULL",
        tenant,
        state=state,
        ref=ref,
    )
    await prune_all(own)
    left = {table for table, count in rows(led, tenant).items() if count}
    assert left == {"cloud_resources", "instances", "deployments", "providers", "organizations"}


async def test_a_batch_is_bounded_and_the_rest_comes_with_the_next(own: Database, led: Place) -> None:
    tenant = await full_tenant(own, led)
    end(led, tenant, days_ago=40)
    run(
        led,
        "INSERT INTO action_logs (organization_id, recorded_at, action)"
        " SELECT %(id)s, now() - interval '50 days', 'key-used' FROM generate_series(1, 25)",
        tenant,
    )
    lines, counts = rows(led, tenant)["action_logs"], []
    while True:
        async with own.platform() as conn:
            batch = await retention.prune(conn, **LEAST, batch=10)
        if not batch:
            break
        counts.append(batch.get("action_logs", 0))
        assert all(count <= 10 for count in batch.values())
    assert sum(counts) == lines
    assert len([count for count in counts if count]) == math.ceil(lines / 10)
    assert not any(rows(led, tenant).values())


# -- the bounds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("audit_days", "tombstone_days", "batch"),
    [
        (LEAST["audit_days"] - 1, FOR_EVER_DAYS, 1000),
        (FOR_EVER_DAYS, LEAST["tombstone_days"] - 1, 1000),
        (0, 0, 1000),
        (-1000, 90, 1000),
        (400, -1000, 1000),
        (None, 90, 1000),
        (400, None, 1000),
        (400, 90, None),
        (400, 90, 0),
        (400, 90, 10_001),
    ],
)
async def test_a_stolen_login_cannot_have_anything_younger_removed(
    own: Database, led: Place, audit_days: int, tombstone_days: int, batch: int
) -> None:
    tenant = await full_tenant(own, led)
    end(led, tenant, days_ago=1000)
    before = rows(led, tenant)
    with pytest.raises(StoreDefect) as caught:
        async with own.platform() as conn:
            await retention.prune(conn, audit_days=audit_days, tombstone_days=tombstone_days, batch=batch)
    assert caught.value.sqlstate == pg.InvalidParameterValue.sqlstate
    assert rows(led, tenant) == before


async def test_whatever_the_caller_says_that_the_time_is(own: Database, led: Place) -> None:
    """Nor does a tenant that its transaction is bound to open anything."""
    tenant = await full_tenant(own, led)
    end(led, tenant, days_ago=1)
    before = rows(led, tenant)
    with psycopg.connect(led.operator.get_secret_value()) as conn:
        conn.execute("SELECT set_config('inventiv.now', (now() + interval '9 years')::text, true)")
        conn.execute(
            "SELECT set_config('inventiv.organization_id', %s, true)", (str(tenant.organization_id),)
        )
        found = conn.execute("SELECT * FROM prune_history(30, 7, 1000)").fetchall()
        assert found == []
        conn.commit()
    assert rows(led, tenant) == before


async def test_the_owner_is_held_to_the_same_bounds_by_its_policies(own: Database, led: Place) -> None:
    """So a later mistake in the function cannot remove what is younger either."""
    old, young = [await full_tenant(own, led) for _ in range(2)]
    end(led, old, days_ago=31)
    end(led, young, days_ago=6.9)
    before = rows(led, young)
    with psycopg.connect(led.owner.get_secret_value(), autocommit=True) as conn:
        for table in TABLES:
            conn.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    assert rows(led, young) == before
    assert rows(led, old)["action_logs"] == 0


def test_the_bounds_of_the_configuration_are_those_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least that the function takes, by the tests above, is the least that a variable may say."""
    for name, least in (
        ("AUDIT_RETENTION_DAYS", retention.LEAST_AUDIT_DAYS),
        ("TOMBSTONE_RETENTION_DAYS", retention.LEAST_TOMBSTONE_DAYS),
    ):
        monkeypatch.setenv(f"INVENTIV_{name}", str(least))
        assert getattr(load_settings(required=()), name.lower()) == least
        monkeypatch.setenv(f"INVENTIV_{name}", str(least - 1))
        with pytest.raises(ConfigError, match=f"INVENTIV_{name}"):
            load_settings(required=())
        monkeypatch.delenv(f"INVENTIV_{name}")
    defaults = OperatorSettings()
    assert (defaults.audit_retention_days, defaults.tombstone_retention_days) == (400, 90)


def test_the_operator_may_ask_for_it_and_nobody_else(own_place: Place) -> None:
    with psycopg.connect(own_place.superuser) as conn:
        found = conn.execute(
            "SELECT r.rolname FROM pg_roles r, pg_proc p, aclexplode(p.proacl) a"
            " WHERE p.proname = 'prune_history' AND a.privilege_type = 'EXECUTE' AND a.grantee = r.oid"
            " AND r.oid <> p.proowner"
        ).fetchall()
        public = conn.execute(
            "SELECT FROM pg_proc p, aclexplode(p.proacl) a"
            " WHERE p.proname = 'prune_history' AND a.grantee = 0"
        ).fetchall()
    assert found == [(OPERATOR_ROLE,)]
    assert public == []


async def test_two_at_once_do_not_wait_for_each_other(own: Database, led: Place) -> None:
    tenant = await full_tenant(own, led)
    end(led, tenant, days_ago=40)
    with psycopg.connect(led.operator.get_secret_value()) as conn:
        assert conn.execute("SELECT * FROM prune_history(30, 7, 1)").fetchall()
        async with own.platform() as other:
            assert await retention.prune(other, **LEAST) == {}
        conn.rollback()
    assert await prune_all(own)


_SEARCHES = (
    ("action_logs", "action_logs_recorded", "recorded_at < now() - interval '9 years'"),
    (
        "cloud_resources",
        "cloud_resources_final",
        "state IN ('absent', 'released', 'abandoned') AND changed_at < now() - interval '9 years'",
    ),
)
_FOREIGN_KEYS_WITHOUT_INDEX = """
SELECT c.conrelid::regclass::text,
       array(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(n, i)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.i)
FROM pg_constraint c
WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace AND NOT EXISTS (
    SELECT FROM pg_index i
    WHERE i.indrelid = c.conrelid
      AND (i.indkey[0] = c.conkey[cardinality(c.conkey)] OR (i.indkey::smallint[])[0:1] @> c.conkey)
      AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) LIKE '%IS NOT NULL%')
)
"""


async def test_finding_what_is_old_does_not_go_through_everything(own: Database, led: Place) -> None:
    """Neither the search for candidates nor the foreign keys of what is deleted."""
    tenant = await full_tenant(own, led)
    with psycopg.connect(led.superuser, autocommit=True) as conn:
        values = {"id": tenant.organization_id, "provider": tenant.credential_id}
        conn.execute(
            "INSERT INTO action_logs (organization_id, action)"
            " SELECT %(id)s, 'key-used' FROM generate_series(1, 5000)",
            values,
        )
        conn.execute(
            "INSERT INTO cloud_resources (id, organization_id, provider_id, kind, role, zone, state)"
            " SELECT gen_random_uuid(), %(id)s, %(provider)s, 'server', 'r' || n, 'fr-par-1', 'absent'"
            " FROM generate_series(1, 5000) n",
            values,
        )
        conn.execute("ANALYZE")
        for table, index, condition in _SEARCHES:
            plan = conn.execute(
                f"EXPLAIN DELETE FROM {table} d WHERE d.ctid IN"
                f" (SELECT x.ctid FROM {table} x WHERE {condition} LIMIT 1000)".encode()
            ).fetchall()
            text = "\n".join(row[0] for row in plan)
            assert index in text, text
            assert "Seq Scan" not in text, text
        unindexed = conn.execute(_FOREIGN_KEYS_WITHOUT_INDEX.encode()).fetchall()
    # The few settings of one organization are found by another index.
    assert unindexed == [("provider_settings", ["organization_id", "key_version"])]


# -- the loop -----------------------------------------------------------------------------------------------


class EnoughError(Exception):
    pass


class Steps:
    """A clock whose sleeps are counted, and end the loop after so many."""

    def __init__(self, sleeps: int) -> None:
        self.slept: list[float] = []
        self._left = sleeps

    def now(self) -> Any:
        raise NotImplementedError

    def monotonic(self) -> float:
        raise NotImplementedError

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        if not self._left:
            raise EnoughError
        self._left -= 1


async def run_loop(
    db: Database, *, sleeps: int, leads: bool = True, audit_days: int = 30
) -> tuple[list[float], list[Any]]:
    clock = Steps(sleeps)
    loop = Retention(db, clock=clock, audit_days=audit_days, tombstone_days=7, jitter=lambda: 0.25)
    with log_lines() as logged, pytest.raises(EnoughError):
        await loop.run(is_leader=lambda: leads)
    return clock.slept, [line for line in logged if line["logger"].endswith(".retention")]


async def test_the_leader_removes_all_there_is_and_says_how_much_once(own: Database, led: Place) -> None:
    tenant = await full_tenant(own, led)
    end(led, tenant, days_ago=40)
    expected = {**rows(led, tenant), "provider_settings": 1}
    slept, logged = await run_loop(own, sleeps=3)
    assert not any(rows(led, tenant).values())
    (line,) = logged
    assert line["level"] == "info"
    assert {table: line[table] for table in TABLES} == expected
    assert slept[0] == slept[-1] == INTERVAL_S * 0.75
    assert BATCH_PAUSE_S in slept


async def test_nothing_to_remove_is_nothing_to_say(own: Database) -> None:
    slept, logged = await run_loop(own, sleeps=2)
    assert logged == []
    assert slept == [INTERVAL_S * 0.75] * 3


async def test_who_does_not_lead_removes_nothing(own: Database, led: Place) -> None:
    tenant = await full_tenant(own, led)
    end(led, tenant, days_ago=40)
    before = rows(led, tenant)
    await run_loop(own, sleeps=2, leads=False)
    assert rows(led, tenant) == before


@asynccontextmanager
async def away(place: Place) -> AsyncIterator[Database]:
    async with Proxy(place.server.port) as proxy:
        url = SecretStr(place.operator_by(proxy.port).get_secret_value())
        await proxy.cut()
        async with Database(url, timeout_s=0.1, transaction_timeout_s=1.0) as database:
            yield database


async def test_B6_a_database_that_is_away_puts_it_off(led: Place) -> None:
    async with away(led) as database:
        slept, logged = await run_loop(database, sleeps=2)
    assert slept == [INTERVAL_S * 0.75] * 3
    assert {line["message"] for line in logged} == {"retention put off"}


async def test_a_database_that_refuses_is_an_error_and_not_the_end(own: Database) -> None:
    slept, logged = await run_loop(own, sleeps=2, audit_days=1)
    assert slept == [INTERVAL_S * 0.75] * 3
    assert {(line["level"], line["message"]) for line in logged} == {
        ("error", "retention failed: nothing more is removed")
    }
