"""Readiness probes: raw streams, global addresses, no redirects, little read."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network

import pytest

from inventiv_operator.controllers.probes import Prober
from inventiv_operator.domain.wanted import Readiness

READINESS = Readiness(port=0, path="/health", period_s=10.0, timeout_s=0.5, failure_threshold=3)
LOOPBACK = Prober(allowed=[ip_network("127.0.0.0/8")])


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[Readiness]:
    """A guest; None: it takes the connection and says nothing."""

    served = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            await reader.readuntil(b"\r\n\r\n")
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
        writer.transport.abort() if writer.transport.is_closing() else writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield replace(READINESS, port=server.sockets[0].getsockname()[1])
        await asyncio.gather(*(task for task in served if task is not None), return_exceptions=True)


ANSWERS = [
    pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", True, id="200"),
    pytest.param(b"HTTP/1.0 204 No Content\r\n\r\n", True, id="204"),
    pytest.param(
        b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n", True, id="redirect-not-followed"
    ),
    pytest.param(b"HTTP/1.1 404 Not Found\r\n\r\n", False, id="404"),
    pytest.param(b"HTTP/1.1 503 Busy\r\n\r\n", False, id="503"),
    pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", False, id="another-protocol"),
    pytest.param(b"HTTP/1.1 two OK\r\n", False, id="no-number"),
    pytest.param(b"x" * 100_000, False, id="endless-line"),
    pytest.param(b"", False, id="closed"),
    pytest.param(None, False, id="silent"),
]


@pytest.mark.parametrize(("answer", "is_ready"), ANSWERS)
async def test_an_http_probe(answer: bytes | None, *, is_ready: bool) -> None:
    async with answering(answer) as readiness:
        assert await LOOPBACK.ask("127.0.0.1", readiness) is is_ready


async def test_a_tcp_probe_needs_a_connection_only() -> None:
    async with answering(None) as readiness:
        assert await LOOPBACK.ask("127.0.0.1", replace(readiness, path=None))
    assert not await LOOPBACK.ask("127.0.0.1", replace(readiness, path=None))


NOT_GLOBAL = [
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "192.168.1.1",
    "::1",
    "fd00::1",
    "224.0.0.1",
    "",
    "a.b",
]


@pytest.mark.parametrize("address", NOT_GLOBAL)
async def test_an_address_that_is_not_global_is_not_asked(address: str) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n") as readiness:
        assert not await Prober().ask(address, readiness)


def test_global_addresses_may_be_asked() -> None:
    assert Prober().may_probe("51.15.0.1")
    assert Prober().may_probe("2001:bc8::1")
    assert LOOPBACK.may_probe("127.1.2.3")
    assert not LOOPBACK.may_probe("10.0.0.1")
