"""An httpx transport into a world of the same process that behaves like a socket.

With `httpx.ASGITransport` a read time-out never fires and an exception of the app escapes as it is. Here both
end as httpx's own errors, and a request goes on at the provider when its client has given up.
"""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import httpx
from starlette.types import ASGIApp

from scaleway_simulator.errors import ConnectionDropped

CLIENT = ("127.0.0.1", 50_000)


class InProcessTransport(httpx.AsyncBaseTransport):
    """Closing cancels requests whose client has left, unless they are to `outlive_client`.

    They then go on as at a real provider when a process is killed in the middle of a call; `drain` before the
    event loop ends.
    """

    def __init__(self, app: ASGIApp, *, outlive_client: bool = False) -> None:
        self._app = app
        self._outlive_client = outlive_client
        self._running: set[asyncio.Task[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises:
        httpx.ReadTimeout: no answer within the request's read time-out; it may take effect still.
        httpx.RemoteProtocolError: the connection was dropped by a fault.
        """
        body = await request.aread()
        task = asyncio.get_running_loop().create_task(self._exchange(request, body))
        self._running.add(task)
        task.add_done_callback(self._forget)
        read_s = request.extensions.get("timeout", {}).get("read")
        done, _ = await asyncio.wait({task}, timeout=read_s)
        if not done:
            raise httpx.ReadTimeout("no answer in time", request=request)
        try:
            return task.result()
        except ConnectionDropped as exc:
            message = "Server disconnected without sending a response."
            raise httpx.RemoteProtocolError(message, request=request) from exc

    async def _exchange(self, request: httpx.Request, body: bytes) -> httpx.Response:
        status = 500
        headers: list[tuple[bytes, bytes]] = []
        parts: list[bytes] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers.extend(message["headers"])
            else:
                parts.append(message.get("body", b""))

        await self._app(_scope_of(request), receive, send)
        return httpx.Response(status, headers=headers, content=b"".join(parts), request=request)

    def _forget(self, task: asyncio.Task[httpx.Response]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen; the client may have left

    async def aclose(self) -> None:
        if not self._outlive_client:
            for task in list(self._running):
                task.cancel()
            await self.drain()

    async def drain(self) -> None:
        """Wait until no request is under way any more."""
        await asyncio.gather(*self._running, return_exceptions=True)


def _scope_of(request: httpx.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "server": (request.url.host, request.url.port),
        "client": CLIENT,
        "root_path": "",
    }
