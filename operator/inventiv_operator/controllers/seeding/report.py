"""`status.seededCredential` of an Organization, and when its change is worth a warning."""

from collections.abc import Mapping
from typing import Any

from inventiv_operator.api.conditions import clip
from inventiv_operator.controllers.credential.custody import SaidOfKey
from inventiv_operator.controllers.credential.report import status_fields
from inventiv_operator.controllers.seeding.directory import SeedProblem
from inventiv_operator.controllers.status import ORDINARY
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.store.usage import CredentialUsage

SeededStatus = dict[str, Any]


def seeded_status(row: CredentialRow, usage: CredentialUsage, said: SaidOfKey) -> SeededStatus:
    """The project is shown once it was proven: before, the file may hold anything, a misplaced key too."""
    fields = status_fields(row, usage) | {
        "projectID": row.project_id if row.validated_at is not None else None,
        "ready": bool(said.ready),
        "reason": str(said.reason),
        "message": clip(said.message),
    }
    return {name: value for name, value in fields.items() if value is not None}


def unseeded_status(problem: SeedProblem) -> SeededStatus:
    """There is none, and why."""
    return {"ready": False, "reason": str(problem.reason), "message": clip(problem.message)}


def is_new_trouble(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> bool:
    """Whether somebody should look: it is not ready, and was not so before, or for another reason."""
    if now is None or now["ready"] or now["reason"] in ORDINARY:
        return False
    return before is None or (before.get("ready"), before.get("reason")) != (now["ready"], now["reason"])
