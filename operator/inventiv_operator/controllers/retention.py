"""What ended long ago is removed: lines of the audit log, and tombstones of the ledger.

An hourly loop of the leader, beside the queue: it concerns no object, and what it leaves today goes tomorrow.
"""

import logging
import random
from collections import Counter
from collections.abc import Callable
from typing import Final

from inventiv_operator.runtime.clock import Clock
from inventiv_operator.store import retention
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import DatabaseUnavailable, StoreError

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 3600.0
BATCH_PAUSE_S: Final = 0.1
"""Between two batches, which are the database's own work: tenants come first."""


class Retention:
    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        audit_days: int,
        tombstone_days: int,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter` returns numbers in [0, 1)."""
        self._database = database
        self._clock = clock
        self._audit_days = audit_days
        self._tombstone_days = tombstone_days
        self._jitter = jitter

    async def run(self, *, is_leader: Callable[[], bool]) -> None:
        """Prune for ever, while this process leads; what cannot be done now is done next time."""
        while True:
            await self._clock.sleep(INTERVAL_S * (0.5 + self._jitter()))
            await self.prune(is_leader=is_leader)

    async def prune(self, *, is_leader: Callable[[], bool]) -> None:
        """Batch after batch, until nothing is left to remove. A database that is away puts it off."""
        removed: Counter[str] = Counter()
        try:
            while is_leader():
                async with self._database.platform() as conn:
                    batch = await retention.prune(
                        conn, audit_days=self._audit_days, tombstone_days=self._tombstone_days
                    )
                if not batch:
                    break
                removed.update(batch)
                await self._clock.sleep(BATCH_PAUSE_S)
        except DatabaseUnavailable as error:
            logger.info("retention put off", extra={"error": str(error)})
        except StoreError as error:  # a mistake of ours must not end the process, nor be passed over
            logger.error("retention failed: nothing more is removed", extra={"error": str(error)})  # noqa: TRY400
        if removed:
            logger.info("removed what ended long ago", extra=dict(sorted(removed.items())))
