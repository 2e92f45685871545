"""What the Ready condition says, and the phase column: from facts to words, in order of gravity.

Of several causes the newest wins: what an instance waits for now says more than why one failed an hour ago.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from inventiv_operator.domain.instance_plan import InstanceFacts, Wait
from inventiv_operator.domain.ledger import InstanceState


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`ready` None reads Unknown."""

    ready: bool | None
    reason: str
    message: str
    phase: str
    progressing: bool


def refused(reason: str, message: str, *, phase: str = "Pending") -> Verdict:
    """Nothing is done until somebody changes something; the message says what."""
    return Verdict(ready=False, reason=reason, message=message, phase=phase, progressing=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One instance after a pass."""

    facts: InstanceFacts
    wait: Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a pass over a living deployment brought."""

    replicas: int
    standings: Sequence[Standing]
    held_back: str  # "", StartupFailed, BackingOff
    wait_s: float | None
    start_failures: int
    start_reason: str  # why the last start failed or was refused
    start_message: str
    group_wait: Wait | None
    blocked_reason: str = ""  # a reason why nothing new is started: paused, credential, template
    blocked_message: str = ""


def judge(outcome: Outcome) -> Verdict:
    """The verdict on a living deployment that could be looked at."""
    ready = [s for s in outcome.standings if is_ready(s.facts)]
    leaving = [s for s in outcome.standings if s.facts.instance.state is InstanceState.DELETING]
    wanted = outcome.replicas
    some = "Degraded" if ready else "Progressing"
    if outcome.blocked_reason and outcome.blocked_reason != "Paused":
        return refused(outcome.blocked_reason, outcome.blocked_message, phase=some if ready else "Pending")
    if outcome.blocked_reason == "Paused":
        return refused("Paused", outcome.blocked_message, phase="Paused")
    if len(ready) == wanted and not leaving and len(outcome.standings) == wanted:
        noun = "instance is" if wanted == 1 else "instances are"
        return Verdict(
            ready=True, reason="Ready", message=f"{wanted} {noun} ready", phase="Ready", progressing=False
        )
    if outcome.held_back == "StartupFailed":
        return refused(
            "StartupFailed",
            f"{outcome.start_failures} starts in a row failed, the last one: {outcome.start_message or outcome.start_reason};"
            " no more are made until the spec or the annotation inventiv.io/reconcile-at changes",
            phase="Degraded",
        )
    if outcome.group_wait is not None:
        return _waiting(outcome.group_wait, some)
    if outcome.held_back == "BackingOff":
        reason = outcome.start_reason or "CreateFailed"
        return Verdict(
            ready=False,
            reason=reason,
            message=f"{outcome.start_message or reason}; next start in {outcome.wait_s or 0:.0f} s",
            phase=some,
            progressing=True,
        )
    cause = _newest_cause(outcome.standings)
    if cause is not None:
        return _waiting(cause, some)
    message = f"{len(ready)} of {wanted} instances are ready"
    if leaving:
        message += f", {len(leaving)} on the way out"
    reason = "Progressing" if leaving and len(ready) >= wanted else "Starting"
    return Verdict(ready=False, reason=reason, message=message, phase=some, progressing=True)


def is_ready(facts: InstanceFacts) -> bool:
    """Counts towards `readyReplicas`."""
    return facts.instance.state is InstanceState.ACTIVE and facts.instance.ready_at is not None and facts.ready


ORDINARY = {"Ready", "Starting", "Deleting", "Queued", "Gone", "CreateSettling", "SecurityGroupNotReady", ""}
"""Waits that are part of any life; everything else is a cause worth naming."""


def _newest_cause(standings: Sequence[Standing]) -> Wait | None:
    causes = [s.wait for s in standings if s.wait.reason not in ORDINARY]
    active_first = sorted(
        (s for s in standings if s.wait.reason not in ORDINARY),
        key=lambda s: (s.facts.instance.state is InstanceState.ACTIVE, s.facts.instance.created_at),
    )
    return active_first[-1].wait if causes else None


def _waiting(wait: Wait, phase: str) -> Verdict:
    return Verdict(
        ready=False, reason=wait.reason, message=wait.message or wait.reason, phase=phase, progressing=True
    )
