"""Instances whose step outlived its pass.

One call that hangs for the provider's whole time-out must not hold up the others of its deployment, and must
not be cut either: its outcome would be unknown for no reason. So it goes on alone, and passes leave its
instance alone until it has ended.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Generic, TypeVar

from inventiv_operator.domain.ids import InstanceId
from inventiv_operator.store.errors import StoreError

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

STRAGGLE_S = 4.0
"""When nothing has ended for so long, a pass leaves what is still under way behind."""


class InFlight(Generic[ResultT]):
    """One per process."""

    def __init__(self) -> None:
        self._tasks: dict[InstanceId, asyncio.Task[ResultT]] = {}
        self._retired: set[InstanceId] = set()

    def __contains__(self, instance_id: object) -> bool:
        return instance_id in self._tasks

    def retire(self, instance_ids: Iterable[InstanceId]) -> None:
        """What is under way for these goes no further towards a start: they are being deleted, or lost."""
        self._retired.update(i for i in instance_ids if i in self._tasks)

    def is_retired(self, instance_id: InstanceId) -> bool:
        """Whether a later pass has given it up while a step of this one was under way."""
        return instance_id in self._retired

    async def run(
        self,
        jobs: Mapping[InstanceId, Callable[[], Coroutine[Any, Any, ResultT]]],
        *,
        straggle_s: float = STRAGGLE_S,
    ) -> dict[InstanceId, ResultT]:
        """The results of those that ended; the others go on.

        When one failed, its error is raised after the others have ended or been left behind: a failure must
        not cut the calls that they have under way.
        """
        tasks = {instance_id: asyncio.create_task(job()) for instance_id, job in jobs.items()}
        for instance_id, task in tasks.items():
            self._tasks[instance_id] = task
            task.add_done_callback(self._forgetting(instance_id))
        pending = set(tasks.values())
        try:
            while pending:
                done, pending = await asyncio.wait(
                    pending, timeout=straggle_s, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
        finally:
            for task in pending:
                task.add_done_callback(_report)
        ended = {i: task for i, task in tasks.items() if task.done() and not task.cancelled()}
        errors = [error for task in ended.values() if (error := task.exception()) is not None]
        if errors:
            raise errors[0]
        return {instance_id: task.result() for instance_id, task in ended.items()}

    async def close(self) -> None:
        """Cut what is still under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forgetting(self, instance_id: InstanceId) -> Callable[[asyncio.Task[ResultT]], None]:
        def forget(task: asyncio.Task[ResultT]) -> None:
            if self._tasks.get(instance_id) is task:
                del self._tasks[instance_id]
                self._retired.discard(instance_id)

        return forget


def _report(task: asyncio.Task[Any]) -> None:
    """Nobody awaits it any more. What the ledger holds is what the next pass starts from."""
    if task.cancelled():
        return
    error = task.exception()
    if isinstance(error, StoreError):
        logger.info("a step that outlived its pass ended early", extra={"error": str(error)})
    elif error is not None:
        logger.error("a step that outlived its pass failed", exc_info=error)
