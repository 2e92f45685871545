from dataclasses import replace
from typing import Any

import pytest

from domain.things import (
    NOW,
    POLICY,
    SERVER,
    ago,
    attached,
    facts,
    instance,
    resource,
    root_row,
    seen_server,
    seen_volume,
    server_row,
)
from inventiv_operator.domain.cloud import RUNNING, STOPPED, SeenVolume, VolumeApi
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.domain.instance_facts import InstanceFacts, Leftovers
from inventiv_operator.domain.instance_plan import plan_instance
from inventiv_operator.domain.instance_steps import (
    ForgetAttempt,
    LookForLeftovers,
    NoteServerAbsent,
    RecordVolume,
    Retire,
    Step,
)
from inventiv_operator.domain.ledger import InstanceState, ResourceState
from inventiv_operator.domain.sight import Gone, Listed, NotListed
from inventiv_operator.domain.waits import Wait

SENT_S = 400.0
ROOTLESS = (root_row(provider_ref=None, origin=None, state=ResourceState.INTENDED),)
DELETING = instance(state=InstanceState.DELETING)
GOING = server_row(state=ResourceState.DELETING, created_at=ago(SENT_S), send_before=ago(SENT_S - 10))
UNSEEN = resource(attempts=("a1",), created_at=ago(SENT_S), send_before=ago(SENT_S - 10))
LEFT = seen_volume(name="Ubuntu_sbs_volume_0", created_at=ago(SENT_S - 5))


def plan(given: InstanceFacts, **policy: Any) -> Step:
    return plan_instance(given, now=NOW, policy=replace(POLICY, **policy))


def gone(*volumes: SeenVolume, living: tuple[str, ...] = (), **changes: Any) -> InstanceFacts:
    """Proven gone, and its root volume never seen."""
    leftovers = Leftovers(volumes=volumes, living=frozenset(ProviderRef(ref) for ref in living))
    ordinary: dict[str, Any] = {"instance": DELETING, "server": GOING, "sight": Gone(), "volumes": ROOTLESS}
    return facts(**(ordinary | {"leftovers": leftovers} | changes))


def unseen(*volumes: SeenVolume, **changes: Any) -> InstanceFacts:
    """Sent, settled, and never seen."""
    ordinary: dict[str, Any] = {"server": UNSEEN, "sight": NotListed()}
    return gone(*volumes, **(ordinary | changes))


def other(**changes: Any) -> SeenVolume:
    return replace(LEFT, ref=ProviderRef("other"), **changes)


@pytest.mark.parametrize("given", [gone, unseen])
def test_L4_a_root_whose_id_was_never_learnt_is_looked_for_before_its_server_is_a_tombstone(
    given: Any,
) -> None:
    assert plan(given(leftovers=None)) == LookForLeftovers()
    step = plan(given(LEFT))
    assert isinstance(step, RecordVolume)
    assert (step.volume.ref, step.volume.slot, step.volume.volume_type) == (LEFT.ref, "0", "sbs_volume")
    assert plan(given()) == NoteServerAbsent()


def test_nothing_is_looked_for_where_nothing_can_be() -> None:
    assert plan(unseen(LEFT, server=resource(), leftovers=None)) == NoteServerAbsent()
    forgotten = replace(UNSEEN, send_before=None)
    assert plan(unseen(LEFT, server=forgotten, leftovers=None)) == NoteServerAbsent()
    assert plan(gone(LEFT, volumes=(root_row(),), leftovers=None)) == NoteServerAbsent()


@pytest.mark.parametrize("given", [gone, unseen])
@pytest.mark.parametrize(
    "theirs",
    [
        pytest.param({"name": "data"}, id="another-name"),
        pytest.param({"tags": ("team=ml",)}, id="tagged"),
        pytest.param({"attached_to": (ProviderRef("theirs"),)}, id="attached"),
        pytest.param({"created_at": ago(SENT_S + 61)}, id="older"),
        pytest.param({"created_at": ago(SENT_S - 221)}, id="younger"),
        pytest.param({"created_at": None}, id="nobody-knows-how-old"),
    ],
)
def test_L7_a_volume_that_a_create_of_ours_did_not_make_is_none_of_ours(
    given: Any, theirs: dict[str, Any]
) -> None:
    stranger = other(**theirs)
    assert plan(given(stranger, living=("theirs",))) == NoteServerAbsent()
    step = plan(given(stranger, LEFT, living=("theirs",)))
    assert isinstance(step, RecordVolume)
    assert step.volume.ref == LEFT.ref


def test_a_volume_that_still_points_at_our_server_needs_no_name() -> None:
    pointing = other(name="renamed", attached_to=(SERVER,))
    step = plan(gone(LEFT, pointing))
    assert isinstance(step, RecordVolume)
    assert step.volume.ref == pointing.ref


def test_L3_a_volume_of_a_server_that_does_not_show_yet_keeps_the_intent_open() -> None:
    held = replace(LEFT, attached_to=(ProviderRef("late"),))
    step = plan(unseen(held))
    assert isinstance(step, Wait)
    assert step.reason == "CreateSettling"
    assert plan(unseen(held, living=("late",))) == NoteServerAbsent()
    assert plan(gone(held)) == NoteServerAbsent()
    assert plan(unseen(held, instance=instance())) == ForgetAttempt()


@pytest.mark.parametrize("given", [gone, unseen])
def test_L7_several_that_cannot_be_told_apart_are_left_to_a_person(given: Any) -> None:
    step = plan(given(LEFT, other()))
    assert isinstance(step, Wait)
    assert step.reason == "DeletionStuck"
    assert f"{LEFT.ref}, other" in step.message


def test_L7_a_local_volume_of_the_right_age_is_neither_taken_nor_passed_over() -> None:
    step = plan(unseen(other(name="jammy", api=VolumeApi.INSTANCE)))
    assert isinstance(step, Wait)
    assert "other" in step.message


def test_scratch_that_was_left_behind_is_recorded_first() -> None:
    scratch = other(name="autogenerated scratch volume", api=VolumeApi.INSTANCE)
    step = plan(unseen(LEFT, scratch))
    assert isinstance(step, RecordVolume)
    assert (step.volume.ref, step.volume.volume_type) == ("other", "scratch")
    recorded = (*ROOTLESS, root_row(role="extra-1", provider_ref="other"))
    step = plan(unseen(LEFT, scratch, volumes=recorded))
    assert isinstance(step, RecordVolume)
    assert step.volume.ref == LEFT.ref


def test_an_attempt_that_left_a_volume_behind_is_given_up_and_not_forgotten() -> None:
    active: dict[str, Any] = {"instance": instance()}
    assert plan(unseen(leftovers=None, **active)) == LookForLeftovers()
    assert plan(unseen(**active)) == ForgetAttempt()
    assert isinstance(plan(unseen(LEFT, **active)), Retire)
    assert isinstance(plan(unseen(LEFT, other(), **active)), Retire)
    assert isinstance(plan(unseen(LEFT, **active), may_let_go=False), Wait)
    assert isinstance(plan(gone(leftovers=None, **active)), Retire)


@pytest.mark.parametrize("state", [RUNNING, STOPPED])
@pytest.mark.parametrize("leaving", [{}, {"instance": DELETING, "server": GOING}])
def test_L4_scratch_that_shows_late_is_recorded_before_anything_else(
    state: str, leaving: dict[str, Any]
) -> None:
    scratch = attached("scratch-1", slot="1", volume_type="scratch")
    sight = Listed(seen_server(state, volumes=(attached(), scratch)))
    assert plan(facts(sight=sight, **leaving)) == RecordVolume(scratch)
