"""What a ProviderCredential says: its status, its conditions, and events about them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from inventiv_operator.api.base import timestamp_text
from inventiv_operator.api.conditions import (
    MESSAGE_MAX_CHARS,
    ConditionStatus,
    ConditionType,
    Reason,
    Said,
    clip,
    condition_of,
)
from inventiv_operator.api.credential import ABANDONED_LIMIT
from inventiv_operator.api.objects import CredentialObject
from inventiv_operator.api.supported import ABANDON, annotations_without_effect
from inventiv_operator.controllers.credential.custody import SaidOfKey
from inventiv_operator.controllers.credential.key import IN_SECRET, KeyPlace
from inventiv_operator.controllers.credential.words import chunks_of, name_of
from inventiv_operator.controllers.status import ObjectStatusWriter, old_conditions
from inventiv_operator.domain.abandonment import Refused, may_abandon
from inventiv_operator.domain.expiry import ExpiryStep, step_of, time_left
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.kube.events import EventType
from inventiv_operator.kube.kinds import CREDENTIAL
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.store.abandon import Abandoned
from inventiv_operator.store.usage import CredentialUsage

RESOURCES_ABANDONED: Final = "ResourcesAbandoned"
"""Reason of the events that list what was given up."""
_PART_CHARS: Final = 30
"""Room for the number of an event among those that belong together: equal words would be said once."""
_MOST_EVENTS: Final = 100
"""About 1,500 ids; they are objects of the API server, one each."""
_EXPIRY_REASONS: Final = {
    ExpiryStep.FAR: Reason.NOT_EXPIRING,
    ExpiryStep.MONTH: Reason.EXPIRES_SOON,
    ExpiryStep.WEEK: Reason.EXPIRES_WITHIN_WEEK,
    ExpiryStep.DAY: Reason.EXPIRES_WITHIN_DAY,
    ExpiryStep.ENDED: Reason.CREDENTIAL_EXPIRED,
}
"""The step is the reason, so that the condition itself remembers what was told already."""
_STEPS: Final = {str(reason): step for step, reason in _EXPIRY_REASONS.items()}
_TOLD_BY_EVENT: Final = frozenset({ExpiryStep.MONTH, ExpiryStep.WEEK, ExpiryStep.DAY})
"""The end itself is told by Ready."""


class Report:
    """Writes the status of ProviderCredentials. Keeps nothing in memory: what was said is read from the
    object, so that a restart says nothing twice.
    """

    def __init__(self, status: ObjectStatusWriter, *, clock: Clock) -> None:
        self._status = status
        self._clock = clock

    async def write(
        self,
        body: Mapping[str, Any],
        obj: CredentialObject,
        row: CredentialRow | None,
        said: SaidOfKey,
        *,
        usage: CredentialUsage | None,
        abandoned: Sequence[Abandoned] = (),
    ) -> None:
        """`abandoned`: everything of this credential that was ever given up."""
        now = self._clock.now()
        expiring = said_expiring(row, now=now)
        message = _with_annotations(said.message, _unheard(obj, row, now=now))
        after = await self._status.write(
            CREDENTIAL,
            body,
            status_fields(row, usage, abandoned),
            said=[said_ready(ready=said.ready, reason=said.reason, message=message), expiring],
        )
        if after is None:
            return  # it moved on, and is looked at again
        if row is not None and (event_type := expiry_event(body, row, expiring)) is not None:
            await self._status.announce(
                CREDENTIAL, body, reason=expiring.reason, message=expiring.message, event_type=event_type
            )
        if row is not None and is_unsaid(body, abandoned):
            for message in abandonment_events(row, abandoned):
                await self._status.announce(CREDENTIAL, body, reason=RESOURCES_ABANDONED, message=message)


def status_fields(
    row: CredentialRow | None, usage: CredentialUsage | None, abandoned: Sequence[Abandoned] = ()
) -> dict[str, Any]:
    """Everything but the conditions; a field that is None is left out."""
    if row is None:
        return {}
    return {
        "credentialID": str(row.id),
        "accessKey": row.access_key or None,
        "keyFingerprint": row.key_fingerprint or None,
        "expiresAt": None if row.expires_at is None else timestamp_text(row.expires_at),
        "lastValidatedAt": None if row.validated_at is None else timestamp_text(row.validated_at),
        "encryptionKeyID": row.encryption_key_id or None,
        "resources": None
        if usage is None
        else {
            "servers": usage.servers,
            "volumes": usage.volumes,
            "ips": usage.ips,
            "securityGroups": usage.security_groups,
        },
        "abandonedCount": len(abandoned) or None,
        "abandoned": [_abandoned_field(thing) for thing in abandoned[:ABANDONED_LIMIT]] or None,
    }


def _abandoned_field(thing: Abandoned) -> dict[str, str]:
    named = {
        "kind": thing.kind,
        "id": thing.ref,
        "zone": thing.zone,
        "deployment": thing.deployment,
        "instanceID": thing.instance_id,
    }
    return {name: value for name, value in named.items() if value}


def is_unsaid(body: Mapping[str, Any], abandoned: Sequence[Abandoned]) -> bool:
    """Whether the object does not list yet what was given up. It must before it goes."""
    said = (body.get("status") or {}).get("abandonedCount") or 0
    return len(abandoned) > int(said)


def abandonment_events(row: CredentialRow, abandoned: Sequence[Abandoned]) -> Iterator[str]:
    """Every id, over as many events as that takes, within reason: the audit log has all of them anyway."""
    names = [name_of(thing.kind, thing.ref, thing.zone, tag=thing.instance_id) for thing in abandoned]
    head = (
        f"given up, and billed by Scaleway until somebody deletes it in project {row.project_id}"
        f" ({len(names)} in all"
    )
    parts = list(chunks_of(names, limit=MESSAGE_MAX_CHARS - len(head) - _PART_CHARS))
    for number, part in enumerate(parts[:_MOST_EVENTS], start=1):
        yield f"{head}, part {number} of {len(parts)}): {part}"


def said_ready(*, ready: bool | None, reason: Reason, message: str) -> Said:
    """`ready` None: under way, and nobody has to do anything about it."""
    status = ConditionStatus.UNKNOWN if ready is None else ConditionStatus(str(ready))
    return Said(type=ConditionType.READY, status=status, reason=reason, message=message)


def said_expiring(row: CredentialRow | None, *, now: datetime, place: KeyPlace = IN_SECRET) -> Said:
    """The condition Expiring of the stored key."""
    if row is None or row.expires_at is None:
        return Said(
            type=ConditionType.EXPIRING,
            status=ConditionStatus.UNKNOWN,
            reason=Reason.EXPIRY_UNKNOWN,
            message="Scaleway names no end of this key: it has none, or the key may not look itself up",
        )
    end, step = timestamp_text(row.expires_at), step_of(row.expires_at, now=now)
    match step:
        case ExpiryStep.FAR:
            message = f"the key ends at {end}"
        case ExpiryStep.ENDED:
            message = f"the key ended at {end}; put a new one into {place.key}"
        case _:
            message = (
                f"the key ends at {end}, in {time_left(row.expires_at, now=now)}: make a new one at Scaleway"
                f" and put it into {place.key} before; it takes over without a pause"
            )
    return Said(
        type=ConditionType.EXPIRING,
        status=ConditionStatus.FALSE if step is ExpiryStep.FAR else ConditionStatus.TRUE,
        reason=_EXPIRY_REASONS[step],
        message=message,
    )


def expiry_event(body: Mapping[str, Any], row: CredentialRow, said: Said) -> EventType | None:
    """Type of the event for a step that this key has entered; None: it was told, or is none to tell.

    Whether it was told is in the object: the reason of the last condition, and the key that it was about.
    """
    if row.expires_at is None:
        return None
    status = body.get("status") or {}
    before = condition_of(old_conditions(body), ConditionType.EXPIRING)
    same_key = (status.get("keyFingerprint"), status.get("expiresAt")) == (
        row.key_fingerprint,
        timestamp_text(row.expires_at),
    )
    return event_of_step(said.reason, told=before.reason if before is not None and same_key else "")


def event_of_step(reason: str, *, told: str) -> EventType | None:
    """Of the step that a reason of `Expiring` stands for; `told`: the reason that was said of this key
    before, empty: none. None: there is nothing new to tell.
    """
    step = _STEPS.get(reason, ExpiryStep.FAR)
    if step not in _TOLD_BY_EVENT or _STEPS.get(told, ExpiryStep.FAR) >= step:
        return None
    return "Warning" if step >= ExpiryStep.WEEK else "Normal"


def _unheard(obj: CredentialObject, row: CredentialRow | None, *, now: datetime) -> list[str]:
    """What is to be said of annotations that change nothing."""
    annotations = obj.metadata.annotations
    lines = list(annotations_without_effect(annotations))
    asked = annotations.get(ABANDON)
    if not asked:
        return lines
    if row is None:
        why = "nothing is stored for this object, so there is nothing to give up"
        return [*lines, f"the annotation {ABANDON} is not honoured: {why}"]
    leaving = obj.metadata.deletion_timestamp is not None
    decision = may_abandon(row, asked=asked, is_being_deleted=leaving, now=now)
    if isinstance(decision, Refused):
        lines.append(f"the annotation {ABANDON} is not honoured: {decision.why}")
    return lines


def _with_annotations(message: str, lines: Sequence[str]) -> str:
    """Whoever set one must find the answer, so a long message is cut before it, not behind it."""
    tail = "".join(f"; {line}" for line in lines)
    return clip(message, MESSAGE_MAX_CHARS - len(tail)) + tail
