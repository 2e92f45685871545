"""What the controllers are given; built once in `bootstrap.py`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from psycopg import AsyncConnection

from inventiv_operator.domain.ids import InstallationId, OrganizationId
from inventiv_operator.domain.intents import Timing
from inventiv_operator.domain.ledger import Fence
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import Fenced


class Leadership(Protocol):
    """Whether this process leads, and the epoch that its writes carry."""

    def fence(self) -> Fence:
        """Raises `Fenced` when this process does not lead."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OneEpoch:
    """The leadership of a piece of work that may take long: it ends with the epoch that the work began under.
    After a lease that was lost and taken again, another process may have led in between, and what the work
    has read and planned is of before.
    """

    leadership: Leadership
    began: Fence

    def fence(self) -> Fence:
        """Raises `Fenced` also when this process leads again."""
        current = self.leadership.fence()
        if current != self.began:
            raise Fenced("this process leads again, but the work under way began before it lost the lease")
        return current


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Shared by all controllers. `timing` is in seconds; see `domain.intents.Timing`."""

    db: Database
    clock: Clock
    leadership: Leadership
    timing: Timing
    installation_id: InstallationId

    def of_this_epoch(self) -> Self:
        """For work that begins now: good for nothing once the lease was lost. Raises `Fenced`."""
        return replace(self, leadership=OneEpoch(leadership=self.leadership, began=self.leadership.fence()))

    @asynccontextmanager
    async def writing(self, organization_id: OrganizationId) -> AsyncIterator[AsyncConnection[Any]]:
        """A transaction of one organization that commits only while this process leads (B7)."""
        async with self.db.writing(organization_id, self.leadership.fence()) as conn:
            yield conn
