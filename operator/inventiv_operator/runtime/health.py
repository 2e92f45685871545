"""`/healthz`, `/readyz` and `/metrics` on one port.

A raw asyncio server: three routes, GET only, a connection per request. Probes and scrapes come every few
seconds, and this costs less than a framework's application object.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from prometheus_client import CollectorRegistry

from inventiv_operator.runtime.metrics import METRICS_CONTENT_TYPE, exposition

_REQUEST_LIMIT_BYTES = 8192
_REQUEST_TIMEOUT_S = 5.0
_TEXT = "text/plain; charset=utf-8"


class Health:
    """Named readiness checks, each with the reason why it fails; all fail until told otherwise."""

    def __init__(self, *, checks: Iterable[str]) -> None:
        self._failures: dict[str, str | None] = dict.fromkeys(checks, "has not been looked at yet")
        self._dead = ""

    def ok(self, check: str) -> None:
        self._known(check)
        self._failures[check] = None

    def fail(self, check: str, reason: str) -> None:
        """`reason` says what is wrong and what to do; it never holds a secret."""
        self._known(check)
        self._failures[check] = reason

    def dead(self, reason: str) -> None:
        """Make `/healthz` fail for good: only a restart helps."""
        self._dead = reason

    @property
    def is_ready(self) -> bool:
        return not self._dead and not any(self._failures.values())

    @property
    def is_alive(self) -> bool:
        return not self._dead

    def report(self) -> str:
        """A line per check, in the form that Kubernetes components use."""
        lines = [
            f"[-]{check} failed: {reason}" if reason else f"[+]{check} ok"
            for check, reason in self._failures.items()
        ]
        if self._dead:
            lines.append(f"[-]process failed: {self._dead}")
        return "\n".join(lines) + "\n"

    def _known(self, check: str) -> None:
        if check not in self._failures:
            known = ", ".join(self._failures)
            raise KeyError(f"readiness check {check!r} is unknown; there are: {known}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: str
    content_type: str
    body: bytes


class HealthServer:
    """An async context manager; `port` is the real one, also when 0 was asked for."""

    def __init__(self, *, health: Health, registry: CollectorRegistry, port: int, host: str = "") -> None:
        self._health = health
        self._registry = registry
        self._host = host or None  # None: every interface, both families
        self._asked_port = port
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        if self._server is None:
            return self._asked_port
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, self._host, self._asked_port, limit=_REQUEST_LIMIT_BYTES
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()  # connections end by their own timeout; waiting for them could hang an exit

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A peer that goes away, dawdles or sends rubbish is not an event worth a line.
        with contextlib.suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                answer = self._answer(head.split(b"\r\n", 1)[0].decode("latin-1"))
                writer.write(
                    f"HTTP/1.1 {answer.status}\r\nContent-Type: {answer.content_type}\r\n"
                    f"Content-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n".encode()
                )
                writer.write(answer.body)
                await writer.drain()
        writer.close()

    def _answer(self, request_line: str) -> _Answer:
        method, _, rest = request_line.partition(" ")
        path = rest.split(" ", 1)[0].split("?", 1)[0]
        if method != "GET":
            return _Answer(status="405 Method Not Allowed", content_type=_TEXT, body=b"only GET\n")
        match path:
            case "/healthz":
                return self._checked(good=self._health.is_alive)
            case "/readyz":
                return self._checked(good=self._health.is_ready)
            case "/metrics":
                return _Answer(
                    status="200 OK", content_type=METRICS_CONTENT_TYPE, body=exposition(self._registry)
                )
            case _:
                return _Answer(status="404 Not Found", content_type=_TEXT, body=b"not found\n")

    def _checked(self, *, good: bool) -> _Answer:
        status = "200 OK" if good else "503 Service Unavailable"
        return _Answer(status=status, content_type=_TEXT, body=self._health.report().encode())
