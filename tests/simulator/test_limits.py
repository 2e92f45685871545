"""Stock, quotas, the bill, pages, and worlds of another kind."""

import asyncio

import httpx
import pytest

from scaleway_simulator.app import create_app
from scaleway_simulator.in_process import InProcessTransport
from scaleway_simulator.settings import Settings
from scaleway_simulator.world import World
from simulator.api import ALPHA, BLOCK, INSTANCE, Api
from simulator.conftest import LoopClock, two_tenants

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

ONE_L4 = {"zone": "fr-par-2", "type": "L4-1-24G", "capacity": 1}


async def _availability(api: Api) -> str:
    answer = await api.get(f"{INSTANCE}/products/servers/availability", params={"page": "2"})
    return str(answer.json()["servers"]["L4-1-24G"]["availability"])


async def test_out_of_stock_at_create(alpha: Api, beta: Api, world: World) -> None:
    world.change({"stock": [ONE_L4]})
    assert await _availability(alpha) == "scarce"
    first = await alpha.create()
    body = {"name": "x", "commercial_type": "L4-1-24G", "image": "ubuntu_jammy_gpu_os_12"}
    refused = await beta.call("POST", f"{INSTANCE}/servers", body)
    assert refused.status_code == 412
    assert refused.json() == {
        "message": "resource is out of stock",
        "resource": "L4-1-24G",
        "type": "out_of_stock",
    }
    assert await _availability(alpha) == "shortage"
    await alpha.call("DELETE", f"{INSTANCE}/servers/{first['id']}")
    assert (await beta.call("POST", f"{INSTANCE}/servers", body)).status_code == 201


async def test_out_of_stock_only_at_power_on(alpha: Api, world: World) -> None:
    world.change({"stock": [ONE_L4 | {"at": "poweron"}]})
    one, two = await alpha.create(), await alpha.create()
    assert (await alpha.act(one["id"], "poweron")).status_code == 202
    assert (await alpha.act(two["id"], "poweron")).status_code == 412
    assert (await alpha.server(two["id"]))["state"] == "stopped"


async def test_a_power_on_that_is_accepted_and_comes_to_nothing(alpha: Api, world: World) -> None:
    world.change({"stock": [ONE_L4 | {"at": "silent", "capacity": 0}]})
    server = await alpha.create()
    assert (await alpha.act(server["id"], "poweron")).status_code == 202
    await asyncio.sleep(60)
    assert (await alpha.server(server["id"]))["state"] == "stopped"


async def test_a_quota_is_each_projects_own(alpha: Api, beta: Api, world: World) -> None:
    world.change({"quotas": {"servers:L4-1-24G": 1, "ips": 0}})
    await alpha.create()
    body = {"name": "x", "commercial_type": "L4-1-24G", "image": "ubuntu_jammy_gpu_os_12"}
    refused = await alpha.call("POST", f"{INSTANCE}/servers", body)
    assert (refused.status_code, refused.json()["type"]) == (403, "quotas_exceeded")
    assert refused.json()["details"] == [{"resource": "cp_servers_type_L4_1_24G", "quota": 1, "current": 1}]
    await beta.create()
    assert (await beta.call("POST", f"{INSTANCE}/ips", {})).status_code == 403


async def test_a_refused_create_leaves_nothing(alpha: Api, world: World) -> None:
    world.change({"quotas": {"volumes": 0}})
    body = {"name": "x", "commercial_type": "DEV1-S", "image": "ubuntu_jammy"}
    assert (await alpha.call("POST", f"{INSTANCE}/servers", body)).status_code == 403
    billed = await alpha.billed()
    assert (billed["servers"], billed["volumes"]) == ([], [])


async def test_a_create_refused_half_way_leaves_nothing(alpha: Api) -> None:
    other = await alpha.create("other")
    before = (await alpha.billed())["volumes"]
    taken = {"1": {"id": other["volumes"]["0"]["id"], "volume_type": "sbs_volume"}}
    body = {"name": "x", "commercial_type": "DEV1-S", "image": "ubuntu_jammy", "volumes": taken}
    assert (await alpha.call("POST", f"{INSTANCE}/servers", body)).status_code == 400
    assert (await alpha.billed())["volumes"] == before


async def test_the_bill_says_whether_cloud_init_came_before_the_first_power_on(alpha: Api) -> None:
    with_it, without, later, never = [
        await alpha.create(name) for name in ("with", "without", "later", "never")
    ]
    headers = {"X-Auth-Token": ALPHA.secret_key, "Content-Type": "text/plain"}

    async def set_cloud_init(server_id: str) -> None:
        path = f"{INSTANCE}/servers/{server_id}/user_data/cloud-init"
        assert (await alpha.client.patch(path, content=b"#cloud-config", headers=headers)).status_code == 204

    await set_cloud_init(with_it["id"])
    for server in (with_it, without, later):
        await alpha.act(server["id"], "poweron")
    await set_cloud_init(later["id"])
    await asyncio.sleep(8)
    await alpha.act(with_it["id"], "poweroff")
    await asyncio.sleep(60)
    await alpha.act(with_it["id"], "poweron")
    rows = {s["name"]: s for s in (await alpha.billed())["servers"]}
    assert {name: row["cloud_init_before_first_power_on"] for name, row in rows.items()} == {
        "with": True,
        "without": False,
        "later": False,
        "never": None,
    }
    assert {name: row["powered_on_count"] for name, row in rows.items()} == {
        "with": 2,
        "without": 1,
        "later": 1,
        "never": 0,
    }
    assert rows["never"]["id"] == never["id"]


async def test_the_bill_counts_what_runs_and_what_is_kept(alpha: Api) -> None:
    assert (await alpha.billed())["hourly_cost"] == 0
    server = await alpha.create()
    disk_only = (await alpha.billed())["hourly_cost"]
    await alpha.act(server["id"], "poweron")
    assert (await alpha.billed())["hourly_cost"] == pytest.approx(disk_only + 0.7875)
    await alpha.call("POST", f"{INSTANCE}/ips", {})
    await alpha.call("POST", f"{INSTANCE}/security_groups", {"name": "own"})
    billed = await alpha.billed()
    assert (len(billed["ips"]), [g["name"] for g in billed["security_groups"]]) == (1, ["own"])


async def test_tags_are_a_conjunction_of_servers_and_a_disjunction_of_block_volumes(alpha: Api) -> None:
    await alpha.create("one", tags=["a", "b"])
    await alpha.create("two", tags=["a"])
    assert [s["name"] for s in await alpha.servers(tags="a,b")] == ["one"]
    assert [s["name"] for s in await alpha.servers(name="o")] == ["two", "one"]
    for name, tag in (("x", "a"), ("y", "b")):
        body = {"name": name, "from_empty": {"size": 10**10}, "tags": [tag]}
        await alpha.call("POST", f"{BLOCK}/volumes", body)
    listed = (await alpha.get(f"{BLOCK}/volumes", params={"tags": "a,b"})).json()
    assert (listed["total_count"], [v["name"] for v in listed["volumes"]]) == (2, ["x", "y"])


async def test_pages_of_servers(alpha: Api) -> None:
    for number in range(5):
        await alpha.create(f"worker-{number}")
    first = await alpha.get(f"{INSTANCE}/servers", params={"per_page": "2", "page": "1"})
    assert first.headers["x-total-count"] == "5"
    assert first.headers["link"] == (
        '</servers?page=2&per_page=2&>; rel="next",</servers?page=3&per_page=2&>; rel="last"'
    )
    assert [s["name"] for s in await alpha.servers(per_page="2", page="3")] == ["worker-0"]
    assert await alpha.servers(per_page="2", page="4") == []


async def test_a_provider_of_few_types_that_checks_no_keys() -> None:
    world = World(clock=LoopClock(), settings=Settings(open=True, minimal=True))
    async with httpx.AsyncClient(
        transport=InProcessTransport(create_app(world)), base_url="http://simulator"
    ) as client:
        anyone = Api(client, ALPHA)
        types = (await anyone.get(f"{INSTANCE}/products/servers")).json()["servers"]
        assert len(types) <= 5
        for path in (
            "/iam/v1alpha1/api-keys/SCWX",
            "/account/v3/projects",
            f"{INSTANCE}/products/servers/availability",
        ):
            assert (await anyone.get(path)).status_code == 404
        server = await anyone.create()
        assert server["project"] == ALPHA.project_id


async def test_a_reset_forgets_everything_and_keeps_how_the_simulator_was_started() -> None:
    world = World(clock=LoopClock(), settings=Settings(boot_s=9))
    world.reset(two_tenants(guest_s=4, speed=10))
    async with httpx.AsyncClient(
        transport=InProcessTransport(create_app(world)), base_url="http://simulator"
    ) as client:
        alpha = Api(client, ALPHA)
        server = await alpha.create()
        await alpha.act(server["id"], "poweron")
        await asyncio.sleep(0.95)  # ten times as fast
        assert (await alpha.server(server["id"]))["state"] == "running"
        assert (await alpha.control("reset", two_tenants())).status_code == 204
        assert await alpha.servers() == []
        state = (await client.get("/_simulator/state")).json()
        assert (state["settings"]["boot_s"], state["settings"]["speed"]) == (9, 1)
        malformed = await alpha.control("reset", {"keys": [{"access_key": "x"}]})
        assert malformed.status_code == 400


async def test_latency_is_outside_the_worlds_time(alpha: Api, world: World) -> None:
    world.change({"latency_ms": 500})
    before = asyncio.get_running_loop().time()
    await alpha.servers()
    assert asyncio.get_running_loop().time() - before == pytest.approx(0.5)
