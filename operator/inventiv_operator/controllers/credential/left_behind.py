"""A credential whose object is gone: on its way to its end, with the stored key alone."""

import logging

from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.credential.removal import Removal, Waiting
from inventiv_operator.controllers.credential.schedule import Turn
from inventiv_operator.controllers.credential.stored_copy import StoredCopy
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.store.errors import DecryptionFailed, KeyUnavailable

logger = logging.getLogger(__name__)

_NO_OBJECT = Turn(generation=0, nudge="")


class LeftBehind:
    def __init__(self, *, stored_copy: StoredCopy, removal: Removal) -> None:
        self._stored_copy = stored_copy
        self._removal = removal

    async def advance(self, row: CredentialRow, *, deadline_s: float) -> Waiting | None:
        """One step towards nothing left; None: there is nothing left, and the quarantine runs.

        A key that was refused, or a credential that was frozen, is asked about again: nobody else does, and
        what is left can be deleted as soon as it serves again (T5).
        """
        return await self._removal.advance(await self._asked_about(row), deadline_s=deadline_s)

    async def _asked_about(self, row: CredentialRow) -> CredentialRow:
        try:
            state = await self._stored_copy.look_after(row, turn=_NO_OBJECT, held_back=Reason.DELETING)
        except (KeyUnavailable, DecryptionFailed) as error:
            extra = {"credential_id": str(row.id), "why": str(error)}
            logger.info("the stored key of a credential without an object cannot be read", extra=extra)
            return row
        return row if state is None else state.row
