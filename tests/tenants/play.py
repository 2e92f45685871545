"""Playing one sequence from a test that is not asynchronous, such as Hypothesis calls."""

import asyncio
from collections.abc import Sequence

from tenants.operations import Step
from tenants.story import Stage, Story


class Theatre:
    def __init__(self, runner: asyncio.Runner, stage: Stage) -> None:
        self._runner = runner
        self._stage = stage

    def play(self, steps: Sequence[Step], *, settled: bool) -> None:
        """Raises AssertionError with what happened."""
        trace: list[str] = []

        async def story() -> None:
            await Story(self._stage, trace).live(steps, settled=settled)

        try:
            self._runner.run(story())
        except Exception as error:
            error.add_note("\n".join(trace))
            raise
