"""Guests that answer: each booted server listens on its own loopback address, on the ports its group lets in.

Addresses are bound one by one when a server has booted and given up when it stops, so that a probe of a
server that is not there is refused. Two stacks on one machine stay apart (`claim_block`).
"""

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import Sequence

from scaleway_simulator import groups, ips
from scaleway_simulator.records import Server
from scaleway_simulator.world import World

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.1
BACKLOG = 16
CLAIM_PORT = 47_990
FIRST_BLOCK, LAST_BLOCK = 64, 127
BODY = b'{"status":"ok"}\n'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


class NoFreeBlock(OSError):
    """Every 127.64.0.0/16 .. 127.127.0.0/16 belongs to another simulator on this machine."""


def claim_block() -> tuple[socket.socket, str]:
    """The first free 127.X.0.0/16 of this machine: what holds it while it is open, and its first address.

    Raises:
        NoFreeBlock: there is none.
    """
    for block in range(FIRST_BLOCK, LAST_BLOCK + 1):
        claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            claim.bind((f"127.{block}.255.254", CLAIM_PORT))
            claim.listen(1)
        except OSError:
            claim.close()
            continue
        return claim, f"127.{block}.0.1"
    raise NoFreeBlock("no free block of loopback addresses between 127.64.0.0 and 127.127.0.0")


def allow_many_sockets() -> None:
    """A listener is a file: take as many as this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Guests:
    """Keeps the listeners in step with the world."""

    def __init__(self, world: World, *, ports: Sequence[int]) -> None:
        self._world = world
        self._ports = tuple(ports)
        self._open: dict[str, dict[tuple[str, int], asyncio.Server]] = {}
        self._generation = world.generation
        world.watch_guests()

    async def run(self) -> None:
        """Until cancelled; looks ten times a second at the servers that changed, and at no others."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            self._close_all()

    async def look(self) -> None:
        world = self._world
        world.settle()
        if world.generation != self._generation:
            self._close_all()
            self._generation = world.generation
            world.watch_guests()
        for server_id in world.take_touched():
            await self._serve(server_id, self._wanted(world.servers.find(server_id)))

    def _wanted(self, server: Server | None) -> frozenset[tuple[str, int]]:
        if server is None or not server.guest_booted:
            return frozenset()
        group = self._world.security_groups.find(server.security_group_id)
        ports = frozenset(self._ports) if group is None else groups.open_ports(group, self._ports)
        addresses = [ip.address for ip in ips.of_server(self._world, server) if ip.address is not None]
        if server.dynamic_address is not None:
            addresses.append(server.dynamic_address.address)
        return frozenset((address, port) for address in addresses for port in ports)

    async def _serve(self, server_id: str, wanted: frozenset[tuple[str, int]]) -> None:
        held = self._open.setdefault(server_id, {})
        for place in [p for p in held if p not in wanted]:
            held.pop(place).close()
        for place in sorted(wanted - held.keys()):
            listener = await _listen(*place)
            if listener is not None:
                held[place] = listener
        if not held:
            del self._open[server_id]

    def _close_all(self) -> None:
        for held in self._open.values():
            for listener in held.values():
                listener.close()
        self._open.clear()


async def _listen(address: str, port: int) -> asyncio.Server | None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address, port))
    except OSError as exc:
        sock.close()
        logger.warning("a guest cannot listen on %s port %d: %s", address, port, exc)
        return None
    return await asyncio.get_running_loop().create_server(_Guest, sock=sock, backlog=BACKLOG)


class _Guest(asyncio.Protocol):
    """Answers 200 to whatever is asked, once per connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # a stream server makes these
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-65536:]
        if b"\r\n\r\n" in self._tail and self._transport is not None:
            self._transport.write(ANSWER)
            self._transport.close()
