"""T5: the seeded credential goes with its organization, after everything that it was used for."""

from uuid import uuid4

import pytest

from inventiv_operator.controllers.sweeps.closing import QUARANTINE
from inventiv_operator.controllers.sweeps.terminator import seeded_key, sweep_key
from inventiv_operator.domain.ids import DeploymentId, OrganizationId
from inventiv_operator.domain.ledger import DeploymentState
from inventiv_operator.kube.kinds import ORGANIZATION
from inventiv_operator.store import ledger
from inventiv_operator.store.errors import MissingProviderCredentials
from rig.fixtures import Premises
from seeding.conftest import SeedBench, credentials_in, rows
from tenant_rig.bench import STEP_S

DAY_S = QUARANTINE.total_seconds()


def delete(at: SeedBench) -> None:
    at.bench.cluster.delete(ORGANIZATION, "", at.bench.name)


async def open_deployment(at: SeedBench) -> tuple[OrganizationId, DeploymentId]:
    row = await at.row()
    assert row is not None
    async with at.bench.services.writing(row.organization_id) as conn:
        made = await ledger.open_deployment(
            conn,
            id=DeploymentId(uuid4()),
            organization_id=row.organization_id,
            credential_id=row.id,
            namespace=at.bench.name,
            namespace_uid=at.bench.namespace_uid(),
            name="llama",
            uid="u",
            reset_token="",
        )
    return row.organization_id, made.id


async def close_deployment(at: SeedBench, organization_id: OrganizationId, id: DeploymentId) -> None:  # noqa: A002
    for state in (DeploymentState.CLOSING, DeploymentState.CLOSED):
        async with at.bench.services.writing(organization_id) as conn:
            await ledger.set_deployment_state(conn, id, to=state)


async def test_T5_an_unused_one_goes_with_its_organization(at: SeedBench, premises: Premises) -> None:
    await at.seeded()
    delete(at)
    await at.settle()
    assert at.is_gone()
    [row] = credentials_in(premises)
    assert row["state"] == "closing"


async def test_T5_its_key_is_destroyed_a_day_later(at: SeedBench, premises: Premises) -> None:
    await at.seeded()
    row = await at.row()
    assert row is not None
    delete(at)
    await at.settle()
    await at.bench.clock.sleep(DAY_S - 60.0)
    at.bench.queued.clear()
    await at.bench.terminator.look()
    assert at.bench.queued == [sweep_key(row.organization_id, row.id)]

    async def sweep() -> None:
        deadline_s = at.bench.clock.monotonic() + STEP_S
        await at.bench.closing.sweep(row.organization_id, row.id, deadline_s=deadline_s)

    await sweep()
    assert (await at.bench.stored(row.organization_id, row.id)).project_id == at.bench.project_id
    await at.bench.clock.sleep(120.0)
    await sweep()
    with pytest.raises(MissingProviderCredentials):
        await at.bench.stored(row.organization_id, row.id)
    [closed] = credentials_in(premises)
    assert closed["state"] == "closed"
    assert row.id not in at.bench.access._entries
    assert row.id not in at.bench.seeded._told


async def test_T5_a_used_one_waits_for_its_deployments_and_says_so(at: SeedBench) -> None:
    key = await at.seeded()
    organization_id, deployment_id = await open_deployment(at)
    delete(at)
    result = await at.settle()
    assert result.requeue_after_s is not None
    ready, reason, message = at.said()
    assert (ready, reason) == (False, "Deleting")
    assert "1 deployment" in message
    status, reason, message = at.bench.said_of_organization()
    assert (status, reason) == ("False", "Deleting")
    assert "the seeded credential" in message
    assert f"deployment {at.bench.name}/llama" in message
    row = await at.row()
    assert row is not None
    assert not row.ready  # nothing new is made with it
    assert (await at.bench.stored(row.organization_id, row.id)).access_key == key.access_key
    assert not [e for e in at.bench.cluster.events if e["type"] == "Warning"]
    await close_deployment(at, organization_id, deployment_id)
    await at.settle()
    assert at.is_gone()


async def test_T5_it_takes_its_control_groups_along(at: SeedBench) -> None:
    at.bench.without_default_group()
    await at.seeded()
    assert len(at.bench.groups()) == 1
    assert at.status()["resources"]["securityGroups"] == 1
    delete(at)
    await at.settle()
    assert at.is_gone()
    assert at.bench.groups() == []


async def test_T5_with_its_key_revoked_a_new_one_in_the_files_finishes_the_job(at: SeedBench) -> None:
    at.bench.without_default_group()
    key = await at.seeded()
    at.bench.world.identity.remove_key(key.access_key)
    delete(at)
    await at.pass_for(60.0)
    assert not at.is_gone()
    assert "security groups" in at.said()[2]
    at.write(at.new_key())
    await at.pass_for(120.0)
    assert at.is_gone()
    assert at.bench.groups() == []


async def test_T5_while_it_waits_nobody_is_hurried(at: SeedBench) -> None:
    """The provider's words differ each time; a pass follows another only when it is due."""
    at.bench.without_default_group()
    key = await at.seeded()
    at.bench.world.identity.remove_key(key.access_key)
    delete(at)
    await at.settle()
    row = await at.row()
    assert row is not None
    at.bench.queued.clear()
    await at.bench.settle_organization()
    assert at.bench.queued == []
    await at.bench.terminator.look()
    assert at.bench.queued == [seeded_key(row.organization_id, row.id)]


async def with_a_key_refused_for_a_day(at: SeedBench) -> str:
    """One control group is left; the answer is the id of the credential."""
    at.bench.without_default_group()
    key = await at.seeded()
    at.bench.world.identity.remove_key(key.access_key)
    delete(at)
    await at.pass_for(60.0)
    await at.bench.clock.sleep(DAY_S)
    await at.settle()
    row = await at.row()
    assert row is not None
    assert row.rejected_at is not None
    return str(row.id)


def annotate(at: SeedBench, value: str) -> None:
    at.bench.cluster.put(
        ORGANIZATION, "", at.bench.name, metadata={"annotations": {"inventiv.io/abandon": value}}
    )


async def test_T5_with_its_key_revoked_for_a_day_what_is_left_can_be_given_up(
    at: SeedBench, premises: Premises
) -> None:
    """As for a ProviderCredential: each id is in the status before the object goes, in events and audited."""
    credential_id = await with_a_key_refused_for_a_day(at)
    assert "annotate the Organization with inventiv.io/abandon" in at.said()[2]
    [group] = at.bench.groups()
    annotate(at, credential_id)
    seen = []
    for _ in range(5):
        await at.bench.clock.sleep(30.0)
        await at.settle()
        seen.append(at.status().get("abandoned"))
    assert at.is_gone()
    assert [[thing["id"] for thing in things] for things in seen if things] == [[group["id"]]]
    [event] = [e for e in at.bench.cluster.events if e["reason"] == "ResourcesAbandoned"]
    assert group["id"] in event["note"]
    lines = rows(premises, "SELECT * FROM action_logs WHERE action = 'resources-abandoned'")
    assert [line["object_ref"] for line in lines if line["detail"]["mayExist"]] == [group["id"]]


@pytest.mark.parametrize("value", ["yes", "7d0c1f6e-5f0b-4f7e-9a59-1c2f3e4d5a6b"])
async def test_T5_another_word_gives_nothing_up_and_is_answered(at: SeedBench, value: str) -> None:
    await with_a_key_refused_for_a_day(at)
    annotate(at, value)
    await at.bench.clock.sleep(60.0)
    await at.settle()
    assert not at.is_gone()
    assert "the annotation inventiv.io/abandon is not honoured" in at.said()[2]
    assert len(at.bench.groups()) == 1


async def test_T5_nothing_is_given_up_of_an_organization_that_stays(at: SeedBench) -> None:
    at.bench.without_default_group()
    key = await at.seeded()
    row = await at.row()
    assert row is not None
    annotate(at, str(row.id))
    at.bench.world.identity.remove_key(key.access_key)
    await at.pass_for(1300.0)
    await at.bench.clock.sleep(DAY_S)
    await at.pass_for(60.0)
    assert at.status()["resources"]["securityGroups"] == 1
    assert "abandoned" not in at.status()


async def test_T5_of_an_organization_that_vanished_it_goes_too(at: SeedBench, premises: Premises) -> None:
    """Its finalizer was forced."""
    await at.seeded()
    at.bench.cluster.vanish(ORGANIZATION, "", at.bench.name)
    await at.settle()
    [row] = credentials_in(premises)
    assert row["state"] == "closing"


async def test_T5_an_organization_that_comes_back_in_time_keeps_it(at: SeedBench) -> None:
    await at.seeded()
    before = await at.row()
    assert before is not None
    await open_deployment(at)
    at.bench.cluster.vanish(ORGANIZATION, "", at.bench.name)
    await at.settle()
    during = await at.row()
    assert during is not None
    assert (during.id, during.ready) == (before.id, False)
    at.put_organization()
    await at.pass_for(60.0)
    after = await at.row()
    assert after is not None
    assert (after.id, after.ready) == (before.id, True)
    assert at.said()[:2] == (True, "Ready")


async def test_an_organization_made_anew_is_seeded_anew(at: SeedBench, premises: Premises) -> None:
    await at.seeded()
    first = await at.row()
    assert first is not None
    delete(at)
    await at.settle()
    at.put_organization()
    await at.settle()
    assert at.said()[:2] == (True, "Ready")
    second = await at.row()
    assert second is not None
    assert second.organization_id != first.organization_id
    assert {row["state"] for row in credentials_in(premises)} == {"closing", "open"}
