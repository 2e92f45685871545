"""A credential whose object is gone: on its way to its end, with the stored key alone."""

import logging

from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.credential.custody import Custody, Watch
from inventiv_operator.controllers.credential.removal import Removal, Waiting
from inventiv_operator.controllers.credential.schedule import Turn
from inventiv_operator.controllers.credential.validation import zones_to_try
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.store.errors import DecryptionFailed, KeyUnavailable
from inventiv_operator.store.usage import usage_of

logger = logging.getLogger(__name__)

_NO_OBJECT = Turn(generation=0, nudge="")


class LeftBehind:
    def __init__(self, services: Services, *, custody: Custody, removal: Removal) -> None:
        self._services = services
        self._custody = custody
        self._removal = removal

    async def advance(self, row: CredentialRow, *, deadline_s: float) -> Waiting | None:
        """One step towards nothing left; None: there is nothing left, and the quarantine runs.

        A key that was refused, or a credential that was frozen, is asked about again: nobody else does, and
        what is left can be deleted as soon as it serves again (T5).
        """
        return await self._removal.advance(await self._asked_about(row), deadline_s=deadline_s)

    async def _asked_about(self, row: CredentialRow) -> CredentialRow:
        async with self._services.db.reading(row.organization_id) as conn:
            usage = await usage_of(conn, row.id)
        watch = Watch(
            turn=_NO_OBJECT,
            zones=zones_to_try(usage.zones, allowed=row.zones),
            held_back=Reason.DELETING,
            only_in_doubt=True,
        )
        try:
            state = await self._custody.watch(row, watch)
        except (KeyUnavailable, DecryptionFailed) as error:
            extra = {"credential_id": str(row.id), "why": str(error)}
            logger.info("the stored key of a credential without an object cannot be read", extra=extra)
            return row
        return row if state is None else state.row
