"""Whoever does not lead any more changes nothing at the provider, however long a call waited for its turn."""

import pytest

from controllers.deployment.conftest import Rig
from inventiv_operator.domain.ids import ProviderRef, Zone
from inventiv_operator.store.errors import Fenced
from rig.tenant import ZONE


async def test_B7_no_write_leaves_once_the_lease_is_lost(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    cloud = await rig.process.access.provider_for(rig.tenant.organization_id, rig.tenant.credential_id)
    ref = ProviderRef(rig.servers[0]["id"])
    calls = len(list(rig.world.calls.since(0)))
    rig.process.leader.has_lost = True
    with pytest.raises(Fenced):
        await cloud.client.delete_server(Zone(ZONE), ref)
    assert len(list(rig.world.calls.since(0))) == calls
    assert (await cloud.client.get_server(Zone(ZONE), ref)).ref == ref
