"""A server on a real socket that says what it is told, byte by byte, and counts what reaches it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class SocketServer:
    """`script` plays after each request was read."""

    script: Script
    requests: list[str] = field(default_factory=list)  # head and body of each, as it came
    port: int = 0
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = 0
                for line in head.splitlines():
                    if line.lower().startswith("content-length:"):
                        length = int(line.split(":")[1])
                body = (await reader.readexactly(length)).decode()
                self.requests.append(head + body)
                await self.script(writer)
                await writer.drain()
        writer.close()


def http(status: str = "200 OK", body: bytes = b"", *, headers: str = "", length: int | None = None) -> bytes:
    """A whole answer; `length` lies about the body."""
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{headers}\r\n".encode() + body


def says(*parts: bytes, then_close: bool = False, then_reset: bool = False) -> Script:
    async def script(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if then_reset:
            writer.transport.abort()
        elif then_close:
            writer.close()

    return script


async def says_nothing(writer: asyncio.StreamWriter) -> None:
    """Until the peer gives up."""
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def socket_server(script: Script) -> AsyncIterator[SocketServer]:
    server = SocketServer(script)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
        try:
            await server.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # an aborted transport closes its socket in the next round of the loop
