"""Batched ledger writes: exact promises for each, few transactions for all."""

import asyncio
from typing import Any

import pytest
from psycopg import AsyncConnection

from controllers.deployment.conftest import Rig
from inventiv_operator.controllers.ledger_writer import LedgerWriter
from inventiv_operator.store.errors import Conflict, Fenced


async def count(rig: Rig) -> int:
    """Transactions of the writers so far."""
    async with rig.around.database.reading(rig.tenant.organization_id) as conn:
        cursor = await conn.execute("SELECT pg_current_xact_id()::text::bigint")
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


def operation(done: list[int], number: int) -> Any:
    async def write(conn: AsyncConnection[Any]) -> None:
        await conn.execute("UPDATE providers SET reason = %s", (str(number),))
        done.append(number)

    return write


async def conflict(conn: AsyncConnection[Any]) -> None:
    raise Conflict("moved on")


async def test_concurrent_writes_share_a_transaction_and_return_after_its_commit(rig: Rig) -> None:
    writer, done = LedgerWriter(rig.process.services), []  # type: ignore[var-annotated]
    organization_id = rig.tenant.organization_id

    async def one(number: int) -> None:
        await writer.write(organization_id, operation(done, number))
        async with rig.around.database.reading(organization_id) as conn:
            row = await (await conn.execute("SELECT reason FROM providers")).fetchone()
        assert row is not None
        assert int(row[0]) >= number, "returned before its commit"

    before = await count(rig)
    await asyncio.gather(*(one(number) for number in range(50)))
    assert sorted(done) == list(range(50))
    assert await count(rig) - before <= 4


async def test_a_conflict_is_its_own_operations_alone(rig: Rig) -> None:
    writer, done = LedgerWriter(rig.process.services), []  # type: ignore[var-annotated]
    organization_id = rig.tenant.organization_id
    results = await asyncio.gather(
        writer.write(organization_id, operation(done, 1)),
        writer.write(organization_id, conflict),
        writer.write(organization_id, operation(done, 2)),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), Conflict, type(None)]
    assert {1, 2} <= set(done)


async def test_B7_whoever_was_fenced_writes_nothing_more(rig: Rig) -> None:
    writer, done = LedgerWriter(rig.process.services), []  # type: ignore[var-annotated]
    rig.premises.take_over()
    with pytest.raises(Fenced):
        await writer.write(rig.tenant.organization_id, operation(done, 1))
    assert done == []


async def test_B7_a_write_of_an_earlier_epoch_is_fenced_alone(rig: Rig) -> None:
    services = rig.process.services
    writer, done = LedgerWriter(services), []  # type: ignore[var-annotated]
    earlier = writer.under(services.of_this_epoch().leadership)
    organization_id = rig.tenant.organization_id
    await earlier.write(organization_id, operation(done, 1))
    rig.process.leader.epoch = rig.premises.take_over()
    posted = writer.post(organization_id, operation(done, 2))
    results = await asyncio.gather(
        earlier.write(organization_id, operation(done, 3)),
        writer.under(services.of_this_epoch().leadership).write(organization_id, operation(done, 4)),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [Fenced, type(None)]
    await posted
    assert done == [1, 2, 4]


async def test_a_write_whose_caller_has_left_does_not_stop_the_others(rig: Rig) -> None:
    writer, done = LedgerWriter(rig.process.services), []  # type: ignore[var-annotated]
    leaver = asyncio.create_task(writer.write(rig.tenant.organization_id, operation(done, 1)))
    stayer = asyncio.create_task(writer.write(rig.tenant.organization_id, operation(done, 2)))
    await asyncio.sleep(0)
    leaver.cancel()
    await stayer
    assert 2 in done
