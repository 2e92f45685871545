"""One instance: from facts to its next step. No clock, no I/O, no logger.

Rungs are ordered by gravity, and each step is repeatable: the ledger says which are done, so a restart at any
point takes up where the last one ended (L8).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never

from inventiv_operator.domain.cloud import (
    AVAILABLE,
    RUNNING,
    STARTING,
    STOPPED,
    STOPPED_IN_PLACE,
    STOPPING,
    AttachedVolume,
    SeenServer,
    SeenVolume,
)
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.domain.intents import Timing, is_settled, settled_at
from inventiv_operator.domain.ledger import Instance, InstanceState, Resource, ResourceState
from inventiv_operator.domain.sight import Gone, Listed, NotListed, Unknown

ServerSight = Listed[SeenServer] | NotListed | Gone | Unknown
VolumeSight = Listed[SeenVolume] | NotListed | Gone | Unknown

POLL_S = 2.0
"""How often something in transition is looked at: the shared listing is refreshed at this pace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancePolicy:
    """What the deployment asks of each of its instances."""

    timing: Timing
    startup_timeout_s: float
    failed_retention_s: float
    cloud_init: bool
    root_iops: int
    probed: bool  # readiness is asked of the instance itself; else running is ready
    create_allowed: bool  # False: paused, credential not ready, template changed
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFacts:
    """Everything a decision about one instance may rest on."""

    instance: Instance
    server: Resource | None  # None: proven absent (or released, or abandoned)
    volumes: tuple[Resource, ...]
    sight: ServerSight
    volume_sights: Mapping[ProviderRef, VolumeSight] = field(default_factory=dict)
    candidate: SeenServer | None = None  # in the listing, and fits the open intent
    listed_at: datetime | None = None  # when the listing began that `sight` and `candidate` come from
    group_ref: ProviderRef | None = None  # the security group, with its rules set
    ready: bool = False  # by the probe, or because it runs
    refused: str = ""  # reason of a definite refusal in this pass; the next look is the queue's


# -- steps -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do now. `after_s` None: only an event or the next job changes anything."""

    reason: str
    after_s: float | None = POLL_S
    message: str = ""


@dataclass(frozen=True, slots=True)
class CreateServer:
    """POST servers; the intent was never sent, or is settled."""


@dataclass(frozen=True, slots=True)
class ForgetAttempt:
    """The sent intent is settled and nothing came of it: it counts as never sent."""


@dataclass(frozen=True, slots=True)
class AdoptServer:
    """Write down the id of the server that fits the open intent, and those of its volumes."""

    seen: SeenServer


@dataclass(frozen=True, slots=True)
class SetCloudInit:
    """Before the first power-on, always."""


@dataclass(frozen=True, slots=True)
class TagVolume:
    """Root volumes are born untagged (api.md 3.2)."""

    volume: Resource


@dataclass(frozen=True, slots=True)
class SetIops:
    """Cannot be chosen at create; refused while the volume is in transition."""

    volume: Resource
    iops: int


@dataclass(frozen=True, slots=True)
class PowerOn:
    pass


@dataclass(frozen=True, slots=True)
class NoteStarted:
    """It has left `stopped`: a power-on was accepted, though its answer was never written down."""


@dataclass(frozen=True, slots=True)
class NoteReady:
    """Ready for the first time; resets the count of failed starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """A failed start: kept for a look, then deleted; the next one backs off."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    """Everything of this instance goes."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class BeginServerDeletion:
    """present -> deleting, before the first call."""


@dataclass(frozen=True, slots=True)
class DetachVolume:
    """Attached by hand: it is not ours and survives (L7)."""

    volume: AttachedVolume


@dataclass(frozen=True, slots=True)
class Terminate:
    pass


@dataclass(frozen=True, slots=True)
class DeleteServer:
    pass


@dataclass(frozen=True, slots=True)
class LookAtServer:
    """GET by id; a 404 counts only under the positive control."""


@dataclass(frozen=True, slots=True)
class NoteServerAbsent:
    pass


@dataclass(frozen=True, slots=True)
class DeleteVolume:
    volume: Resource


@dataclass(frozen=True, slots=True)
class LookAtVolume:
    volume: Resource


@dataclass(frozen=True, slots=True)
class NoteVolumeAbsent:
    volume: Resource


@dataclass(frozen=True, slots=True)
class NoteInstanceGone:
    pass


Step = (
    Wait
    | CreateServer
    | ForgetAttempt
    | AdoptServer
    | SetCloudInit
    | TagVolume
    | SetIops
    | PowerOn
    | NoteStarted
    | NoteReady
    | Fail
    | Retire
    | BeginServerDeletion
    | DetachVolume
    | Terminate
    | DeleteServer
    | LookAtServer
    | NoteServerAbsent
    | DeleteVolume
    | LookAtVolume
    | NoteVolumeAbsent
    | NoteInstanceGone
)


def plan_instance(facts: InstanceFacts, *, now: datetime, policy: InstancePolicy) -> Step:
    """The next step for one instance."""
    match facts.instance.state:
        case InstanceState.ACTIVE:
            return _plan_active(facts, now=now, policy=policy)
        case InstanceState.FAILED:
            return _plan_failed(facts, now=now, policy=policy)
        case InstanceState.DELETING:
            return plan_removal(facts, now=now, timing=policy.timing)
        case InstanceState.GONE:
            return Wait(reason="Gone", after_s=None)
        case _:
            assert_never(facts.instance.state)


def _plan_failed(facts: InstanceFacts, *, now: datetime, policy: InstancePolicy) -> Step:
    """Kept for a look, but never longer than asked for: it is billed (L6)."""
    failed_at = facts.instance.failed_at or facts.instance.created_at
    left_s = (failed_at + timedelta(seconds=policy.failed_retention_s) - now).total_seconds()
    if left_s <= 0:
        return Retire(reason=facts.instance.reason, message=facts.instance.message)
    return Wait(reason=facts.instance.reason, after_s=left_s, message=facts.instance.message)


def _plan_active(facts: InstanceFacts, *, now: datetime, policy: InstancePolicy) -> Step:
    row = facts.server
    if row is None:
        return Retire(reason="Vanished", message="the server was deleted outside of the operator")
    if row.state is ResourceState.INTENDED:
        return _plan_intent(facts, row, now=now, policy=policy)
    match facts.sight:
        case Unknown(reason=reason, message=message):
            return Wait(reason=reason, after_s=POLL_S * 5, message=message)
        case NotListed():
            return LookAtServer()
        case Gone():
            return NoteServerAbsent()
        case Listed(seen=seen):
            if row.started_at is None:
                return _plan_first_start(facts, row, seen, policy=policy)
            return _plan_running(facts, row, seen, now=now, policy=policy)
        case _:
            assert_never(facts.sight)


def _plan_intent(facts: InstanceFacts, row: Resource, *, now: datetime, policy: InstancePolicy) -> Step:
    if facts.candidate is not None:
        return AdoptServer(facts.candidate)
    if row.send_before is not None:
        return _await_settling(facts, row, now=now, timing=policy.timing) or ForgetAttempt()
    if not policy.create_allowed:
        return Wait(reason=policy.why_not, after_s=None)
    if facts.group_ref is None:
        return Wait(reason="SecurityGroupNotReady")
    return CreateServer()


def _await_settling(facts: InstanceFacts, row: Resource, *, now: datetime, timing: Timing) -> Wait | None:
    """A wait while the outcome of a sent create is open; None once it is settled."""
    if is_settled(row, listed_at=facts.listed_at, timing=timing):
        return None
    due = settled_at(row, timing=timing)
    left_s = 0.0 if due is None else (due - now).total_seconds()
    # The listing is refreshed at the polling pace meanwhile: the server may well appear before.
    return Wait(reason="CreateSettling", after_s=max(0.05, min(POLL_S, left_s)))


def _plan_first_start(
    facts: InstanceFacts, row: Resource, seen: SeenServer, *, policy: InstancePolicy
) -> Step:
    prepared = row.prepared_at is not None or not policy.cloud_init
    if seen.state != STOPPED:
        if prepared:
            return NoteStarted()
        return Retire(
            reason="StartedTooEarly",
            message="the server was started outside of the operator before its cloud-init was set",
        )
    if not policy.create_allowed:
        return Wait(reason=policy.why_not, after_s=None)
    if not prepared:
        return SetCloudInit()
    return _next_volume_step(facts, policy=policy) or PowerOn()


def _next_volume_step(facts: InstanceFacts, *, policy: InstancePolicy) -> TagVolume | SetIops | None:
    """Tags and iops of our volumes; the power-on does not wait for a volume that refuses them for now."""
    if facts.refused:
        return None
    for volume in facts.volumes:
        if volume.state is not ResourceState.PRESENT or volume.provider_ref is None:
            continue
        if volume.prepared_at is None:
            return TagVolume(volume)
        wanted = policy.root_iops if volume.role == "root" else 0
        if wanted and wanted != DEFAULT_IOPS and volume.prepared_hash != str(wanted):
            return SetIops(volume, wanted)
    return None


DEFAULT_IOPS = 5000
"""What a block volume is born with (`sbs_5k`)."""

STUCK_START_S = 60.0
"""A power-on that was accepted while the server stays `stopped` is given this long (api.md 3.3)."""


def _plan_running(
    facts: InstanceFacts, row: Resource, seen: SeenServer, *, now: datetime, policy: InstancePolicy
) -> Step:
    began = row.started_at or row.created_at
    waited_s = (now - began).total_seconds()
    first_start = facts.instance.ready_at is None
    if seen.state == RUNNING and facts.ready:
        if first_start:
            return NoteReady()
        return _next_volume_step(facts, policy=policy) or Wait(reason="Ready", after_s=None)
    if first_start and waited_s > policy.startup_timeout_s:
        return Fail(
            reason="StartupTimeout",
            message=f"not ready {policy.startup_timeout_s:.0f} s after its start (the server reads"
            f" {seen.state!r}); raise startupTimeoutSeconds, or look at its console",
        )
    if seen.state == STOPPED:
        if not policy.create_allowed:
            return Wait(reason=policy.why_not, after_s=None)
        if not first_start or waited_s > STUCK_START_S:
            return PowerOn()  # stopped by somebody else, or never got going: `onStopped: Restart`
        return Wait(reason="Starting")
    step = _next_volume_step(facts, policy=policy)
    if step is not None:
        return step
    if seen.state in {RUNNING, STARTING}:
        return Wait(reason="Starting" if first_start else "NotReady")
    return Wait(reason="NotReady", after_s=POLL_S * 5, message=f"the server reads {seen.state!r}")


# -- removal ---------------------------------------------------------------------------------------------------------


def plan_removal(facts: InstanceFacts, *, now: datetime, timing: Timing) -> Step:
    """The way out: server first, then what outlives it, each until proven absent (L5)."""
    if facts.server is not None:
        return _plan_server_removal(facts, facts.server, now=now, timing=timing)
    for volume in facts.volumes:
        step = _plan_volume_removal(facts, volume)
        if step is not None and not isinstance(step, Wait):
            return step
    waits = [step for volume in facts.volumes if isinstance(step := _plan_volume_removal(facts, volume), Wait)]
    if waits:
        return waits[0]
    return NoteInstanceGone()


def _plan_server_removal(facts: InstanceFacts, row: Resource, *, now: datetime, timing: Timing) -> Step:
    if row.provider_ref is None:
        if facts.candidate is not None:
            return AdoptServer(facts.candidate)
        if row.send_before is not None:
            return _await_settling(facts, row, now=now, timing=timing) or NoteServerAbsent()
        return NoteServerAbsent()  # never sent
    if row.state is not ResourceState.DELETING:
        return BeginServerDeletion()
    match facts.sight:
        case Unknown(reason=reason, message=message):
            return Wait(reason=reason, after_s=POLL_S * 5, message=message)
        case NotListed():
            return LookAtServer()
        case Gone():
            return NoteServerAbsent()
        case Listed(seen=seen):
            return _plan_termination(facts, seen)
        case _:
            assert_never(facts.sight)


def _plan_termination(facts: InstanceFacts, seen: SeenServer) -> Step:
    if seen.state in {STARTING, STOPPING}:
        return Wait(reason="Deleting", message=f"the server reads {seen.state!r}")
    ours = {volume.provider_ref for volume in facts.volumes}
    for attached in seen.volumes:
        if attached.ref not in ours:
            return DetachVolume(attached)  # terminate would destroy a local disk with it
    if seen.state == STOPPED:
        return DeleteServer()  # terminate is refused on a stopped server
    if seen.state in {RUNNING, STOPPED_IN_PLACE}:
        return Terminate()
    return Terminate()  # also a state we never heard of: it is billed


def _plan_volume_removal(facts: InstanceFacts, row: Resource) -> Step | None:
    if row.provider_ref is None:
        return NoteVolumeAbsent(row)  # its server was never created, or was adopted with its volumes' ids
    sight = facts.volume_sights.get(row.provider_ref, NotListed())
    match sight:
        case Unknown(reason=reason, message=message):
            return Wait(reason=reason, after_s=POLL_S * 5, message=message)
        case NotListed():
            return LookAtVolume(row)
        case Gone():
            return NoteVolumeAbsent(row)
        case Listed(seen=seen):
            if seen.attached_to:
                return Wait(
                    reason="Deleting",
                    message=f"volume {row.provider_ref} is still attached to server {seen.attached_to[0]}",
                )
            if seen.status != AVAILABLE:
                return Wait(reason="Deleting", message=f"volume {row.provider_ref} reads {seen.status!r}")
            return DeleteVolume(row)
        case _:
            assert_never(sight)
