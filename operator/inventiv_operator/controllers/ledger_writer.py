"""Many small writes of one organization, gathered into one transaction.

A pass drives two hundred instances at once, and each has something to write down before and after every call.
A transaction for each would cost more than the calls. So a write waits a moment for company. What is promised
stays exact: `write` returns when its transaction has committed, and whoever must not send a call before its
intent is in the ledger awaits that. What nobody waits for, such as a line of the audit log, is posted: it
goes along with what is written next.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from psycopg import AsyncConnection

from inventiv_operator.controllers.services import Leadership, Services
from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.store.errors import DatabaseUnavailable, Fenced

logger = logging.getLogger(__name__)

GATHER_S = 0.01
"""How long a write waits for others to share its transaction with."""
LARGEST_BATCH = 100

Operation = Callable[[AsyncConnection[Any]], Awaitable[object]]
"""Writes through the connection it is given, and never commits. It may be run a second time, after a
rollback.
"""


class Writes(Protocol):
    """Whoever has something of an organization written down."""

    async def write(self, organization_id: OrganizationId, operation: Operation) -> None:
        """As `LedgerWriter.write`."""
        ...


@dataclass(slots=True, eq=False)
class _Pending:
    operation: Operation
    done: asyncio.Future[None]
    is_posted: bool
    leadership: Leadership | None  # of the one who writes, where that may end before the writer's


@dataclass(frozen=True, slots=True)
class _Under:
    """The writer for work of one epoch; what shares its transactions may be of another."""

    writer: "LedgerWriter"
    leadership: Leadership

    async def write(self, organization_id: OrganizationId, operation: Operation) -> None:
        await self.writer.write(organization_id, operation, leadership=self.leadership)


class LedgerWriter:
    """One per process; organizations never share a transaction."""

    def __init__(self, services: Services, *, gather_s: float = GATHER_S) -> None:
        self._services = services
        self._gather_s = gather_s
        self._waiting: dict[OrganizationId, list[_Pending]] = {}
        self._flushes: dict[OrganizationId, asyncio.Task[None]] = {}

    def under(self, leadership: Leadership) -> Writes:
        """For work whose writes are good only as long as `leadership` is held."""
        return _Under(self, leadership)

    async def write(
        self, organization_id: OrganizationId, operation: Operation, *, leadership: Leadership | None = None
    ) -> None:
        """Returns once it has committed.

        A write whose caller is cancelled may or may not have been made, as with any commit.

        Raises:
            Fenced: this process does not lead, or `leadership` has ended; nothing was written.
            Conflict: of this operation alone; those that shared its transaction are not touched by it.
            DatabaseUnavailable: the outcome is unknown.
        """
        await self._add(organization_id, operation, is_posted=False, leadership=leadership)

    def post(self, organization_id: OrganizationId, operation: Operation) -> asyncio.Future[None]:
        """Have a line of the audit log written with the next transaction of this organization.

        It tells what has happened already, so it is written whoever leads: in a transaction without the fence
        where no other write comes along, or those that do are fenced (docs/decisions/0016). The future says
        how that ended; a flush that is cancelled cancels it.
        """
        return self._add(organization_id, operation, is_posted=True)

    def _add(
        self,
        organization_id: OrganizationId,
        operation: Operation,
        *,
        is_posted: bool,
        leadership: Leadership | None = None,
    ) -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        pending = _Pending(operation=operation, done=done, is_posted=is_posted, leadership=leadership)
        self._waiting.setdefault(organization_id, []).append(pending)
        if organization_id not in self._flushes:
            flush = asyncio.create_task(self._flush(organization_id), name="ledger writer")
            self._flushes[organization_id] = flush
        return done

    async def close(self) -> None:
        """Cut what is still being written; after everybody who writes has ended."""
        flushes = list(self._flushes.values())
        for flush in flushes:
            flush.cancel()
        await asyncio.gather(*flushes, return_exceptions=True)

    async def _flush(self, organization_id: OrganizationId) -> None:
        try:
            while True:
                await self._services.clock.sleep(self._gather_s)
                waiting = self._waiting.pop(organization_id, [])
                batch, rest = waiting[:LARGEST_BATCH], waiting[LARGEST_BATCH:]
                if rest:
                    self._waiting[organization_id] = rest
                if not batch:
                    return
                await self._commit(organization_id, batch)
        finally:
            del self._flushes[organization_id]
            for pending in self._waiting.pop(organization_id, []):  # this task was cancelled
                pending.done.cancel()

    async def _commit(self, organization_id: OrganizationId, batch: list[_Pending]) -> None:
        batch = [pending for pending in batch if not pending.done.done() and _may_go_on(pending)]
        try:
            await self._transaction(organization_id, batch)
        except asyncio.CancelledError:
            for pending in batch:
                pending.done.cancel()
            raise
        except Fenced as error:
            posted = [pending for pending in batch if pending.is_posted]
            _fail([pending for pending in batch if not pending.is_posted], error)
            await self._commit(organization_id, posted)
        except DatabaseUnavailable as error:
            _fail(batch, error)
        except Exception as error:  # noqa: BLE001 (handed to the one whose error it is)
            if len(batch) == 1:
                _fail(batch, error)
                return
            # It was rolled back as a whole. One of them is the cause, and only that one may fail.
            for pending in batch:
                await self._commit(organization_id, [pending])
        else:
            _succeed(batch)

    async def _transaction(self, organization_id: OrganizationId, batch: list[_Pending]) -> None:
        if not batch:
            return
        services = self._services
        is_fenced = not all(pending.is_posted for pending in batch)
        door = services.writing(organization_id) if is_fenced else services.db.appending(organization_id)
        async with door as conn:
            for pending in batch:
                await pending.operation(conn)


def _may_go_on(pending: _Pending) -> bool:
    """Asked right before its transaction: it may have waited for company."""
    if pending.leadership is None:
        return True
    try:
        pending.leadership.fence()
    except Fenced as error:
        _fail([pending], error)
        return False
    return True


def _fail(batch: list[_Pending], error: Exception) -> None:
    for pending in batch:
        if not pending.done.done():
            pending.done.set_exception(error)


def _succeed(batch: list[_Pending]) -> None:
    for pending in batch:
        if not pending.done.done():
            pending.done.set_result(None)
