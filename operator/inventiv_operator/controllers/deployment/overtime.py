"""Passes that outlive their step.

A step has 20 s, and an API that hangs takes 30 s for each call. A call must not be cut: its outcome would be
unknown for no reason. And a worker must not wait for it: the others lack it (T6). So the
pass goes on alone, and steps on the same key join it before anything new is begun.

A pass may outlive a lease in the same way. It carries the epoch that it began under: once that is over it
writes nothing and sends nothing that changes anything, also when this process leads again.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from inventiv_operator.runtime.clock import Clock
from inventiv_operator.runtime.queue import Key, Result
from inventiv_operator.store.errors import Fenced

LOOK_AGAIN_S = 5.0


class Overtime:
    """One per process. At most one pass per key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._passes: dict[Key, asyncio.Task[Result]] = {}

    async def within(
        self, key: Key, work: Callable[[], Coroutine[Any, Any, Result]], *, deadline_s: float
    ) -> Result:
        """What the pass came to, or that it is still under way.

        Raises what the pass raises, also when it ended after its own step; not that it was fenced, though,
        in a later step: that one may be of a later epoch.
        """
        earlier = self._passes.get(key)
        if earlier is None:
            task = self._passes[key] = asyncio.create_task(work(), name=f"pass {key.namespace}/{key.name}")
        else:
            task = earlier
        left_s = max(0.0, deadline_s - self._clock.monotonic())
        try:
            await asyncio.wait({task}, timeout=left_s)
        except asyncio.CancelledError:  # the process ends
            await self._cut(key, task)
            raise
        if not task.done():
            return Result(requeue_after_s=LOOK_AGAIN_S)
        del self._passes[key]
        if earlier is None:
            return task.result()
        # It had begun before whatever brought this step.
        try:
            return replace(task.result(), requeue_after_s=0.0)
        except Fenced:
            return Result(requeue_after_s=0.0)

    async def close(self) -> None:
        """Cut what is still under way."""
        for key, task in tuple(self._passes.items()):
            await self._cut(key, task)

    async def _cut(self, key: Key, task: "asyncio.Task[Result]") -> None:
        self._passes.pop(key, None)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
