"""Servers whose object vanished unseen, when somebody makes namespace and name anew: they are lost and
reported, what had begun is brought to its end, and only the tenant's own object finds them again (L9, T1).
"""

from controllers.deployment.conftest import NAME, Rig
from inventiv_operator.domain.ledger import Fence, ResourceKind, ResourceState
from inventiv_operator.store import claims


async def state(rig: Rig) -> str:
    return str((await rig.ledger()).deployment.state)


def make_anew(rig: Rig, *, replicas: int) -> str:
    """As an apply of everything after the namespace was deleted by force; the namespace's new uid."""
    rig.kube.vanish(rig.tenant.namespace, NAME)
    uid = rig.kube.make_namespace(rig.tenant.namespace)
    rig.apply(replicas=replicas)
    return uid


async def claim_anew(rig: Rig, uid: str) -> None:
    """The platform team says that the new namespace is the organization's as well."""
    fence = Fence(shard=0, epoch=rig.process.leader.epoch)
    async with rig.around.database.writing(rig.tenant.organization_id, fence) as conn:
        await claims.renew(
            conn, organization_id=rig.tenant.organization_id, namespace=rig.tenant.namespace, uid=uid
        )


async def test_L9_servers_are_lost_though_the_name_was_made_anew_in_a_namespace_of_nobody(rig: Rig) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    before = {s["id"] for s in rig.servers}
    make_anew(rig, replicas=0)
    await rig.rest(600)
    assert await state(rig) == "lost"
    assert {s["id"] for s in rig.servers if s["state"] == "running"} == before
    assert rig.ready["reason"] == "OrganizationMissing"


async def test_L9_they_are_found_again_once_the_namespace_is_claimed_anew(rig: Rig) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    before = {s["id"] for s in rig.servers}
    uid = make_anew(rig, replicas=2)
    await rig.rest(600)
    assert await state(rig) == "lost"
    posts = rig.calls("POST", "/servers")
    await claim_anew(rig, uid)
    await rig.until_ready()
    assert await state(rig) == "open"
    assert {s["id"] for s in rig.servers} == before
    assert rig.calls("POST", "/servers") == posts
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_L9_an_object_made_anew_in_the_same_namespace_finds_them_without_their_being_lost(
    rig: Rig,
) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    before = {s["id"] for s in rig.servers}
    rig.kube.vanish(rig.tenant.namespace, NAME)
    rig.apply(replicas=2)
    for _ in range(3):
        await rig.step()
        assert await state(rig) == "open"
    await rig.until_ready()
    assert {s["id"] for s in rig.servers} == before


async def test_L9_a_stranger_that_is_being_deleted_does_not_keep_them_in_limbo(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    make_anew(rig, replicas=0)
    body = rig.kube.read(rig.tenant.namespace, NAME)
    assert body is not None
    body["metadata"] |= {"finalizers": ["example.com/mine"], "deletionTimestamp": "2026-07-01T00:00:00Z"}
    rig.kube.restore(body)
    await rig.step()
    assert await state(rig) == "lost"
    assert len(rig.servers) == 1


async def test_L2_a_create_under_way_comes_to_its_end_though_a_stranger_has_the_name(rig: Rig) -> None:
    rig.fault("drop_after_commit", "POST", "/servers$", times=None)
    rig.apply(replicas=2)
    await rig.until(lambda: len(rig.servers) == 2, within_s=100)
    rig.world.faults.clear()
    make_anew(rig, replicas=0)
    await rig.rest(600)
    servers = [row for row in (await rig.ledger()).resources if row.kind is ResourceKind.SERVER]
    assert {row.state for row in servers} == {ResourceState.PRESENT}
    assert {row.provider_ref for row in servers} == {s["id"] for s in rig.servers}
    assert [s["powered_on_count"] for s in rig.servers] == [0, 0]
