"""The end of audit lines and of the ledger's tombstones. The operator cannot delete them: it asks."""

from typing import Any, Final

from psycopg import AsyncConnection

LEAST_AUDIT_DAYS: Final = 30
LEAST_TOMBSTONE_DAYS: Final = 7
"""The function has the same bounds of its own: these make a wrong setting a line at start-up."""
BATCH: Final = 1000

_PRUNE: Final = "SELECT pruned, removed FROM prune_history(%s, %s, %s)"


async def prune(
    conn: AsyncConnection[Any], *, audit_days: int, tombstone_days: int, batch: int = BATCH
) -> dict[str, int]:
    """Remove one batch of every table's rows that are older than this, of all organizations.

    How many rows went, by table; empty: nothing is left to remove. `conn` is the platform's.
    """
    cursor = await conn.execute(_PRUNE, (audit_days, tombstone_days, batch))
    return {row[0]: row[1] for row in await cursor.fetchall()}
