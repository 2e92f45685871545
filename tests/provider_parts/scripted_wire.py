"""A wire that answers as it is told and remembers what it was asked: no socket, so virtual time works."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from inventiv_operator.scaleway.wire import WireAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | None

    @property
    def content(self) -> Any:
        return None if self.body is None else json.loads(self.body)


def answer(
    status: int = 200, content: object = None, *, total: int | None = None, body: bytes | None = None
) -> WireAnswer:
    """`body` as it is, else `content` as JSON, else nothing."""
    if body is None:
        body = b"" if content is None else json.dumps(content).encode()
    return WireAnswer(
        status=status,
        body=body,
        request_id="request-1",
        total=None if total is None else str(total),
        retry_after=None,
    )


def not_found(resource: str, ref: str) -> WireAnswer:
    content = {"type": "not_found", "message": "resource is not found", "resource": resource}
    return answer(404, {**content, "resource_id": ref})


class ScriptedWire:
    """`reply` may be changed at any time; it answers, raises, or awaits before it does."""

    def __init__(self, reply: Callable[[Asked], WireAnswer | Awaitable[WireAnswer]]) -> None:
        self.reply = reply
        self.asked: list[Asked] = []

    async def send(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None
    ) -> WireAnswer:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        asked = Asked(method=method, path=parts.path, query=query, headers=dict(headers), body=body)
        self.asked.append(asked)
        found = self.reply(asked)
        return found if isinstance(found, WireAnswer) else await found
