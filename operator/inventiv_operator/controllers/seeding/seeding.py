"""What the organization controller asks about the seeded credential."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from inventiv_operator.controllers.seeding.keeping import SeededCredentials
from inventiv_operator.controllers.seeding.opening import SeedOpening
from inventiv_operator.controllers.seeding.report import (
    Announcement,
    SeededStatus,
    announcements,
    said_before,
    seeded_status,
    unseeded_status,
)
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.sweeps.terminator import seeded_key
from inventiv_operator.controllers.waking import Enqueue
from inventiv_operator.domain.ledger import CredentialRow, OrganizationRow
from inventiv_operator.runtime.queue import Lane
from inventiv_operator.store import seeded
from inventiv_operator.store.abandon import Abandoned
from inventiv_operator.store.usage import usage_of

AGAIN_S: Final = 30.0
"""When a directory that could not be used is read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededLine:
    """What the status says of it. `status` None: nothing is seeded, and nothing is amiss. `again_in_s` None:
    no look is due by itself.
    """

    status: SeededStatus | None
    again_in_s: float | None = None
    row: CredentialRow | None = None
    abandoned: tuple[Abandoned, ...] = ()

    def news(self, body: Mapping[str, Any]) -> list[Announcement]:
        """What to tell once it is written; `body` is the Organization as it was before."""
        if self.status is None:
            return []
        before = said_before(body)
        return list(announcements(before, self.status, row=self.row, abandoned=self.abandoned))


NOTHING: Final = SeededLine(status=None)


class Seeding:
    def __init__(
        self, services: Services, *, opening: SeedOpening, keeping: SeededCredentials, enqueue: Enqueue
    ) -> None:
        self._services = services
        self._opening = opening
        self._keeping = keeping
        self._enqueue = enqueue

    async def settle(self, organization: OrganizationRow, namespaces: Sequence[str]) -> SeededLine:
        """Fill what is to be filled; `namespaces` are those that the organization holds.

        Raises:
            KubeError: whether it has a ProviderCredential cannot be said now.
        """
        problem = await self._opening.open_for(organization, namespaces)
        if problem is not None:
            return SeededLine(status=unseeded_status(problem), again_in_s=AGAIN_S)
        return await self.look(organization, leaving=False)

    async def look(self, organization: OrganizationRow, *, leaving: bool) -> SeededLine:
        """How it stands, and fill nothing. `leaving`: the organization is on its way out, and so is this."""
        async with self._services.db.reading(organization.id) as conn:
            row = await seeded.find(conn, organization.id)
            usage = None if row is None else await usage_of(conn, row.id)
        if row is None or usage is None:
            return NOTHING
        if self._keeping.is_news(row, leaving=leaving):
            key = seeded_key(organization.id, row.id)
            self._enqueue(key, organization=str(organization.id), lane=Lane.CREATE)
        told = self._keeping.told(row, usage)
        now = self._services.clock.now()
        status = seeded_status(row, usage, told.said, abandoned=told.abandoned, now=now)
        return SeededLine(status=status, row=row, abandoned=told.abandoned)
