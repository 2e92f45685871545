"""A pass that outlives the lease it began under does nothing more, also when its process leads again (B7)."""

import pytest

from controllers.deployment.conftest import NAME, Rig
from inventiv_operator.domain.ids import ProviderRef, Zone
from inventiv_operator.domain.ledger import InstanceState, ResourceKind, ResourceState
from inventiv_operator.store.errors import Fenced
from rig.process import STEP_S, Process
from rig.tenant import ZONE


def lead_again(rig: Rig) -> None:
    """The lease is lost, another process leads, and ends; then this one leads again."""
    rig.premises.take_over()
    rig.process.leader.epoch = rig.premises.take_over()


def sent(rig: Rig, method: str, template_end: str) -> int:
    """How many calls of an endpoint have arrived."""
    return sum(
        1 for c in rig.world.calls.since(0) if c.method == method and c.template.endswith(template_end)
    )


class LosesTheLease:
    """Once, when a call has waited for its turn and is about to leave."""

    def __init__(self, rig: Rig, method: str, template_end: str) -> None:
        self._rig = rig
        self._awaited: tuple[str, str] | None = (method, template_end)

    @property
    def has_lost(self) -> bool:
        return self._awaited is None

    async def before(self, method: str, template: str) -> None:
        if self._awaited is not None and method == self._awaited[0] and template.endswith(self._awaited[1]):
            self._awaited = None
            lead_again(self._rig)

    async def after(self, method: str, template: str) -> None:
        pass


async def test_B7_a_plan_of_before_is_not_carried_out_under_a_later_epoch(rig: Rig) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    before = {s["id"] for s in rig.servers}
    clock = rig.around.clock
    await clock.sleep(600.0)  # no listing is young enough
    rig.fault("delay", "GET", r"/servers\?", seconds=29, times=None)
    rig.apply(replicas=1)
    began_s = clock.monotonic()
    await rig.step()
    assert clock.monotonic() - began_s >= STEP_S, "the pass goes on alone"
    rig.world.faults.clear()
    rig.apply(replicas=2)  # which the leader in between has seen
    lead_again(rig)
    assert await rig.step() == 0.0, "the step is of the later epoch: it goes on at once, and is not stood by"
    await rig.until_ready()
    assert {s["id"] for s in rig.servers} == before
    assert {i.state for i in (await rig.ledger()).instances} == {InstanceState.ACTIVE}


async def test_B7_a_create_that_outlived_its_lease_is_not_cut_and_its_server_is_adopted(rig: Rig) -> None:
    rig.fault("delay", "POST", "/servers$", seconds=29)
    rig.apply(replicas=1)
    while sent(rig, "POST", "/servers") == 0:
        await rig.step()
    lead_again(rig)
    await rig.around.clock.sleep(60.0)
    (row,) = [row for row in (await rig.ledger()).resources if row.kind is ResourceKind.SERVER]
    assert row.state is ResourceState.INTENDED, "what came of it is for the later epoch to find out"
    await rig.until_ready()
    assert len(rig.servers) == 1
    assert sent(rig, "POST", "/servers") == 1


@pytest.mark.parametrize(("method", "template"), [("POST", "/servers"), ("POST", "/action")])
async def test_B7_a_call_that_waits_for_its_turn_does_not_leave_under_a_later_epoch(
    rig: Rig, method: str, template: str
) -> None:
    observer = LosesTheLease(rig, method, template)
    epoch = rig.process.leader.epoch
    async with Process(rig.around, epoch=epoch, wire=rig.wire, observer=observer) as process:
        rig.process = process
        rig.apply(replicas=1)
        left = 0
        while not observer.has_lost:
            left = sent(rig, method, template)
            try:
                await rig.step()
            except Fenced:
                break
        assert observer.has_lost
        assert sent(rig, method, template) == left
        await rig.until_ready(within_s=900)
        assert len(rig.servers) == 1
        rig.delete()
        await rig.until_gone()
        rig.assert_nothing_left()


async def test_B7_a_client_of_one_epoch_still_reads(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    ref = ProviderRef(rig.servers[0]["id"])
    cloud = await rig.process.access.provider_for(rig.tenant.organization_id, rig.tenant.credential_id)
    client = cloud.client.under(rig.process.services.of_this_epoch().leadership.fence)
    lead_again(rig)
    with pytest.raises(Fenced):
        await client.delete_server(Zone(ZONE), ref)
    assert rig.calls("DELETE", "/servers") == 0
    assert (await client.get_server(Zone(ZONE), ref)).ref == ref
    assert rig.kube.is_ready(rig.tenant.namespace, NAME)
