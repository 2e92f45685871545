"""The stored key of a credential while nothing is offered in its place: no Secret, or no object any more."""

from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.credential.custody import Custody, KeyState, Watch
from inventiv_operator.controllers.credential.schedule import Turn
from inventiv_operator.controllers.credential.validation import zones_to_try
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.store.usage import usage_of


class StoredCopy:
    def __init__(self, services: Services, *, custody: Custody) -> None:
        self._services = services
        self._custody = custody

    async def look_after(self, row: CredentialRow, *, turn: Turn, held_back: Reason) -> KeyState | None:
        """Ask about it when it is time; None: there is none, or it never served. `held_back`: why nothing new
        is made with it. One on its way out is asked about only when it may have stopped working.

        Raises:
            KeyUnavailable, DecryptionFailed: it cannot be read.
        """
        async with self._services.db.reading(row.organization_id) as conn:
            usage = await usage_of(conn, row.id)
        watch = Watch(
            turn=turn,
            zones=zones_to_try(usage.zones, allowed=row.zones),
            held_back=held_back,
            only_in_doubt=held_back is Reason.DELETING,
        )
        return await self._custody.watch(row, watch)
