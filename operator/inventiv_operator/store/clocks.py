"""Whether this machine's clock goes with the database's (B7).

What one leader writes down with its clock (`send_before`, above all) the next one compares with its own. All
of them keep to the database's clock within a few seconds, or do not lead.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection

from inventiv_operator.runtime.clock import Clock

MAX_DIFFERENCE_S: Final = 5.0


async def database_time(conn: AsyncConnection[Any]) -> datetime:
    row = await (await conn.execute("SELECT clock_timestamp()")).fetchone()
    if row is None:
        raise AssertionError("a SELECT without FROM returns a row")
    found: datetime = row[0]
    return found


class ClockCheck:
    """Says what is wrong once for each time it goes wrong, to `tell`; an empty text: nothing is."""

    def __init__(self, clock: Clock, *, max_difference_s: float, tell: Callable[[str], None]) -> None:
        self._clock = clock
        self._max_difference_s = max_difference_s
        self._tell = tell
        self._was_wrong = False

    def goes_with(self, theirs: datetime, *, asked_at: datetime) -> bool:
        """`theirs` was read at some instant between `asked_at` and now: no time on the way counts."""
        answered_at = self._clock.now()
        difference_s = max((theirs - answered_at).total_seconds(), (asked_at - theirs).total_seconds(), 0.0)
        is_wrong = difference_s > self._max_difference_s
        if is_wrong and not self._was_wrong:
            side = "behind" if theirs > answered_at else "ahead of"
            self._tell(
                f"this machine's clock is {difference_s:.0f} s {side} PostgreSQL's, and whoever leads must be"
                f" within {self._max_difference_s:g} s of it: set the clocks of both by NTP"
            )
        elif self._was_wrong and not is_wrong:
            self._tell("")
        self._was_wrong = is_wrong
        return not is_wrong
