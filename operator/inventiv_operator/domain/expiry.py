"""How near the end of an API key is, in the steps at which its tenant is told."""

import math
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

DAY_S: Final = 86400.0


class ExpiryStep(IntEnum):
    """In the order in which a key passes through them; each is entered once."""

    FAR = 0
    MONTH = 1
    WEEK = 2
    DAY = 3
    ENDED = 4


_BEGINS_BEFORE: Final = {
    ExpiryStep.MONTH: timedelta(days=30),
    ExpiryStep.WEEK: timedelta(days=7),
    ExpiryStep.DAY: timedelta(days=1),
    ExpiryStep.ENDED: timedelta(0),
}
"""How long before the end a step begins."""


def step_of(end: datetime, *, now: datetime) -> ExpiryStep:
    """The step that the key is in; the instant at which one begins belongs to it."""
    left = end - now
    return max((step for step, before in _BEGINS_BEFORE.items() if left <= before), default=ExpiryStep.FAR)


def next_step_in_s(end: datetime | None, *, now: datetime) -> float | None:
    """Seconds until the next step begins; None: no end is known, or it is past."""
    if end is None:
        return None
    ahead = [
        left_s for before in _BEGINS_BEFORE.values() if (left_s := (end - before - now).total_seconds()) > 0
    ]
    return min(ahead, default=None)


def has_ended(end: datetime | None, *, now: datetime) -> bool:
    """None, no known end, has not."""
    return end is not None and end <= now


def time_left(end: datetime, *, now: datetime) -> str:
    """In words, and whole days: they change once a day, and so does the status that says them."""
    days = math.ceil((end - now).total_seconds() / DAY_S)
    return "less than a day" if days <= 1 else f"{days} days"
