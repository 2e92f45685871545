"""From apply to Ready and back to nothing, with the real database and the simulator."""

from controllers.deployment.conftest import Rig


async def test_an_applied_deployment_becomes_ready_and_leaves_nothing_behind(rig: Rig) -> None:
    rig.apply(replicas=2)
    await rig.until_ready(within_s=60)
    servers = rig.servers
    assert len(servers) == 2
    assert all(server["cloud_init_before_first_power_on"] is True for server in servers)
    assert rig.status["ready"] == "2/2"
    rig.delete()
    await rig.until_gone(within_s=120)
    rig.assert_nothing_left()
