"""T1: the namespace of a deployment becomes somebody else's while it is begun, or afterwards."""

from typing import Any

import pytest

from controllers.deployment.conftest import NAME, Rig
from inventiv_operator.controllers.tenancy import Tenancy
from inventiv_operator.kube.kinds import CLEANUP_FINALIZER
from inventiv_operator.store import claims
from inventiv_operator.store.errors import Conflict


async def test_T1_a_deployment_is_not_begun_in_a_namespace_that_was_claimed_anew_meanwhile(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential_for = Tenancy.credential_for
    rig.apply(replicas=1)
    await rig.step()
    body = rig.body
    assert body is not None
    assert body["metadata"]["finalizers"] == [CLEANUP_FINALIZER]

    async def meanwhile(self: Tenancy, *where: Any, **more: Any) -> Any:
        async with rig.process.services.writing(rig.tenant.organization_id) as conn:
            assert await claims.renew(
                conn,
                organization_id=rig.tenant.organization_id,
                namespace=rig.tenant.namespace,
                uid="of another namespace",
            )
        return await credential_for(self, *where, **more)

    monkeypatch.setattr(Tenancy, "credential_for", meanwhile)
    with pytest.raises(Conflict):
        await rig.step()
    monkeypatch.undo()
    await rig.step()
    assert rig.ready["reason"] == "OrganizationMissing"
    tenancy = Tenancy(rig.process.services, rig.kube)
    assert await tenancy.deployment_rows(rig.tenant.namespace, NAME) == ()
    assert [call for call in rig.world.calls.since(0) if call.method != "GET"] == []


async def test_T1_of_a_deployment_in_a_namespace_that_is_anothers_nothing_new_is_made(rig: Rig) -> None:
    """A ledger may say so that an earlier release has written. What exists goes in good order."""
    rig.apply(replicas=1)
    await rig.until_ready()
    (server,) = rig.servers
    async with rig.process.services.writing(rig.tenant.organization_id) as conn:
        await conn.execute(
            "UPDATE namespace_claims SET released_at = ledger_now() WHERE namespace = %s",
            (rig.tenant.namespace,),
        )
    rig.apply(replicas=3)
    await rig.rest(900)
    assert [each["id"] for each in rig.servers] == [server["id"]]
    assert (rig.ready["status"], rig.ready["reason"]) == ("False", "OrganizationMissing")
    assert "nothing new is made" in rig.ready["message"]
    rig.apply(replicas=0)
    await rig.until(lambda: rig.servers == [])
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()
