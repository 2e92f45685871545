"""What changes in place, and what would replace servers and so touches nothing."""

from collections import Counter
from typing import Any

import pytest

from controllers.deployment.conftest import Rig
from rig.tenant import TYPE, ZONE
from scaleway_simulator import outside

GB = 10**9


def writes(rig: Rig, *, since: int) -> Counter[str]:
    return Counter(
        f"{call.method} {call.template.rsplit('/', 1)[-1]}"
        for call in rig.world.calls.since(since)
        if call.method != "GET"
    )


def last(rig: Rig) -> int:
    return max(call.n for call in rig.world.calls.since(0))


async def settled(rig: Rig, replicas: int = 2, **spec: Any) -> int:
    """Ready, and at rest; the number of the last call so far."""
    rig.apply(replicas=replicas, **spec)
    await rig.until_ready()
    await rig.rest(130)
    return last(rig)


async def test_tags_change_in_place_on_servers_and_volumes_once(rig: Rig) -> None:
    since = await settled(rig, tags=["team=search"])
    assert all("team=search" in s["tags"] for s in rig.servers)
    assert all("team=search" in v["tags"] for v in rig.billed()["volumes"])
    rig.apply(replicas=2, tags=["team=ads", "cost=42"])
    await rig.rest(200)
    assert writes(rig, since=since) == {"PATCH {id}": 4}
    for thing in rig.servers + rig.billed()["volumes"]:
        assert {"team=ads", "cost=42"} <= set(thing["tags"])
        assert "team=search" not in thing["tags"]
    for server in rig.servers:
        assert {tag.partition("=")[0] for tag in server["tags"] if tag.startswith("inventiv-")} == {
            "inventiv-installation",
            "inventiv-organization",
            "inventiv-deployment",
            "inventiv-instance",
            "inventiv-attempt",
        }


async def test_tags_that_the_tenant_edits_in_the_console_are_left_alone(rig: Rig) -> None:
    since = await settled(rig, tags=["team=search"])
    for server in rig.servers:
        outside.edit_tags(rig.world, server["id"], {"tags": ["mine"]})
    await rig.rest(300)
    assert all(server["tags"] == ["mine"] for server in rig.servers)
    assert writes(rig, since=since) == {}
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_ingress_changes_in_place(rig: Rig) -> None:
    since = await settled(rig)
    rule = {"port": 8000, "protocol": "TCP", "cidrs": ["203.0.113.0/24", "198.51.100.0/24"]}
    rig.apply(replicas=2, network={"ingress": [rule]})
    await rig.until_ready()
    await rig.rest(100)
    assert writes(rig, since=since) == {"PUT rules": 1}
    (group,) = [g for g in rig.world.security_groups if not g.project_default]
    assert {(r.protocol, r.dest_port_from, r.ip_range) for r in group.rules} == {
        ("TCP", 8000, "203.0.113.0/24"),
        ("TCP", 8000, "198.51.100.0/24"),
    }
    assert group.inbound_default_policy == "drop"


def opened_ports(rig: Rig) -> set[int | None]:
    (group,) = [g for g in rig.world.security_groups if not g.project_default]
    return {rule.dest_port_from for rule in group.rules}


def opening(port: int) -> dict[str, object]:
    return {"ingress": [{"port": port, "protocol": "TCP", "cidrs": ["203.0.113.0/24"]}]}


async def test_rules_whose_setting_has_no_known_outcome_are_not_taken_for_the_earlier_ones(rig: Rig) -> None:
    await settled(rig, network=opening(8000))
    rig.fault("drop_after_commit", "PUT", "/rules")
    rig.apply(replicas=2, network=opening(9000))
    await rig.step()
    assert opened_ports(rig) == {9000}
    rig.apply(replicas=2, network=opening(8000))
    await rig.rest(100)
    assert opened_ports(rig) == {8000}


async def test_rules_that_arrive_late_do_not_win(rig: Rig) -> None:
    """The provider acts on a call long after we gave it up, and after the next one succeeded."""
    since = await settled(rig, network=opening(7000))
    (group,) = [g for g in rig.world.security_groups if not g.project_default]
    late = group.rules
    rig.fault("drop_before", "PUT", "/rules")
    rig.apply(replicas=2, network=opening(9000))
    await rig.step()
    rig.apply(replicas=2, network=opening(8000))
    await rig.until(lambda: opened_ports(rig) == {8000}, within_s=60)
    group.rules = late
    await rig.until(lambda: opened_ports(rig) == {8000}, within_s=300)
    await rig.rest(600)
    assert writes(rig, since=since) == {"PUT rules": 3}


async def test_a_root_volume_grows_in_place(rig: Rig) -> None:
    since = await settled(rig, rootVolume={"sizeGB": 100})
    rig.apply(replicas=2, rootVolume={"sizeGB": 150})
    await rig.until_ready()
    await rig.rest(200)
    assert writes(rig, since=since) == {"PATCH {id}": 2}
    assert {v["size"] for v in rig.billed()["volumes"]} == {150 * GB}


async def test_a_root_volume_whose_size_the_image_chose_grows_in_place(rig: Rig) -> None:
    since = await settled(rig)
    rig.apply(replicas=2, rootVolume={"sizeGB": 150})
    await rig.rest(200)
    assert {v["size"] for v in rig.billed()["volumes"]} == {150 * GB}
    assert writes(rig, since=since) == {"PATCH {id}": 2}


async def test_iops_are_set_after_the_create_and_change_in_place(rig: Rig) -> None:
    since = await settled(rig, rootVolume={"iops": 15000})
    assert {v.perf_iops for v in rig.world.block_volumes} == {15000}
    rig.apply(replicas=2, rootVolume={"iops": 5000})
    await rig.rest(200)
    assert {v.perf_iops for v in rig.world.block_volumes} == {5000}
    assert writes(rig, since=since) == {"PATCH {id}": 2}


REPLACING = [
    pytest.param({"image": "ubuntu_noble_gpu_os_13_nvidia"}, id="image"),
    pytest.param({"placement": [{"zone": ZONE, "instanceType": "L4-2-24G"}]}, id="type"),
    pytest.param({"placement": [{"zone": "fr-par-1", "instanceType": TYPE}]}, id="zone"),
    pytest.param({"cloudInit": {"inline": "#cloud-config\n{}\n"}}, id="cloud-init"),
    pytest.param({"network": {"publicIP": "None"}}, id="public-ip"),
    pytest.param({"rootVolume": {"sizeGB": 100}}, id="smaller-root"),
]


@pytest.mark.parametrize("change", REPLACING)
async def test_a_change_that_would_replace_servers_touches_nothing(rig: Rig, change: dict[str, Any]) -> None:
    spec: dict[str, Any] = {"rootVolume": {"sizeGB": 150}}
    since = await settled(rig, **spec)
    before = rig.servers
    rig.apply(replicas=1, tags=["other=tag"], **(spec | change))
    await rig.until_reason("NotSupported")
    await rig.rest(300)
    assert writes(rig, since=since) == {}
    assert rig.servers == before
    assert rig.status["ready"] == "2/1"
    assert [entry["state"] for entry in rig.status["instances"]] == ["running", "running"]
    # What exists goes on being watched: a stopped server is started again.
    outside.stop(rig.world, before[0]["id"], {})
    await rig.until(lambda: rig.calls("POST", "/action") == 3)
    rig.apply(replicas=2, **spec)
    await rig.until_ready()


async def test_scaling_to_zero_makes_room_for_another_template(rig: Rig) -> None:
    await settled(rig)
    rig.apply(replicas=0, image="ubuntu_noble_gpu_os_13_nvidia")
    await rig.until_ready()
    assert rig.servers == []
    rig.apply(replicas=1, image="ubuntu_noble_gpu_os_13_nvidia")
    await rig.until_ready()
    assert len(rig.servers) == 1


async def test_another_zone_after_zero_leaves_no_group_behind(rig: Rig) -> None:
    await settled(rig)
    elsewhere = [{"zone": "fr-par-1", "instanceType": TYPE}]
    rig.apply(replicas=0, placement=elsewhere)
    await rig.until_ready()
    rig.apply(replicas=1, placement=elsewhere)
    await rig.until_ready()
    assert [g["zone"] for g in rig.billed()["security_groups"]] == ["fr-par-1"]


async def test_a_server_that_somebody_stopped_is_started_again(rig: Rig) -> None:
    await settled(rig, replicas=1)
    (server,) = rig.servers
    outside.stop(rig.world, server["id"], {})
    await rig.until(lambda: rig.servers[0]["powered_on_count"] == 2)
    await rig.until_ready(within_s=60)
    assert [s["id"] for s in rig.servers] == [server["id"]]


async def test_out_of_stock_on_a_restart_keeps_the_server_and_its_disk(rig: Rig) -> None:
    await settled(rig, replicas=1)
    (server,) = rig.servers
    rig.world.change({"stock": [{"zone": ZONE, "type": TYPE, "capacity": 0, "at": "poweron"}]})
    outside.stop(rig.world, server["id"], {})
    await rig.until_reason("OutOfStock")
    await rig.rest(600)
    assert [s["id"] for s in rig.servers] == [server["id"]]
    assert rig.calls("POST", "/action") < 15
    rig.world.change({"stock": []})
    await rig.until_ready()
