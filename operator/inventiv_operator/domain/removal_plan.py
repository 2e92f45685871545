"""The way out of one instance: server first, then what outlives it, each until proven absent (L5)."""

from datetime import datetime
from typing import assert_never

from inventiv_operator.domain.cloud import (
    STARTING,
    STOPPED,
    STOPPING,
    AttachedVolume,
    SeenServer,
    VolumeStatus,
)
from inventiv_operator.domain.instance_facts import InstanceFacts
from inventiv_operator.domain.instance_steps import (
    AdoptServer,
    BeginServerDeletion,
    DeleteServer,
    DeleteVolume,
    DetachVolume,
    LookAtServer,
    LookAtVolume,
    LookForLeftovers,
    NoteInstanceGone,
    NoteServerAbsent,
    NoteVolumeAbsent,
    RecordVolume,
    Step,
    Terminate,
)
from inventiv_operator.domain.intents import Timing, is_settled, settled_at
from inventiv_operator.domain.ledger import Resource, ResourceState
from inventiv_operator.domain.leftovers import Held, Unclear, left_behind, may_have_left, unrecorded
from inventiv_operator.domain.sight import Gone, Listed, NotListed, Unknown
from inventiv_operator.domain.waits import RETRY_S, Wait, patience_s

PASSING_THROUGH_S = 60.0
"""A terminate may pass through `stopped` without volumes for seconds before its 404 (api.md 3.3)."""

IN_TRANSITION = frozenset(
    VolumeStatus(status)
    for status in (
        "creating",
        "updating",
        "resizing",
        "snapshotting",
        "hotsyncing",
        "migrating",
        "in_use",
        "attaching",
        "detaching",
        "deleting",
    )
)
"""A volume that reads so is left alone until it reads otherwise; any other status is one that is billed."""


def plan_removal(facts: InstanceFacts, *, now: datetime, timing: Timing) -> Step:
    """The next step towards nothing left of this instance."""
    if facts.server is not None:
        return _plan_server(facts, facts.server, now=now, timing=timing)
    waits: list[Wait] = []
    for volume in facts.volumes:
        step = _plan_volume(facts, volume, now=now)
        if not isinstance(step, Wait):
            return step
        waits.append(step)
    return waits[0] if waits else NoteInstanceGone()


def await_settling(facts: InstanceFacts, row: Resource, *, now: datetime, timing: Timing) -> Wait | None:
    """A wait while the outcome of a create that may have left is open; None once it is settled."""
    due = settled_at(row, timing=timing)
    if due is None or is_settled(row, listed_at=facts.listed_at, timing=timing):
        return None
    left_s = max(0.05, (due - now).total_seconds())
    # The listing is refreshed meanwhile: the server may well appear before.
    return Wait(
        reason="CreateSettling",
        after_s=min(left_s, patience_s(row.changed_at, now=now)),
        message="the outcome of a create call is not known yet",
    )


def _plan_server(  # noqa: PLR0911 (a ladder)
    facts: InstanceFacts, row: Resource, *, now: datetime, timing: Timing
) -> Step:
    if row.provider_ref is None:
        if facts.candidate is not None:
            return AdoptServer(facts.candidate)
        settling = await_settling(facts, row, now=now, timing=timing)
        return settling or _plan_end_of_server(facts, row, now=now, timing=timing)
    match facts.sight:
        case Listed(seen=seen) if (volume := unrecorded(facts, seen)) is not None:
            return RecordVolume(volume)
    if row.state is not ResourceState.DELETING:
        return BeginServerDeletion()
    match facts.sight:
        case Unknown(reason=reason, message=message):
            poll_s = patience_s(row.changed_at, now=now)
            return Wait(reason=reason, after_s=max(RETRY_S, poll_s), message=message)
        case NotListed():
            return LookAtServer()
        case Gone():
            return _plan_end_of_server(facts, row, now=now, timing=timing)
        case Listed(seen=seen):
            return _plan_termination(facts, row, seen, now=now)
        case _:
            assert_never(facts.sight)


def _plan_end_of_server(facts: InstanceFacts, row: Resource, *, now: datetime, timing: Timing) -> Step:
    """Its tombstone comes after the ids of what it may have left behind: afterwards nothing leads to them."""
    if not may_have_left(facts, row):
        return NoteServerAbsent()
    if facts.leftovers is None:
        return LookForLeftovers()
    match left_behind(facts, row, facts.leftovers, timing=timing):
        case AttachedVolume() as volume:
            return RecordVolume(volume)
        case Unclear(refs=refs):
            message = (
                f"one of the volumes {', '.join(refs)} in {row.zone} may have been left behind by a server"
                f" that was deleted outside of the operator, and nothing tells which: delete it at Scaleway,"
                " or give those that are yours a tag, and this goes on"
            )
            poll_s = max(RETRY_S, patience_s(row.changed_at, now=now))
            return Wait(reason="DeletionStuck", after_s=poll_s, message=message)
        case Held(refs=refs):
            message = f"volume {refs[0]} in {row.zone} belongs to a server that does not show (yet)"
            poll_s = patience_s(row.changed_at, now=now)
            return Wait(reason="CreateSettling", after_s=poll_s, message=message)
        case None:
            return NoteServerAbsent()
        case never:
            assert_never(never)


def _plan_termination(facts: InstanceFacts, row: Resource, seen: SeenServer, *, now: datetime) -> Step:
    poll_s = patience_s(row.changed_at, now=now)
    if seen.state in {STARTING, STOPPING}:
        return Wait(reason="Deleting", after_s=poll_s, message=f"server {seen.name} reads {seen.state!r}")
    stranger = _attached_by_hand(facts, seen)
    if stranger is not None:
        return DetachVolume(stranger)  # terminate would destroy a local disk together with the server
    if seen.state != STOPPED:
        return Terminate()  # also in a state that nobody has heard of: it is billed
    age_s = (now - row.changed_at).total_seconds()
    if not seen.volumes and facts.volumes and age_s < PASSING_THROUGH_S:
        return Wait(reason="Deleting", after_s=poll_s, message=f"server {seen.name} is on its way out")
    return DeleteServer()  # terminate is refused on a stopped server


def _attached_by_hand(facts: InstanceFacts, seen: SeenServer) -> AttachedVolume | None:
    ours = {volume.provider_ref for volume in facts.volumes}
    return next((volume for volume in seen.volumes if volume.ref not in ours), None)


def _plan_volume(  # noqa: PLR0911 (a ladder)
    facts: InstanceFacts, row: Resource, *, now: datetime
) -> Step:
    if row.provider_ref is None:
        return NoteVolumeAbsent(row)  # its server left nothing: never made, or looked for in vain
    sight = facts.volume_sights.get(row.provider_ref, NotListed())
    poll_s = patience_s(row.changed_at, now=now)
    match sight:
        case Unknown(reason=reason, message=message):
            return Wait(reason=reason, after_s=max(RETRY_S, poll_s), message=message)
        case NotListed():
            return LookAtVolume(row)
        case Gone():
            return NoteVolumeAbsent(row)
        case Listed(seen=seen):
            if seen.attached_to:
                where = f"still attached to server {seen.attached_to[0]}"
                return Wait(
                    reason="Deleting", after_s=poll_s, message=f"volume {row.provider_ref} is {where}"
                )
            if seen.status in IN_TRANSITION:
                message = f"volume {row.provider_ref} reads {seen.status!r}"
                return Wait(reason="Deleting", after_s=poll_s, message=message)
            return DeleteVolume(row)
        case _:
            assert_never(sight)
