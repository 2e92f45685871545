"""How many instances a deployment has, wants, adds and lets go."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from inventiv_operator.domain.ids import InstanceId
from inventiv_operator.domain.ledger import Instance, InstanceState

BACKOFF_FIRST_S = 60.0
BACKOFF_CAP_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaFacts:
    """`ready` holds the instances that are ready now."""

    replicas: int
    instances: Sequence[Instance]
    ready: frozenset[InstanceId]
    start_failures: int
    next_start_at: datetime | None
    max_start_failures: int
    create_allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaPlan:
    """Ordinals to start, instances to let go, and why nothing more is started."""

    start: tuple[int, ...]
    retire: tuple[InstanceId, ...]
    held_back: str  # "", StartupFailed or BackingOff
    wait_s: float | None


def plan_replicas(facts: ReplicaFacts, *, now: datetime) -> ReplicaPlan:
    """Scale-down takes failed ones first, then those not ready, then the highest ordinals.

    A failed instance holds its ordinal until it is gone: what cannot start must not be bought twice (L6).
    """
    kept = [i for i in facts.instances if i.state in {InstanceState.ACTIVE, InstanceState.FAILED}]
    surplus = len(kept) - facts.replicas
    if surplus > 0:
        by_worth = sorted(
            kept,
            key=lambda i: (i.state is InstanceState.ACTIVE, i.id in facts.ready, -i.ordinal),
        )
        return ReplicaPlan(
            start=(), retire=tuple(i.id for i in by_worth[:surplus]), held_back="", wait_s=None
        )
    missing = -surplus
    if missing == 0 or not facts.create_allowed:
        return ReplicaPlan(start=(), retire=(), held_back="", wait_s=None)
    if facts.start_failures >= facts.max_start_failures:
        return ReplicaPlan(start=(), retire=(), held_back="StartupFailed", wait_s=None)
    if facts.next_start_at is not None and facts.next_start_at > now:
        left_s = (facts.next_start_at - now).total_seconds()
        return ReplicaPlan(start=(), retire=(), held_back="BackingOff", wait_s=left_s)
    taken = {i.ordinal for i in facts.instances if i.state is not InstanceState.GONE}
    free = (ordinal for ordinal in range(facts.replicas + len(taken)) if ordinal not in taken)
    wanted = [ordinal for ordinal, _ in zip(free, range(missing), strict=False)]
    # An ordinal beyond the wanted range is never started: it waits until one below is gone.
    start = tuple(ordinal for ordinal in wanted if ordinal < facts.replicas)
    return ReplicaPlan(start=start, retire=(), held_back="", wait_s=None)


def back_off_until(failures: int, *, now: datetime) -> datetime:
    """1, 2, 4 ... 60 minutes after the first, second, third ... failed start in a row."""
    delay_s = min(BACKOFF_CAP_S, BACKOFF_FIRST_S * 2 ** max(0, failures - 1))
    return now + timedelta(seconds=delay_s)
