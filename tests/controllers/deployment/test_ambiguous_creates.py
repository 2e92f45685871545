"""Creates whose outcome is not known at once (L2, L3)."""

import pytest

from controllers.deployment.conftest import NAME, Rig
from inventiv_operator.domain.ledger import InstanceState, Origin, ResourceKind
from rig.log_lines import log_lines
from rig.process import Process
from rig.tenant import TYPE, ZONE
from scaleway_simulator import outside

SERVERS = "/servers$"
COMMITTED_BUT_UNSAID = [
    pytest.param("drop_after_commit", {}, id="connection-dropped"),
    pytest.param("status", {"status": 500, "commit": True}, id="500"),
    pytest.param("empty_body", {}, id="empty-body"),
    pytest.param("truncated", {}, id="truncated"),
    pytest.param("html", {"commit": True}, id="html"),
    pytest.param("delay", {"seconds": 45}, id="answer-after-the-time-out"),
    pytest.param("delay_before", {"seconds": 45}, id="late-effect"),
    pytest.param("late_appearance", {"seconds": 20}, id="appears-late"),
    pytest.param("late_appearance", {"seconds": 100}, id="appears-much-later"),
]


@pytest.mark.parametrize(("kind", "more"), COMMITTED_BUT_UNSAID)
async def test_L3_a_create_that_was_made_without_an_answer_is_adopted(
    rig: Rig, kind: str, more: dict[str, object]
) -> None:
    rig.fault(kind, "POST", SERVERS, **more)
    rig.apply(replicas=1)
    await rig.until_ready(within_s=400)
    (server,) = rig.servers
    assert server["cloud_init_before_first_power_on"] is True
    assert rig.calls("POST", "/servers") - rig.calls("POST", "/action") == 1
    (row,) = [r for r in (await rig.ledger()).resources if r.kind is ResourceKind.SERVER]
    assert (row.provider_ref, row.origin) == (server["id"], Origin.ADOPTED)
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        pytest.param("drop_before", {}, id="connection-dropped"),
        pytest.param("status", {"status": 500}, id="500"),
        pytest.param("status", {"status": 503}, id="503"),
    ],
)
async def test_L3_a_create_that_came_to_nothing_is_sent_again_only_when_settled(
    rig: Rig, kind: str, more: dict[str, object]
) -> None:
    rig.fault(kind, "POST", SERVERS, **more)
    rig.apply(replicas=1)
    took_s = await rig.until_ready(within_s=400)
    assert took_s > 150, "send window, time-out and settling time had not passed"
    assert len(rig.servers) == 1


async def test_a_429_on_create_is_a_definite_no_and_tried_again_soon(rig: Rig) -> None:
    rig.fault("status", "POST", SERVERS, status=429)
    rig.apply(replicas=1)
    took_s = await rig.until_ready(within_s=120)
    assert took_s < 60
    assert len(rig.servers) == 1


async def test_L3_a_second_server_of_our_own_calls_is_removed_with_its_volume(rig: Rig) -> None:
    rig.fault("late_appearance", "POST", SERVERS, seconds=170)  # later than anybody has to expect
    rig.apply(replicas=1)
    await rig.until(lambda: len(rig.servers) == 2, within_s=400)
    await rig.until(lambda: len(rig.servers) == 1 and rig.is_ready, within_s=400)
    assert len(rig.billed()["volumes"]) == 1
    rows = [r for r in (await rig.ledger()).resources if r.kind is ResourceKind.SERVER]
    assert [r.provider_ref for r in rows] == [rig.servers[0]["id"]]


async def test_L3_a_copy_of_our_tags_is_reported_and_left_alone(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    (ours,) = rig.servers
    theirs = await _make_by_hand(rig, tags=ours["tags"], name=ours["name"])
    await rig.rest(300)
    assert {s["id"] for s in rig.servers} == {ours["id"], theirs}
    assert [e["reason"] for e in rig.kube.events if e["reason"] == "SuspectServer"]
    rig.delete()
    await rig.until_gone()
    assert [s["id"] for s in rig.servers] == [theirs]


async def test_L7_a_server_of_the_same_name_made_by_hand_is_never_touched(rig: Rig) -> None:
    name = f"{rig.tenant.namespace}-{NAME}-0"
    before = await _make_by_hand(rig, tags=[], name=name)
    rig.fault("drop_before", "POST", SERVERS)
    rig.apply(replicas=1)
    await rig.until(lambda: rig.calls("POST", "/servers") > 1, within_s=100)
    during = await _make_by_hand(rig, tags=["mine"], name=name)
    await rig.until_ready(within_s=400)
    rig.delete()
    await rig.until_gone()
    assert {s["id"] for s in rig.servers} == {before, during}
    assert all(s["state"] == "stopped" for s in rig.servers)


async def test_L4_our_own_server_is_deleted_though_it_was_renamed_before_it_was_adopted(rig: Rig) -> None:
    rig.fault("drop_after_commit", "POST", SERVERS)
    rig.apply(replicas=1)
    await rig.until(lambda: len(rig.servers) == 1)
    outside.rename(rig.world, rig.servers[0]["id"], {"name": "mine"})
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_L7_our_own_server_is_found_though_its_tags_were_taken_away(rig: Rig) -> None:
    rig.fault("late_appearance", "POST", SERVERS, seconds=10)
    rig.apply(replicas=1)
    await rig.until(lambda: len(rig.servers) == 1)
    next(iter(rig.world.servers)).tags = []
    await rig.until_ready(within_s=400)
    assert len(rig.servers) == 1
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_L4_a_scale_down_while_the_create_is_open_leaves_nothing(rig: Rig) -> None:
    rig.fault("late_appearance", "POST", SERVERS, seconds=60)
    rig.apply(replicas=1)
    await rig.step()
    await rig.step()
    await rig.step()
    assert len(rig.servers) == 1
    rig.apply(replicas=0)
    await rig.until(lambda: rig.servers == [], within_s=400)
    await rig.until_ready(within_s=400)
    assert rig.billed()["volumes"] == []


@pytest.mark.parametrize("seconds", [5, 60, 140])
async def test_L4_a_deletion_while_the_create_is_open_leaves_nothing(rig: Rig, seconds: int) -> None:
    rig.fault("late_appearance", "POST", SERVERS, seconds=seconds)
    rig.apply(replicas=2)
    await rig.until(lambda: len(rig.servers) == 2)
    rig.delete()
    await rig.until_gone(within_s=600)
    await rig.rest(1) if rig.kube.read(rig.tenant.namespace, NAME) else None
    rig.assert_nothing_left()


async def test_L5_the_finalizer_stays_while_a_create_is_open(rig: Rig) -> None:
    rig.fault("drop_before", "POST", SERVERS)
    rig.apply(replicas=1)
    await rig.until(lambda: rig.calls("POST", "/servers") > 0)
    rig.delete()
    took_s = await rig.until_gone(within_s=600)
    assert took_s > 140


async def test_L2_a_restart_after_the_answer_was_lost_with_the_process_finds_the_server(rig: Rig) -> None:
    rig.fault("drop_after_commit", "POST", SERVERS)
    rig.apply(replicas=1)
    await rig.until(lambda: len(rig.servers) == 1)
    await rig.process.__aexit__()
    async with Process(rig.around, epoch=rig.premises.take_over(), wire=rig.wire) as second:
        rig.process = second
        await rig.until_ready(within_s=60)
        assert len(rig.servers) == 1
        instances = (await rig.ledger()).instances
        assert [i.state for i in instances] == [InstanceState.ACTIVE]


async def test_the_first_pass_of_a_new_process_says_whose_server_it_adopted(rig: Rig) -> None:
    rig.fault("drop_after_commit", "POST", SERVERS)
    rig.apply(replicas=1)
    await rig.until(lambda: len(rig.servers) == 1)
    await rig.process.__aexit__()
    async with Process(rig.around, epoch=rig.premises.take_over(), wire=rig.wire) as second:
        rig.process = second
        with log_lines() as lines:
            await rig.until_ready(within_s=60)
    (adopted,) = [line for line in lines if line["message"] == "server recorded"]
    assert adopted["origin"] == "adopted"
    assert adopted["organization"] == str(rig.tenant.organization_id)


async def _make_by_hand(rig: Rig, *, tags: list[str], name: str) -> str:
    """With the tenant's own key, in the project's default group."""
    body = {
        "name": name,
        "commercial_type": TYPE,
        "image": "ubuntu_jammy_gpu_os_12",
        "project": rig.tenant.project_id,
        "tags": tags,
        "dynamic_ip_required": False,
    }
    answer = await rig.ask("POST", f"/instance/v1/zones/{ZONE}/servers", body)
    made: str = answer["server"]["id"]
    return made
