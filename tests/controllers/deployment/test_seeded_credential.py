"""S3: a deployment whose namespace has no credential of its own lives on its organization's seeded one."""

from uuid import uuid4

import pytest
from pydantic import SecretStr

from controllers.deployment.conftest import NAME, Rig
from inventiv_operator.domain.ids import CredentialId, ProjectId
from inventiv_operator.store import credentials, organizations, seeded, settings
from inventiv_operator.store.keyring import KeyringFile
from inventiv_operator.store.settings import ProviderSecrets
from rig.fixtures import Premises, PremisesFactory


@pytest.fixture
def shared_premises(new_premises: PremisesFactory) -> Premises:
    """Not shared: the default organization is one for the whole installation."""
    return new_premises()


async def seed(rig: Rig, *, ready: bool) -> CredentialId:
    """In place of the object's credential, which is on its way out."""
    tenant, process = rig.tenant, rig.process
    async with process.services.writing(tenant.organization_id) as conn:
        await credentials.begin_closing(conn, tenant.credential_id)
        before = await organizations.get(conn, tenant.organization_id)
        assert before is not None
        await organizations.upsert(conn, id=before.id, name=before.name, uid=before.uid, is_default=True)
        row = await seeded.open_seeded(
            conn,
            id=CredentialId(uuid4()),
            organization_id=tenant.organization_id,
            project_id=ProjectId(tenant.project_id),
        )
        assert row is not None
        secrets = ProviderSecrets(
            project_id=tenant.project_id,
            organization_ref=None,
            access_key=tenant.access_key,
            secret_key=SecretStr(tenant.secret_key),
        )
        keyring = KeyringFile(rig.premises.keyring).current()
        key_id = await settings.write_secrets(conn, row.id, secrets, keyring=keyring)
        if ready:
            await credentials.set_validated(
                conn,
                row.id,
                ready=True,
                reason="",
                validated_at=rig.around.clock.now(),
                expires_at=None,
                key_fingerprint="3f9a1c2b",
                access_key=tenant.access_key,
                encryption_key_id=key_id,
            )
    return row.id


async def test_S3_it_goes_to_ready_and_to_nothing(rig: Rig) -> None:
    credential_id = await seed(rig, ready=True)
    rig.apply()
    await rig.until_ready()
    assert rig.status["credentialName"] == "seeded"
    said = rig.kube.condition(rig.tenant.namespace, NAME, "CredentialReady")
    assert said["message"].startswith("the organization's seeded credential is ready")
    snapshot = await rig.ledger()
    assert snapshot.deployment.credential_id == credential_id
    assert {resource.credential_id for resource in snapshot.resources} == {credential_id}
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_S3_one_that_is_not_ready_is_waited_for_and_named(rig: Rig) -> None:
    await seed(rig, ready=False)
    rig.apply()
    await rig.until_reason("CredentialNotReady")
    assert "the organization's seeded credential is not ready" in rig.ready["message"]
    assert "status.seededCredential of the Organization" in rig.ready["message"]
    assert rig.servers == []
    assert rig.calls("POST", "servers") == 0


async def test_S3_a_named_one_is_missed_though_there_is_a_seeded_one(rig: Rig) -> None:
    await seed(rig, ready=True)
    rig.apply(credentialRef={"name": "scaleway"})
    await rig.until_reason("MissingProviderCredentials")
    assert rig.servers == []
