"""What a create made, or seems to have made, while the ledger holds its id for another tenant."""

from typing import Any
from uuid import uuid4

import pytest

from controllers.deployment.conftest import Rig
from inventiv_operator.domain.ids import ProviderRef, ResourceId, Zone
from inventiv_operator.domain.ledger import Fence, NewResource, Origin, ResourceKind, ResourceState
from inventiv_operator.store import ledger
from inventiv_operator.store.keyring import KeyringFile
from rig.log_lines import log_lines
from rig.tenant import ZONE, RigTenant, new_tenant, write_tenant


async def another_tenant(rig: Rig) -> RigTenant:
    tenant = new_tenant()
    await write_tenant(
        rig.around.database,
        tenant,
        fence=Fence(shard=0, epoch=rig.process.leader.epoch),
        namespace_uid=str(uuid4()),
        keyring=KeyringFile(rig.around.keyring).current(),
        now=rig.around.clock.now(),
    )
    return tenant


async def hold(rig: Rig, tenant: RigTenant, kind: ResourceKind, ref: str) -> ResourceId:
    """A row of that tenant's for it."""
    row = NewResource(
        id=ResourceId(uuid4()),
        organization_id=tenant.organization_id,
        credential_id=tenant.credential_id,
        deployment_id=None,
        instance_id=None,
        kind=kind,
        role="control",
        zone=Zone(ZONE),
        volume_api=None,
        size_gb=None,
        state=ResourceState.PRESENT,
        provider_ref=ProviderRef(ref),
        origin=Origin.CREATED,
    )
    async with rig.process.services.writing(tenant.organization_id) as conn:
        await ledger.insert_resources(conn, [row])
    return row.id


async def let_go(rig: Rig, tenant: RigTenant, row_id: ResourceId) -> None:
    for to in (ResourceState.DELETING, ResourceState.ABSENT):
        async with rig.process.services.writing(tenant.organization_id) as conn:
            await ledger.advance(conn, [row_id], to=to, allowed=set(ResourceState))


async def made_without_an_answer(rig: Rig, kind: ResourceKind) -> str:
    """Its id; the operator does not know it yet."""
    path, listed = {
        ResourceKind.SERVER: ("/servers$", "servers"),
        ResourceKind.SECURITY_GROUP: ("/security_groups$", "security_groups"),
    }[kind]
    rig.fault("drop_after_commit", "POST", path)
    rig.apply(replicas=1)
    await rig.until(lambda: bool(rig.billed()[listed]))
    made: list[dict[str, Any]] = rig.billed()[listed]
    return str(made[0]["id"])


@pytest.mark.parametrize("kind", [ResourceKind.SERVER, ResourceKind.SECURITY_GROUP])
async def test_an_id_that_another_row_holds_is_said_and_left_alone(rig: Rig, kind: ResourceKind) -> None:
    other = await another_tenant(rig)
    ref = await made_without_an_answer(rig, kind)
    row_id = await hold(rig, other, kind, ref)
    with log_lines() as lines:
        await rig.until_reason("CreateFailed", within_s=120)
        await rig.rest(600)
    assert (rig.ready["status"], rig.ready["reason"]) == ("False", "CreateFailed")
    message = rig.ready["message"]
    assert f"{ref} in {ZONE}" in message
    assert "delete it at Scaleway" in message
    said = [line for line in lines if line["level"] == "error"]
    assert [(line["provider_ref"], line["zone"]) for line in said] == [(ref, ZONE)]
    for text in (message, str(said)):
        assert not [word for word in _of(other) if word in text]
    assert rig.process.errors == []
    assert [s["powered_on_count"] for s in rig.servers] in ([], [0])
    await let_go(rig, other, row_id)
    await rig.until_ready(within_s=200)
    assert len(rig.servers) == 1


async def test_a_duplicate_that_another_row_holds_stops_nothing_and_is_reported(rig: Rig) -> None:
    other = await another_tenant(rig)
    rig.fault("late_appearance", "POST", "/servers$", seconds=170)
    rig.apply(replicas=1)
    await rig.until(lambda: len(rig.servers) == 2, within_s=400)
    known = {row.provider_ref for row in (await rig.ledger()).resources}
    (late,) = {server["id"] for server in rig.servers} - known
    await hold(rig, other, ResourceKind.SERVER, late)
    await rig.until_ready(within_s=200)
    await rig.rest(300)
    assert rig.process.errors == []
    assert late in {server["id"] for server in rig.servers}
    said = [event["note"] for event in rig.kube.events if event["reason"] == "SuspectServer"]
    assert said
    assert all(late in note for note in said)


def _of(tenant: RigTenant) -> list[str]:
    return [tenant.namespace, str(tenant.organization_id), str(tenant.credential_id), tenant.project_id]
