from hypothesis import given
from hypothesis import strategies as st

from domain.things import NOW, instance
from inventiv_operator.domain.ledger import Instance, InstanceState
from inventiv_operator.domain.replica_plan import NOTHING, ReplicaFacts, ReplicaPlan, plan_replicas

ACTIVE, FAILED, DELETING = InstanceState.ACTIVE, InstanceState.FAILED, InstanceState.DELETING


def plan(
    replicas: int, *instances: Instance, ready: tuple[int, ...] = (), may_create: bool = True
) -> ReplicaPlan:
    return plan_replicas(
        ReplicaFacts(
            replicas=replicas,
            instances=instances,
            ready=frozenset(i.id for i in instances if i.ordinal in ready),
            may_create=may_create,
        )
    )


def of(ordinal: int, state: InstanceState = ACTIVE) -> Instance:
    return instance(ordinal=ordinal, state=state, created_at=NOW)


def test_missing_ordinals_are_filled_from_below() -> None:
    assert plan(3).start == (0, 1, 2)
    assert plan(4, of(1), of(3)).start == (0, 2)


def test_an_ordinal_is_free_only_when_its_last_instance_is_gone() -> None:
    assert plan(2, of(0), of(1, DELETING)) == NOTHING
    assert plan(3, of(0), of(1, DELETING)).start == (2,)


def test_L6_a_failed_instance_holds_its_place() -> None:
    assert plan(2, of(0), of(1, FAILED)) == NOTHING


def test_scale_down_takes_failed_then_not_ready_then_the_highest() -> None:
    four = (of(0, FAILED), of(1), of(2), of(3))

    def gone(replicas: int) -> set[int]:
        return {i.ordinal for i in four if i.id in plan(replicas, *four, ready=(2, 3)).retire}

    assert gone(3) == {0}
    assert gone(2) == {0, 1}
    assert gone(1) == {0, 1, 3}
    assert gone(0) == {0, 1, 2, 3}


def test_nothing_is_added_where_nothing_may_be_made() -> None:
    assert plan(3, of(0), may_create=False) == NOTHING
    assert len(plan(0, of(0), may_create=False).retire) == 1


@given(
    replicas=st.integers(0, 8),
    states=st.dictionaries(st.integers(0, 9), st.sampled_from([ACTIVE, FAILED, DELETING])),
)
def test_a_plan_never_leads_beyond_what_is_wanted(replicas: int, states: dict[int, InstanceState]) -> None:
    instances = tuple(of(ordinal, state) for ordinal, state in states.items())
    made = plan(replicas, *instances)
    kept = sum(1 for state in states.values() if state is not DELETING)
    assert not (made.start and made.retire)
    assert kept + len(made.start) - len(made.retire) <= max(replicas, 0)
    assert set(made.start).isdisjoint(states)
    assert all(ordinal < replicas for ordinal in made.start)
