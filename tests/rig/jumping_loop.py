"""An event loop in which only real I/O takes time.

While PostgreSQL is being talked to, its clock runs like the machine's. When nothing is on its way, it jumps
to the next timer at once. So minutes of settling and back-off pass in milliseconds, with the real database.
"""

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 7, 1, tzinfo=UTC)


class _Selector(selectors.DefaultSelector):
    """Asks the loop what waiting is worth."""

    loop: "JumpingLoop | None" = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self.loop
        if loop is None or timeout is None or timeout <= 0 or loop.awaits_the_world():
            return super().select(timeout)
        events = super().select(0)
        if not events:
            loop.jump(timeout)
        return events


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._offset_s = 0.0
        self._in_threads = 0
        self._waiting = _Selector()
        super().__init__(self._waiting)
        self._waiting.loop = self

    def time(self) -> float:
        return super().time() + self._offset_s

    def jump(self, seconds: float) -> None:
        self._offset_s += seconds

    def awaits_the_world(self) -> bool:
        """Whether a socket (besides the loop's own) or a thread is waited for."""
        return self._in_threads > 0 or len(self._waiting.get_map()) > 1

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        self._in_threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._left_thread)
        return future

    def _left_thread(self, _: asyncio.Future[Any]) -> None:
        self._in_threads -= 1


class LoopClock:
    """The clock of whatever loop runs; fits the operator's Protocol and the simulator's."""

    def __init__(self) -> None:
        self._zero_s = asyncio.get_running_loop().time()

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic() - self._zero_s)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
