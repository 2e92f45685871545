"""Which instances are ready now: a loop that probes what is due, beside the passes.

A pass tells it which servers run and at which address, and takes from it what the probes said so far. So no
pass waits for a probe, an instance at rest costs no pass, and only a change of mind brings the deployment
back to the queue. After a restart of the operator an instance that was ready counts as ready until enough
probes in a row say otherwise.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from inventiv_operator.domain.cloud import RUNNING
from inventiv_operator.domain.ids import InstanceId, OrganizationId
from inventiv_operator.domain.instance_facts import InstanceFacts
from inventiv_operator.domain.ledger import InstanceState
from inventiv_operator.domain.sight import Listed, Unknown
from inventiv_operator.domain.wanted import Readiness
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.runtime.queue import Key

logger = logging.getLogger(__name__)

READY_PERIOD_S = 60.0
TICK_S = 0.5
"""Probes that become due within this time are started together."""
WAKE_AFTER_S = 0.3
"""Changes that come together are looked at together."""
AT_ONCE = 512
AT_ONCE_PER_ORGANIZATION = 64
"""Instances that swallow every packet hold their own tenant's probes up, and nobody else's (T6)."""


class Asks(Protocol):
    """`probes.Prober` fits."""

    async def ask(self, address: str, readiness: Readiness) -> bool: ...


class Wake(Protocol):
    """`WorkQueue.add` fits."""

    def __call__(self, key: Key, *, after_s: float) -> object: ...


@dataclass(slots=True, eq=False, kw_only=True)
class _Watch:
    """One instance. `address` None: nothing to ask."""

    key: Key
    organization_id: OrganizationId
    address: str | None
    readiness: Readiness
    ready: bool
    asked: bool = False
    failures: int = 0
    next_s: float = 0.0
    busy: bool = False


def _spread() -> float:
    return random.uniform(0.9, 1.1)  # noqa: S311 (spreads load, no secret)


class ReadinessMemory:
    """See the module. All methods belong to the loop's thread."""

    def __init__(
        self, *, prober: Asks, clock: Clock, wake: Wake | None = None, spread: Callable[[], float] = _spread
    ) -> None:
        """`wake` is called when an instance became ready, or is no longer."""
        self._prober = prober
        self._clock = clock
        self._wake = wake
        self._spread = spread
        self._watches: dict[InstanceId, _Watch] = {}
        self._of_key: dict[Key, frozenset[InstanceId]] = {}
        self._running: Counter[OrganizationId] = Counter()
        self._news = asyncio.Event()

    # -- what passes use -------------------------------------------------------------------------------------

    def watch(
        self,
        key: Key,
        organization_id: OrganizationId,
        facts: Iterable[InstanceFacts],
        *,
        readiness: Readiness | None,
    ) -> None:
        """Take over what a pass saw of all instances of one deployment; others of it are forgotten."""
        living = [f for f in facts if f.instance.state is InstanceState.ACTIVE] if readiness else []
        ids = frozenset(f.instance.id for f in living)
        for gone in self._of_key.get(key, frozenset()) - ids:
            self._watches.pop(gone, None)
        if not ids:
            self._of_key.pop(key, None)
            return
        self._of_key[key] = ids
        for each in living:
            if readiness is not None:
                self._see(key, organization_id, each, readiness)

    def drop(self, instance_ids: Iterable[InstanceId]) -> None:
        """These instances are going; others of the same key, of a new deployment of that name, stay."""
        for instance_id in instance_ids:
            watch = self._watches.pop(instance_id, None)
            if watch is None:
                continue
            others = self._of_key.pop(watch.key, frozenset()) - {instance_id}
            if others:
                self._of_key[watch.key] = others

    def forget(self, key: Key) -> None:
        """The deployment is gone, or has no probe any more."""
        for instance_id in self._of_key.pop(key, frozenset()):
            self._watches.pop(instance_id, None)

    def forget_all(self) -> None:
        """Another process leads: it probes, and what is known here grows old."""
        self._watches.clear()
        self._of_key.clear()

    def is_ready(self, facts: InstanceFacts, *, readiness: Readiness | None) -> bool:
        """Whether it is ready, as far as is known; without `readiness`, running is ready.

        When nothing can be seen at the provider, what was known last still stands.
        """
        was_ready = facts.instance.ready_at is not None
        unseen = isinstance(facts.sight, Unknown)
        if not unseen and not _runs(facts):
            return False
        if readiness is None:
            return was_ready if unseen else True
        watch = self._watches.get(facts.instance.id)
        return was_ready if watch is None else watch.ready

    def is_told(self, facts: InstanceFacts, *, readiness: Readiness | None) -> bool:
        """Whether anything has been heard from it yet, be it a no."""
        if readiness is None:
            return True
        watch = self._watches.get(facts.instance.id)
        return watch is not None and (watch.asked or watch.address is None)

    def runs(self, instance_id: InstanceId) -> bool:
        """Whether it was running when it was last seen, so that only its probe is waited for."""
        watch = self._watches.get(instance_id)
        return watch is not None and watch.address is not None

    def _see(
        self, key: Key, organization_id: OrganizationId, facts: InstanceFacts, readiness: Readiness
    ) -> None:
        watch = self._watches.get(facts.instance.id)
        runs = _runs(facts)
        if watch is None:
            was_ready = facts.instance.ready_at is not None
            watch = self._watches[facts.instance.id] = _Watch(
                key=key,
                organization_id=organization_id,
                address=None,
                readiness=readiness,
                ready=was_ready and (runs or not isinstance(facts.sight, Listed)),
            )
        watch.readiness = readiness
        if not isinstance(facts.sight, Listed):
            return  # nothing new is known of it: what is asked goes on being asked
        address = address_of(facts) if runs else None
        if not runs:
            watch.ready, watch.failures, watch.asked = False, 0, False
        if address != watch.address:
            watch.address, watch.next_s = address, self._clock.monotonic()
            self._news.set()

    # -- the loop --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Probe what is due, until cancelled. With nothing to probe it sleeps."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._news.clear()
                for watch in self._take_due():
                    tasks.create_task(self._probe(watch), name="probe")
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._idle_s()):
                        await self._news.wait()

    def _idle_s(self) -> float | None:
        """How long nothing is due; None: until there is news."""
        if self._running.total():
            return TICK_S
        now_s = self._clock.monotonic()
        dues = [watch.next_s - now_s for watch in self._watches.values() if watch.address is not None]
        return max(TICK_S, min(dues)) if dues else None

    async def probe_due(self) -> None:
        """Once, and wait for the answers."""
        async with asyncio.TaskGroup() as tasks:
            for watch in self._take_due():
                tasks.create_task(self._probe(watch), name="probe")

    def _take_due(self) -> list[_Watch]:
        """Those that have waited longest first, so that the share of a tenant goes round among its
        instances.
        """
        now_s = self._clock.monotonic()
        due = [w for w in self._watches.values() if not w.busy and w.address and w.next_s <= now_s]
        taken = []
        for watch in sorted(due, key=lambda watch: watch.next_s):
            if self._running.total() >= AT_ONCE:
                break
            if self._running[watch.organization_id] >= AT_ONCE_PER_ORGANIZATION:
                continue
            watch.busy = True
            self._running[watch.organization_id] += 1
            taken.append(watch)
        return taken

    async def _probe(self, watch: _Watch) -> None:
        address, before = watch.address, watch.ready
        try:
            answered = address is not None and await self._prober.ask(address, watch.readiness)
        except Exception:  # the edge of the loop: one instance's trouble is not another's
            logger.exception("probe failed")
            answered = False
        finally:
            watch.busy = False
            self._running[watch.organization_id] -= 1
        if watch.address != address:
            return  # it was stopped or moved meanwhile: the answer is about something else
        first, watch.asked = not watch.asked, True
        if answered:
            watch.ready, watch.failures = True, 0
        else:
            watch.failures += 1
            if watch.failures >= watch.readiness.failure_threshold:
                watch.ready = False
        steady = watch.ready and watch.failures == 0
        period_s = READY_PERIOD_S * self._spread() if steady else watch.readiness.period_s
        watch.next_s = self._clock.monotonic() + period_s
        if self._wake is not None and (watch.ready != before or (first and not watch.ready)):
            self._wake(watch.key, after_s=WAKE_AFTER_S)


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
