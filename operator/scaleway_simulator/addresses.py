"""Where public addresses come from: loopback ones that guests answer on, or ones that only look public."""

import ipaddress
import random
from collections import deque

MAX_TRIES = 1000


class AddressPool:
    """Hands out IPv4 addresses, each once at a time.

    With `answering_from` (for instance 127.64.0.1) addresses are taken in order from there; one is taken
    again only after all the others, so that a late probe does not meet another server.
    """

    def __init__(self, *, answering_from: str | None, public: str, draw: random.Random) -> None:
        self._next = None if answering_from is None else int(ipaddress.IPv4Address(answering_from))
        self._first = self._next or 0
        self._network = ipaddress.IPv4Network(public)
        self._draw = draw
        self._returned: deque[str] = deque()
        self._taken: set[str] = set()

    def take(self) -> str:
        address = self._drawn() if self._next is None else self._in_order()
        self._taken.add(address)
        return address

    def give_back(self, address: str) -> None:
        if address in self._taken:
            self._taken.discard(address)
            self._returned.append(address)

    def _in_order(self) -> str:
        """Within the /16 of the first: the next one may be another simulator's."""
        assert self._next is not None  # noqa: S101  # the caller's branch
        is_used_up = self._next >> 16 != self._first >> 16
        if is_used_up and self._returned:
            return self._returned.popleft()
        address = str(ipaddress.IPv4Address(self._next))
        self._next += 1
        while self._next & 0xFF in {0, 255}:  # what looks like a network or broadcast address
            self._next += 1
        return address

    def _drawn(self) -> str:
        for _ in range(MAX_TRIES):
            offset = self._draw.randrange(1, self._network.num_addresses - 1)
            address = str(self._network[offset])
            if address not in self._taken:
                return address
        return self._returned.popleft()
