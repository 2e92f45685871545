"""A circuit breaker: when none of a key's calls comes through, further ones fail at once, and one asks now
and then.
"""

from typing import Final

THRESHOLD: Final = 5
"""Failures in a row: sockets, time-outs, 5xx and answers that make no sense. A definite refusal is a success.
"""
FIRST_REST_S: Final = 1.0
REST_CAP_S: Final = 10.0
"""Short, so that work resumes soon after an outage; one call per key and rest costs nothing."""
PROBE_WAIT_S: Final = 0.5


class Breaker:
    """Closed, open until a time, or half open with one probe under way."""

    def __init__(self) -> None:
        self._failures = 0
        self._rests = 0
        self._open_until_s: float | None = None
        self._probing = False

    @property
    def is_closed(self) -> bool:
        return self._open_until_s is None

    def refused_for_s(self, now_s: float) -> float | None:
        """Seconds until it is worth asking again; None: a call may go now."""
        if self._open_until_s is None:
            return None
        if now_s < self._open_until_s:
            return self._open_until_s - now_s
        return PROBE_WAIT_S if self._probing else None

    def enter(self) -> bool:
        """After `refused_for_s` said None. True: the call is the probe, and must be ended by one of the three
        below.
        """
        if self._open_until_s is None:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        self._failures = self._rests = 0
        self._open_until_s = None
        self._probing = False

    def failed(self, *, is_probe: bool, now_s: float, jitter: float) -> bool:
        """Whether it opened, or stays open, because of this one."""
        if self._open_until_s is not None and not is_probe:
            return False  # left before it opened
        self._failures += 1
        self._probing = False
        if not is_probe and self._failures < THRESHOLD:
            return False
        rest_s = min(REST_CAP_S, FIRST_REST_S * 2.0 ** min(self._rests, 16))
        self._rests += 1
        self._open_until_s = now_s + rest_s * (0.5 + 0.5 * jitter)
        return True

    def abandoned(self, *, is_probe: bool) -> None:
        """The call was given up by its caller: nothing was learnt."""
        if is_probe:
            self._probing = False
