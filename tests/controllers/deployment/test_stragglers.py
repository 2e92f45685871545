"""One call that hangs holds up its own instance and nobody else."""

import pytest

from controllers.deployment.conftest import Rig
from rig.process import STEP_S


async def test_a_create_that_hangs_does_not_hold_up_the_others(rig: Rig) -> None:
    rig.fault("delay", "POST", "/servers$", seconds=29)
    rig.apply(replicas=3)
    took_s = await rig.until(lambda: rig.status.get("ready") == "2/3", within_s=60)
    assert took_s < 20
    await rig.until_ready(within_s=60)
    assert len(rig.servers) == 3


async def test_a_pass_ends_while_a_call_goes_on_and_its_outcome_is_written_down(rig: Rig) -> None:
    rig.fault("delay", "POST", "/servers$", seconds=29)
    rig.apply(replicas=1)
    clock = rig.around.clock
    for _ in range(3):
        began_s = clock.monotonic()
        await rig.step()
        assert clock.monotonic() - began_s < 8
    await rig.until_ready(within_s=90)
    assert (
        sum(1 for c in rig.world.calls.since(0) if c.template.endswith("/servers") and c.method == "POST")
        == 1
    )


async def test_deletion_during_a_hanging_create_waits_for_its_end(rig: Rig) -> None:
    rig.fault("delay", "POST", "/servers$", seconds=29)
    rig.apply(replicas=2)
    await rig.until(lambda: len(rig.servers) == 2)
    rig.delete()
    await rig.until_gone(within_s=400)
    rig.assert_nothing_left()


async def test_L4_a_server_whose_create_hangs_is_not_started_once_its_deletion_was_seen(rig: Rig) -> None:
    rig.fault("delay", "POST", "/servers$", seconds=12)
    rig.apply(replicas=1)
    await rig.until(lambda: len(rig.servers) == 1)
    before = len(list(rig.world.calls.since(0)))
    rig.delete()
    await rig.until_gone(within_s=400)
    templates = [c.template for c in rig.world.calls.since(before)]
    assert not any("user_data" in template or "action" in template for template in templates)
    rig.assert_nothing_left()


async def test_L4_nor_once_it_was_scaled_down(rig: Rig) -> None:
    rig.fault("delay", "POST", "/servers$", seconds=12)
    rig.apply(replicas=1)
    await rig.until(lambda: len(rig.servers) == 1)
    rig.apply(replicas=0)
    await rig.until(lambda: rig.servers == [], within_s=400)
    templates = [c.template for c in rig.world.calls.since(0)]
    assert not any("user_data" in template or "action" in template for template in templates)


@pytest.mark.parametrize("phase", ["first", "living", "deleting"])
async def test_T6_a_step_ends_in_time_though_the_api_hangs(rig: Rig, phase: str) -> None:
    """A worker that waits for a black hole for longer is one that the others lack."""
    rig.apply(replicas=1)
    if phase != "first":
        await rig.until_ready()
    if phase == "deleting":
        rig.delete()
    for method in ("GET", "POST", "PATCH", "PUT", "DELETE"):
        rig.fault("delay", method, ".*", seconds=29, times=None)
    clock = rig.around.clock
    for _ in range(6):
        began_s = clock.monotonic()
        again_s = await rig.step()
        assert clock.monotonic() - began_s <= STEP_S + 0.5
        await clock.sleep(min(again_s or 60.0, 60.0))
    rig.world.faults.clear()
    if phase == "deleting":
        await rig.until_gone()
        rig.assert_nothing_left()
    else:
        await rig.until_ready()
