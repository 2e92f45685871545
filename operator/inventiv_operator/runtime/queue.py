"""The work queue: what is to be looked at next, and whose turn it is.

Keys wait in one of two places. A key whose time has not come lies in a heap. A key that is due stands in
the line of its *home*: the organization it belongs to, or, as long as nobody knows that, its namespace.
Homes take turns (`_ring`); inside a home the lanes go delete, create, refresh. A tenant with ten thousand
keys has one place in the ring like everybody else and holds at most a quarter of the workers, so what it
does changes nobody's place by more than one item per worker (T6).

What is not in a namespace is the platform's: the Organizations with their claims and settings, and the
namespaces themselves. It never stands in the line of the tenant that it may be about to stop: it has a home
of its own, which comes before the ring and holds no more workers than any other. There is one key for each
Organization, so a tenant that has its own looked at again and again costs the others one worker at most.

There are no waiting getters. Whenever something becomes due or a worker becomes free, `_dispatch` starts
tasks for what may run; a wake-up can therefore not be lost with a cancelled getter, and one timer, for the
earliest time in the heap, is all that can fire.
"""

import asyncio
import heapq
import itertools
import logging
import random
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from inventiv_operator.runtime.clock import Clock
from inventiv_operator.runtime.logging import bind, bound
from inventiv_operator.runtime.queue_metrics import QueueMetrics

logger = logging.getLogger(__name__)

STEP_S = 20.0
"""How long one step may take before it gives way and is queued again."""
HARD_STEP_S = 60.0
"""When a step that ignores its deadline is cancelled."""
BACKOFF_FIRST_S = 1.0
BACKOFF_CAP_S = 300.0
_HOMES_KEPT = 20_000  # namespaces whose organization is remembered; forgetting one costs a turn, no more


_PLATFORM = "platform"


class Lane(IntEnum):
    """Order inside one organization; smaller goes first."""

    DELETE = 0
    CREATE = 1
    REFRESH = 2


@dataclass(frozen=True, slots=True)
class Key:
    """An object to look at; `namespace` is empty for a cluster-scoped kind."""

    kind: str
    namespace: str
    name: str

    @property
    def scope(self) -> str:
        """Everything of one scope belongs to one organization (T1)."""
        return f"namespace/{self.namespace}" if self.namespace else f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class SweepKey:
    """A periodic job for one credential; the ids are those of the ledger, as text."""

    sweep: str
    organization: str
    credential: str

    @property
    def kind(self) -> str:
        return self.sweep

    @property
    def namespace(self) -> str:
        return ""

    @property
    def name(self) -> str:
        return self.credential

    @property
    def scope(self) -> str:
        return f"organization/{self.organization}"


QueueKey = Key | SweepKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a step wants next.

    `requeue_after_s=None`: nothing until the next event. `back_off`: again, later each time (as after an
    error, without the traceback). `organization`: whose work this was, once known; it holds for every key of
    the namespace. `lane`: where the key stands when it comes again.
    """

    requeue_after_s: float | None = None
    organization: str | None = None
    lane: Lane = Lane.REFRESH
    back_off: bool = False


DONE = Result()


class Process(Protocol):
    def __call__(self, key: QueueKey, *, deadline_s: float) -> Awaitable[Result]:
        """One step on one key; `deadline_s` is on the clock's monotonic time."""
        ...


@dataclass(slots=True, eq=False)
class _Entry:
    """One key that waits, is due or runs."""

    key: QueueKey
    lane: Lane
    due_s: float
    home: str
    ticket: int = 0  # of its newest place in the heap; older places are void
    standing: bool = False  # in the line of its home
    running_since_s: float | None = None
    again_s: float | None = None  # added while running
    again_lane: Lane = Lane.REFRESH
    backed_off: bool = False  # `retry` was called while running


@dataclass(slots=True, eq=False)
class _Home:
    lanes: tuple[dict[QueueKey, _Entry], ...] = field(default_factory=lambda: tuple({} for _ in Lane))
    running: int = 0

    def first(self) -> _Entry | None:
        for lane in self.lanes:
            if lane:
                return next(iter(lane.values()))
        return None


class WorkQueue:
    """See the module's story. All methods belong to the loop's thread."""

    def __init__(
        self,
        *,
        clock: Clock,
        metrics: QueueMetrics,
        workers: int = 64,
        step_s: float = STEP_S,
        hard_step_s: float = HARD_STEP_S,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter` returns numbers in [0, 1)."""
        self._clock = clock
        self._metrics = metrics
        self._workers = workers
        self._share = max(1, workers // 4)
        self._step_s = step_s
        self._hard_step_s = hard_step_s
        self._jitter = jitter
        self._entries: dict[QueueKey, _Entry] = {}
        self._heap: list[tuple[float, int, _Entry]] = []
        self._tickets = itertools.count(1)
        self._homes: dict[str, _Home] = {}
        self._ring: dict[str, None] = {}  # homes with somebody standing, in the order of their turns
        self._organizations: dict[str, str] = {}  # scope -> organization, as far as known
        self._failures: dict[QueueKey, int] = {}
        self._running = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = 0.0
        self._process: Process | None = None
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._idle = asyncio.Event()
        self._stopped = asyncio.Event()
        metrics.workers.set(workers)
        metrics.unfinished_s.set_function(lambda: sum(self._running_ages_s()))
        metrics.longest_s.set_function(lambda: max(self._running_ages_s(), default=0.0))

    # Putting keys on it

    def add(
        self,
        key: QueueKey,
        *,
        organization: str | None = None,
        lane: Lane = Lane.REFRESH,
        after_s: float = 0.0,
    ) -> None:
        """Have `key` looked at in `after_s` seconds or earlier.

        A key is on the queue once: the earlier time and the more urgent lane win. While it runs it is noted
        down and runs again afterwards. `organization=None` means not known here.
        """
        if self._stopping:
            return
        if organization is not None:
            self._remember(key, organization)
        self._metrics.of(key.kind).adds.inc()
        due_s = self._clock.monotonic() + max(0.0, after_s)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(key=key, lane=lane, due_s=due_s, home=self._home_of(key))
            self._place(entry)
        elif entry.running_since_s is not None:
            entry.again_lane = min(entry.again_lane, lane) if entry.again_s is not None else lane
            entry.again_s = due_s if entry.again_s is None else min(entry.again_s, due_s)
            return
        else:
            self._hasten(entry, lane=lane, due_s=due_s)
        self._dispatch()

    def retry(self, key: QueueKey, *, lane: Lane = Lane.REFRESH) -> None:
        """Add `key` with its back-off, which doubles each time until `forget`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self._metrics.of(key.kind).retries.inc()
        if (entry := self._entries.get(key)) is not None and entry.running_since_s is not None:
            entry.backed_off = True
        self.add(key, lane=lane, after_s=self._back_off_s(failures))

    def forget(self, key: QueueKey) -> None:
        """The next back-off of `key` starts from the shortest; what is queued stays queued."""
        self._failures.pop(key, None)

    def __len__(self) -> int:
        """Keys that wait, for their time or for a worker, or run."""
        return len(self._entries)

    # Running

    async def run(self, process: Process) -> None:
        """Work until `drain` is called or this is cancelled (which cancels the steps)."""
        self._process = process
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                self._dispatch()
                await self._stopped.wait()
            finally:
                self._stopping = True
                self._cancel_timer()

    async def drain(self, *, timeout_s: float) -> bool:
        """Start nothing more, let running steps finish, then cancel them; False: some had to be cancelled."""
        self._stopping = True
        self._cancel_timer()
        clean = True
        if self._running:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._idle.wait()
            except TimeoutError:
                clean = False
                for task in tuple(self._tasks):
                    task.cancel()
        self._stopped.set()
        return clean

    # Places

    def _home_of(self, key: QueueKey) -> str:
        if isinstance(key, Key) and not key.namespace:
            return _PLATFORM
        return self._organizations.get(key.scope, key.scope)

    def _remember(self, key: QueueKey, organization: str) -> None:
        if len(self._organizations) >= _HOMES_KEPT and key.scope not in self._organizations:
            self._organizations.pop(next(iter(self._organizations)))
        self._organizations[key.scope] = f"organization/{organization}"

    def _place(self, entry: _Entry) -> None:
        """Put an entry that is nowhere into the line of its home, or into the heap."""
        now_s = self._clock.monotonic()
        if entry.due_s > now_s:
            entry.ticket = next(self._tickets)
            heapq.heappush(self._heap, (entry.due_s, entry.ticket, entry))
            self._sweep_heap()
            return
        entry.ticket = 0
        entry.standing = True
        entry.home = self._home_of(entry.key)
        home = self._homes.setdefault(entry.home, _Home())
        home.lanes[entry.lane][entry.key] = entry
        self._ring.setdefault(entry.home)
        self._metrics.of(entry.key.kind).depth.inc()

    def _hasten(self, entry: _Entry, *, lane: Lane, due_s: float) -> None:
        """Move a waiting entry forward; never back."""
        if entry.standing:
            if lane < entry.lane:
                lanes = self._homes[entry.home].lanes
                del lanes[entry.lane][entry.key]
                entry.lane = lane
                lanes[lane][entry.key] = entry
            return
        entry.lane = min(entry.lane, lane)
        if due_s < entry.due_s:
            entry.due_s = due_s
            self._place(entry)  # its old place in the heap is void with the old ticket

    def _sweep_heap(self) -> None:
        """Void places must not pile up when keys are hastened again and again."""
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = [place for place in self._heap if place[2].ticket == place[1]]
            heapq.heapify(self._heap)

    def _collect_due(self) -> None:
        now_s = self._clock.monotonic()
        while self._heap:
            due_s, ticket, entry = self._heap[0]
            if entry.ticket != ticket:
                heapq.heappop(self._heap)
            elif due_s <= now_s:
                heapq.heappop(self._heap)
                self._place(entry)
            else:
                return

    def _take(self) -> _Entry | None:
        """The next entry by turn, or None when everybody who stands has its share of the workers already."""
        first = (_PLATFORM,) if _PLATFORM in self._ring else ()
        for name in itertools.chain(first, self._ring):
            home = self._homes[name]
            if home.running >= self._share:
                continue  # it keeps its turn
            entry = home.first()
            if entry is None:  # cannot be: a home leaves the ring with its last entry
                continue
            del home.lanes[entry.lane][entry.key]
            del self._ring[name]
            if home.first() is not None:
                self._ring[name] = None
            home.running += 1
            entry.standing = False
            return entry
        return None

    # Workers

    def _dispatch(self) -> None:
        if self._group is None or self._stopping:
            return
        self._collect_due()
        while self._running < self._workers and (entry := self._take()) is not None:
            self._running += 1
            self._idle.clear()
            entry.running_since_s = self._clock.monotonic()
            task = self._group.create_task(self._work(entry), name=f"{entry.key.kind} {entry.key.name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._set_timer()

    def _set_timer(self) -> None:
        """One timer, for the earliest time in the heap."""
        if not self._heap:
            self._cancel_timer()
            return
        at_s = self._heap[0][0]
        if self._timer is not None and self._timer_at_s == at_s:
            return
        self._cancel_timer()
        delay_s = max(0.0, at_s - self._clock.monotonic())
        self._timer_at_s = at_s
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._dispatch()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _work(self, entry: _Entry) -> None:
        """One step, with its log fields, its deadline and its numbers."""
        key = entry.key
        started_s = self._clock.monotonic()
        metrics = self._metrics.of(key.kind)
        metrics.depth.dec()
        metrics.queued_s.observe(max(0.0, started_s - entry.due_s))
        metrics.active.inc()
        result: Result | None = None
        organization = self._organizations.get(key.scope, "").removeprefix("organization/") or None
        if isinstance(key, SweepKey):
            organization = key.organization
        fields = {"kind": key.kind, "namespace": key.namespace or None, "name": key.name}
        try:
            with bound(**fields, organization=organization, reconcile_id=uuid.uuid4().hex[:12]):
                result = await self._step(key, started_s=started_s)
        finally:
            spent_s = self._clock.monotonic() - started_s
            metrics.active.dec()
            metrics.worked_s.observe(spent_s)
            metrics.reconcile_s.observe(spent_s)
            self._finish(entry, result)

    async def _step(self, key: QueueKey, *, started_s: float) -> Result | None:
        """None: it raised, which has been logged."""
        if self._process is None:
            raise RuntimeError("the queue has no process: call run() first")
        metrics = self._metrics.of(key.kind)
        try:
            async with asyncio.timeout(self._hard_step_s):
                result = await self._process(key, deadline_s=started_s + self._step_s)
        except TimeoutError:
            logger.exception("step cancelled: it ran into a timeout nobody handled; it is tried again")
        except Exception:  # the edge of the process: one key's trouble is not another's
            logger.exception("step failed; it is tried again with a back-off")
        else:
            bind(organization=result.organization)
            if result.back_off:
                metrics.requeue.inc()
            elif result.requeue_after_s is not None:
                metrics.requeue_after.inc()
            else:
                metrics.success.inc()
            return result
        metrics.errors.inc()
        metrics.failed.inc()
        return None

    def _finish(self, entry: _Entry, result: Result | None) -> None:
        key = entry.key
        self._running -= 1
        home = self._homes[entry.home]
        home.running -= 1
        if home.running == 0 and home.first() is None:
            del self._homes[entry.home]
        if self._running == 0:
            self._idle.set()
        if result is not None and result.organization is not None:
            self._remember(key, result.organization)
        self._queue_again(entry, result)
        self._dispatch()

    def _queue_again(self, entry: _Entry, result: Result | None) -> None:
        """What was asked for while it ran and what its result asks for: the earlier time wins."""
        key = entry.key
        wanted: list[tuple[float, Lane]] = []
        if entry.again_s is not None:
            wanted.append((entry.again_s, entry.again_lane))
        now_s = self._clock.monotonic()
        if result is None or result.back_off:
            if not entry.backed_off:
                failures = self._failures.get(key, 0)
                self._failures[key] = failures + 1
                self._metrics.of(key.kind).retries.inc()
                lane = entry.lane if result is None else result.lane
                wanted.append((now_s + self._back_off_s(failures), lane))
        else:
            if not entry.backed_off:
                self.forget(key)
            if result.requeue_after_s is not None:
                wanted.append((now_s + max(0.0, result.requeue_after_s), result.lane))
        del self._entries[key]
        if not wanted or self._stopping:
            return
        due_s, lane = min(wanted)
        lane = min(lane_of for due_of, lane_of in wanted if due_of <= max(due_s, now_s))
        again = self._entries[key] = _Entry(key=key, lane=lane, due_s=due_s, home=self._home_of(key))
        self._place(again)

    def _back_off_s(self, failures: int) -> float:
        """Between half and all of first, first * 2, first * 4 ... up to the cap."""
        whole_s = min(BACKOFF_CAP_S, BACKOFF_FIRST_S * 2.0 ** min(failures, 30))
        return whole_s * (0.5 + 0.5 * self._jitter())

    def _running_ages_s(self) -> list[float]:
        now_s = self._clock.monotonic()
        return [now_s - e.running_since_s for e in self._entries.values() if e.running_since_s is not None]
