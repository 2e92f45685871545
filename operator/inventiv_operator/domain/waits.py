"""Waiting: for how long, and for what."""

from dataclasses import dataclass
from datetime import datetime

POLL_S = 2.0
"""How often something in transition is looked at: the shared listing is refreshed at this pace."""
RETRY_S = 10.0
"""After an answer that says nothing: a 5xx, a 429, a time-out, a control that failed."""
LONGEST_POLL_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do now. `after_s` None: only an event or the next job changes anything."""

    reason: str
    after_s: float | None = POLL_S
    message: str = ""


def patience_s(since: datetime, *, now: datetime) -> float:
    """The polling pace for something that has been under way since then.

    Most things take seconds; what takes minutes, or never ends because of something that people must settle,
    is not worth a call every two seconds.
    """
    return min(LONGEST_POLL_S, max(POLL_S, (now - since).total_seconds() / 10))
