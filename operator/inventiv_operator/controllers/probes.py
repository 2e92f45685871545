"""Readiness probes: raw asyncio streams (a tenth of the CPU of an HTTP client), no redirects, no proxy.

A probe goes only to the address that the provider gave for the server in the ledger, and only when that
address is global or expressly allowed: a tenant must not be able to make the operator knock at doors inside
the cluster.
"""

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from inventiv_operator.domain.wanted import Readiness

MAX_READ_BYTES = 1024
HTTP_OK = range(200, 400)

Network = IPv4Network | IPv6Network


class Prober:
    """Asks an instance whether it is ready."""

    def __init__(self, *, allowed: Sequence[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def may_probe(self, address: str) -> bool:
        """Whether an address may be asked at all; a text that is no address may not."""
        try:
            parsed: IPv4Address | IPv6Address = ip_address(address)
        except ValueError:
            return False
        if any(parsed in network for network in self._allowed if network.version == parsed.version):
            return True
        return parsed.is_global and not parsed.is_multicast

    async def ask(self, address: str, readiness: Readiness) -> bool:
        """Whether it answered as asked within `timeout_s`; any failure is a plain no."""
        if not self.may_probe(address):
            return False
        try:
            async with asyncio.timeout(readiness.timeout_s):
                return await self._ask(address, readiness)
        except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError):
            return False

    async def _ask(self, address: str, readiness: Readiness) -> bool:
        reader, writer = await asyncio.open_connection(address, readiness.port, limit=MAX_READ_BYTES)
        try:
            if readiness.path is None:
                return True
            host = f"[{address}]" if ":" in address else address
            writer.write(
                f"GET {readiness.path} HTTP/1.1\r\nHost: {host}:{readiness.port}\r\n"
                "User-Agent: inventiv-operator\r\nConnection: close\r\n\r\n".encode("ascii")
            )
            await writer.drain()
            line = await reader.readline()
            parts = line.split(b" ", 2)
            return len(parts) >= 2 and parts[0].startswith(b"HTTP/1.") and int(parts[1]) in HTTP_OK  # noqa: PLR2004
        finally:
            writer.close()
