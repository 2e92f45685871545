"""An httpx transport into a world of the same process that behaves like a socket.

With `httpx.ASGITransport` a read time-out never fires and an exception of the app escapes as it is. Here both
end as httpx's own errors, and a request goes on at the provider when its client has given up.
"""

import asyncio
from types import TracebackType
from typing import Self

import httpx
from starlette.types import ASGIApp

from scaleway_simulator.errors import ConnectionDropped


class InProcessTransport(httpx.AsyncBaseTransport):
    """Close it to cancel requests whose client has left; they would otherwise outlive the event loop."""

    def __init__(self, app: ASGIApp) -> None:
        self._inner = httpx.ASGITransport(app=app)
        self._running: set[asyncio.Task[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises:
        httpx.ReadTimeout: no answer within the request's read time-out; it may take effect still.
        httpx.RemoteProtocolError: the connection was dropped by a fault.
        """
        await request.aread()
        task = asyncio.get_running_loop().create_task(self._inner.handle_async_request(request))
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

    def _forget(self, task: asyncio.Task[httpx.Response]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen; the client may have left

    async def aclose(self) -> None:
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()
