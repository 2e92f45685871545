"""One instance: from facts to its next step. No clock, no I/O, no logger.

Rungs are ordered by gravity, and each step is repeatable: the ledger says which are done, so a restart at any
point takes up where the last one ended (L8).
"""

from datetime import datetime, timedelta
from typing import assert_never

from inventiv_operator.domain.cloud import RUNNING, STARTING, STOPPED, STOPPED_IN_PLACE, SeenServer
from inventiv_operator.domain.instance_facts import InstanceFacts, InstancePolicy
from inventiv_operator.domain.instance_steps import (
    AdoptServer,
    CreateServer,
    Fail,
    ForgetAttempt,
    LookAtServer,
    LookForLeftovers,
    NoteReady,
    NoteServerAbsent,
    NoteStarted,
    PowerOn,
    RecordVolume,
    Retire,
    SetCloudInit,
    Step,
)
from inventiv_operator.domain.ledger import InstanceState, Resource
from inventiv_operator.domain.leftovers import Held, left_behind, may_have_left, unrecorded
from inventiv_operator.domain.removal_plan import await_settling, plan_removal
from inventiv_operator.domain.sight import Gone, Listed, NotListed, Unknown
from inventiv_operator.domain.upkeep_plan import plan_upkeep
from inventiv_operator.domain.waits import POLL_S, RETRY_S, Wait, patience_s

STUCK_START_S = 60.0
"""A power-on that was accepted while the server stays `stopped` is given this long (api.md 3.3)."""


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


def _plan_active(  # noqa: PLR0911 (a ladder)
    facts: InstanceFacts, *, now: datetime, policy: InstancePolicy
) -> Step:
    row = facts.server
    if row is None:
        return _give_up(policy)
    if row.provider_ref is None:
        return _plan_intent(facts, row, now=now, policy=policy)
    match facts.sight:
        case Unknown(reason=reason, message=message):
            return Wait(reason=reason, after_s=RETRY_S, message=message)
        case NotListed():
            if row.started_at is not None and (now - row.started_at).total_seconds() < POLL_S:
                return Wait(reason="Starting")  # the listing is older than its power-on
            return LookAtServer()
        case Gone():
            return _plan_vanished(facts, row, policy=policy)
        case Listed(seen=seen):
            volume = unrecorded(facts, seen)
            if volume is not None:
                return RecordVolume(volume)
            if row.started_at is None:
                return _plan_first_start(facts, row, seen, policy=policy)
            return _plan_started(facts, row, seen, now=now, policy=policy)
        case _:
            assert_never(facts.sight)


def _plan_intent(facts: InstanceFacts, row: Resource, *, now: datetime, policy: InstancePolicy) -> Step:
    if facts.candidate is not None:
        return AdoptServer(facts.candidate)
    if row.send_before is not None:
        settling = await_settling(facts, row, now=now, timing=policy.timing)
        return settling or _plan_settled(facts, row, policy=policy)
    if facts.instance.template_hash != policy.template_hash and policy.may_start:
        return Retire(reason="TemplateChanged")  # nothing of it exists yet
    if not policy.may_create:
        return Wait(reason=policy.why_not, after_s=None)
    if facts.group_ref is None:
        return Wait(reason="SecurityGroupNotReady")
    return CreateServer()


def _plan_settled(facts: InstanceFacts, row: Resource, *, policy: InstancePolicy) -> Step:
    """No server came of the attempt; but a volume of one that was deleted since may have stayed."""
    if not may_have_left(facts, row):
        return ForgetAttempt()
    if facts.leftovers is None:
        return LookForLeftovers()
    left = left_behind(facts, row, facts.leftovers, timing=policy.timing)
    if left is None or isinstance(left, Held):
        return ForgetAttempt()  # should that server still show, its attempt tag tells that it is a duplicate
    return _give_up(policy)


def _plan_vanished(facts: InstanceFacts, row: Resource, *, policy: InstancePolicy) -> Step:
    """Its removal looks for the root volume while the ledger still holds the server; its successor need not
    wait for that.
    """
    return _give_up(policy) if may_have_left(facts, row) else NoteServerAbsent()


def _give_up(policy: InstancePolicy) -> Step:
    if not policy.may_let_go:
        return Wait(reason=policy.why_not, after_s=None)
    return Retire(reason="Vanished", message="the server was deleted outside of the operator")


def _plan_first_start(  # noqa: PLR0911 (a ladder)
    facts: InstanceFacts, row: Resource, seen: SeenServer, *, policy: InstancePolicy
) -> Step:
    prepared = row.prepared_at is not None or not policy.cloud_init
    if seen.state != STOPPED:
        if row.prepared_at is not None or (prepared and policy.may_start):
            return NoteStarted()
        if not policy.may_start:
            return Wait(reason=policy.why_not, after_s=None)
        return Retire(
            reason="StartedTooEarly",
            message="the server was started outside of the operator before its cloud-init was set",
        )
    if not policy.may_start:
        return Wait(reason=policy.why_not, after_s=None)
    if facts.instance.template_hash != policy.template_hash:
        return Retire(reason="TemplateChanged", message="the template changed before its first start")
    if not prepared:
        return SetCloudInit()
    return plan_upkeep(facts, policy=policy) or PowerOn()


def _plan_started(  # noqa: PLR0911 (a ladder)
    facts: InstanceFacts, row: Resource, seen: SeenServer, *, now: datetime, policy: InstancePolicy
) -> Step:
    waited_s = (now - (row.started_at or row.created_at)).total_seconds()
    first_start = facts.instance.ready_at is None
    if seen.state == RUNNING and facts.ready:
        if first_start:
            return NoteReady()
        return plan_upkeep(facts, policy=policy) or Wait(reason="Ready", after_s=None)
    told = seen.state != RUNNING or facts.asked  # after a restart of ours: ask before giving up on it
    if first_start and told and waited_s > policy.startup_timeout_s:
        return Fail(
            reason="StartupTimeout",
            message=f"not ready {policy.startup_timeout_s:.0f} s after its start (the server reads"
            f" {seen.state!r}); raise startupTimeoutSeconds, or look at its console",
        )
    if seen.state in {STOPPED, STOPPED_IN_PLACE}:
        return _plan_restart(facts, seen, waited_s=waited_s, policy=policy)
    step = plan_upkeep(facts, policy=policy)
    if step is not None:
        return step
    waiting = "Starting" if first_start else "NotReady"
    if seen.state == RUNNING:
        # The provider's part is done: it is the probe that will tell.
        return Wait(
            reason=waiting, after_s=None, message=f"{seen.name} runs and does not answer its probe yet"
        )
    if seen.state == STARTING:
        return Wait(reason=waiting, after_s=patience_s(row.started_at or row.created_at, now=now))
    return Wait(reason="NotReady", after_s=RETRY_S, message=f"server {seen.name} reads {seen.state!r}")


def _plan_restart(facts: InstanceFacts, seen: SeenServer, *, waited_s: float, policy: InstancePolicy) -> Step:
    """Stopped by somebody else, or never got going: `onStopped: Restart`."""
    if waited_s <= STUCK_START_S:
        reason = "Starting" if facts.instance.ready_at is None else "NotReady"
        message = f"server {seen.name} reads {seen.state!r} after its power-on"
        return Wait(reason=reason, after_s=max(POLL_S, waited_s / 10), message=message)
    if not policy.may_restart:
        return Wait(reason=policy.why_not, after_s=None, message=f"server {seen.name} reads {seen.state!r}")
    if not seen.volumes and facts.volumes:
        # Somebody else's terminate passes through this; a power-on would fight with it.
        message = f"server {seen.name} reads {seen.state!r} without its volumes: on its way out, it seems"
        return Wait(reason="NotReady", after_s=RETRY_S, message=message)
    return PowerOn()
