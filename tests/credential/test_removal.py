"""T5: a credential outlives everything that it was used for, and a quarantine after it."""

from uuid import uuid4

import pytest

from inventiv_operator.controllers.sweeps.closing import QUARANTINE
from inventiv_operator.controllers.sweeps.terminator import sweep_key
from inventiv_operator.domain.ids import CredentialId, DeploymentId
from inventiv_operator.domain.ledger import DeploymentState
from inventiv_operator.kube.kinds import CREDENTIAL, SECRET
from inventiv_operator.runtime.queue import Key
from inventiv_operator.store import ledger, settings
from inventiv_operator.store.errors import MissingProviderCredentials
from rig.log_lines import log_lines
from tenant_rig.bench import Bench, TestKey

DAY_S = QUARANTINE.total_seconds()


async def open_deployment(bench: Bench) -> DeploymentId:
    row = await bench.row()
    async with bench.services.writing(row.organization_id) as conn:
        made = await ledger.open_deployment(
            conn,
            id=DeploymentId(uuid4()),
            organization_id=row.organization_id,
            credential_id=row.id,
            namespace=bench.name,
            namespace_uid=bench.namespace_uid(),
            name="llama",
            uid="u",
            reset_token="",
        )
    return made.id


async def close_deployment(bench: Bench, deployment_id: DeploymentId) -> None:
    row = await bench.row()
    for state in (DeploymentState.CLOSING, DeploymentState.CLOSED):
        async with bench.services.writing(row.organization_id) as conn:
            await ledger.set_deployment_state(conn, deployment_id, to=state)


def kept_of(bench: Bench) -> set[CredentialId]:
    """Whose keys, and notes about them, this process remembers."""
    return set(bench.access._entries) | set(bench.custody._noted) | set(bench.custody._tried)


def delete(bench: Bench) -> None:
    bench.cluster.delete(CREDENTIAL, bench.name, "scaleway")


def is_gone(bench: Bench) -> bool:
    return bench.cluster.read(CREDENTIAL, bench.name, "scaleway") is None


async def test_an_unused_credential_goes_at_once_and_its_key_a_day_later(bench: Bench) -> None:
    await bench.made()
    row = await bench.row()
    delete(bench)
    with log_lines() as lines:
        await bench.settle_credential()
    assert lines
    assert {line["organization"] for line in lines} == {str(row.organization_id)}
    assert is_gone(bench)
    assert bench.groups() == []
    assert (await bench.row()).state == "closing"
    await bench.clock.sleep(DAY_S - 60.0)
    await bench.sweep()
    assert (await bench.stored(row.organization_id, row.id)).project_id == bench.project_id
    await bench.clock.sleep(120.0)
    await bench.sweep()
    with pytest.raises(MissingProviderCredentials):
        await bench.stored(row.organization_id, row.id)


async def test_T7_of_a_closed_credential_nothing_stays_in_memory(bench: Bench) -> None:
    await bench.made()
    row = await bench.row()
    await bench.access.provider_for(row.organization_id, row.id)
    bench.cluster.vanish(CREDENTIAL, bench.name, "scaleway")  # nobody sees its deletion
    await bench.settle_credential()
    await bench.clock.sleep(DAY_S + 60.0)
    assert kept_of(bench) == {row.id}
    await bench.sweep()
    assert kept_of(bench) == set()


async def test_T7_a_key_that_is_not_stored_any_more_leaves_the_memory(bench: Bench) -> None:
    """Another process closed the credential."""
    await bench.made()
    row = await bench.row()
    await bench.access.provider_for(row.organization_id, row.id)
    async with bench.services.writing(row.organization_id) as conn:
        await settings.delete_settings(conn, row.id)
    with pytest.raises(MissingProviderCredentials):
        await bench.access.provider_for(row.organization_id, row.id)
    bench.custody.forget(row.id)
    assert kept_of(bench) == set()


async def test_T5_a_used_one_waits_says_for_what_and_serves_nothing_new(bench: Bench) -> None:
    key = await bench.made()
    deployment_id = await open_deployment(bench)
    bench.cluster.vanish(SECRET, bench.name, "scaleway")
    delete(bench)
    result = await bench.settle_credential()
    assert bench.said()[:2] == ("False", "Deleting")
    assert "1 deployment" in bench.said()[2]
    assert result.requeue_after_s is not None
    row = await bench.row()
    assert (row.state, row.ready) == ("open", False)
    assert await bench.stored_access_key() == key.access_key
    await close_deployment(bench, deployment_id)
    await bench.settle_credential()
    assert is_gone(bench)


async def test_a_credential_that_was_never_used_leaves_no_row(bench: Bench) -> None:
    await bench.claimed()
    bench.put_credential()
    await bench.settle_credential()
    delete(bench)
    await bench.settle_credential()
    assert is_gone(bench)


async def test_a_revoked_key_with_a_group_left_waits_for_a_new_one(bench: Bench) -> None:
    bench.without_default_group()
    key = await bench.made()
    assert len(bench.groups()) == 1
    bench.world.identity.remove_key(key.access_key)
    delete(bench)
    await bench.settle_credential()
    assert "security groups" in bench.said()[2]
    assert not is_gone(bench)
    new = TestKey()
    bench.admit(new)
    bench.put_secret(new)
    await bench.pass_for(60.0)
    assert is_gone(bench)
    assert bench.groups() == []


async def test_a_group_that_is_gone_already_is_proven_absent_by_another_control(bench: Bench) -> None:
    bench.without_default_group()
    await bench.made()
    bench.fault("drop_after_commit", "security_groups/", method="DELETE")
    delete(bench)
    await bench.settle_credential()
    assert not is_gone(bench)  # the answer was lost: whether it is gone is not known
    await bench.pass_for(120.0)
    assert is_gone(bench)
    assert bench.groups() == []


async def test_a_name_made_anew_is_another_credential(bench: Bench) -> None:
    await bench.made()
    first = await bench.row()
    delete(bench)
    await bench.settle_credential()
    bench.put_credential()
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")
    assert bench.status()["credentialID"] != str(first.id)


async def test_an_object_made_anew_after_its_finalizer_was_forced_takes_the_row_over(bench: Bench) -> None:
    await bench.made()
    first = await bench.row()
    await open_deployment(bench)
    bench.cluster.vanish(CREDENTIAL, bench.name, "scaleway")
    await bench.settle_credential()
    assert not (await bench.row()).ready  # nothing new without an object
    bench.put_credential()
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")
    assert bench.status()["credentialID"] == str(first.id)


async def test_the_terminator_finds_what_has_no_object_and_what_is_closing(bench: Bench) -> None:
    await bench.made()
    row = await bench.row()
    key = Key("ProviderCredential", bench.name, "scaleway")
    bench.queued.clear()
    await bench.terminator.look()
    assert key not in bench.queued  # nothing was listed yet, so nothing is taken for gone
    bench.living = {key}
    await bench.terminator.look()
    assert key not in bench.queued
    bench.living = set()
    await bench.terminator.look()
    assert key in bench.queued
    assert Key("Organization", "", bench.name) in bench.queued
    delete(bench)
    await bench.settle_credential()
    bench.queued.clear()
    await bench.terminator.look()
    assert sweep_key(row.organization_id, row.id) in bench.queued
    assert key not in bench.queued


async def test_L9_the_terminator_looks_after_what_had_begun_for_a_lost_deployment(bench: Bench) -> None:
    await bench.made()
    deployment_id, row = await open_deployment(bench), await bench.row()
    key = Key("Deployment", bench.name, "llama")
    bench.living = {key}
    await bench.terminator.look()
    assert key not in bench.queued
    async with bench.services.writing(row.organization_id) as conn:
        await ledger.set_deployment_state(conn, deployment_id, to=DeploymentState.LOST)
    await bench.terminator.look()
    assert key in bench.queued


async def test_T5_after_a_forced_finalizer_the_terminator_ends_it(bench: Bench) -> None:
    await bench.made()
    bench.cluster.vanish(CREDENTIAL, bench.name, "scaleway")
    await bench.settle_credential()
    assert (await bench.row()).state == "closing"
    assert bench.groups() == []


async def test_L1_a_404_without_a_control_ends_nothing(bench: Bench) -> None:
    bench.without_default_group()
    await bench.made()
    for group in list(bench.world.security_groups):
        bench.world.security_groups.remove(group)
    bench.fault("status", "security_groups$", method="POST", status=503, times=None)
    delete(bench)
    await bench.pass_for(30.0)
    assert not is_gone(bench)
    assert "whether that is true is not known" in bench.said()[2]
    assert (await bench.row()).state == "open"
