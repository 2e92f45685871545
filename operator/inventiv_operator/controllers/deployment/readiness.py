"""Which instances are ready now, and what is remembered of their probes between passes."""

import asyncio
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inventiv_operator.controllers.probes import Prober
from inventiv_operator.domain.cloud import RUNNING
from inventiv_operator.domain.ids import InstanceId
from inventiv_operator.domain.instance_plan import InstanceFacts
from inventiv_operator.domain.ledger import InstanceState
from inventiv_operator.domain.sight import Listed
from inventiv_operator.domain.wanted import Readiness
from inventiv_operator.runtime.clock import Clock

READY_PERIOD_S = 60.0
PROBES_AT_ONCE = 32


@dataclass(slots=True)
class _Memory:
    """After a restart an instance that was ready counts as ready until enough probes in a row say otherwise."""

    ready: bool
    failures: int = 0
    next_s: float = 0.0


class ReadinessMemory:
    """Probes what is due; `random` only spreads the probes of ready instances."""

    def __init__(self, *, prober: Prober, clock: Clock) -> None:
        self._prober = prober
        self._clock = clock
        self._memories: dict[InstanceId, _Memory] = {}

    async def ready(
        self, facts: Iterable[InstanceFacts], *, readiness: Readiness | None, deadline_s: float
    ) -> frozenset[InstanceId]:
        """The ids of the instances that are ready now; without `readiness`, running is ready."""
        running = [f for f in facts if f.instance.state is InstanceState.ACTIVE and _runs(f)]
        if readiness is None:
            return frozenset(f.instance.id for f in running)
        await self._probe_due(running, readiness, deadline_s=deadline_s)
        return frozenset(
            f.instance.id for f in running if self._memory(f).ready
        )

    def forget(self, instance_ids: Iterable[InstanceId]) -> None:
        """Instances that are gone."""
        for instance_id in instance_ids:
            self._memories.pop(instance_id, None)

    def next_due_s(self, facts: Iterable[InstanceFacts]) -> float | None:
        """Seconds until the next probe of one of these is due."""
        now_s = self._clock.monotonic()
        dues = [
            memory.next_s - now_s
            for f in facts
            if (memory := self._memories.get(f.instance.id)) is not None and _runs(f)
        ]
        return max(0.05, min(dues)) if dues else None

    def _memory(self, facts: InstanceFacts) -> _Memory:
        return self._memories.setdefault(
            facts.instance.id, _Memory(ready=facts.instance.ready_at is not None)
        )

    async def _probe_due(
        self, running: Sequence[InstanceFacts], readiness: Readiness, *, deadline_s: float
    ) -> None:
        now_s = self._clock.monotonic()
        due = [f for f in running if self._memory(f).next_s <= now_s]
        limit = asyncio.Semaphore(PROBES_AT_ONCE)

        async def one(facts: InstanceFacts) -> None:
            async with limit:
                if self._clock.monotonic() > deadline_s:
                    return
                await self._probe(facts, readiness)

        async with asyncio.TaskGroup() as tasks:
            for each in due:
                tasks.create_task(one(each))

    async def _probe(self, facts: InstanceFacts, readiness: Readiness) -> None:
        memory = self._memory(facts)
        address = address_of(facts)
        answered = address is not None and await self._prober.ask(address, readiness)
        if answered:
            memory.ready, memory.failures = True, 0
        else:
            memory.failures += 1
            if memory.failures >= readiness.failure_threshold:
                memory.ready = False
        steady = memory.ready and memory.failures == 0
        period_s = READY_PERIOD_S * random.uniform(0.9, 1.1) if steady else readiness.period_s  # noqa: S311 (spread, no secret)
        memory.next_s = self._clock.monotonic() + period_s


def address_of(facts: InstanceFacts) -> str | None:
    """The address that the provider gives for the server in the ledger."""
    match facts.sight:
        case Listed(seen=seen):
            return next((a.address for a in seen.addresses), None)
        case _:
            return None


def _runs(facts: InstanceFacts) -> bool:
    match facts.sight:
        case Listed(seen=seen):
            return seen.state == RUNNING and facts.server is not None and facts.server.started_at is not None
        case _:
            return False
