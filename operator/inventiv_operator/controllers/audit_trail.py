"""Lines of the audit log that nobody waits for: a call to the provider has ended, a stored key is used.

    a call that left -> CredentialTrail -> AuditTrail (in memory) -> the organization's next transaction

Such a line tells what has happened already, so it must neither hold up what comes next nor be undone with it.
It waits in memory for the transaction that what comes next needs anyway, mostly some milliseconds. With the
database away it waits longer, and is tried again. A process that does not lead any more (B7) still tells what
it did: see `LedgerWriter.post`.

What can never be written, or finds no room, is counted and told to the operator's own log, whole.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

from psycopg import AsyncConnection

from inventiv_operator.controllers.ledger_writer import LedgerWriter
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.audit import Action, AuditLine
from inventiv_operator.domain.ids import CredentialId, OrganizationId
from inventiv_operator.runtime.audit_metrics import AuditMetrics
from inventiv_operator.scaleway.observer import SentWrite
from inventiv_operator.store import audit
from inventiv_operator.store.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

LINES_PER_STATEMENT: Final = 200
PAUSE_S: Final = 0.1
"""Between two statements for one organization. The first line after a quiet time goes with what is written
next; when lines come in a stream, a statement for each would cost half as much as the call that it tells of.
"""
WAITING_MAX: Final = 20_000
"""Of all organizations together: some 20 MiB. Without a database no intent is written and so few calls leave,
which is why this is far more than ever waits."""
WAITING_OF_ONE_MAX: Final = 2_000
FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 30.0
CLOSE_WITHIN_S: Final = 5.0


@dataclass(slots=True)
class _Backlog:
    """What waits of one organization. `on_its_way` lines of the front are in a transaction under way."""

    lines: deque[AuditLine] = field(default_factory=deque)
    on_its_way: int = 0
    at_once: int = LINES_PER_STATEMENT
    is_busy: bool = False  # a statement is under way, or comes after a pause
    failures: int = 0  # since the last success: an earlier attempt may have been committed


class AuditTrail:
    """One per process. `note` returns at once; `close` when nothing waits any more, or never will."""

    def __init__(
        self,
        services: Services,
        *,
        writer: LedgerWriter,
        metrics: AuditMetrics,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        self._services = services
        self._first_retry_s = first_retry_s
        self._writer = writer
        self._metrics = metrics
        self._backlogs: dict[OrganizationId, _Backlog] = {}
        self._timers: dict[OrganizationId, asyncio.TimerHandle] = {}
        self._changed = asyncio.Event()
        self._waiting = 0
        self._is_closing = False
        metrics.follow(lambda: self._waiting)

    def note(self, organization_id: OrganizationId, line: AuditLine) -> None:
        """Have it written soon, after those of the same organization that came before."""
        backlog = self._backlogs.setdefault(organization_id, _Backlog())
        if len(backlog.lines) >= WAITING_OF_ONE_MAX or self._waiting >= WAITING_MAX:
            self._drop(organization_id, line, why="too many wait for the database")
            return
        backlog.lines.append(line)
        self._waiting += 1
        if not backlog.is_busy:
            self._send(organization_id, backlog)

    async def close(self, *, within_s: float = CLOSE_WITHIN_S) -> None:
        """Write what waits, at once; what is left after this time is dropped, and told."""
        self._is_closing = True
        for organization_id, timer in list(self._timers.items()):
            timer.cancel()
            self._go_on(organization_id)
        deadline_s = self._services.clock.monotonic() + within_s
        while self._backlogs and (left_s := deadline_s - self._services.clock.monotonic()) > 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._changed.wait()
            except TimeoutError:
                break
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for organization_id, backlog in list(self._backlogs.items()):
            for line in backlog.lines:
                self._drop(organization_id, line, why="the process ended before it could be written")
            backlog.lines.clear()
            backlog.on_its_way = 0
        self._backlogs.clear()
        self._waiting = 0
        self._is_closing = False

    def now(self) -> datetime:
        return self._services.clock.now()

    # -- one attempt -----------------------------------------------------------------------------------------

    def _send(self, organization_id: OrganizationId, backlog: _Backlog) -> None:
        backlog.is_busy, backlog.on_its_way = True, 0
        posted = self._writer.post(organization_id, self._operation(organization_id, backlog))
        posted.add_done_callback(lambda done: self._ended(organization_id, backlog, done))

    def _operation(
        self, organization_id: OrganizationId, backlog: _Backlog
    ) -> Callable[[AsyncConnection[Any]], Any]:
        async def append(conn: AsyncConnection[Any]) -> None:
            lines = tuple(islice(backlog.lines, backlog.at_once))
            backlog.on_its_way = len(lines)
            await audit.append_all(conn, organization_id, lines, again=backlog.failures > 0)

        return append

    def _ended(
        self, organization_id: OrganizationId, backlog: _Backlog, done: "asyncio.Future[None]"
    ) -> None:
        if done.cancelled():
            self._retry(organization_id, backlog)
            return
        match done.exception():
            case None:
                self._written(organization_id, backlog)
            case DatabaseUnavailable():
                self._retry(organization_id, backlog)
            case error:
                self._refused(organization_id, backlog, why=str(error))

    # -- how it ended ----------------------------------------------------------------------------------------

    def _written(self, organization_id: OrganizationId, backlog: _Backlog) -> None:
        for _ in range(backlog.on_its_way):
            backlog.lines.popleft()
        self._waiting -= backlog.on_its_way
        backlog.failures = 0
        self._next(organization_id, backlog)

    def _refused(self, organization_id: OrganizationId, backlog: _Backlog, *, why: str) -> None:
        """PostgreSQL will never take it: one by one tells which, and those behind need not wait for ever."""
        if backlog.on_its_way == 0:  # it did not come to that
            self._retry(organization_id, backlog)
            return
        if backlog.on_its_way == 1:
            self._drop(organization_id, backlog.lines.popleft(), why=why)
            self._waiting -= 1
        backlog.at_once = 1
        self._next(organization_id, backlog)

    def _next(self, organization_id: OrganizationId, backlog: _Backlog) -> None:
        self._changed.set()
        if len(backlog.lines) >= backlog.at_once or self._is_closing:
            self._go_on(organization_id)
        else:
            self._later(organization_id, PAUSE_S)

    def _retry(self, organization_id: OrganizationId, backlog: _Backlog) -> None:
        delay_s = min(LAST_RETRY_S, self._first_retry_s * 2**backlog.failures)
        backlog.failures = min(backlog.failures + 1, 10)
        self._later(organization_id, delay_s)

    def _later(self, organization_id: OrganizationId, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._timers[organization_id] = loop.call_later(delay_s, self._go_on, organization_id)

    def _go_on(self, organization_id: OrganizationId) -> None:
        self._timers.pop(organization_id, None)
        backlog = self._backlogs.get(organization_id)
        if backlog is None:
            return
        if backlog.lines:
            self._send(organization_id, backlog)
        else:
            del self._backlogs[organization_id]

    def _drop(self, organization_id: OrganizationId, line: AuditLine, *, why: str) -> None:
        self._metrics.dropped.inc()
        logger.error(
            "a line of the audit log is lost to the database; it is here",
            extra={
                "organization_id": str(organization_id),
                "reason": why,
                "at": line.at.isoformat(),
                "action": str(line.action),
                "object_kind": line.kind,
                "object_name": line.name,
                "object_ref": line.ref,
                "request_id": line.request_id,
                "detail": json.dumps(line.detail),
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialTrail:
    """What one key is used for; fits `scaleway.observer.WriteSink`."""

    trail: AuditTrail
    organization_id: OrganizationId
    credential_id: CredentialId
    credential_name: str
    project_id: str
    access_key: str
    fingerprint: str

    def wrote(self, write: SentWrite) -> None:
        detail = {
            "verb": write.verb,
            "method": write.method,
            "endpoint": write.template,
            "zone": write.zone,
            "outcome": write.outcome,
            "attempt": write.attempt,
            "volume": write.volume_ref,
        }
        line = AuditLine(
            at=write.at,
            action=Action.CLOUD_WRITE,
            kind=write.kind,
            name=write.name,
            ref=write.ref,
            request_id=write.request_id,
            detail={**{name: text for name, text in detail.items() if text}, **self._key()},
        )
        self.trail.note(self.organization_id, line)

    def used(self, *, encryption_key_id: str) -> None:
        """The stored key has been decrypted, and a client made of it."""
        line = AuditLine(
            at=self.trail.now(),
            action=Action.KEY_USED,
            kind="credential",
            name=self.credential_name,
            detail={**self._key(), "projectID": self.project_id, "encryptionKeyID": encryption_key_id},
        )
        self.trail.note(self.organization_id, line)

    def _key(self) -> dict[str, str]:
        return {
            "credentialID": str(self.credential_id),
            "accessKey": self.access_key,
            "fingerprint": self.fingerprint,
        }
