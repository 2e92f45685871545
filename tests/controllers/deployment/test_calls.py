"""What a deployment costs in provider calls."""

from collections import Counter

import pytest

from controllers.deployment.conftest import Rig

ONE_SERVER = "/instance/v1/zones/{zone}/servers/{id}"


def _calls(rig: Rig, *, since: int) -> Counter[str]:
    return Counter(f"{call.method} {call.template}" for call in rig.world.calls.since(since))


def _last(rig: Rig) -> int:
    return max((call.n for call in rig.world.calls.since(0)), default=0)


async def test_B2_a_server_costs_four_calls_and_a_group_two(rig: Rig) -> None:
    rig.apply(replicas=20, network={"ingress": [{"port": 8000, "cidrs": ["203.0.113.0/24"]}]})
    await rig.until_ready(within_s=60)
    calls = _calls(rig, since=0)
    shared = {name: n for name, n in calls.items() if name.startswith("GET ")}
    per_server = {name: n for name, n in calls.items() if n == 20}
    assert sorted(per_server) == [
        "PATCH /block/v1/zones/{zone}/volumes/{id}",
        "PATCH /instance/v1/zones/{zone}/servers/{id}/user_data/{key}",
        "POST /instance/v1/zones/{zone}/servers",
        "POST /instance/v1/zones/{zone}/servers/{id}/action",
    ]
    assert {name: n for name, n in calls.items() if n != 20 and name not in shared} == {
        "POST /instance/v1/zones/{zone}/security_groups": 1,
        "PUT /instance/v1/zones/{zone}/security_groups/{id}/rules": 1,
    }
    assert f"GET {ONE_SERVER}" not in calls


async def test_B2_a_group_without_rules_costs_one_call(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready(within_s=60)
    calls = _calls(rig, since=0)
    assert calls["POST /instance/v1/zones/{zone}/security_groups"] == 1
    assert not [name for name in calls if name.endswith("/rules")]


async def test_B1_at_rest_one_listing_per_interval_and_no_call_per_server(rig: Rig) -> None:
    rig.apply(replicas=20)
    await rig.until_ready(within_s=60)
    await rig.rest(5)
    since = _last(rig)
    await rig.rest(600)
    calls = _calls(rig, since=since)
    assert list(calls) == ["GET /instance/v1/zones/{zone}/servers"]
    assert 9 <= calls.total() <= 11


async def test_a_deleted_server_costs_four_calls_and_waits_by_the_shared_listing(rig: Rig) -> None:
    rig.apply(replicas=20)
    await rig.until_ready(within_s=60)
    since = _last(rig)
    rig.delete()
    took_s = await rig.until_gone(within_s=60)
    calls = _calls(rig, since=since)
    assert calls["POST /instance/v1/zones/{zone}/servers/{id}/action"] == 20
    assert calls[f"GET {ONE_SERVER}"] == 20
    assert calls["DELETE /block/v1/zones/{zone}/volumes/{id}"] == 20
    assert calls["GET /block/v1/zones/{zone}/volumes/{id}"] == 20
    listings = calls["GET /instance/v1/zones/{zone}/servers"] + calls["GET /block/v1/zones/{zone}/volumes"]
    assert listings <= took_s / 2 * 2 + 4
    assert calls.total() - 80 - listings <= 6, f"group and control: {calls}"
    rig.assert_nothing_left()


@pytest.mark.world(boot_s=120.0)
async def test_booting_is_waited_for_with_fewer_and_fewer_passes(rig: Rig) -> None:
    rig.apply(replicas=3)
    took_s = await rig.until_ready(within_s=200)
    listings = _calls(rig, since=0)["GET /instance/v1/zones/{zone}/servers"]
    assert listings < took_s / 3
