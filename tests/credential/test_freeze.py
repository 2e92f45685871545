"""T8: a control that is known to exist and is not found freezes the credential, until a key is proven
again.
"""

from dataclasses import replace

from inventiv_operator.kube.kinds import CREDENTIAL
from scaleway_simulator.identity import ApiKey
from tenant_rig.bench import Bench, TestKey


def lose_the_control(bench: Bench) -> None:
    """Somebody deletes the security group that the control is."""
    for group in list(bench.world.security_groups):
        bench.world.security_groups.remove(group)


async def test_T8_a_lost_control_freezes(bench: Bench) -> None:
    key = await bench.made()
    bench.world.identity.add_key(replace(_key(bench, key), project_id="99999999-9999-4999-8999-999999999999"))
    await bench.pass_for(700.0)
    status, reason, message = bench.said()
    assert (status, reason) == ("False", "Frozen")
    assert "until the key is proven again" in message
    row = await bench.row()
    assert row.frozen_reason
    assert not row.ready


async def test_T8_the_right_key_thaws_it(bench: Bench) -> None:
    key = await bench.made()
    right = _key(bench, key)
    bench.world.identity.add_key(replace(right, project_id="99999999-9999-4999-8999-999999999999"))
    await bench.pass_for(700.0)
    assert (await bench.row()).frozen_reason
    bench.world.identity.add_key(right)
    await bench.pass_for(200.0)
    assert bench.said()[:2] == ("True", "Ready")
    assert (await bench.row()).frozen_reason == ""


async def test_a_control_that_the_tenant_deleted_does_not_freeze_for_ever(bench: Bench) -> None:
    await bench.made()
    lose_the_control(bench)
    await bench.pass_for(1500.0)
    assert bench.said()[:2] == ("True", "Ready")
    assert (await bench.row()).frozen_reason == ""


def _key(bench: Bench, key: TestKey) -> ApiKey:
    found = bench.world.identity.find_key(key.access_key)
    assert found is not None
    return found


async def test_a_group_of_ours_that_the_tenant_deleted_does_not_freeze_for_ever_either(bench: Bench) -> None:
    bench.without_default_group()
    await bench.made()
    assert len(bench.groups()) == 1
    lose_the_control(bench)
    await bench.pass_for(1500.0)
    assert bench.said()[:2] == ("True", "Ready")
    assert len(bench.groups()) == 1
    bench.cluster.delete(CREDENTIAL, bench.name, "scaleway")
    await bench.pass_for(30.0)
    assert bench.cluster.read(CREDENTIAL, bench.name, "scaleway") is None
    assert bench.groups() == []
