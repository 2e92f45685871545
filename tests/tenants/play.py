"""Playing sequences from tests that are not asynchronous, because Hypothesis calls them."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tenants.operations import Step
from tenants.story import Stage, Story

SEED = os.environ.get("SEED", "20260801")
RUNS = int(os.environ.get("RUNS", "500"))
"""Sequences in all; they are played in `CHUNKS` parts of two files."""
CHUNKS = tuple(range(5))
ANYWAY = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.nested_given)


class Theatre:
    def __init__(self, runner: asyncio.Runner, stage: Stage) -> None:
        self._runner = runner
        self._stage = stage
        self.played = 0
        self.swaps = 0
        """How often a stored key was replaced by another, in all sequences that were played."""

    def play(self, steps: Sequence[Step], *, settled: bool) -> None:
        """Raises AssertionError with what happened."""
        self.played += 1
        trace: list[str] = []

        async def story() -> None:
            played = Story(self._stage, trace)
            await played.live(steps, settled=settled)
            self.swaps += played.watch.swaps

        try:
            self._runner.run(story())
        except Exception as error:
            error.add_note("\n".join((f"sequence {self.played}:", *trace)))
            raise

    def show(self, scene: Callable[[Story], Coroutine[Any, Any, None]]) -> None:
        """What is no sequence."""

        async def story() -> None:
            await scene(Story(self._stage, []))

        self._runner.run(story())

    def play_many(self, sequences: st.SearchStrategy[list[Step]], *, part: str) -> None:
        """One part of all the runs, with a seed of its own; the smallest sequence that fails is printed."""
        chosen = f"{SEED}.{part}"
        print(f"SEED={SEED} part {part}")  # noqa: T201 (shown with -s and on failure)

        @seed(chosen)
        @settings(
            max_examples=max(1, RUNS // (2 * len(CHUNKS))),
            deadline=None,
            database=None,
            suppress_health_check=ANYWAY,
        )
        @given(steps=sequences, settled=st.booleans())
        def one(steps: list[Step], settled: bool) -> None:  # noqa: FBT001 (by name)
            self.play(steps, settled=settled)

        one()
