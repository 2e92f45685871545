"""Whether the calls of one client may leave; asked immediately before each of them does.

A client is handed out for a whole pass, and its shared listings go on in the background. So it is here that
a key which was replaced, refused or frozen meanwhile is stopped, whoever still holds a client of it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from inventiv_operator.scaleway.errors import READS, Withdrawn


class Permit:
    """Of one client. There is no way back from `withdraw`: whoever may go on is given another client."""

    def __init__(
        self,
        *,
        may_write: Callable[[], object] | None = None,
        on_rejected: Callable[[], object] | None = None,
    ) -> None:
        """`may_write` raises when nothing may be changed any more (B7); `on_rejected` is told of each 401."""
        self._may_write = may_write
        self._on_rejected = on_rejected
        self._why: tuple[str, str] | None = None
        self._on_the_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def withdraw(self, why: str, *, reason: str) -> None:
        """From here on nothing leaves; the first cause is the one that is told."""
        if self._why is None:
            self._why = (why, reason)

    @contextlib.contextmanager
    def sending(self, method: str, *, what: str) -> Iterator[None]:
        """Around one exchange.

        Raises:
            Withdrawn: nothing may leave.
            Whatever `may_write` raises, as it is.
        """
        if self._why is not None:
            why, reason = self._why
            raise Withdrawn(f"{what}: {why}; nothing was sent", reason=reason)
        if self._may_write is not None and method not in READS:
            self._may_write()
        self._on_the_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._on_the_way -= 1
            if not self._on_the_way:
                self._idle.set()

    def rejected(self) -> None:
        """A call was answered 401."""
        if self._on_rejected is not None and self._why is None:
            self._on_rejected()

    async def drained(self, *, within_s: float) -> None:
        """Until nothing is on its way, or `within_s` has passed: then what is, has left long ago."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._idle.wait()
