"""Ports on 127.0.0.1 that stay ours while a part is stopped."""

import random
import socket
from pathlib import Path

from local_stack.errors import LocalStackError

LOOPBACK = "127.0.0.1"
_LOWEST = 15_000
_TRIES = 1_000


def free_port(*, taken: frozenset[int] = frozenset()) -> int:
    """A random free port *below* the range that the kernel gives to outgoing connections.

    Inside that range another connection could be given the port while the part is stopped, and a client that
    keeps trying the stopped part would sooner or later be connected to itself: its own end may get that port.
    """
    choice = random.SystemRandom()
    highest = _first_ephemeral_port() - 1
    for _ in range(_TRIES):
        port = choice.randint(_LOWEST, highest)
        if port not in taken and is_free(port):
            return port
    raise LocalStackError(
        f"no free port between {_LOWEST} and {highest} on {LOOPBACK}; stop what occupies them"
    )


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def is_listening(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return True
    except OSError:
        return False


def _first_ephemeral_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
    return first if first > _LOWEST + 1_000 else 32_768
