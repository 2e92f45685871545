"""Reads that many ask for and one makes: an age that the caller can live with, and one flight for all who
wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Generic, Protocol, TypeVar

from inventiv_operator.domain.cloud import Listing
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.scaleway.errors import Unavailable
from inventiv_operator.scaleway.pages import Read

T = TypeVar("T")
SINCE_MAX: Final = 5000


class Tasks:
    """Owns the flights: a caller that is cancelled takes none down, the end of the process takes all."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: when every waiter has gone, nobody else does

    async def close(self) -> None:
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class Began(Protocol):
    """Anything that knows when its reading began, in monotonic seconds."""

    @property
    def started_s(self) -> float: ...


BeganT = TypeVar("BeganT", bound=Began)


class _Flight(Generic[BeganT]):
    """A read under way. `started_s` is None until its first request has left."""

    def __init__(self) -> None:
        self.started_s: float | None = None
        self.task: asyncio.Task[BeganT] | None = None


class SharedRead(Generic[BeganT]):
    """One read at a time, and at most one that waits for its turn.

    A caller joins the read under way only when that is young enough for it; else the next one, together with
    everybody else who came too late.
    """

    def __init__(
        self,
        read: Callable[[Callable[[float], None]], Awaitable[BeganT]],
        *,
        clock: Clock,
        tasks: Tasks,
        name: str,
    ) -> None:
        """`read` tells its argument when its first request leaves."""
        self._read = read
        self._clock = clock
        self._tasks = tasks
        self._name = name
        self._latest: BeganT | None = None
        self._running: _Flight[BeganT] | None = None
        self._next: _Flight[BeganT] | None = None

    @property
    def latest(self) -> BeganT | None:
        return self._latest

    def is_idle(self) -> bool:
        """Nothing was read yet, and nothing is being read."""
        return self._latest is None and self._running is None and self._next is None

    def forget(self) -> None:
        """The next caller reads anew, whatever age it could live with."""
        self._latest = None

    async def get(self, *, max_age_s: float) -> BeganT:
        """A result whose reading began at most `max_age_s` ago; with 0, after this call.

        Raises:
            ScalewayError: of the read that was waited for. An older result is not handed out in its place.
        """
        oldest_s = self._clock.monotonic() - max_age_s
        if self._latest is not None and self._latest.started_s >= oldest_s:
            return self._latest
        task = self._flight(oldest_s).task
        if task is None:
            raise AssertionError("a flight without a task")
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if task.cancelled() and (current is None or not current.cancelling()):
                raise Unavailable(f"{self._name}: the operator is shutting down") from None
            raise

    def _flight(self, oldest_s: float) -> _Flight[BeganT]:
        running = self._running
        if running is None and self._next is not None:
            return self._next  # the one before it has just ended, and it is about to begin
        if running is None:
            self._running = self._begin(None)
            return self._running
        if running.started_s is None or running.started_s >= oldest_s:
            return running
        if self._next is None:
            self._next = self._begin(running.task)
        return self._next

    def _begin(self, after: asyncio.Task[BeganT] | None) -> _Flight[BeganT]:
        flight: _Flight[BeganT] = _Flight()
        flight.task = self._tasks.start(self._fly(flight, after), name=self._name)
        return flight

    async def _fly(self, flight: _Flight[BeganT], after: asyncio.Task[BeganT] | None) -> BeganT:
        if after is not None:
            await asyncio.wait([after])
            self._running, self._next = flight, None
        try:

            def started(at_s: float) -> None:
                if flight.started_s is None:
                    flight.started_s = at_s

            result = await self._read(started)
            self._latest = result
            return result
        finally:
            if self._running is flight:
                self._running = None


class Owned(Protocol):
    """Anything that has an id and belongs to a project."""

    @property
    def ref(self) -> ProviderRef: ...
    @property
    def project_id(self) -> str: ...


SeenT = TypeVar("SeenT", bound=Owned)


class SharedListing(Generic[SeenT]):
    """The listing of one kind in one zone, with what became known since it was read.

    After a write of ours a listing that began before does not show the thing as it was, but as the answer to
    the write had it. Where that tells nothing the thing is not shown: "not listed" proves nothing, so its
    owner asks for the id.
    """

    def __init__(
        self,
        read: Callable[[int, Callable[[float], None]], Awaitable[Read[SeenT]]],
        *,
        clock: Clock,
        tasks: Tasks,
        name: str,
    ) -> None:
        """`read` is given the page that is likely the last one."""
        self._read = read
        self._last_page = 1
        self._shared: SharedRead[Listing[SeenT]] = SharedRead(
            self._read_again, clock=clock, tasks=tasks, name=name
        )
        self._since: dict[ProviderRef, tuple[SeenT | None, float]] = {}
        self._merged: tuple[Listing[SeenT], Listing[SeenT]] | None = None

    async def get(self, *, max_age_s: float) -> Listing[SeenT]:
        listing = await self._shared.get(max_age_s=max_age_s)
        if not self._since:
            return listing
        if self._merged is None or self._merged[0] is not listing:
            self._merged = (listing, self._merge(listing))
        return self._merged[1]

    def saw(self, seen: SeenT, *, as_of_s: float) -> None:
        """An answer about one of them; `as_of_s` is when it was asked for, or when the write was answered."""
        before = self._since.get(seen.ref)
        if before is None or before[1] <= as_of_s:
            self._note(seen.ref, seen, as_of_s)

    def changed(self, ref: ProviderRef, change: Callable[[SeenT], SeenT] | None, *, at_s: float) -> None:
        """A write was answered at `at_s`, or may have happened until then.

        `change` makes what was known before into what it is now; None: nobody knows how it is now.
        """
        before = self._since.get(ref)
        known = before[0] if before is not None else self._listed(ref)
        self._note(ref, None if change is None or known is None else change(known), at_s)

    def _listed(self, ref: ProviderRef) -> SeenT | None:
        latest = self._shared.latest
        return None if latest is None else latest.items.get(ref)

    def _note(self, ref: ProviderRef, seen: SeenT | None, at_s: float) -> None:
        if self._shared.is_idle():
            return  # whatever is read will be newer
        if len(self._since) >= SINCE_MAX:
            self._shared.forget()  # nobody reads this listing: it is not kept up for its own sake
            if self._shared.is_idle():
                self._since.clear()
                return
        self._since[ref] = (seen, at_s)
        self._merged = None

    def _merge(self, listing: Listing[SeenT]) -> Listing[SeenT]:
        newer = {ref: seen for ref, (seen, at_s) in self._since.items() if at_s > listing.started_s}
        if not newer:
            return listing
        items = dict(listing.items)
        for ref, seen in newer.items():
            if seen is None:
                items.pop(ref, None)
            else:
                items[ref] = seen
        return Listing(items=items, started_s=listing.started_s)

    async def _read_again(self, started: Callable[[float], None]) -> Listing[SeenT]:
        begin_at, self._last_page = (
            self._last_page,
            1,
        )  # should it fail because there is no such page any more
        read = await self._read(begin_at, started)
        self._last_page = read.last_page
        self._since = {ref: known for ref, known in self._since.items() if known[1] > read.started_s}
        self._merged = None
        return Listing(items=read.items, started_s=read.started_s)
