"""How fast calls may start: token buckets that give way after a 429 and recover slowly without one.

Pure arithmetic over monotonic seconds; nothing here waits.
"""

from dataclasses import dataclass
from typing import Final

RECOVERY_S: Final = 30.0
"""From the lowest rate back to the full one, when no further 429 comes."""
FIRST_PAUSE_S: Final = 0.5
PAUSE_CAP_S: Final = 30.0


class Bucket:
    """A token bucket: `burst` calls at once, then `rate_per_s`."""

    def __init__(self, *, rate_per_s: float, burst: float, now_s: float) -> None:
        self.rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._filled_s = now_s

    def ready_in_s(self, now_s: float) -> float:
        """Seconds until a token is there; 0 when one is."""
        self._fill(now_s)
        # A hair less than one is one: the time that it takes to fill the rest is lost in rounding.
        return 0.0 if self._tokens >= 1.0 - 1e-6 else (1.0 - self._tokens) / self.rate_per_s

    def take(self) -> None:
        """Only after `ready_in_s` said 0."""
        self._tokens -= 1.0

    def slow_down_to(self, rate_per_s: float, *, now_s: float) -> None:
        self._fill(now_s)
        self.rate_per_s = rate_per_s
        self._tokens = min(self._tokens, 1.0)

    def speed_up_to(self, rate_per_s: float, *, now_s: float) -> None:
        self._fill(now_s)
        self.rate_per_s = rate_per_s

    def _fill(self, now_s: float) -> None:
        if now_s > self._filled_s:
            self._tokens = min(self._burst, self._tokens + (now_s - self._filled_s) * self.rate_per_s)
            self._filled_s = now_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceLimits:
    """Calls per second and at once; the `least` values are what repeated 429s lead to."""

    rate_per_s: float = 50.0
    least_rate_per_s: float = 1.0
    burst: float = 10.0
    concurrency: int = 16
    least_concurrency: int = 2


class Pace:
    """Additive increase, multiplicative decrease of one key's rate and concurrency, with a pause after a 429.

    A 429 has an empty body and no Retry-After (api.md 1), so the pause is ours: doubling, with jitter.
    """

    def __init__(self, limits: PaceLimits, *, now_s: float) -> None:
        self._limits = limits
        self._bucket = Bucket(rate_per_s=limits.rate_per_s, burst=limits.burst, now_s=now_s)
        self._concurrency = float(limits.concurrency)
        self._changed_s = now_s
        self._paused_until_s = now_s
        self._in_a_row = 0

    @property
    def concurrency(self) -> int:
        return int(self._concurrency)

    @property
    def rate_per_s(self) -> float:
        return self._bucket.rate_per_s

    def pause_left_s(self, now_s: float) -> float:
        return max(0.0, self._paused_until_s - now_s)

    def ready_in_s(self, now_s: float) -> float:
        """Seconds until the next call may start, whatever is under way; 0 when it may now."""
        pause_s = self.pause_left_s(now_s)
        return pause_s if pause_s > 0 else self._bucket.ready_in_s(now_s)

    def take(self) -> None:
        self._bucket.take()

    def throttled(
        self, *, started_s: float, now_s: float, retry_after_s: float | None, jitter: float
    ) -> None:
        """A call that started at `started_s` was answered 429. Those under way together count as one."""
        if started_s < self._changed_s and self._in_a_row:
            return
        pause_s = min(PAUSE_CAP_S, FIRST_PAUSE_S * 2.0 ** min(self._in_a_row, 16)) * (0.5 + 0.5 * jitter)
        self._in_a_row += 1
        self._changed_s = now_s
        self._paused_until_s = max(self._paused_until_s, now_s + max(pause_s, retry_after_s or 0.0))
        rate = max(self._limits.least_rate_per_s, self._bucket.rate_per_s / 2)
        self._bucket.slow_down_to(rate, now_s=now_s)
        self._concurrency = max(float(self._limits.least_concurrency), self._concurrency / 2)

    def succeeded(self, *, started_s: float, now_s: float) -> None:
        """Recovers by the time that has passed, not by the number of answers."""
        if not self._in_a_row and self._bucket.rate_per_s >= self._limits.rate_per_s:
            return
        if started_s < self._changed_s:
            return  # it left before the last change and says nothing about the new rate
        self._in_a_row = 0
        share = (now_s - max(self._changed_s, self._paused_until_s)) / RECOVERY_S
        if share <= 0:
            return
        self._changed_s = now_s
        limits = self._limits
        rate = min(limits.rate_per_s, self._bucket.rate_per_s + share * limits.rate_per_s)
        self._bucket.speed_up_to(rate, now_s=now_s)
        self._concurrency = min(float(limits.concurrency), self._concurrency + share * limits.concurrency)
