from dataclasses import replace
from typing import Any

import pytest

from domain.things import (
    NOW,
    POLICY,
    ROOT,
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
from inventiv_operator.domain.cloud import RUNNING, STARTING, STOPPED, STOPPED_IN_PLACE, STOPPING
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.domain.instance_facts import InstanceFacts, going
from inventiv_operator.domain.instance_plan import plan_instance
from inventiv_operator.domain.instance_steps import (
    AdoptServer,
    BeginServerDeletion,
    CreateServer,
    DeleteServer,
    DeleteVolume,
    DetachVolume,
    Fail,
    ForgetAttempt,
    GrowVolume,
    LearnSize,
    LookAtServer,
    LookAtVolume,
    NoteInstanceGone,
    NoteReady,
    NoteServerAbsent,
    NoteStarted,
    NoteVolumeAbsent,
    PowerOn,
    RecordVolume,
    Retire,
    SetCloudInit,
    SetIops,
    SetTags,
    Step,
    TagVolume,
    Terminate,
)
from inventiv_operator.domain.ledger import InstanceState, ResourceState
from inventiv_operator.domain.prepared import VolumeSettings, tags_digest
from inventiv_operator.domain.sight import Gone, Listed, NotListed, Unknown
from inventiv_operator.domain.waits import Wait

UNKNOWN = Unknown(reason="ProviderUnreachable", message="HTTP 500")
TIMING = POLICY.timing
OUT: dict[str, Any] = {"instance": instance(state=InstanceState.DELETING)}
GOING_ROW = server_row(state=ResourceState.DELETING, changed_at=ago(5))
LEAVING = OUT | {"server": GOING_ROW}
SENT = resource(attempts=("a1",), send_before=ago(5))


def plan(given: InstanceFacts, **policy: Any) -> Step:
    return plan_instance(given, now=NOW, policy=replace(POLICY, **policy))


def step_of(given: InstanceFacts, **policy: Any) -> type[object]:
    return type(plan(given, **policy))


# -- an intent -----------------------------------------------------------------------------------------------


def test_an_unsent_intent_is_sent_once_there_is_a_group() -> None:
    unsent = facts(server=resource(), volumes=(), sight=NotListed())
    assert step_of(unsent) is CreateServer
    assert plan(replace(unsent, group_ref=None)) == Wait(reason="SecurityGroupNotReady")
    assert plan(unsent, may_create=False, why_not="OutOfStock") == Wait(reason="OutOfStock", after_s=None)


def test_an_unsent_intent_of_an_old_template_is_given_up() -> None:
    unsent = facts(server=resource(), volumes=(), sight=NotListed())
    assert step_of(unsent, template_hash="t2") is Retire
    assert step_of(unsent, template_hash="t2", may_create=False, may_start=False) is Wait


@pytest.mark.parametrize("sent_s", [-10, 0, 100, 149])
def test_L3_a_sent_intent_waits_until_it_is_settled(sent_s: float) -> None:
    sent = facts(server=replace(SENT, send_before=ago(sent_s)), volumes=(), sight=NotListed())
    step = plan(sent)
    assert isinstance(step, Wait)
    assert step.reason == "CreateSettling"


def test_L3_a_settled_intent_needs_a_listing_that_began_later() -> None:
    settled = facts(server=replace(SENT, send_before=ago(151)), volumes=(), sight=NotListed())
    assert step_of(settled) is ForgetAttempt
    assert step_of(replace(settled, listed_at=ago(2))) is Wait
    assert step_of(replace(settled, listed_at=None)) is Wait


def test_a_find_is_adopted_before_anything_else() -> None:
    found = seen_server(STOPPED)
    sent = facts(server=SENT, volumes=(), sight=NotListed(), candidate=found)
    assert plan(sent) == AdoptServer(found)
    assert plan(sent, may_create=False, may_start=False) == AdoptServer(found)
    assert plan(replace(sent, **OUT)) == AdoptServer(found)


# -- the first start -----------------------------------------------------------------------------------------


def unstarted(state: str = STOPPED, **changes: Any) -> InstanceFacts:
    row = server_row(**({"started_at": None, "prepared_at": None, "prepared_hash": ""} | changes))
    return facts(state, server=row, volumes=(root_row(prepared_at=None, prepared_hash=""),))


def test_L2_cloud_init_comes_before_the_first_power_on() -> None:
    assert step_of(unstarted()) is SetCloudInit
    assert step_of(unstarted(prepared_at=NOW)) is TagVolume
    assert step_of(replace(unstarted(prepared_at=NOW), upkeep_refused=True)) is PowerOn


def test_without_a_cloud_init_there_is_none_to_wait_for() -> None:
    assert step_of(unstarted(), cloud_init=False) is TagVolume
    assert step_of(unstarted(STARTING), cloud_init=False) is NoteStarted


def test_a_server_started_by_somebody_before_its_cloud_init_is_replaced() -> None:
    step = plan(unstarted(RUNNING))
    assert isinstance(step, Retire)
    assert step.reason == "StartedTooEarly"
    assert step_of(unstarted(RUNNING), may_start=False) is Wait


def test_a_power_on_whose_answer_was_lost_is_noted() -> None:
    assert step_of(unstarted(STARTING, prepared_at=NOW)) is NoteStarted


def test_a_half_created_server_of_an_old_template_is_given_up() -> None:
    assert step_of(unstarted(), template_hash="t2") is Retire
    assert step_of(unstarted(), may_start=False) is Wait


def test_the_root_volume_is_recorded_before_anything_is_done_to_its_server() -> None:
    rootless = (root_row(provider_ref=None, origin=None, state=ResourceState.INTENDED),)
    for given in (unstarted(), facts(), facts(**LEAVING)):
        assert plan(replace(given, volumes=rootless)) == RecordVolume(attached())


# -- started -------------------------------------------------------------------------------------------------


def test_running_and_ready_is_noted_once() -> None:
    assert step_of(facts(ready=True)) is NoteReady
    assert plan(facts(instance=instance(ready_at=NOW), ready=True)) == Wait(reason="Ready", after_s=None)


def test_a_start_that_takes_too_long_has_failed() -> None:
    late = server_row(started_at=ago(301))
    for state in (RUNNING, STARTING, STOPPED):
        assert step_of(facts(state, server=late)) is Fail
    assert step_of(facts(server=late, instance=instance(ready_at=ago(100)))) is Wait


def test_an_instance_that_nobody_asked_yet_has_not_failed() -> None:
    late = server_row(started_at=ago(3000))
    assert step_of(facts(server=late, asked=False)) is Wait
    assert step_of(facts(STARTING, server=late, asked=False)) is Fail


@pytest.mark.parametrize("state", [STOPPED, STOPPED_IN_PLACE])
def test_a_server_that_somebody_stopped_is_started_again(state: str) -> None:
    stopped = facts(state, instance=instance(ready_at=ago(50)))
    assert step_of(stopped) is PowerOn
    assert step_of(stopped, may_restart=False) is Wait
    assert step_of(replace(stopped, server=server_row(started_at=ago(30)))) is Wait


def test_a_stopped_server_without_its_volumes_is_on_its_way_out() -> None:
    ending = facts(sight=Listed(seen_server(STOPPED, volumes=())), instance=instance(ready_at=ago(50)))
    assert step_of(ending) is Wait


def test_L1_only_gone_is_gone() -> None:
    assert step_of(facts(sight=UNKNOWN)) is Wait
    assert step_of(facts(sight=NotListed())) is LookAtServer
    assert step_of(facts(sight=Gone())) is NoteServerAbsent


def test_a_listing_older_than_the_power_on_says_nothing() -> None:
    assert step_of(facts(sight=NotListed(), server=server_row(started_at=ago(1)))) is Wait


def test_L4_an_instance_whose_server_is_gone_is_retired_with_its_volumes() -> None:
    orphaned = facts(server=None, sight=NotListed())
    assert step_of(orphaned) is Retire
    assert step_of(orphaned, may_let_go=False, why_not="Paused") is Wait


def test_L6_a_failed_instance_is_kept_and_then_goes() -> None:
    failed = facts(instance=instance(state=InstanceState.FAILED, failed_at=ago(599), reason="StartupTimeout"))
    wait = plan(failed)
    assert isinstance(wait, Wait)
    assert wait.after_s == pytest.approx(1.0)
    assert step_of(failed, failed_retention_s=599) is Retire


# -- upkeep --------------------------------------------------------------------------------------------------

AT_REST = facts(instance=instance(ready_at=ago(50)), ready=True)


def with_root(tags: str = "", iops: int = 5000, size_gb: int | None = None) -> InstanceFacts:
    settings = VolumeSettings(tags=tags or tags_digest(()), iops=iops, size_gb=size_gb)
    return replace(AT_REST, volumes=(root_row(prepared_hash=settings.text()),))


def test_changed_tags_are_set_on_volumes_and_server() -> None:
    assert step_of(AT_REST, tags=("a=b",)) is TagVolume
    assert step_of(with_root(tags_digest(("a=b",))), tags=("a=b",)) is SetTags
    assert step_of(AT_REST, tags=("a=b",), may_start=False) is Wait


def test_iops_and_size_follow_the_spec() -> None:
    assert step_of(AT_REST, root_iops=15000) is SetIops
    assert step_of(AT_REST, root_size_gb=100) is LearnSize
    step = plan(with_root(size_gb=50), root_size_gb=100)
    assert isinstance(step, GrowVolume)
    assert step.size_gb == 100
    assert step_of(with_root(size_gb=100), root_size_gb=100) is Wait


def test_what_is_refused_for_now_waits_for_the_next_pass() -> None:
    assert step_of(replace(AT_REST, upkeep_refused=True), root_iops=15000) is Wait


# -- removal -------------------------------------------------------------------------------------------------


def test_the_ledger_says_deleting_before_the_first_call() -> None:
    assert step_of(facts(**OUT)) is BeginServerDeletion
    assert step_of(facts(sight=UNKNOWN, **OUT)) is BeginServerDeletion


REMOVALS = [
    pytest.param(RUNNING, Terminate, id="running"),
    pytest.param(STOPPED_IN_PLACE, Terminate, id="standby"),
    pytest.param("a state of tomorrow", Terminate, id="unheard-of: it is billed"),
    pytest.param(STOPPED, DeleteServer, id="stopped: terminate would be refused"),
    pytest.param(STARTING, Wait, id="starting"),
    pytest.param(STOPPING, Wait, id="stopping"),
]


@pytest.mark.parametrize(("state", "step"), REMOVALS)
def test_a_server_goes_by_the_way_its_state_allows(state: str, step: type[object]) -> None:
    assert step_of(facts(state, **LEAVING)) is step


def test_a_terminate_passing_through_stopped_is_left_alone_for_a_while() -> None:
    passing = facts(sight=Listed(seen_server(STOPPED, volumes=())), **LEAVING)
    assert step_of(passing) is Wait
    assert step_of(replace(passing, server=replace(GOING_ROW, changed_at=ago(61)))) is DeleteServer


@pytest.mark.parametrize("state", [RUNNING, STOPPED])
@pytest.mark.parametrize("volume_type", ["sbs_volume", "l_ssd", "nobody knows"])
def test_L7_what_is_not_ours_is_detached_first(state: str, volume_type: str) -> None:
    theirs = attached("theirs", slot="1", volume_type=volume_type)
    mixed = facts(sight=Listed(seen_server(state, volumes=(attached(), theirs))), **LEAVING)
    assert plan(mixed) == DetachVolume(theirs)


def test_L1_a_server_that_leaves_is_absent_only_when_proven() -> None:
    assert step_of(facts(sight=UNKNOWN, **LEAVING)) is Wait
    assert step_of(facts(sight=NotListed(), **LEAVING)) is LookAtServer
    assert step_of(facts(sight=Gone(), **LEAVING)) is NoteServerAbsent


def test_L4_an_open_create_is_settled_before_anything_is_called_absent() -> None:
    open_create = facts(server=SENT, sight=NotListed(), volumes=(), **OUT)
    assert step_of(open_create) is Wait
    assert step_of(replace(open_create, server=replace(SENT, send_before=ago(151)))) is NoteServerAbsent
    assert step_of(replace(open_create, server=resource())) is NoteServerAbsent


ALONE: dict[str, Any] = OUT | {"server": None, "sight": NotListed()}
VOLUMES = [
    pytest.param(NotListed(), LookAtVolume, id="not-looked-at"),
    pytest.param(UNKNOWN, Wait, id="unknown"),
    pytest.param(Gone(), NoteVolumeAbsent, id="gone"),
    pytest.param(Listed(seen_volume()), DeleteVolume, id="available"),
    pytest.param(Listed(seen_volume("error")), DeleteVolume, id="in a state that only a delete ends"),
    pytest.param(Listed(seen_volume("in_use")), Wait, id="in_use"),
    pytest.param(Listed(seen_volume("resizing")), Wait, id="resizing"),
    pytest.param(Listed(seen_volume(attached_to=(SENT.zone,))), Wait, id="attached"),
]


@pytest.mark.parametrize(("sight", "step"), VOLUMES)
def test_a_volume_goes_once_it_is_free(sight: Any, step: type[object]) -> None:
    assert step_of(facts(**ALONE, volume_sights={ROOT: sight})) is step


def test_a_volume_that_has_to_wait_holds_no_other_up() -> None:
    other = root_row(role="extra-1", provider_ref=ProviderRef("other"))
    two = facts(**ALONE, volumes=(root_row(), other), volume_sights={ROOT: UNKNOWN})
    assert plan(two) == LookAtVolume(other)


def test_L5_an_instance_is_gone_when_nothing_of_it_is_left() -> None:
    assert step_of(facts(**ALONE, volumes=())) is NoteInstanceGone
    assert step_of(facts(instance=instance(state=InstanceState.GONE))) is Wait


def test_a_deployment_that_goes_starts_nothing() -> None:
    policy = going(TIMING)
    for given in (unstarted(), facts(server=resource(), sight=NotListed()), facts(STOPPED)):
        step = plan_instance(given, now=NOW, policy=policy)
        assert not isinstance(step, CreateServer | SetCloudInit | PowerOn | TagVolume)
