"""What the controllers are given; built once in `bootstrap.py`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from psycopg import AsyncConnection

from inventiv_operator.domain.ids import InstallationId, OrganizationId
from inventiv_operator.domain.intents import Timing
from inventiv_operator.domain.ledger import Fence
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.store.database import Database


class Leadership(Protocol):
    """Whether this process leads, and the epoch that its writes carry."""

    def fence(self) -> Fence:
        """Raises `Fenced` when this process does not lead."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Shared by all controllers. `timing` is in seconds; see `domain.intents.Timing`."""

    db: Database
    clock: Clock
    leadership: Leadership
    timing: Timing
    installation_id: InstallationId

    @asynccontextmanager
    async def writing(self, organization_id: OrganizationId) -> AsyncIterator[AsyncConnection[Any]]:
        """A transaction of one organization that commits only while this process leads (B7)."""
        async with self.db.writing(organization_id, self.leadership.fence()) as conn:
            yield conn
