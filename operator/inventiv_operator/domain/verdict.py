"""What the Ready condition says, and the phase column: from facts to words, in order of gravity.

Of several causes the newest wins: what an instance waits for now says more than why one failed an hour ago.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from inventiv_operator.domain.instance_facts import InstanceFacts, has_begun
from inventiv_operator.domain.ledger import InstanceState
from inventiv_operator.domain.sight import Unknown
from inventiv_operator.domain.start_record import HoldBack, StartRecord
from inventiv_operator.domain.waits import Wait


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


def waiting(reason: str, message: str, *, phase: str) -> Verdict:
    """Not there yet, and the operator goes on by itself."""
    return Verdict(ready=False, reason=reason, message=message, phase=phase, progressing=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One instance after a pass."""

    facts: InstanceFacts
    wait: Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a pass over a living deployment brought. `blocked`: why nothing new may be done, if so."""

    replicas: int
    standings: Sequence[Standing]
    hold: HoldBack
    record: StartRecord
    group_wait: Wait | None
    blocked: Verdict | None


SOFT_BLOCKS = frozenset({"CredentialNotReady"})
"""Blocks that matter only while something is missing: what runs goes on running."""


def judge(outcome: Outcome) -> Verdict:  # noqa: PLR0911 (a ladder)
    """The verdict on a living deployment that could be looked at."""
    ready = sum(1 for s in outcome.standings if is_ready(s.facts))
    converged = ready == outcome.replicas == len(outcome.standings)
    some = "Degraded" if ready else "Progressing"
    blocked = outcome.blocked
    if blocked is not None and not (converged and blocked.reason in SOFT_BLOCKS):
        return refused(blocked.reason, blocked.message, phase=_blocked_phase(blocked, ready=ready))
    unseen = _unseen(outcome.standings)
    if converged and unseen is not None:
        return Verdict(
            ready=None,
            reason=unseen.reason,
            message=f"{ready} of {outcome.replicas} were ready when last seen; now: {unseen.message}",
            phase="Degraded",
            progressing=True,
        )
    if converged:
        noun = "instance is" if ready == 1 else "instances are"
        return Verdict(
            ready=True, reason="Ready", message=f"{ready} {noun} ready", phase="Ready", progressing=False
        )
    if _lacks_starts(outcome):
        held = _held_back(outcome, phase=some)
        if held is not None:
            return held
        if outcome.group_wait is not None:
            return waiting(outcome.group_wait.reason, outcome.group_wait.message, phase=some)
    cause = _newest_cause(outcome.standings)
    if cause is not None:
        return waiting(cause.reason, cause.message or cause.reason, phase=some)
    return _on_the_way(outcome, ready=ready)


def is_ready(facts: InstanceFacts) -> bool:
    """Counts towards `readyReplicas`."""
    return (
        facts.instance.state is InstanceState.ACTIVE and facts.instance.ready_at is not None and facts.ready
    )


def _unseen(standings: Sequence[Standing]) -> Unknown | None:
    """Why an instance that should run cannot be looked at, if so. Unknown is not gone, and not ready
    either.
    """
    for standing in standings:
        if standing.facts.instance.state is InstanceState.ACTIVE and isinstance(
            standing.facts.sight, Unknown
        ):
            return standing.facts.sight
    return None


def _blocked_phase(blocked: Verdict, *, ready: int) -> str:
    if blocked.phase == "Pending" and ready:
        return "Degraded"
    return blocked.phase


def _lacks_starts(outcome: Outcome) -> bool:
    """Whether an instance is missing of which nothing exists yet."""
    begun = sum(
        1 for s in outcome.standings if s.facts.instance.state is InstanceState.ACTIVE and has_begun(s.facts)
    )
    return begun < outcome.replicas


def _held_back(outcome: Outcome, *, phase: str) -> Verdict | None:
    record = outcome.record
    said = record.message or record.reason
    if outcome.hold.reason == "StartupFailed":
        return refused(
            "StartupFailed",
            f"{record.failures} starts in a row failed, the last one: {said}; no more are made until the spec"
            " or the annotation inventiv.io/reconcile-at changes",
            phase="Degraded",
        )
    if outcome.hold.reason == "BackingOff":
        left_s = outcome.hold.wait_s or 0.0
        return waiting(
            record.reason or "CreateFailed", f"{said}; next start {_in_words(left_s)}", phase=phase
        )
    return None


def _in_words(left_s: float) -> str:
    """Coarse, so that the message does not change (and cost a write) with every look."""
    return "within a minute" if left_s <= 60.0 else f"in {round(left_s / 60.0)} min"  # noqa: PLR2004


ORDINARY = frozenset(
    {
        "Ready",
        "Starting",
        "Deleting",
        "Queued",
        "Gone",
        "CreateSettling",
        "SecurityGroupNotReady",
        "BackingOff",
        "",
    }
)
"""Waits that are part of any life; everything else is a cause worth naming."""


def _newest_cause(standings: Sequence[Standing]) -> Wait | None:
    active_last = sorted(
        (s for s in standings if s.wait.reason not in ORDINARY),
        key=lambda s: (
            s.facts.instance.state is InstanceState.ACTIVE,
            s.facts.instance.failed_at or s.facts.instance.created_at,
        ),
    )
    return active_last[-1].wait if active_last else None


def _on_the_way(outcome: Outcome, *, ready: int) -> Verdict:
    """Nothing is wrong: more are being started, or fewer are wanted. Nobody need be alarmed by `Degraded`."""
    leaving = sum(1 for s in outcome.standings if s.facts.instance.state is not InstanceState.ACTIVE)
    message = f"{ready} of {outcome.replicas} instances are ready"
    if leaving:
        message += f", {leaving} on the way out"
    reason = "Progressing" if ready >= outcome.replicas else "Starting"
    return waiting(reason, message, phase="Progressing")
