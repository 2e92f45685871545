"""`status.seededCredential` of an Organization, and the events about it."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from inventiv_operator.api.conditions import clip
from inventiv_operator.controllers.credential.custody import SaidOfKey
from inventiv_operator.controllers.credential.report import (
    RESOURCES_ABANDONED,
    abandonment_events,
    event_of_step,
    is_unsaid,
    said_expiring,
    status_fields,
)
from inventiv_operator.controllers.seeding.directory import PLACE, SeedProblem
from inventiv_operator.controllers.status import ORDINARY
from inventiv_operator.domain.expiry import ExpiryStep, step_of
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.kube.events import EventType
from inventiv_operator.store.abandon import Abandoned
from inventiv_operator.store.usage import CredentialUsage

SeededStatus = dict[str, Any]


class Announcement(NamedTuple):
    reason: str
    message: str
    event_type: EventType


def said_before(body: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What the Organization's status says now; empty: nothing."""
    status = {} if body is None else body.get("status") or {}
    return status.get("seededCredential") or {}


def seeded_status(
    row: CredentialRow,
    usage: CredentialUsage,
    said: SaidOfKey,
    *,
    abandoned: tuple[Abandoned, ...],
    now: datetime,
) -> SeededStatus:
    """The project is shown once it was proven: before, the file may hold anything, a misplaced key too."""
    expiring = said_expiring(row, now=now, place=PLACE)
    message = said.message
    if said.ready and row.expires_at is not None and step_of(row.expires_at, now=now) is not ExpiryStep.FAR:
        message = f"{message}; {expiring.message}"
    fields = status_fields(row, usage, abandoned) | {
        "projectID": row.project_id if row.validated_at is not None else None,
        "expiring": None if row.expires_at is None else str(expiring.reason),
        "ready": bool(said.ready),
        "reason": str(said.reason),
        "message": clip(message),
    }
    return {name: value for name, value in fields.items() if value is not None}


def unseeded_status(problem: SeedProblem) -> SeededStatus:
    """There is none, and why."""
    return {"ready": False, "reason": str(problem.reason), "message": clip(problem.message)}


def announcements(
    before: Mapping[str, Any],
    now: SeededStatus,
    *,
    row: CredentialRow | None = None,
    abandoned: tuple[Abandoned, ...] = (),
) -> Iterator[Announcement]:
    """What is news in `now`, the status that was just written. `before` remembers what was told, so that a
    restart tells nothing twice.
    """
    if _is_new_trouble(before, now):
        message = f"the seeded credential is not ready: {now['message']}"
        yield Announcement(now["reason"], message, "Warning")
    event_type = event_of_step(now.get("expiring", ""), told=_told_of_this_key(before, now))
    if event_type is not None:
        yield Announcement(now["expiring"], f"the seeded credential: {now['message']}", event_type)
    if row is not None and is_unsaid({"status": before}, abandoned):
        for message in abandonment_events(row, abandoned):
            yield Announcement(RESOURCES_ABANDONED, message, "Warning")


def _is_new_trouble(before: Mapping[str, Any], now: SeededStatus) -> bool:
    """Whether somebody should look: it is not ready, and was not so before, or for another reason."""
    if now["ready"] or now["reason"] in ORDINARY:
        return False
    return (before.get("ready"), before.get("reason")) != (now["ready"], now["reason"])


def _told_of_this_key(before: Mapping[str, Any], now: SeededStatus) -> str:
    same = all(before.get(name) == now.get(name) for name in ("keyFingerprint", "expiresAt"))
    return str(before.get("expiring") or "") if same else ""
