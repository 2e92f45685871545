"""The simulator in this process, without an HTTP library in between: a thousand lives make many calls."""

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp

from inventiv_operator.scaleway.wire import Interrupted, WireAnswer
from scaleway_simulator.errors import ConnectionDropped


class AsgiWire:
    """Fits `scaleway.wire.Wire`. A request goes on at the provider when its client has left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running: set[asyncio.Task[WireAnswer]] = set()

    async def send(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None
    ) -> WireAnswer:
        task = asyncio.get_running_loop().create_task(self._serve(method, target, headers, body))
        self._running.add(task)
        task.add_done_callback(self._forget)
        await asyncio.wait({task})
        try:
            return task.result()
        except ConnectionDropped:
            raise Interrupted("ServerDisconnected") from None

    async def close(self) -> None:
        """Cancel what is still under way."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _serve(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> WireAnswer:
        path, _, query = target.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body or b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        start, *parts = sent
        said = {name.decode(): value.decode() for name, value in start["headers"]}
        return WireAnswer(
            status=start["status"],
            body=b"".join(part.get("body", b"") for part in parts),
            request_id=said.get("x-request-id", ""),
            total=said.get("x-total-count"),
            retry_after=said.get("retry-after"),
        )

    def _forget(self, task: "asyncio.Task[WireAnswer]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen; the client may have left
