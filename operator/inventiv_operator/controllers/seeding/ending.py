"""The end of a seeded credential: after everything that it was used for, or with what a person gives up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from inventiv_operator.api.supported import ABANDON
from inventiv_operator.controllers.credential.abandoning import Abandoning
from inventiv_operator.controllers.credential.removal import Removal
from inventiv_operator.controllers.credential.report import is_unsaid
from inventiv_operator.controllers.credential.words import said_of_abandoned
from inventiv_operator.controllers.seeding.report import said_before
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.abandonment import Refused, may_abandon
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.store.abandon import Abandoned

_SAID_IN_S: Final = 1.0
"""When a status that was to be written is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What it still waits for. `is_less`: something was given up just now, so who waited for it may go on."""

    message: str
    again_in_s: float
    abandoned: tuple[Abandoned, ...]
    is_less: bool


class SeededEnd:
    def __init__(self, services: Services, *, removal: Removal) -> None:
        self._services = services
        self._removal = removal
        self._abandoning = Abandoning(services)

    async def advance(
        self, row: CredentialRow, body: Mapping[str, Any] | None, *, deadline_s: float
    ) -> Left | None:
        """One step; None: nothing is left, and the quarantine runs. `body`: of the Organization, if any.

        What was given up is listed in the Organization's status before the credential goes from there.
        """
        asked, said = _asked(body), said_before(body)
        given_up = await self._abandoning.settle(row, asked=asked, is_listed=bool(said.get("abandonedCount")))
        parts = [said_of_abandoned(given_up.things)]
        again_in_s = _SAID_IN_S
        if not is_unsaid({"status": said}, given_up.things):
            waiting = await self._removal.advance(row, deadline_s=deadline_s)
            if waiting is None:
                return None
            parts += [waiting.message, self._unheard(row, asked)]
            again_in_s = waiting.again_in_s
        return Left(
            message="; ".join(part for part in parts if part),
            again_in_s=again_in_s,
            abandoned=given_up.things,
            is_less=given_up.is_new,
        )

    def _unheard(self, row: CredentialRow, asked: str) -> str:
        if not asked:
            return ""
        now = self._services.clock.now()
        decision = may_abandon(row, asked=asked, is_being_deleted=True, now=now)
        if not isinstance(decision, Refused):
            return ""
        return f"the annotation {ABANDON} is not honoured: {decision.why}"


def _asked(body: Mapping[str, Any] | None) -> str:
    """Only of an Organization that is being deleted: nothing else takes its credential along."""
    metadata = {} if body is None else body["metadata"]
    if not metadata.get("deletionTimestamp"):
        return ""
    return str((metadata.get("annotations") or {}).get(ABANDON) or "")
