"""A server's way from create to 404, in virtual time."""

import asyncio

import pytest

from scaleway_simulator.world import World
from simulator.api import BLOCK, INSTANCE, Api, root_of

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

PERMITTED = {
    "stopped": ["poweron", "backup"],
    "starting": ["stop_in_place", "backup"],
    "running": ["poweroff", "terminate", "reboot", "stop_in_place", "backup"],
}


async def test_a_new_server_is_stopped_and_has_a_root_volume_without_tags(alpha: Api) -> None:
    server = await alpha.create(tags=["mine"], name="Worker No. 1")
    assert (server["state"], server["state_detail"], server["location"]) == ("stopped", "", None)
    assert server["hostname"] == "worker-no--1"
    assert server["public_ips"] == []
    assert server["allowed_actions"] == PERMITTED["stopped"]
    assert server["volumes"]["0"].keys() == {"boot", "id", "state", "volume_type", "zone"}
    volume = (await alpha.volume(root_of(server))).json()
    assert (volume["tags"], volume["status"], volume["size"]) == ([], "in_use", 20_000_000_000)
    assert volume["name"] == "Ubuntu Jammy GPU OS 12_sbs_volume_0"
    assert volume["references"][0]["product_resource_id"] == server["id"]


async def test_a_start_goes_through_the_recorded_phases(alpha: Api) -> None:
    server_id = (await alpha.create())["id"]
    answer = await alpha.act(server_id, "poweron")
    assert answer.status_code == 202
    assert answer.json()["task"]["id"] == "00000000-0000-0000-0000-000000000000"
    seen = []
    for _ in range(9):
        server = await alpha.server(server_id)
        seen.append((server["state"], server["state_detail"], server["location"] is not None))
        await asyncio.sleep(1)
    assert seen[0] == ("starting", "allocating node", False)
    assert seen[1] == ("starting", "provisioning node", True)
    assert seen[4] == ("starting", "provisioning node", True)
    assert seen[5] == ("running", "booting kernel", True)
    assert seen[7] == ("running", "booted", True)


async def test_a_dynamic_address_comes_with_the_start_and_goes_with_the_stop(alpha: Api) -> None:
    server_id = (await alpha.create())["id"]
    await alpha.act(server_id, "poweron")
    await asyncio.sleep(6)
    address = (await alpha.server(server_id))["public_ip"]
    assert (address["dynamic"], address["state"]) == (True, "pending")
    await asyncio.sleep(2)
    assert (await alpha.server(server_id))["public_ip"]["state"] == "attached"
    await alpha.act(server_id, "poweroff")
    await asyncio.sleep(60)
    assert (await alpha.server(server_id))["public_ips"] == []


async def test_a_second_power_on_is_refused(alpha: Api) -> None:
    server_id = (await alpha.create())["id"]
    assert (await alpha.act(server_id, "poweron")).status_code == 202
    answer = await alpha.act(server_id, "poweron")
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "precondition_failed",
        "precondition": "resource_not_usable",
        "help_message": "server should be stopped",
        "message": "precondition is not respected",
    }


@pytest.mark.parametrize("action", ["terminate", "poweroff", "reboot", "stop_in_place"])
async def test_a_stopped_server_refuses(alpha: Api, action: str) -> None:
    server_id = (await alpha.create())["id"]
    assert (await alpha.act(server_id, action)).status_code == 400


async def test_terminate_leaves_the_block_volume_and_takes_the_local_disk(alpha: Api) -> None:
    scratch = {"1": {"volume_type": "scratch", "size": 10**12, "name": "cache"}}
    server = await alpha.create(commercial_type="L40S-1-48G", volumes={"0": {"boot": False}, **scratch})
    local = server["volumes"]["1"]["id"]
    assert (await alpha.get(f"{INSTANCE}/volumes/{local}")).status_code == 200
    await alpha.act(server["id"], "poweron")
    await asyncio.sleep(6)
    await alpha.act(server["id"], "terminate")
    ending = await alpha.server(server["id"])
    assert (ending["state_detail"], ending["allowed_actions"]) == ("terminating", [])
    assert ending["volumes"]["1"]["state"] == "deleting"
    await asyncio.sleep(6)
    gone = await alpha.get(f"{INSTANCE}/servers/{server['id']}")
    assert gone.status_code == 404
    assert gone.json()["resource"] == "instance_server"
    assert (await alpha.get(f"{INSTANCE}/volumes/{local}")).status_code == 404
    kept = (await alpha.volume(root_of(server))).json()
    assert (kept["status"], kept["references"]) == ("available", [])
    assert (await alpha.call("DELETE", f"{BLOCK}/volumes/{root_of(server)}")).status_code == 204
    assert (await alpha.volume(root_of(server))).status_code == 404


async def test_terminate_may_pass_through_stopped(alpha: Api, world: World) -> None:
    world.change({"terminate_via_stopped_s": 6})
    server_id = (await alpha.create())["id"]
    await alpha.act(server_id, "poweron")
    await asyncio.sleep(6)
    await alpha.act(server_id, "terminate")
    await asyncio.sleep(6)
    server = await alpha.server(server_id)
    assert (server["state"], server["volumes"], server["allowed_actions"]) == (
        "stopped",
        {},
        PERMITTED["stopped"],
    )
    await asyncio.sleep(6)
    assert (await alpha.get(f"{INSTANCE}/servers/{server_id}")).status_code == 404


async def test_delete_takes_only_a_stopped_server_and_leaves_its_disks(alpha: Api) -> None:
    server = await alpha.create(
        commercial_type="DEV1-S", image="ubuntu_jammy", volumes={"0": {"volume_type": "l_ssd"}}
    )
    path = f"{INSTANCE}/servers/{server['id']}"
    await alpha.act(server["id"], "poweron")
    refused = await alpha.call("DELETE", path)
    assert (refused.status_code, refused.json()["precondition"]) == (400, "resource_still_in_use")
    await asyncio.sleep(6)
    await alpha.act(server["id"], "poweroff")
    await asyncio.sleep(60)
    assert (await alpha.call("DELETE", path)).status_code == 204
    volume = (await alpha.get(f"{INSTANCE}/volumes/{root_of(server)}")).json()["volume"]
    assert (volume["state"], volume["server"], volume["volume_type"]) == ("available", None, "l_ssd")


async def test_a_block_volume_is_busy_for_a_moment_after_the_delete(alpha: Api) -> None:
    server = await alpha.create()
    await alpha.call("DELETE", f"{INSTANCE}/servers/{server['id']}")
    volume = (await alpha.volume(root_of(server))).json()
    assert (volume["status"], volume["references"][0]["status"]) == ("in_use", "detaching")
    refused = await alpha.call("DELETE", f"{BLOCK}/volumes/{root_of(server)}")
    assert (refused.status_code, refused.json()["type"]) == (412, "precondition_failed")
    await asyncio.sleep(5)
    assert (await alpha.volume(root_of(server))).json()["status"] == "available"


async def test_a_protected_server_refuses_terminate_but_not_delete(alpha: Api) -> None:
    server_id = (await alpha.create(protected=True))["id"]
    await alpha.act(server_id, "poweron")
    await asyncio.sleep(6)
    assert (await alpha.server(server_id))["allowed_actions"] == ["backup"]
    refused = await alpha.act(server_id, "terminate")
    assert (refused.status_code, refused.json()["precondition"]) == (400, "protected_resource")


async def test_standby_and_back(alpha: Api) -> None:
    server_id = (await alpha.create())["id"]
    await alpha.act(server_id, "poweron")
    await asyncio.sleep(6)
    await alpha.act(server_id, "stop_in_place")
    assert (await alpha.server(server_id))["state_detail"] == "stopping in place"
    await asyncio.sleep(40)
    assert (await alpha.server(server_id))["state"] == "stopped in place"
    await alpha.act(server_id, "poweron")
    waking = await alpha.server(server_id)
    assert (waking["state"], waking["state_detail"]) == ("starting", "stopped in place")
    await asyncio.sleep(6)
    assert (await alpha.server(server_id))["state"] == "running"


async def test_a_detached_volume_of_a_booting_server_is_busy_for_long(alpha: Api) -> None:
    server = await alpha.create()
    await alpha.act(server["id"], "poweron")
    await asyncio.sleep(5.5)
    body = {"volume_id": root_of(server)}
    answer = await alpha.call("POST", f"{INSTANCE}/servers/{server['id']}/detach-volume", body)
    assert answer.json()["server"]["volumes"] == {}
    await asyncio.sleep(30)
    assert (await alpha.volume(root_of(server))).json()["references"][0]["status"] == "detaching"
    await asyncio.sleep(30)
    assert (await alpha.volume(root_of(server))).json()["status"] == "available"
    twice = await alpha.call("POST", f"{INSTANCE}/servers/{server['id']}/detach-volume", body)
    assert twice.json()["details"][0]["argument_name"] == "volume_id"


async def test_an_h100_brings_a_scratch_volume_of_its_own(alpha: Api) -> None:
    server = await alpha.create(commercial_type="H100-1-80G")
    assert [v["volume_type"] for v in server["volumes"].values()] == ["sbs_volume", "scratch"]


async def test_iops_can_only_be_changed_when_nothing_else_goes_on(alpha: Api) -> None:
    body = {"name": "data", "from_empty": {"size": 50 * 10**9}, "perf_iops": 5000}
    volume = (await alpha.call("POST", f"{BLOCK}/volumes", body)).json()
    assert volume["status"] == "creating"
    path = f"{BLOCK}/volumes/{volume['id']}"
    early = await alpha.call("PATCH", path, {"perf_iops": 15000})
    assert early.json()["details"][0]["help_message"] == "can't update perf_iops when volume is not available"
    await asyncio.sleep(10)
    assert (await alpha.call("PATCH", path, {"perf_iops": 15000})).json()["type"] == "sbs_15k"


async def test_user_data_is_text_and_a_missing_key_has_no_body(alpha: Api) -> None:
    path = f"{INSTANCE}/servers/{(await alpha.create())['id']}/user_data"
    headers = {"X-Auth-Token": alpha.tenant.secret_key, "Content-Type": "text/plain"}
    written = await alpha.client.patch(f"{path}/first%20key", content=b"hello", headers=headers)
    assert written.status_code == 204
    assert (await alpha.get(path)).json() == {"user_data": ["first key"]}
    read = await alpha.get(f"{path}/first%20key")
    assert (read.text, read.headers["content-type"]) == ("hello", "text/plain")
    missing = await alpha.get(f"{path}/other")
    assert (missing.status_code, missing.content, missing.headers["content-type"]) == (404, b"", "text/plain")


async def test_a_group_carries_six_rules_that_nobody_edits(alpha: Api) -> None:
    created = await alpha.call(
        "POST", f"{INSTANCE}/security_groups", {"name": "web", "inbound_default_policy": "drop"}
    )
    path = f"{INSTANCE}/security_groups/{created.json()['security_group']['id']}"
    rule = {
        "protocol": "TCP",
        "direction": "inbound",
        "action": "accept",
        "ip_range": "0.0.0.0/0",
        "dest_port_from": 8000,
    }
    rules = (await alpha.call("PUT", f"{path}/rules", {"rules": [rule]})).json()["rules"]
    assert [r["editable"] for r in rules] == [False] * 6 + [True]
    cleared = (await alpha.call("PUT", f"{path}/rules", {"rules": []})).json()["rules"]
    assert len(cleared) == 6
    server = await alpha.create(security_group=path.rsplit("/", 1)[1])
    assert server["security_group"]["name"] == "web"
    refused = await alpha.call("DELETE", path)
    assert refused.json()["precondition"] == "resource_still_in_use"


async def test_the_default_group_is_made_when_it_is_needed(alpha: Api) -> None:
    group = (await alpha.server((await alpha.create())["id"]))["security_group"]
    listed = await alpha.get(f"{INSTANCE}/security_groups", params={"project": alpha.tenant.project_id})
    (only,) = listed.json()["security_groups"]
    assert (only["id"], only["project_default"], only["name"]) == (
        group["id"],
        True,
        "Default security group",
    )


async def test_types_take_three_pages_and_one_past_the_end_is_empty(alpha: Api) -> None:
    pages = [(await alpha.get(f"{INSTANCE}/products/servers", params={"page": n})) for n in range(1, 5)]
    names = [list(p.json()["servers"]) for p in pages]
    assert [len(n) for n in names[:2]] == [50, 50]
    assert names[3] == []
    assert names[0][-1] == "H100-SXM-2-80G"
    assert {"L4-1-24G", "L40S-1-48G"} <= set(names[1])
    assert "RENDER-S" in names[2]
    assert 'rel="next"' in pages[0].headers["link"]
    assert pages[0].headers["x-total-count"] == str(sum(map(len, names)))
