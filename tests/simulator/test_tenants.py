"""Keys and projects: what one may not see, and every way in which a key stops working."""

import asyncio
from typing import Any

import pytest

from scaleway_simulator.world import World
from simulator.api import ALPHA, BETA, BLOCK, INSTANCE, Api, Tenant, root_of

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

KEY = f"/iam/v1alpha1/api-keys/{ALPHA.access_key}"


async def _status(api: Api, path: str = f"{INSTANCE}/servers") -> int:
    return (await api.get(path)).status_code


async def test_other_peoples_things_are_not_there(alpha: Api, beta: Api) -> None:
    server = await alpha.create()
    body = {"from_empty": {"size": 10**10}, "name": "data"}
    volume = (await alpha.call("POST", f"{BLOCK}/volumes", body)).json()
    ip = (await alpha.call("POST", f"{INSTANCE}/ips", {})).json()["ip"]
    local = (await alpha.call("POST", f"{INSTANCE}/volumes", {"size": 10**10})).json()["volume"]
    paths = [
        f"{INSTANCE}/servers/{server['id']}",
        f"{INSTANCE}/security_groups/{server['security_group']['id']}",
        f"{BLOCK}/volumes/{volume['id']}",
        f"{BLOCK}/volumes/{root_of(server)}",
        f"{INSTANCE}/ips/{ip['id']}",
        f"{INSTANCE}/ips/{ip['address']}",
        f"{INSTANCE}/volumes/{local['id']}",
        KEY,
    ]
    assert [await _status(alpha, path) for path in paths] == [200] * len(paths)
    assert [await _status(beta, path) for path in paths] == [404] * len(paths)
    for path in paths[:1] + paths[2:7]:
        assert (await beta.call("DELETE", path)).status_code == 404
    assert (await beta.act(server["id"], "poweron")).status_code == 404
    assert await beta.servers() == []
    assert await beta.servers(project=ALPHA.project_id) == []


async def test_making_something_in_a_foreign_project_is_forbidden(alpha: Api) -> None:
    body = {"name": "x", "commercial_type": "DEV1-S", "image": "ubuntu_jammy", "project": BETA.project_id}
    refused = await alpha.call("POST", f"{INSTANCE}/servers", body)
    assert (refused.status_code, refused.json()["type"]) == (403, "permissions_denied")
    for path in ("ips", "security_groups", "placement_groups"):
        body = {"name": "x", "project": BETA.project_id}
        assert (await alpha.call("POST", f"{INSTANCE}/{path}", body)).status_code == 403
    local = await alpha.call("POST", f"{INSTANCE}/volumes", {"size": 10**10, "project": BETA.project_id})
    assert local.status_code == 400


async def test_a_list_of_a_foreign_project_can_be_refused_too(alpha: Api, world: World) -> None:
    world.change({"foreign_project_lists": "denied"})
    listed = await alpha.get(f"{INSTANCE}/servers", params={"project": BETA.project_id})
    assert listed.status_code == 403


async def test_a_foreign_group_image_volume_or_ip_cannot_be_used(alpha: Api, beta: Api) -> None:
    theirs = await alpha.create()
    ip = (await alpha.call("POST", f"{INSTANCE}/ips", {})).json()["ip"]
    body = {"name": "x", "commercial_type": "DEV1-S", "image": "ubuntu_jammy"}
    uses: list[dict[str, Any]] = [
        {"security_group": theirs["security_group"]["id"]},
        {"public_ips": [ip["id"]]},
        {"volumes": {"1": {"id": root_of(theirs), "volume_type": "sbs_volume"}}},
    ]
    for use in uses:
        assert (await beta.call("POST", f"{INSTANCE}/servers", body | use)).status_code == 404
    assert (await alpha.billed())["servers"][0]["id"] == theirs["id"]


async def test_no_token_and_a_wrong_one(alpha: Api) -> None:
    assert (await alpha.client.get(f"{INSTANCE}/servers")).json()["reason"] == "invalid_argument"
    wrong = await alpha.client.get(f"{INSTANCE}/servers", headers={"X-Auth-Token": "nobody"})
    assert (wrong.status_code, wrong.json()) == (
        401,
        {
            "message": "authentication is denied",
            "method": "api_key",
            "reason": "not_found",
            "type": "denied_authentication",
        },
    )


async def test_an_expired_key(alpha: Api) -> None:
    key = {
        "access_key": "SCWEXPIRED",
        "secret_key": "soon",
        "project_id": ALPHA.project_id,
        "expires_at": "2026-11-25T12:01:00Z",
    }
    await alpha.control("keys", key)
    soon = Api(alpha.client, Tenant(project_id=ALPHA.project_id, access_key="SCWEXPIRED", secret_key="soon"))
    assert await _status(soon) == 200
    await asyncio.sleep(61)
    answer = await soon.get(f"{INSTANCE}/servers")
    assert (answer.status_code, answer.json()["reason"]) == (401, "expired")


async def test_a_key_with_instances_and_block_only(alpha: Api) -> None:
    key = {
        "access_key": "SCWNARROW",
        "secret_key": "narrow",
        "project_id": ALPHA.project_id,
        "rights": ["instances", "block"],
    }
    await alpha.control("keys", key)
    narrow = Api(
        alpha.client, Tenant(project_id=ALPHA.project_id, access_key="SCWNARROW", secret_key="narrow")
    )
    assert await _status(narrow) == 200
    denied = await narrow.get("/iam/v1alpha1/api-keys/SCWNARROW")
    assert denied.json() == {
        "details": [{"action": "read", "resource": "api_key"}],
        "message": "insufficient permissions",
        "type": "permissions_denied",
    }
    assert await _status(narrow, "/account/v3/projects") == 403


async def test_fresh_permissions_take_a_while(alpha: Api) -> None:
    key = {"access_key": "SCWF", "secret_key": "fresh", "project_id": ALPHA.project_id, "fresh_for_s": 90}
    await alpha.control("keys", key)
    fresh = Api(alpha.client, Tenant(project_id=ALPHA.project_id, access_key="SCWF", secret_key="fresh"))
    assert await _status(fresh) == 403
    await asyncio.sleep(91)
    assert await _status(fresh) == 200


async def test_a_key_reads_its_own_facts_without_its_secret(alpha: Api) -> None:
    answer = await alpha.get(KEY)
    assert answer.json()["default_project_id"] == ALPHA.project_id
    assert answer.json()["secret_key"] is None
    assert ALPHA.secret_key not in answer.text + (await alpha.client.get("/_simulator/state")).text


async def test_what_other_people_do_to_a_key(alpha: Api) -> None:
    server = await alpha.create()
    path = f"{INSTANCE}/servers/{server['id']}"
    deed = f"world/keys/{ALPHA.access_key}"
    await alpha.control(f"{deed}/revoke")
    assert await _status(alpha) == 401
    await alpha.control(f"{deed}/restore")
    assert await _status(alpha) == 200
    await alpha.control(f"{deed}/deny", {"for_s": 30})
    assert await _status(alpha) == 403
    await asyncio.sleep(31)
    assert await _status(alpha) == 200
    await alpha.control(f"{deed}/move", {"project_id": BETA.project_id})
    assert await _status(alpha, path) == 404
    assert (await alpha.get(KEY)).json()["default_project_id"] == BETA.project_id


async def test_what_other_people_do_to_a_server(alpha: Api) -> None:
    server = await alpha.create(tags=["a"])
    deed = f"world/servers/{server['id']}"
    await alpha.act(server["id"], "poweron")
    await asyncio.sleep(8)
    await alpha.control(f"{deed}/rename", {"name": "other"})
    await alpha.control(f"{deed}/tags", {"tags": []})
    disk = (await alpha.control(f"{deed}/attach-disk", {"name": "by-hand"})).json()["id"]
    seen = await alpha.server(server["id"])
    assert (seen["name"], seen["tags"], seen["volumes"]["1"]["id"]) == ("other", [], disk)
    assert seen["volumes"]["1"]["state"] == "attaching"
    await alpha.control(f"{deed}/stop")
    assert (await alpha.server(server["id"]))["state"] == "stopped"
    await alpha.control(f"{deed}/lock")
    assert (await alpha.server(server["id"]))["state"] == "locked"
    await alpha.control(f"{deed}/delete")
    assert await _status(alpha, f"{INSTANCE}/servers/{server['id']}") == 404
    billed = await alpha.billed()
    assert {v["id"]: v["by_hand"] for v in billed["volumes"]} == {root_of(server): False, disk: True}


async def test_an_unknown_deed_or_thing_is_said_to_be_so(alpha: Api) -> None:
    assert (await alpha.control("world/servers/nothing/stop")).status_code == 404
    assert (await alpha.control("world/servers/nothing/explode")).status_code == 404


async def test_a_new_key_brings_its_project_and_organization_along(alpha: Api) -> None:
    project, organization, secret = (f"{digit * 8}-2222-4333-8444-555555555555" for digit in "789")
    key = {"access_key": "SCWNEWPROJECTKEY0001", "secret_key": secret, "project_id": project}
    assert (await alpha.control("keys", {**key, "organization_id": organization})).status_code == 204
    made = await alpha.client.post(
        f"{INSTANCE}/security_groups",
        json={"name": "x", "project": project},
        headers={"X-Auth-Token": secret},
    )
    group = made.json()["security_group"]
    assert (group["project"], group["organization"]) == (project, organization)
