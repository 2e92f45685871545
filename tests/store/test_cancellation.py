"""Whatever is cancelled, and when, its connection comes back to the pool."""

import asyncio

from inventiv_operator.store.database import Database
from store.conftest import FENCE, Tenant
from store.postgres_server import Place


async def test_a_cancellation_in_the_middle_of_a_failure_loses_no_connection(
    place: Place, tenant: Tenant
) -> None:
    async def fail_and_be_cancelled(db: Database) -> None:
        task = asyncio.current_task()
        assert task is not None
        async with db.writing(tenant.organization_id, FENCE):
            task.cancel()  # as by the queue's deadline; it strikes at the next await, which is the rollback
            raise RuntimeError("some defect")

    async def use(db: Database) -> None:
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await conn.execute("UPDATE providers SET reason = reason")

    async with Database(place.operator, max_size=2, timeout_s=2.0) as db:
        for _ in range(5):
            task = asyncio.create_task(fail_and_be_cancelled(db))
            await asyncio.gather(task, return_exceptions=True)
        await asyncio.gather(*(use(db) for _ in range(8)))
