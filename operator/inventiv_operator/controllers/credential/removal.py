"""The end of a credential: it outlives everything that it was used for (T5)."""

import logging
from dataclasses import dataclass

from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.access import Access, CredentialWithheld
from inventiv_operator.controllers.credential.words import NAMED, said_of_broken_key, said_of_remains
from inventiv_operator.controllers.credential_lines import tell
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.sweeps.control_groups import ControlGroups
from inventiv_operator.domain.audit import Action
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.store import credentials
from inventiv_operator.store.errors import (
    DecryptionFailed,
    KeyUnavailable,
    MissingProviderCredentials,
)
from inventiv_operator.store.remains import remains_of
from inventiv_operator.store.usage import usage_of

logger = logging.getLogger(__name__)

WAIT_S = 5.0
STUCK_WAIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What the end has to wait for."""

    message: str
    again_in_s: float


class Removal:
    def __init__(self, services: Services, *, access: Access, control_groups: ControlGroups) -> None:
        self._services = services
        self._access = access
        self._control_groups = control_groups

    async def advance(self, row: CredentialRow, *, deadline_s: float) -> Waiting | None:
        """One step towards nothing left at the provider; None: there is nothing left, and the quarantine
        runs.

        Also for a row whose object is gone unseen: lost servers (L9) keep it open, because its key is what
        they can be found again and deleted with.
        """
        await self._stop_new(row)
        async with self._services.db.reading(row.organization_id) as conn:
            usage = await usage_of(conn, row.id)
            remains = await remains_of(conn, row.id, limit=NAMED)
        if usage.by_others():
            message = said_of_remains(row, usage, remains, now=self._services.clock.now())
            return Waiting(message=message, again_in_s=WAIT_S)
        if usage.control_groups and (waiting := await self._remove_controls(row, deadline_s=deadline_s)):
            return waiting
        if row.state == "open":
            await self._begin_closing(row)
        return None

    async def _remove_controls(self, row: CredentialRow, *, deadline_s: float) -> Waiting | None:
        broken = said_of_broken_key(row, now=self._services.clock.now())
        try:
            cloud = await self._access.provider_for(row.organization_id, row.id)
        except CredentialWithheld as error:
            return _stuck(f"{error}{broken}")
        except (MissingProviderCredentials, KeyUnavailable, DecryptionFailed) as error:
            return _stuck(str(error))
        left = await self._control_groups.remove(cloud, deadline_s=deadline_s)
        if not left:
            return None
        message = f"removing the operator's own security groups: {'; '.join(left)}{broken}"
        return Waiting(message=message, again_in_s=STUCK_WAIT_S if broken else WAIT_S)

    async def _stop_new(self, row: CredentialRow) -> None:
        if row.state != "open" or (not row.ready and row.reason == Reason.DELETING):
            return
        async with self._services.writing(row.organization_id) as conn:
            await credentials.set_not_ready(conn, row.id, reason=Reason.DELETING)

    async def _begin_closing(self, row: CredentialRow) -> None:
        """The quarantine begins; a sweep ends it."""
        async with self._services.writing(row.organization_id) as conn:
            await credentials.begin_closing(conn, row.id)
            await tell(conn, row, Action.CREDENTIAL_CLOSING)
        logger.info(
            "credential is closing: nothing of it is left, its key is kept for the quarantine",
            extra={"credential_id": str(row.id)},
        )


def _stuck(why: str) -> Waiting:
    return Waiting(
        message=f"the operator's own security groups cannot be removed: {why}", again_in_s=STUCK_WAIT_S
    )
