"""One call that hangs holds up its own instance and nobody else."""

from controllers.deployment.conftest import Rig


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
