"""The annotation `inventiv.io/abandon`: what is left of a credential is given up, and every id is written
down.

No call to the provider is part of it: the key was refused for a day, or nothing may be concluded with it.
"""

import logging
from dataclasses import dataclass
from typing import Final

from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.abandonment import Honoured, may_abandon
from inventiv_operator.domain.audit import Action, AuditLine
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.store import abandon, audit, credentials
from inventiv_operator.store.abandon import Abandoned

logger = logging.getLogger(__name__)

NOTHING: Final[tuple[Abandoned, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """`things`: everything that was ever given up of the credential and may exist; `is_new`: some of it just
    now.
    """

    things: tuple[Abandoned, ...] = NOTHING
    is_new: bool = False


class Abandoning:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def settle(self, row: CredentialRow, *, asked: str, is_listed: bool) -> GivenUp:
        """For an object that is being deleted: do as it asks where that is honoured.

        `asked`: the annotation, empty without one. `is_listed`: the status names things given up earlier.
        """
        if not asked and not is_listed:
            return GivenUp()
        is_new = bool(asked) and self._is_honoured(row, asked) and await self._give_up(row, asked)
        async with self._services.db.reading(row.organization_id) as conn:
            things = await abandon.given_up(conn, row.id)
        return GivenUp(things=things, is_new=is_new)

    def _is_honoured(self, row: CredentialRow, asked: str) -> bool:
        decision = may_abandon(row, asked=asked, is_being_deleted=True, now=self._services.clock.now())
        return isinstance(decision, Honoured)

    async def _give_up(self, row: CredentialRow, asked: str) -> bool:
        """Whether there was anything. All of it, and its lines in the audit log, in one transaction."""
        async with self._services.db.reading(row.organization_id) as conn:
            if not await abandon.is_anything_left(conn, row.id):
                return False
        async with self._services.writing(row.organization_id) as conn:
            await abandon.lock(conn, row.id)
            current = await credentials.get(conn, row.id)
            if current is None or not self._is_honoured(current, asked):
                return False
            things = await abandon.give_up(conn, row.id)
            lines = [self._line(row, thing) for thing in things]
            await audit.append_all(conn, row.organization_id, lines, again=False)
        logger.warning(
            "gave up what was left of a credential: it goes on being billed",
            extra={"credential_id": str(row.id), "project_id": row.project_id, "count": len(things)},
        )
        return True

    def _line(self, row: CredentialRow, thing: Abandoned) -> AuditLine:
        """One for each thing, so that none is cut off."""
        return AuditLine(
            at=self._services.clock.now(),
            action=Action.RESOURCES_ABANDONED,
            kind=thing.kind,
            name=thing.deployment,
            ref=thing.ref,
            detail={
                "credentialID": str(row.id),
                "projectID": row.project_id,
                "zone": thing.zone,
                "role": thing.role,
                "resourceID": thing.resource_id,
                "deploymentID": thing.deployment_id,
                "instanceID": thing.instance_id or None,
                "state": thing.state_before,
                "mayExist": thing.may_exist,
            },
        )
