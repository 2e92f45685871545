"""A clock that follows the event loop, which is virtual under `pytest.mark.looptime`."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 7, 1, tzinfo=UTC)


class LoopClock:
    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
