"""The one place that writes a status: only when it changed, with the resourceVersion that was read."""

import logging
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from inventiv_operator.api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    Said,
    condition_of,
    merge_conditions,
)
from inventiv_operator.controllers.objects import StatusTarget
from inventiv_operator.domain.verdict import Verdict
from inventiv_operator.kube.errors import Conflict, NotFound
from inventiv_operator.kube.events import EventRecorder, EventType, ObjectRef
from inventiv_operator.kube.kinds import Kind
from inventiv_operator.runtime.clock import Clock

logger = logging.getLogger(__name__)

ORDINARY = frozenset({Reason.PROGRESSING, Reason.STARTING, Reason.DELETING, Reason.PAUSED, Reason.READY})
"""Reasons for not being ready that need nobody."""

FIRST_MOMENTS_S = 30.0
USUAL_AT_FIRST = frozenset(
    {
        Reason.ORGANIZATION_MISSING,
        Reason.SECRET_MISSING,
        Reason.MISSING_PROVIDER_CREDENTIALS,
        Reason.CREDENTIAL_NOT_READY,
    }
)
"""Trouble, except in the first moments of an object: `kubectl apply` of a folder makes one after another."""


def event_type_of(conditions: Iterable[Condition], *, age_s: float) -> EventType:
    """Of the event about a change of Ready. `age_s`: how long the object exists."""
    said = tuple(conditions)
    ready = condition_of(said, ConditionType.READY)
    if ready is None or ready.status != ConditionStatus.FALSE or ready.reason in ORDINARY:
        return "Normal"
    if ready.reason not in USUAL_AT_FIRST or age_s >= FIRST_MOMENTS_S:
        return "Warning"
    credential = condition_of(said, ConditionType.CREDENTIAL_READY)
    if ready.reason == Reason.CREDENTIAL_NOT_READY and credential and credential.reason not in ORDINARY:
        return "Warning"  # it was looked at, and found wanting
    return "Normal"


def reason_of(text: str) -> Reason:
    """The contract's reason, or `Progressing` for what is only a step on the way."""
    try:
        return Reason(text)
    except ValueError:
        return Reason.PROGRESSING


def status_of(value: bool | None, /) -> ConditionStatus:  # noqa: FBT001 (its only argument)
    if value is None:
        return ConditionStatus.UNKNOWN
    return ConditionStatus.TRUE if value else ConditionStatus.FALSE


def said_ready(verdict: Verdict) -> Said:
    """The condition Ready of any kind."""
    return Said(
        type=ConditionType.READY,
        status=status_of(verdict.ready),
        reason=reason_of(verdict.reason),
        message=verdict.message,
    )


class ObjectStatusWriter:
    """Writes statuses and, on a transition of Ready, an event."""

    def __init__(self, kube: StatusTarget, *, events: EventRecorder, clock: Clock) -> None:
        self._kube = kube
        self._events = events
        self._clock = clock

    def conditions(
        self, body: Mapping[str, Any], said: Iterable[Said]
    ) -> tuple[list[dict[str, Any]], tuple[Condition, ...]]:
        """The conditions to write, as JSON and as values; their times are kept where nothing changed."""
        old = old_conditions(body)
        merged = merge_conditions(
            old,
            said,
            now=self._clock.now(),
            observed_generation=int(body["metadata"].get("generation") or 0),
        )
        return [c.model_dump(mode="json", by_alias=True) for c in merged], merged

    async def write(
        self, kind: Kind, body: Mapping[str, Any], status: Mapping[str, Any], *, said: Iterable[Said]
    ) -> dict[str, Any] | None:
        """The object as it is after the write; None when it moved on or is gone: its event brings us back."""
        rendered, merged = self.conditions(body, said)
        wanted = {
            "observedGeneration": int(body["metadata"].get("generation") or 0),
            **{name: value for name, value in status.items() if value is not None},
            "conditions": rendered,
        }
        if wanted == body.get("status"):
            return dict(body)
        metadata = body["metadata"]
        try:
            after = await self._kube.apply_status(
                kind,
                metadata.get("namespace"),
                metadata["name"],
                uid=metadata["uid"],
                resource_version=metadata["resourceVersion"],
                status=wanted,
            )
        except (Conflict, NotFound) as error:
            logger.debug("status not written: %s", error)
            return None
        await self._announce_change(kind, body, merged)
        return after

    async def announce(
        self,
        kind: Kind,
        body: Mapping[str, Any],
        *,
        reason: str,
        message: str,
        event_type: EventType = "Warning",
    ) -> None:
        """What is told besides the changes of Ready."""
        await self._events.emit(
            ObjectRef.of(kind, body), reason=reason, message=message, event_type=event_type
        )

    async def _announce_change(
        self, kind: Kind, body: Mapping[str, Any], merged: tuple[Condition, ...]
    ) -> None:
        now = condition_of(merged, ConditionType.READY)
        before = condition_of(old_conditions(body), ConditionType.READY)
        if now is None or (before is not None and (before.status, before.reason) == (now.status, now.reason)):
            return
        await self._events.emit(
            ObjectRef.of(kind, body),
            event_type=event_type_of(merged, age_s=self._age_s(body)),
            reason=now.reason,
            message=now.message,
        )

    def _age_s(self, body: Mapping[str, Any]) -> float:
        """By two clocks, the API server's and ours: good for what is said, not for what is done."""
        created = body["metadata"].get("creationTimestamp")
        if created is None:
            return math.inf
        return (self._clock.now() - datetime.fromisoformat(created)).total_seconds()


def old_conditions(body: Mapping[str, Any]) -> tuple[Condition, ...]:
    """What the object says now; a condition that nobody can read any more is dropped."""
    found = []
    for raw in (body.get("status") or {}).get("conditions") or []:
        try:
            found.append(Condition.model_validate(raw))
        except ValueError:
            continue
    return tuple(found)
