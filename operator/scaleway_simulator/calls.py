"""Who asked for what: the log that tests count calls in."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

KEPT = 100_000
"""Calls remembered one by one; the counts cover all."""


@dataclass(slots=True, kw_only=True)
class LoggedCall:
    n: int
    at: datetime
    method: str
    path: str
    query: str
    template: str
    access_key: str | None
    project: str | None
    request_id: str = ""  # as the answer's X-Request-Id says it
    status: int | None = None  # None: no answer was given
    fault: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"at": self.at.isoformat()}


class CallLog:
    def __init__(self) -> None:
        self._calls: deque[LoggedCall] = deque(maxlen=KEPT)
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._n = 0

    def begin(
        self,
        *,
        at: datetime,
        method: str,
        path: str,
        query: str,
        template: str,
        access_key: str | None,
        project: str | None,
        request_id: str,
    ) -> LoggedCall:
        """Logged when it arrives, so that a request without an answer is in the log too."""
        self._n += 1
        call = LoggedCall(
            n=self._n,
            at=at,
            method=method,
            path=path,
            query=query,
            template=template,
            access_key=access_key,
            project=project,
            request_id=request_id,
        )
        self._calls.append(call)
        return call

    def end(self, call: LoggedCall, *, status: int | None) -> None:
        call.status = status
        self._counts[call.method, call.template, str(status)] += 1

    def since(self, n: int) -> Iterator[LoggedCall]:
        """Calls with a number greater than n, oldest first."""
        return (call for call in self._calls if call.n > n)

    def counts(self) -> list[dict[str, Any]]:
        rows = sorted(self._counts.items())
        return [{"method": m, "template": t, "status": s, "count": c} for (m, t, s), c in rows]
