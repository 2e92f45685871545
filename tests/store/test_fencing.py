"""One leader, safe with two (B7), on a real server."""

# ruff: noqa: PT012 (what is tested is a body)

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection

from inventiv_operator.domain.ledger import Fence, ResourceState
from inventiv_operator.runtime.leader_metrics import LeaderMetrics
from inventiv_operator.store import ledger
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import DatabaseUnavailable, Fenced
from inventiv_operator.store.lease import Lease
from store.conftest import NOW, SetClock, Tenant, new_tenant, write_tenant
from store.postgres_server import Place

_WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND mode = %s"


@pytest.fixture
async def first(own_place: Place) -> AsyncIterator[Database]:
    async with Database(own_place.operator) as database:
        yield database


@pytest.fixture
async def second(own_place: Place) -> AsyncIterator[Database]:
    async with Database(own_place.operator) as database:
        yield database


async def until(condition: Callable[[], Awaitable[bool]], *, timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline_s, "it did not come about"
        await asyncio.sleep(0.01)


def expire(place: Place) -> None:
    with psycopg.connect(place.superuser, autocommit=True) as conn:
        conn.execute("UPDATE operator_lease SET expires_at = clock_timestamp()")


async def is_waited_for(place: Place, mode: str) -> bool:
    async with await AsyncConnection.connect(place.superuser, autocommit=True) as conn:
        row = await (await conn.execute(_WAITING, (mode,))).fetchone()
        return row is not None and row[0] > 0


async def led_tenant(lease: Lease, db: Database) -> Tenant:
    assert await lease.take_or_renew()
    tenant = new_tenant()
    await write_tenant(db, tenant, fence=lease.fence())
    return tenant


async def states(db: Database, tenant: Tenant) -> list[ResourceState]:
    async with db.reading(tenant.organization_id) as conn:
        return [row.state for row in await ledger.credential_resources(conn, tenant.credential_id)]


async def test_B7_one_of_many_takes_the_lease(own_place: Place, first: Database) -> None:
    leases = [Lease(first, holder=f"operator-{number}") for number in range(12)]
    held = await asyncio.gather(*(lease.take_or_renew() for lease in leases))
    assert sum(held) == 1
    assert [lease.is_held for lease in leases] == held
    assert leases[held.index(True)].fence() == Fence(shard=0, epoch=1)


async def test_B7_a_take_over_waits_for_the_writes_of_the_epoch_that_ends(
    own_place: Place, first: Database, second: Database
) -> None:
    old, new = Lease(first, holder="old"), Lease(second, holder="new")
    tenant = await led_tenant(old, first)
    row = tenant.server()
    async with first.writing(tenant.organization_id, old.fence()) as conn:
        await ledger.insert_resources(conn, [row])
        expire(own_place)
        taking = asyncio.create_task(new.take_or_renew())
        await until(lambda: is_waited_for(own_place, "ExclusiveLock"))
        assert not taking.done()
    assert await taking
    assert new.fence().epoch == 2
    assert await states(second, tenant) == [ResourceState.INTENDED]  # what was begun in time is there


async def test_B7_a_stalled_leader_that_wakes_up_commits_nothing(
    own_place: Place, first: Database, second: Database
) -> None:
    old, new = Lease(first, holder="old"), Lease(second, holder="new")
    tenant = await led_tenant(old, first)
    stale = old.fence()
    expire(own_place)
    assert await new.take_or_renew()
    with pytest.raises(Fenced):
        async with first.writing(tenant.organization_id, stale) as conn:
            await ledger.insert_resources(conn, [tenant.server()])
    assert await states(second, tenant) == []
    assert not await old.take_or_renew()
    with pytest.raises(Fenced):
        old.fence()


async def test_B7_a_write_that_waits_behind_a_take_over_is_fenced(own_place: Place, first: Database) -> None:
    """The lock comes first and the look at the lease second, with a snapshot younger than the lock: until the
    take-over commits, the old lease looks good.
    """
    old = Lease(first, holder="old")
    tenant = await led_tenant(old, first)
    fence = old.fence()

    async def write() -> None:
        async with first.writing(tenant.organization_id, fence) as conn:
            await ledger.insert_resources(conn, [tenant.server()])

    async with await AsyncConnection.connect(own_place.operator.get_secret_value()) as taker:
        await taker.execute("UPDATE operator_lease SET expires_at = clock_timestamp()")
        await taker.execute("SELECT take_lease(0, 'new', '15 s')")
        writing = asyncio.create_task(write())
        await until(lambda: is_waited_for(own_place, "ShareLock"))
        await taker.commit()
    with pytest.raises(Fenced):
        await writing
    assert await states(first, tenant) == []


async def test_B7_a_frozen_leader_does_not_hold_the_lease_for_ever(
    own_place: Place, second: Database
) -> None:
    """Its open transaction is ended by the server, and what it wrote is undone."""
    async with Database(own_place.operator, idle_in_transaction_s=0.3) as frozen:
        old, new = Lease(frozen, holder="old"), Lease(second, holder="new")
        tenant = await led_tenant(old, frozen)
        with pytest.raises(DatabaseUnavailable):
            async with frozen.writing(tenant.organization_id, old.fence()) as conn:
                await ledger.insert_resources(conn, [tenant.server()])
                expire(own_place)
                assert await new.take_or_renew()
    assert await states(second, tenant) == []


async def test_an_expired_lease_that_nobody_took_is_renewed_with_its_epoch(
    own_place: Place, first: Database
) -> None:
    lease = Lease(first, holder="only")
    tenant = await led_tenant(lease, first)
    expire(own_place)
    with pytest.raises(Fenced):
        async with first.writing(tenant.organization_id, lease.fence()):
            pytest.fail("the body must not run")
    assert await lease.take_or_renew()
    assert lease.fence().epoch == 1
    async with first.writing(tenant.organization_id, lease.fence()) as conn:
        await ledger.insert_resources(conn, [tenant.server()])


async def test_shards_are_led_apart(own_place: Place, first: Database) -> None:
    zero, one = Lease(first, holder="a"), Lease(first, holder="b", shard=1)
    tenant = await led_tenant(zero, first)
    assert await one.take_or_renew()
    async with first.writing(tenant.organization_id, one.fence()):
        pass
    with pytest.raises(Fenced):
        async with first.writing(tenant.organization_id, Fence(shard=1, epoch=2)):
            pass


async def test_a_lease_is_not_believed_longer_than_it_lasts(own_place: Place, first: Database) -> None:
    clock = SetClock()
    lease = Lease(first, holder="only", clock=clock, duration_s=15.0, max_clock_difference_s=math.inf)
    assert await lease.take_or_renew()
    clock.advance(14.9)
    assert lease.fence().epoch == 1
    clock.advance(0.2)
    assert not lease.is_held
    with pytest.raises(Fenced):
        lease.fence()


async def test_metrics_say_who_leads_and_nobody_before_and_after(own_place: Place, first: Database) -> None:
    clock, registry = SetClock(), CollectorRegistry()

    def leads() -> float | None:
        return registry.get_sample_value("inventiv_leader", {"shard": "0"})

    metrics = LeaderMetrics(registry)
    assert leads() == 0.0
    lease = Lease(
        first, holder="only", clock=clock, duration_s=15.0, max_clock_difference_s=math.inf, metrics=metrics
    )
    assert leads() == 0.0
    await lease.take_or_renew()
    assert leads() == 1.0
    clock.advance(15.1)  # and nobody renewed it
    assert leads() == 0.0
    await lease.take_or_renew()
    assert leads() == 1.0
    await lease.release()
    assert leads() == 0.0


async def test_a_released_lease_is_taken_at_once(own_place: Place, first: Database, second: Database) -> None:
    told: list[str] = []
    old = Lease(
        first, holder="old", on_gained=lambda: told.append("gained"), on_lost=lambda: told.append("lost")
    )
    new = Lease(second, holder="new")
    assert await old.take_or_renew()
    assert not await new.take_or_renew()
    await old.release()
    assert told == ["gained", "lost"]
    assert await new.take_or_renew()
    assert new.fence().epoch == 2


async def test_the_loop_takes_keeps_and_hands_over(
    own_place: Place, first: Database, second: Database
) -> None:
    stops = asyncio.Event(), asyncio.Event()
    old = Lease(first, holder="old", duration_s=5.0, renew_s=0.02)
    new = Lease(second, holder="new", duration_s=5.0, renew_s=0.02)
    one = asyncio.create_task(old.run(stops[0]))
    async with asyncio.timeout(10):
        await old.wait_held()
    two = asyncio.create_task(new.run(stops[1]))
    before = await _expires_at(own_place)

    async def is_renewed() -> bool:
        return bool(await _expires_at(own_place) > before)

    await until(is_renewed)
    assert old.is_held
    assert not new.is_held
    stops[0].set()
    await one
    async with asyncio.timeout(10):
        await new.wait_held()
    assert new.fence().epoch == 2
    stops[1].set()
    await two


async def _expires_at(place: Place) -> Any:
    async with await AsyncConnection.connect(place.superuser, autocommit=True) as conn:
        row = await (await conn.execute("SELECT expires_at FROM operator_lease")).fetchone()
        assert row is not None
        return row[0]


async def test_writes_are_stamped_by_the_leaders_clock(own_place: Place) -> None:
    clock = SetClock()
    async with Database(own_place.operator, clock=clock) as db:
        lease = Lease(db, holder="only")
        tenant = await led_tenant(lease, db)
        clock.advance(3600.0)
        async with db.writing(tenant.organization_id, lease.fence()) as conn:
            await ledger.insert_resources(conn, [tenant.group()])
        async with db.reading(tenant.organization_id) as conn:
            [row] = await ledger.credential_resources(conn, tenant.credential_id)
    assert (row.created_at - NOW).total_seconds() == 3600.0
