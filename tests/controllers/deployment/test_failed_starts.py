"""Starts that fail: what they cost, and how often they are tried (L6, B3)."""

import pytest

from controllers.deployment.conftest import Rig
from inventiv_operator.domain.ledger import InstanceState
from rig.tenant import TYPE, ZONE

READINESS = {"tcpSocket": {"port": 8000}, "periodSeconds": 10}
POWER_ON = "/action$"


def stock(at: str, *, capacity: int = 0) -> dict[str, object]:
    return {"stock": [{"zone": ZONE, "type": TYPE, "capacity": capacity, "at": at}]}


def creates(rig: Rig) -> int:
    return sum(1 for c in rig.world.calls.since(0) if c.method == "POST" and c.template.endswith("/servers"))


async def test_L6_a_failed_start_is_kept_for_a_look_and_then_deleted(rig: Rig) -> None:
    rig.apply(replicas=1, readiness=READINESS, startupTimeoutSeconds=60, failedRetentionSeconds=300)
    took_s = await rig.until_reason("StartupTimeout")
    assert 60 < took_s < 100
    (entry,) = rig.status["instances"]
    assert entry["state"] == "failed"
    assert "raise startupTimeoutSeconds" in entry["message"]
    assert float(rig.status["hourlyCost"]) > 0, "it is billed until it is gone"
    kept_s = await rig.until(lambda: rig.servers == [])
    assert 290 < kept_s < 330
    await rig.until(lambda: rig.billed()["volumes"] == [])


async def test_L6_failed_starts_back_off_and_stop_after_a_few(rig: Rig) -> None:
    rig.apply(
        replicas=2,
        readiness=READINESS,
        startupTimeoutSeconds=30,
        failedRetentionSeconds=0,
        maxStartFailures=3,
    )
    took_s = await rig.until_reason("StartupFailed")
    assert creates(rig) == 6, "two replicas, three starts"
    assert took_s > 60 + 120
    await rig.rest(3 * 3600)
    assert creates(rig) == 6, "a bad image must not buy servers for a year"
    assert rig.servers == []


async def test_L6_a_new_spec_or_reconcile_at_forgives_failed_starts(rig: Rig) -> None:
    bad = {"readiness": READINESS, "startupTimeoutSeconds": 30, "failedRetentionSeconds": 0}
    rig.apply(replicas=1, maxStartFailures=1, **bad)
    await rig.until_reason("StartupFailed")
    before = creates(rig)
    rig.apply(replicas=1, maxStartFailures=1, annotations={"inventiv.io/reconcile-at": "now"}, **bad)
    await rig.until(lambda: creates(rig) == before + 1)
    await rig.until_reason("StartupFailed")
    rig.apply(replicas=1)
    await rig.until_ready()


async def test_a_hundred_failures_within_seconds_are_one_failed_start(rig: Rig) -> None:
    rig.apply(replicas=20, readiness=READINESS, startupTimeoutSeconds=30, failedRetentionSeconds=0)
    await rig.until_reason("StartupTimeout")
    await rig.rest(10)
    assert (await rig.ledger()).deployment.start_failures == 1


@pytest.mark.world(**stock("create"))
async def test_B3_out_of_stock_at_create_is_a_condition_with_a_long_retry(rig: Rig) -> None:
    rig.apply(replicas=10)
    await rig.until_reason("OutOfStock")
    first = creates(rig)
    await rig.rest(1000)
    assert creates(rig) - first <= 9 * 10
    assert (await rig.ledger()).deployment.start_failures == 0, "stock says nothing about the template"
    rig.world.change({"stock": []})
    took_s = await rig.until_ready()
    assert took_s < 130


@pytest.mark.world(**stock("poweron", capacity=1))
async def test_B3_out_of_stock_at_power_on_removes_the_half_created_server(rig: Rig) -> None:
    rig.apply(replicas=3)
    await rig.until_reason("OutOfStock")
    await rig.rest(60)
    assert len(rig.servers) == len(rig.billed()["volumes"]) == 1
    assert rig.status["ready"] == "1/3"
    rig.world.change({"stock": []})
    await rig.until_ready()


@pytest.mark.world(**stock("silent"))
async def test_a_power_on_that_is_accepted_and_has_no_effect_is_repeated_and_then_fails(rig: Rig) -> None:
    rig.apply(replicas=1, startupTimeoutSeconds=200, failedRetentionSeconds=0, maxStartFailures=1)
    await rig.until_reason("StartupFailed")
    assert 2 <= rig.calls("POST", "/action") <= 15
    assert rig.servers == []


@pytest.mark.world(quotas={"servers": 2})
async def test_the_providers_quota_is_named(rig: Rig) -> None:
    rig.apply(replicas=3)
    await rig.until_reason("ProviderQuotaExceeded")
    await rig.until(lambda: rig.status["ready"] == "2/3")


async def test_a_refused_create_stops_the_others_of_the_same_pass(rig: Rig) -> None:
    rig.fault("status", "POST", "/servers$", status=403, times=None)
    rig.apply(replicas=100)
    await rig.until_reason("PermissionDenied")
    assert creates(rig) <= 24
    await rig.rest(600)
    assert creates(rig) <= 24 * 6
    rig.world.faults.clear()
    await rig.until_ready()
    assert len(rig.servers) == 100


async def test_arguments_that_are_refused_count_as_a_failed_start(rig: Rig) -> None:
    body = {"type": "invalid_arguments", "message": "no", "details": []}
    rig.fault("status", "POST", "/servers$", status=400, body=body, times=None)
    rig.apply(replicas=1, maxStartFailures=2)
    await rig.until_reason("StartupFailed")
    assert creates(rig) == 2
    assert all(i.state is not InstanceState.GONE for i in (await rig.ledger()).instances)


async def test_an_unknown_image_and_type_are_said_before_anything_is_made(rig: Rig) -> None:
    rig.apply(image="no_such_image")
    await rig.until_reason("ImageNotFound")
    rig.apply(placement=[{"zone": ZONE, "instanceType": "L4-1-24"}])
    await rig.until_reason("InvalidInstanceType")
    assert "L4-1-24G" in rig.ready["message"]
    assert creates(rig) == 0


async def test_a_wrong_spec_can_be_corrected_while_nothing_runs(rig: Rig) -> None:
    rig.fault("status", "POST", "/servers$", status=412, times=None)
    rig.apply(replicas=2)
    await rig.until_reason("OutOfStock")
    rig.world.faults.clear()
    rig.apply(replicas=2, placement=[{"zone": ZONE, "instanceType": "L4-2-24G"}])
    await rig.until_ready()
    assert {s["commercial_type"] for s in rig.servers} == {"L4-2-24G"}


async def test_a_power_on_refused_with_a_precondition_is_not_repeated_in_the_same_pass(rig: Rig) -> None:
    body = {"type": "precondition_failed", "precondition": "resource_not_usable", "message": "no"}
    rig.fault("status", "POST", POWER_ON, status=400, body=body, times=2)
    rig.apply(replicas=1)
    await rig.until_ready(within_s=60)
    assert rig.calls("POST", "/action") == 3
    assert rig.servers[0]["powered_on_count"] == 1


async def test_a_power_on_whose_answer_was_lost_is_found_out_by_the_listing(rig: Rig) -> None:
    rig.fault("drop_after_commit", "POST", POWER_ON)
    rig.apply(replicas=1)
    await rig.until_ready(within_s=60)
    assert rig.calls("POST", "/action") == 1


async def test_a_root_volume_that_cannot_be_tagged_yet_holds_nothing_up(rig: Rig) -> None:
    body = {"type": "precondition_failed", "precondition": "resource_not_usable", "message": "no"}
    rig.fault("status", "PATCH", "/block/v1/.*/volumes/", status=412, body=body, times=2)
    rig.apply(replicas=1)
    await rig.until_ready(within_s=60)
    await rig.rest(120)
    (volume,) = rig.billed()["volumes"]
    assert any(tag.startswith("inventiv-instance=") for tag in volume["tags"])


async def test_a_server_that_became_ready_while_the_operator_was_down_is_no_failed_start(rig: Rig) -> None:
    """A start-up time-out that passed unseen says nothing before the instance was asked."""
    rig.apply(replicas=1, readiness=READINESS, startupTimeoutSeconds=60)
    await rig.until(lambda: rig.servers != [] and rig.servers[0]["state"] == "running")
    await rig.around.clock.sleep(1000)
    await rig.step()
    (entry,) = rig.status["instances"]
    assert entry["state"] == "running"
