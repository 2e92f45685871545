"""Time of a simulated world: the process's clock, stretched by the world's own speed."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What the simulator asks of time; tests pass one that runs on a virtual event loop."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, delay_s: float) -> None: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


class WorldTime:
    """Seconds and instants inside the world.

    A speed of 10 lets ten world seconds pass in one second outside: servers boot ten times faster, and
    timestamps run ahead of the machine's. Latency and delays of faults are outside time.
    """

    def __init__(self, clock: Clock, *, speed: float) -> None:
        self._clock = clock
        self._speed = speed
        self._zero_s = clock.monotonic()
        self._began = clock.now()

    def seconds(self) -> float:
        """World seconds since the world began."""
        return (self._clock.monotonic() - self._zero_s) * self._speed

    def at(self, seconds: float) -> datetime:
        return self._began + timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self.at(self.seconds())

    def outside_s(self, world_s: float) -> float:
        """How long somebody outside waits for so many world seconds."""
        return world_s / self._speed
