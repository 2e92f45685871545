"""What is wrong with seeding, in the log: one line, and again only when it is something else."""

import logging
from collections.abc import Hashable

from inventiv_operator.domain.ids import OrganizationId

logger = logging.getLogger(__name__)


class SeedWarnings:
    """Kept in memory: a restart says it once more."""

    def __init__(self) -> None:
        self._said: dict[tuple[OrganizationId, str], Hashable] = {}

    def say(
        self, organization_id: OrganizationId, topic: str, message: str, *, about: Hashable = None
    ) -> None:
        """`about`: what makes it the same as before; None: the message itself. Never a value of a file."""
        what = message if about is None else about
        if self._said.get((organization_id, topic)) == what:
            return
        self._said[organization_id, topic] = what
        logger.warning("seeding: %s", message, extra={"organization": str(organization_id)})

    def is_fine(self, organization_id: OrganizationId, topic: str) -> None:
        """The next trouble is news, whatever it is."""
        self._said.pop((organization_id, topic), None)
