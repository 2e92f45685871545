"""Who leads (B7): a row taken and renewed by the database's clock, and an epoch that every write carries.

Taking over waits for the writes of the epoch that ends, so none of them commits later. What this class knows
by its own monotonic clock is only good for not trying in vain.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import AsyncConnection

from inventiv_operator.domain.ledger import Fence
from inventiv_operator.runtime.clock import Clock, SystemClock
from inventiv_operator.runtime.leader_metrics import LeaderMetrics
from inventiv_operator.store.clocks import MAX_DIFFERENCE_S, ClockCheck, database_time
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import CannotStart, DatabaseUnavailable, Fenced, StoreError

logger = logging.getLogger(__name__)

DURATION_S: Final = 10.0
RENEW_S: Final = 3.0
"""Two renewals may fail. A crash costs at most the duration; losing it too early only a take-over."""
RETRY_S: Final = 1.0

_TAKE = "SELECT take_lease(%s, %s, %s)"
_RENEW = """
UPDATE operator_lease SET expires_at = clock_timestamp() + %(duration)s
WHERE shard = %(shard)s AND holder = %(holder)s AND epoch = %(epoch)s
RETURNING clock_timestamp()
"""
_RELEASE = """
UPDATE operator_lease SET expires_at = clock_timestamp()
WHERE shard = %(shard)s AND holder = %(holder)s AND epoch = %(epoch)s
"""


def _nothing() -> None:
    return


def _tell_nobody(_: str) -> None:
    return


class Lease:
    """The lease of one shard. `holder` must be another one for every process, also after a restart."""

    def __init__(
        self,
        database: Database,
        *,
        holder: str,
        shard: int = 0,
        duration_s: float = DURATION_S,
        renew_s: float = RENEW_S,
        clock: Clock | None = None,
        on_gained: Callable[[], None] = _nothing,
        on_lost: Callable[[], None] = _nothing,
        max_clock_difference_s: float = MAX_DIFFERENCE_S,
        on_clock: Callable[[str], None] = _tell_nobody,
        metrics: LeaderMetrics | None = None,
    ) -> None:
        """`on_clock` is told why this process may not lead when its clock goes wrong, and an empty text when
        it goes right again.
        """
        self._database = database
        self._holder = holder
        self._shard = shard
        self._duration_s = duration_s
        self._renew_s = renew_s
        self._clock = clock or SystemClock()
        self._on_gained = on_gained
        self._on_lost = on_lost
        self._on_clock = on_clock
        self._clocks = ClockCheck(
            self._clock, max_difference_s=max_clock_difference_s, tell=self._say_of_clock
        )
        self._epoch: int | None = None
        self._good_until_s = 0.0
        self._held = asyncio.Event()
        if metrics is not None:
            metrics.follow(shard, lambda: self.is_held)

    @property
    def is_held(self) -> bool:
        """As far as this process can know without asking."""
        return self._epoch is not None and self._clock.monotonic() < self._good_until_s

    def fence(self) -> Fence:
        """What writes carry.

        Raises:
            Fenced: not held, or not renewed in time.
        """
        if self._epoch is None or self._clock.monotonic() >= self._good_until_s:
            raise Fenced("this process does not lead")
        return Fence(shard=self._shard, epoch=self._epoch)

    async def wait_held(self) -> None:
        """Until this process leads."""
        await self._held.wait()

    async def take_or_renew(self) -> bool:
        """One attempt; whether the lease is held after it. Not held by one whose clock goes wrong.

        Raises:
            DatabaseUnavailable: nothing is known; a lease that was held stays so until it runs out.
        """
        asked_at_s, asked_at = self._clock.monotonic(), self._clock.now()
        async with self._database.platform() as conn:
            if self._epoch is None:
                if not self._clocks.goes_with(await database_time(conn), asked_at=asked_at):
                    return False
                epoch, theirs = await self._take(conn), None
            else:
                epoch, theirs = self._epoch, await self._renew(conn, self._epoch)
                if theirs is None:
                    epoch = None
        if epoch is None:
            self._lose("another process took it over")
            return False
        if theirs is not None and not self._clocks.goes_with(theirs, asked_at=asked_at):
            await self.release()
            return False
        self._good_until_s = asked_at_s + self._duration_s
        if self._epoch != epoch:
            self._epoch = epoch
            self._held.set()
            logger.info("leading", extra={"shard": self._shard, "epoch": epoch})
            self._on_gained()
        return True

    async def release(self) -> None:
        """Let the next one take it at once. Does nothing when the lease is not held."""
        epoch, self._epoch = self._epoch, None
        if epoch is None:
            return
        self._held.clear()
        self._on_lost()
        with contextlib.suppress(StoreError):  # then it runs out by itself
            async with self._database.platform() as conn:
                await conn.execute(_RELEASE, {"shard": self._shard, "holder": self._holder, "epoch": epoch})

    async def run(self, stop: asyncio.Event) -> None:
        """Take it, keep it, take it again, until `stop` is set; then release it."""
        try:
            while not stop.is_set():
                await self._one_round()
                await self._pause(stop)
        finally:
            await self.release()

    async def _one_round(self) -> None:
        try:
            await self.take_or_renew()
        except DatabaseUnavailable as error:
            logger.debug("lease not renewed: %s", error)
        except CannotStart:
            raise
        except StoreError as error:  # waiting may help, and whoever does not lead does no harm
            logger.warning("lease not renewed: %s", error, extra={"shard": self._shard})
        if self._epoch is not None and self._clock.monotonic() >= self._good_until_s:
            self._lose("it could not be renewed in time")

    async def _pause(self, stop: asyncio.Event) -> None:
        delay_s = self._renew_s
        if self._epoch is None or self._good_until_s - self._clock.monotonic() < self._duration_s - RETRY_S:
            delay_s = min(self._renew_s, RETRY_S)
        stopping = asyncio.ensure_future(stop.wait())
        sleeping = asyncio.ensure_future(self._clock.sleep(delay_s))
        try:
            await asyncio.wait({stopping, sleeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            sleeping.cancel()

    async def _take(self, conn: AsyncConnection[Any]) -> int | None:
        cursor = await conn.execute(_TAKE, (self._shard, self._holder, timedelta(seconds=self._duration_s)))
        row = await cursor.fetchone()
        return None if row is None or row[0] is None else int(str(row[0]))

    async def _renew(self, conn: AsyncConnection[Any], epoch: int) -> datetime | None:
        """The database's time; None: another process took it over."""
        cursor = await conn.execute(
            _RENEW,
            {
                "duration": timedelta(seconds=self._duration_s),
                "shard": self._shard,
                "holder": self._holder,
                "epoch": epoch,
            },
        )
        row = await cursor.fetchone()
        return None if row is None else row[0]

    def _say_of_clock(self, problem: str) -> None:
        if problem:
            logger.warning("not leading: %s", problem, extra={"shard": self._shard})
        else:
            logger.info("the clock goes right again", extra={"shard": self._shard})
        self._on_clock(problem)

    def _lose(self, why: str) -> None:
        if self._epoch is None:
            return
        logger.warning("no longer leading: %s", why, extra={"shard": self._shard, "epoch": self._epoch})
        self._epoch = None
        self._held.clear()
        self._on_lost()
