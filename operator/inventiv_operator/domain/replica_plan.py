"""How many instances a deployment has, wants, adds and lets go."""

from collections.abc import Sequence
from dataclasses import dataclass

from inventiv_operator.domain.ids import InstanceId
from inventiv_operator.domain.ledger import Instance, InstanceState


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaFacts:
    """`ready` holds the instances that are ready now; `may_create` False: nothing is added."""

    replicas: int
    instances: Sequence[Instance]
    ready: frozenset[InstanceId]
    may_create: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaPlan:
    """Ordinals to start, and instances to let go."""

    start: tuple[int, ...] = ()
    retire: tuple[InstanceId, ...] = ()


NOTHING = ReplicaPlan()


def plan_replicas(facts: ReplicaFacts) -> ReplicaPlan:
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
        return ReplicaPlan(retire=tuple(i.id for i in by_worth[:surplus]))
    if surplus == 0 or not facts.may_create:
        return NOTHING
    taken = {i.ordinal for i in facts.instances if i.state is not InstanceState.GONE}
    # An ordinal beyond the wanted range is never started: it waits until one below is gone.
    free = [ordinal for ordinal in range(facts.replicas) if ordinal not in taken]
    return ReplicaPlan(start=tuple(free[:-surplus]))
