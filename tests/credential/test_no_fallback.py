"""S7 and T3: a tenant's own stored key, or nothing. Another tenant's access lies about everywhere else."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from credential.process import deployments_of
from inventiv_operator.controllers.access import CredentialFrozen, KeyRefused
from inventiv_operator.domain.ids import CredentialId, OrganizationId
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.kube.kinds import CREDENTIAL, DEPLOYMENT, NAMESPACE
from inventiv_operator.store import credentials, settings
from inventiv_operator.store.errors import DecryptionFailed, KeyUnavailable, MissingProviderCredentials
from provider_parts import another_tenant
from rig.fixtures import Premises
from scaleway_simulator.identity import key_from
from tenant_rig.bench import Bench, TestKey


@pytest.fixture
def _another_tenant_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    another_tenant.put_everywhere(monkeypatch, tmp_path)


pytestmark = pytest.mark.usefixtures("_another_tenant_everywhere")


def let_the_other_in(bench: Bench) -> None:
    """Its key is good: whoever took it would get through."""
    described = {
        "access_key": another_tenant.ACCESS_KEY,
        "secret_key": another_tenant.SECRET,
        "project_id": another_tenant.PROJECT,
    }
    now = bench.world.now
    bench.world.identity.project(another_tenant.PROJECT, now=now)
    bench.world.identity.add_key(key_from(described, now=now, seconds=bench.world.seconds))


async def without(bench: Bench, *keys: str) -> CredentialRow:
    """Some of what belongs to a stored key is not there."""
    row = await bench.row()
    for key in keys:
        async with bench.services.writing(row.organization_id) as conn:
            await settings.delete_setting(conn, key, credential_id=row.id)
    return row


async def no_such_credential(bench: Bench) -> tuple[OrganizationId, CredentialId]:
    return (await bench.row()).organization_id, CredentialId(uuid4())


async def of_somebody_else(bench: Bench) -> tuple[OrganizationId, CredentialId]:
    first = await bench.row()
    bench.name, bench.project_id = f"{bench.name}-2", str(uuid4())
    await bench.made()
    return (await bench.row()).organization_id, first.id


async def nothing_stored(bench: Bench) -> tuple[OrganizationId, CredentialId]:
    row = await bench.row()
    async with bench.services.writing(row.organization_id) as conn:
        await settings.delete_settings(conn, row.id)
    return row.organization_id, row.id


async def no_secret_key(bench: Bench) -> tuple[OrganizationId, CredentialId]:
    row = await without(bench, settings.SECRET_KEY)
    return row.organization_id, row.id


async def no_access_key(bench: Bench) -> tuple[OrganizationId, CredentialId]:
    row = await without(bench, settings.ACCESS_KEY)
    return row.organization_id, row.id


async def no_project(bench: Bench) -> tuple[OrganizationId, CredentialId]:
    row = await without(bench, settings.PROJECT_ID)
    return row.organization_id, row.id


async def frozen(bench: Bench) -> tuple[OrganizationId, CredentialId]:
    row = await bench.row()
    async with bench.services.writing(row.organization_id) as conn:
        await credentials.freeze(conn, row.id, reason="for a test")
    return row.organization_id, row.id


async def refused(bench: Bench) -> tuple[OrganizationId, CredentialId]:
    row = await bench.row()
    async with bench.services.writing(row.organization_id) as conn:
        await credentials.set_not_ready(
            conn, row.id, reason="CredentialRejected", rejected_at=bench.clock.now()
        )
    return row.organization_id, row.id


Case = Callable[[Bench], Awaitable[tuple[OrganizationId, CredentialId]]]


@pytest.mark.parametrize(
    ("case", "error"),
    [
        pytest.param(no_such_credential, MissingProviderCredentials, id="no-such-credential"),
        pytest.param(of_somebody_else, MissingProviderCredentials, id="of-another-organization"),
        pytest.param(nothing_stored, MissingProviderCredentials, id="nothing-stored"),
        pytest.param(no_secret_key, MissingProviderCredentials, id="no-secret-key"),
        pytest.param(no_access_key, MissingProviderCredentials, id="no-access-key"),
        pytest.param(no_project, MissingProviderCredentials, id="no-project"),
        pytest.param(frozen, CredentialFrozen, id="frozen"),
        pytest.param(refused, KeyRefused, id="refused"),
    ],
)
async def test_S7_with_anything_missing_there_is_no_client_and_no_request_leaves(
    bench: Bench, case: Case, error: type[Exception]
) -> None:
    let_the_other_in(bench)
    await bench.made()
    organization_id, credential_id = await case(bench)
    before = bench.calls()
    with pytest.raises(error) as raised:
        await bench.access.provider_for(organization_id, credential_id)
    assert bench.calls() == before
    assert another_tenant.ACCESS_KEY not in str(raised.value)


async def test_S7_a_deployment_without_a_credential_says_so_and_no_request_leaves(bench: Bench) -> None:
    let_the_other_in(bench)
    made = deployments_of(bench)
    bench.cluster.put(NAMESPACE, "", bench.name)
    made.apply("llama", replicas=1)
    await made.step("llama")
    assert bench.cluster.condition(DEPLOYMENT, bench.name, "llama")["reason"] == "OrganizationMissing"
    await bench.claimed()
    await made.step("llama")
    assert bench.cluster.condition(DEPLOYMENT, bench.name, "llama")["reason"] == "MissingProviderCredentials"
    bench.put_credential()
    await bench.settle_credential()
    assert bench.said()[1] == "SecretMissing"
    await made.step("llama")
    assert bench.calls() == 0


async def test_T3_a_whole_life_carries_the_tenants_own_key_alone(bench: Bench) -> None:
    let_the_other_in(bench)
    key, made = await bench.made(), deployments_of(bench)
    made.apply("llama", replicas=2)
    await made.until_ready("llama")
    await bench.pass_for(700.0)
    made.delete("llama")
    bench.cluster.delete(CREDENTIAL, bench.name, "scaleway")
    for _ in range(20):
        await bench.clock.sleep(await made.step("llama") if made.is_there("llama") else 5.0)
        await bench.settle_credential()
    assert not made.is_there("llama")
    assert bench.cluster.read(CREDENTIAL, bench.name, "scaleway") is None
    calls = list(bench.world.calls.since(0))
    assert {call.access_key for call in calls} == {key.access_key}
    assert another_tenant.PROJECT not in {call.project for call in calls}
    assert all("nl-ams" not in call.path for call in calls)
    assert all(another_tenant.PROJECT not in call.query for call in calls)


# -- a key that cannot be read -----------------------------------------------------------------------------


def altered(premises: Premises, statement: str, *values: object) -> None:
    """By somebody who may do anything in the database."""
    with psycopg.connect(premises.place.superuser, autocommit=True) as conn:
        assert conn.execute(statement.encode(), values).rowcount == 1


async def flipped(bench: Bench, premises: Premises) -> None:
    """One bit of what is stored of the key."""
    row = await bench.row()
    altered(
        premises,
        "UPDATE provider_settings SET value_ciphertext = set_bit(value_ciphertext, 200,"
        " 1 - get_bit(value_ciphertext, 200)) WHERE provider_id = %s AND key = 'SCALEWAY_SECRET_KEY'",
        row.id,
    )


async def moved(bench: Bench, premises: Premises) -> None:
    """Another organization's ciphertext in this one's row."""
    row, name, project = await bench.row(), bench.name, bench.project_id
    bench.name, bench.project_id = f"{name}-source", str(uuid4())
    await bench.made()
    source = await bench.row()
    bench.name, bench.project_id = name, project
    altered(
        premises,
        "UPDATE provider_settings SET value_ciphertext = (SELECT value_ciphertext FROM provider_settings"
        " WHERE provider_id = %s AND key = 'SCALEWAY_SECRET_KEY')"
        " WHERE provider_id = %s AND key = 'SCALEWAY_SECRET_KEY'",
        source.id,
        row.id,
    )


async def keyring_lacks_it(bench: Bench, premises: Premises) -> None:
    """The organization's data key is wrapped with a key of the keyring that is not there any more."""
    row = await bench.row()
    altered(
        premises,
        "UPDATE organization_keys SET key_id = 'k-gone' WHERE organization_id = %s",
        row.organization_id,
    )


Spoil = Callable[[Bench, Premises], Awaitable[None]]


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        pytest.param(
            flipped,
            DecryptionFailed,
            "restore the row from a backup, or have a new key put in its place",
            id="flipped-bit",
        ),
        pytest.param(
            moved,
            DecryptionFailed,
            "restore the row from a backup, or have a new key put in its place",
            id="of-another-organization",
        ),
        pytest.param(
            keyring_lacks_it,
            KeyUnavailable,
            "the keyring lacks key k-gone; add it back",
            id="keyring-lacks-the-key",
        ),
    ],
)
async def test_T7_a_key_that_cannot_be_read_is_said_on_all_it_serves_and_others_go_on(
    bench: Bench, shared_premises: Premises, spoil: Spoil, error: type[Exception], says: str
) -> None:
    key, made = await bench.made(), deployments_of(bench)
    made.apply("llama", replicas=1)
    await made.until_ready("llama")
    row = await bench.row()
    await spoil(bench, shared_premises)
    before = bench.calls()
    with pytest.raises(error):
        await bench.access.provider_for(row.organization_id, row.id)
    await bench.settle_credential()
    status, reason, message = bench.said()
    assert (status, reason) == ("False", "KeyUnavailable")
    assert says in message
    await made.step("llama")
    condition = bench.cluster.condition(DEPLOYMENT, bench.name, "llama")
    assert (condition["status"], condition["reason"]) == ("False", "CredentialNotReady")
    assert says in condition["message"]
    assert "the stored key of ProviderCredential scaleway" in condition["message"]
    made.delete("llama")
    await made.step("llama")
    assert made.is_there("llama"), "nothing is concluded"
    assert "still there: server" in bench.cluster.condition(DEPLOYMENT, bench.name, "llama")["message"]
    assert bench.calls() == before
    everything = json.dumps(
        [bench.cluster.read(CREDENTIAL, bench.name, "scaleway"), bench.cluster.events], default=str
    )
    assert key.secret_key not in everything
    bench.name, bench.project_id = f"{bench.name}-other", str(uuid4())
    await bench.made()  # another organization, at the same time
    made.apply("llama", replicas=1)
    await made.until_ready("llama")


@pytest.mark.parametrize("spoil", [flipped, moved])
async def test_a_new_key_takes_the_place_of_one_that_was_altered(
    bench: Bench, shared_premises: Premises, spoil: Spoil
) -> None:
    await bench.made()
    await spoil(bench, shared_premises)
    bench.put_secret(TestKey())  # nobody knows this one
    await bench.settle_credential()
    assert bench.said()[:2] == ("False", "KeyUnavailable")
    new = TestKey()
    bench.admit(new)
    bench.put_secret(new)
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")
    assert await bench.stored_access_key() == new.access_key
