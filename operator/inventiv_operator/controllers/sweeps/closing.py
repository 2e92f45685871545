"""What is left to do for a credential on its way out: its control groups, the quarantine, the end of its key.

Keyed by the ledger's ids, because the object may be gone, and its name may belong to another one already.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from inventiv_operator.controllers.access import Access
from inventiv_operator.controllers.credential.removal import Removal
from inventiv_operator.controllers.credential_lines import tell
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.audit import Action
from inventiv_operator.domain.ids import CredentialId, OrganizationId
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.runtime.queue import DONE, Lane, Result
from inventiv_operator.store import credentials

logger = logging.getLogger(__name__)

QUARANTINE = timedelta(hours=24)
"""How long key and row are kept after the last thing of it was proven absent.

What appears at the provider later than that proof is not searched for: no listing is made in the quarantine.
The key is kept so that whoever notices one, in the console or on the bill, has a credential that can still
read and delete it; and a row of the ledger that turns up is taken to its end like any other.
"""


class ClosingCredentials:
    def __init__(
        self,
        services: Services,
        *,
        removal: Removal,
        access: Access,
        forget: Sequence[Callable[[CredentialId], None]],
    ) -> None:
        """`forget`: who else keeps something of a credential in memory."""
        self._services = services
        self._removal = removal
        self._access = access
        self._forget = forget

    async def sweep(
        self, organization_id: OrganizationId, credential_id: CredentialId, *, deadline_s: float
    ) -> Result:
        """One step for one credential; nothing for an open one, which its object drives."""
        async with self._services.db.reading(organization_id) as conn:
            row = await credentials.get(conn, credential_id)
        if row is None or row.state != "closing":
            return DONE
        waiting = await self._removal.advance(row, deadline_s=deadline_s)
        if waiting is not None:
            logger.warning("something of a closing credential turned up", extra={"detail": waiting.message})
            return Result(
                requeue_after_s=waiting.again_in_s, organization=str(organization_id), lane=Lane.DELETE
            )
        if row.closing_at is not None and self._services.clock.now() - row.closing_at >= QUARANTINE:
            await self._close(row)
        return DONE

    async def _close(self, row: CredentialRow) -> None:
        async with self._access.replacing(row.id), self._services.writing(row.organization_id) as conn:
            is_released = await credentials.close(conn, row.id)
            await tell(conn, row, Action.KEY_DESTROYED)
            if is_released:
                await tell(conn, row, Action.PROJECT_RELEASED)
        self._access.forget(row.id)
        for forget in self._forget:
            forget(row.id)
        logger.info("quarantine over, key destroyed", extra={"credential_id": str(row.id)})
