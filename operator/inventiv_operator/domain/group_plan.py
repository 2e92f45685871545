"""The security group of one deployment in one zone: shared by all replicas, made before the first server."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import assert_never

from inventiv_operator.domain.cloud import IngressRule, SeenSecurityGroup
from inventiv_operator.domain.intents import Timing, is_settled, settled_at
from inventiv_operator.domain.ledger import Resource, ResourceState
from inventiv_operator.domain.sight import Gone, Listed, NotListed, Unknown
from inventiv_operator.domain.waits import RETRY_S, Wait, patience_s

GroupSight = Listed[SeenSecurityGroup] | NotListed | Gone | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFacts:
    """`row` None: there never was one, or it is proven absent."""

    row: Resource | None
    sight: GroupSight
    candidate: SeenSecurityGroup | None
    listed_at: datetime | None


@dataclass(frozen=True, slots=True)
class IntendGroup:
    pass


@dataclass(frozen=True, slots=True)
class CreateGroup:
    pass


@dataclass(frozen=True, slots=True)
class ForgetGroupAttempt:
    pass


@dataclass(frozen=True, slots=True)
class AdoptGroup:
    seen: SeenSecurityGroup


@dataclass(frozen=True, slots=True)
class SetRules:
    pass


@dataclass(frozen=True, slots=True)
class BeginGroupDeletion:
    pass


@dataclass(frozen=True, slots=True)
class DeleteGroup:
    pass


@dataclass(frozen=True, slots=True)
class NoteGroupAbsent:
    pass


@dataclass(frozen=True, slots=True)
class GroupDone:
    """Ready for servers, or gone."""


GroupStep = (
    Wait
    | IntendGroup
    | CreateGroup
    | ForgetGroupAttempt
    | AdoptGroup
    | SetRules
    | BeginGroupDeletion
    | DeleteGroup
    | NoteGroupAbsent
    | GroupDone
)


def rules_hash(rules: Sequence[IngressRule]) -> str:
    """What the ledger compares to see that the rules must be set again."""
    text = "\n".join(sorted(f"{rule.protocol} {rule.port} {rule.cidr}" for rule in rules))
    return sha256(text.encode()).hexdigest()[:16]


RULES_UNKNOWN = "?"
"""In `prepared_hash`, from before a call that sets rules until one is known to have succeeded."""
_PROVISIONAL = "~"


def noted_rules(row: Resource, digest: str, *, now: datetime, timing: Timing) -> str:
    """What to note when rules were set. `row` is as it was before the call.

    While an earlier call whose outcome is unknown may still arrive and undo ours, they are set provisionally.
    """
    noted = row.prepared_hash
    is_unsettled = noted == RULES_UNKNOWN or (
        noted.startswith(_PROVISIONAL) and not _is_over(row, now=now, timing=timing)
    )
    return f"{_PROVISIONAL}{digest}" if is_unsettled else digest


def _are_set(row: Resource, digest: str, *, now: datetime, timing: Timing) -> bool:
    if row.prepared_at is None:
        return False
    if row.prepared_hash == f"{_PROVISIONAL}{digest}":
        # Then once more: by then the earlier call has arrived, or never will.
        return not _is_over(row, now=now, timing=timing)
    return row.prepared_hash == digest


def _is_over(row: Resource, *, now: datetime, timing: Timing) -> bool:
    """Whether whatever was under way before the rules were set last has settled."""
    wait = timedelta(seconds=timing.provider_timeout_s + timing.settle_s)
    return row.prepared_at is not None and now >= row.prepared_at + wait


def plan_group(facts: GroupFacts, *, wanted_rules_hash: str, now: datetime, timing: Timing) -> GroupStep:
    """Towards a group whose rules are the wanted ones."""
    row = facts.row
    if row is None:
        return IntendGroup()
    if row.state is ResourceState.DELETING:
        return plan_group_removal(facts, now=now, timing=timing)
    if row.provider_ref is None:
        return _plan_open_intent(facts, row, now=now, timing=timing) or CreateGroup()
    if isinstance(facts.sight, Gone):
        return NoteGroupAbsent()  # deleted by somebody: make another
    if not _are_set(row, wanted_rules_hash, now=now, timing=timing):
        return SetRules()
    return GroupDone()


def plan_group_removal(facts: GroupFacts, *, now: datetime, timing: Timing) -> GroupStep:
    """Towards proven absence."""
    row = facts.row
    if row is None:
        return GroupDone()
    if row.provider_ref is None:
        step = _plan_open_intent(facts, row, now=now, timing=timing)
        return NoteGroupAbsent() if step is None or isinstance(step, ForgetGroupAttempt) else step
    if row.state is not ResourceState.DELETING:
        return BeginGroupDeletion()
    match facts.sight:
        case Unknown(reason=reason, message=message):
            return Wait(reason=reason, after_s=RETRY_S, message=message)
        case NotListed() | Listed():
            return DeleteGroup()  # its id is in the ledger as ours; the look that follows brings the proof
        case Gone():
            return NoteGroupAbsent()
        case _:
            assert_never(facts.sight)


def _plan_open_intent(facts: GroupFacts, row: Resource, *, now: datetime, timing: Timing) -> GroupStep | None:
    """None: never sent, so nothing can be there."""
    if facts.candidate is not None:
        return AdoptGroup(facts.candidate)
    if row.send_before is None:
        return None
    if is_settled(row, listed_at=facts.listed_at, timing=timing):
        return ForgetGroupAttempt()
    due = settled_at(row, timing=timing)
    left_s = 0.0 if due is None else (due - now).total_seconds()
    return Wait(
        reason="CreateSettling",
        after_s=max(0.05, min(patience_s(row.changed_at, now=now), left_s)),
        message="the outcome of creating the security group is not known yet",
    )
