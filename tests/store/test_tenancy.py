"""Organizations, namespaces and credentials: who owns what, and until when."""

from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from inventiv_operator.domain.ids import CredentialId, OrganizationId, ProviderRef, Zone
from inventiv_operator.domain.ledger import CredentialRow, DeploymentState, ResourceState
from inventiv_operator.store import claims, credentials, ledger, organizations, settings
from inventiv_operator.store.claims import ClaimOutcome
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import Conflict
from inventiv_operator.store.keyring import Keyring
from inventiv_operator.store.settings import ProviderSecrets
from store.conftest import FENCE, NAMESPACE_UID, NOW, Tenant, lead_for_ever, new_tenant, write_tenant
from store.postgres_server import Place

KEYRING = Keyring(primary_id="k1", keys={"k1": b"k" * 32})
ACCESS_KEY = "SCW" + "A" * 17


async def claim(db: Database, tenant: Tenant, namespace: str, uid: str = NAMESPACE_UID) -> ClaimOutcome:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        return await claims.claim(conn, organization_id=tenant.organization_id, namespace=namespace, uid=uid)


async def release(db: Database, tenant: Tenant, namespace: str) -> bool:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        return await claims.release(conn, organization_id=tenant.organization_id, namespace=namespace)


async def validate(
    db: Database,
    tenant: Tenant,
    id: CredentialId | None = None,  # noqa: A002
    *,
    ready: bool = True,
) -> None:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await credentials.set_validated(
            conn,
            id or tenant.credential_id,
            ready=ready,
            reason="" if ready else "CredentialExpired",
            validated_at=NOW,
            expires_at=None,
            key_fingerprint="3f9a1c2b",
            access_key=ACCESS_KEY,
            encryption_key_id="k1",
        )


async def open_credential(
    db: Database, tenant: Tenant, *, project_id: str, name: str = "second"
) -> CredentialId:
    credential_id = CredentialId(uuid4())
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await credentials.open_credential(
            conn,
            id=credential_id,
            organization_id=tenant.organization_id,
            namespace=tenant.namespace,
            namespace_uid=NAMESPACE_UID,
            name=name,
            uid=str(uuid4()),
            project_id=project_id,
            is_default=False,
        )
    return credential_id


async def row_of(db: Database, tenant: Tenant, id: CredentialId | None = None) -> CredentialRow:  # noqa: A002
    async with db.reading(tenant.organization_id) as conn:
        row = await credentials.get(conn, id or tenant.credential_id)
    assert row is not None
    return row


# -- organizations -----------------------------------------------------------------------------------------


async def test_an_organization_is_found_by_name_and_keeps_its_id(db: Database, tenant: Tenant) -> None:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        row = await organizations.upsert(
            conn, id=tenant.organization_id, name=tenant.name, uid="made anew", is_default=False
        )
    async with db.platform() as conn:
        assert await organizations.find(conn, tenant.name) == row
        assert await organizations.find(conn, "nobody") is None
        everyone = await organizations.all_open(conn)
    assert (row.id, row.uid, row.state) == (tenant.organization_id, "made anew", "open")
    assert (tenant.organization_id, tenant.name) in [(one.id, one.name) for one in everyone]


async def test_a_name_belongs_to_one_organization(db: Database, tenant: Tenant) -> None:
    rival = OrganizationId(uuid4())
    with pytest.raises(Conflict) as caught:
        async with db.writing(rival, FENCE) as conn:
            await organizations.upsert(conn, id=rival, name=tenant.name, uid="x", is_default=False)
    assert caught.value.constraint == "organizations_name"
    assert tenant.name not in str(caught.value)


async def test_one_organization_is_the_default(own_place: Place) -> None:
    lead_for_ever(own_place)
    first, second = new_tenant(), new_tenant()

    async def make(db: Database, tenant: Tenant, *, is_default: bool) -> None:
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await organizations.upsert(
                conn, id=tenant.organization_id, name=tenant.name, uid="u", is_default=is_default
            )

    async with Database(own_place.operator) as db:
        await make(db, first, is_default=True)
        with pytest.raises(Conflict) as caught:
            await make(db, second, is_default=True)
        assert caught.value.constraint == "organizations_one_default"
        await make(db, second, is_default=False)
        await make(db, first, is_default=False)
        await make(db, second, is_default=True)


async def close_organization(db: Database, tenant: Tenant) -> None:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await organizations.close(conn, tenant.organization_id)


async def what_is_left(db: Database, tenant: Tenant) -> list[str]:
    async with db.reading(tenant.organization_id) as conn:
        return await organizations.what_is_left(conn, tenant.organization_id)


async def test_T5_an_organization_waits_for_what_is_left_and_says_it(db: Database, tenant: Tenant) -> None:
    await claim(db, tenant, tenant.namespace)
    group, server = tenant.group(), tenant.server()
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.insert_resources(conn, [group, server, tenant.server()])
    assert await what_is_left(db, tenant) == [
        f"credential {tenant.namespace}/scaleway",
        f"deployment {tenant.namespace}/llama",
        "1 security group",
        "2 servers",
    ]
    with pytest.raises(Conflict):
        await close_organization(db, tenant)
    await finish(db, tenant)
    assert await what_is_left(db, tenant) == []
    await close_organization(db, tenant)
    async with db.platform() as conn:
        assert await organizations.find(conn, tenant.name) is None
        assert await claims.organization_of(conn, tenant.namespace) is None
    with pytest.raises(Conflict):
        await close_organization(db, tenant)


async def finish(db: Database, tenant: Tenant) -> None:
    """Nothing is left but a credential in its quarantine."""
    async with db.writing(tenant.organization_id, FENCE) as conn:
        for row in await ledger.credential_resources(conn, tenant.credential_id):
            await ledger.advance(conn, [row.id], to=ResourceState.ABSENT, allowed=frozenset(ResourceState))
        await ledger.set_deployment_state(conn, tenant.deployment_id, to=DeploymentState.CLOSING)
        await ledger.set_deployment_state(conn, tenant.deployment_id, to=DeploymentState.CLOSED)
        await credentials.begin_closing(conn, tenant.credential_id)


async def test_a_name_used_again_after_the_end_is_another_organization(db: Database, tenant: Tenant) -> None:
    await finish(db, tenant)
    await close_organization(db, tenant)
    again = OrganizationId(uuid4())
    async with db.writing(again, FENCE) as conn:
        await organizations.upsert(conn, id=again, name=tenant.name, uid="x", is_default=False)
        cursor = await conn.execute("SELECT count(*) FROM providers")
        assert await cursor.fetchone() == (0,)


async def test_a_tenant_made_anew_need_not_wait_for_its_own_project(
    db: Database, tenant: Tenant, other: Tenant
) -> None:
    await validate(db, tenant)
    await finish(db, tenant)
    waiting = await open_credential(db, other, project_id=tenant.project_id)
    with pytest.raises(Conflict):
        await validate(db, other, waiting)  # whoever has gone may still come back, as the same organization
    await close_organization(db, tenant)
    await validate(db, other, waiting)
    await close(db, tenant, tenant.credential_id)  # the end of the quarantine takes nothing from anybody
    assert (await row_of(db, other, waiting)).ready
    with pytest.raises(Conflict):
        await validate(db, tenant, await open_credential(db, tenant, project_id=tenant.project_id))


async def test_many_things_left_are_counted(db: Database, tenant: Tenant) -> None:
    for number in range(5):
        await open_credential(db, tenant, project_id=str(uuid4()), name=f"n{number}")
    assert (await what_is_left(db, tenant))[0] == "6 credentials"


# -- namespaces --------------------------------------------------------------------------------------------


async def test_T1_a_namespace_belongs_to_the_first_who_claims_it(
    db: Database, tenant: Tenant, other: Tenant
) -> None:
    name = f"ns-{uuid4().hex[:8]}"
    assert await claim(db, tenant, name) is ClaimOutcome.CLAIMED
    assert await claim(db, tenant, name) is ClaimOutcome.CLAIMED
    assert await claim(db, other, name) is ClaimOutcome.HELD_BY_OTHER
    async with db.platform() as conn:
        holder = await claims.organization_of(conn, name)
    assert holder is not None
    assert (holder.organization_id, holder.namespace_uid) == (tenant.organization_id, "u1")
    assert await release(db, tenant, name)
    assert await release(db, tenant, name)  # again
    assert await claim(db, other, name) is ClaimOutcome.CLAIMED


async def test_T1_a_namespace_made_anew_is_not_inherited(db: Database, tenant: Tenant) -> None:
    name = f"ns-{uuid4().hex[:8]}"
    await claim(db, tenant, name, "u1")
    assert await claim(db, tenant, name, "u2") is ClaimOutcome.UID_CHANGED
    async with db.writing(tenant.organization_id, FENCE) as conn:
        assert await claims.renew(conn, organization_id=tenant.organization_id, namespace=name, uid="u2")
        assert not await claims.renew(
            conn, organization_id=tenant.organization_id, namespace="nobody's", uid="u2"
        )
    assert await claim(db, tenant, name, "u2") is ClaimOutcome.CLAIMED


async def test_T1_a_namespace_in_use_is_not_released(db: Database, tenant: Tenant) -> None:
    await claim(db, tenant, tenant.namespace)
    assert not await release(db, tenant, tenant.namespace)
    async with db.reading(tenant.organization_id) as conn:
        held = await claims.of_organization(conn, tenant.organization_id)
    assert [one.namespace for one in held] == [tenant.namespace]
    await finish(db, tenant)
    assert await release(db, tenant, tenant.namespace)  # a credential in its quarantine holds nobody up


# -- credentials -------------------------------------------------------------------------------------------


async def test_a_credential_is_found_in_its_namespace(db: Database, tenant: Tenant) -> None:
    second = await open_credential(db, tenant, project_id=str(uuid4()))
    async with db.reading(tenant.organization_id) as conn:
        rows = await credentials.in_namespace(conn, namespace=tenant.namespace)
        found = await credentials.find(conn, namespace=tenant.namespace, name="second")
        assert await credentials.find(conn, namespace=tenant.namespace, name="third") is None
    assert [(row.id, row.name, row.is_default) for row in rows] == [
        (tenant.credential_id, "scaleway", True),
        (second, "second", False),
    ]
    assert found is not None
    assert (found.id, found.ready, found.reason, found.state) == (second, False, "Progressing", "open")
    async with db.platform() as conn:
        assert await credentials.owner_of(conn, tenant.namespace, "second") == (tenant.organization_id,)
        sweep = await credentials.rows_to_sweep(conn)
    assert (tenant.organization_id, second, tenant.namespace, "second", "open") in sweep


async def test_a_credential_follows_its_object_but_not_to_another_project(
    db: Database, tenant: Tenant
) -> None:
    before = await row_of(db, tenant)

    async def follow(project_id: str) -> CredentialRow:
        async with db.writing(tenant.organization_id, FENCE) as conn:
            return await credentials.open_credential(
                conn,
                id=tenant.credential_id,
                organization_id=tenant.organization_id,
                namespace=tenant.namespace,
                namespace_uid=NAMESPACE_UID,
                name="scaleway",
                uid="made anew",
                project_id=project_id,
                is_default=False,
            )

    after = await follow(before.project_id)
    assert (after.uid, after.is_default) == ("made anew", False)
    with pytest.raises(Conflict):
        await follow(str(uuid4()))


async def test_T1_a_project_belongs_to_the_first_that_proves_access(
    db: Database, tenant: Tenant, other: Tenant
) -> None:
    squatting = await open_credential(db, other, project_id=tenant.project_id)  # naming it claims nothing
    await validate(db, other, squatting, ready=False)
    await validate(db, tenant)
    with pytest.raises(Conflict) as caught:
        await validate(db, other, squatting)
    assert caught.value.constraint == "project_claims_one_holder"
    assert not (await row_of(db, other, squatting)).ready


async def test_one_organization_may_use_a_project_twice(db: Database, tenant: Tenant) -> None:
    second = await open_credential(db, tenant, project_id=tenant.project_id)
    await validate(db, tenant)
    await validate(db, tenant, second)
    assert (await row_of(db, tenant, second)).ready


async def test_a_project_is_free_again_when_its_last_credential_is_closed(
    db: Database, tenant: Tenant, other: Tenant
) -> None:
    second = await open_credential(db, tenant, project_id=tenant.project_id)
    await validate(db, tenant)
    await finish(db, tenant)
    rival = await open_credential(db, other, project_id=tenant.project_id)
    await close(db, tenant, tenant.credential_id)
    with pytest.raises(Conflict):
        await validate(db, other, rival)
    await close(db, tenant, second)
    await validate(db, other, rival)


async def close(db: Database, tenant: Tenant, id: CredentialId) -> None:  # noqa: A002
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await credentials.close(conn, id)


async def test_what_a_validation_found_is_kept(db: Database, tenant: Tenant) -> None:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await credentials.set_not_ready(
            conn, tenant.credential_id, reason="CredentialRejected", rejected_at=NOW
        )
        await credentials.set_not_ready(conn, tenant.credential_id, reason="ProviderUnreachable")
    row = await row_of(db, tenant)
    assert (row.ready, row.reason, row.rejected_at) == (False, "ProviderUnreachable", NOW)
    await validate(db, tenant)
    row = await row_of(db, tenant)
    assert (row.ready, row.reason, row.rejected_at, row.validated_at) == (True, "", None, NOW)
    assert (row.key_fingerprint, row.access_key, row.encryption_key_id) == ("3f9a1c2b", ACCESS_KEY, "k1")


async def test_T8_a_frozen_credential_is_not_ready_until_it_is_unfrozen(db: Database, tenant: Tenant) -> None:
    await validate(db, tenant)
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await credentials.freeze(conn, tenant.credential_id, reason="the control is gone")
    row = await row_of(db, tenant)
    assert (row.ready, row.reason, row.frozen_reason) == (False, "Frozen", "the control is gone")
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await credentials.unfreeze(conn, tenant.credential_id)
    row = await row_of(db, tenant)
    assert (row.ready, row.frozen_reason) == (False, "")


async def test_L1_the_control_of_a_zone_is_remembered(db: Database, tenant: Tenant, other: Tenant) -> None:
    zone = Zone("fr-par-1")
    for ref in ("one", "two"):
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await credentials.remember_zone_control(
                conn, tenant.credential_id, zone=zone, ref=ProviderRef(ref)
            )
    async with db.reading(tenant.organization_id) as conn:
        assert await credentials.zone_control(conn, tenant.credential_id, zone=zone) == "two"
        assert await credentials.zone_control(conn, tenant.credential_id, zone=Zone("nl-ams-1")) is None
    with pytest.raises(Conflict):
        async with db.writing(other.organization_id, FENCE) as conn:
            await credentials.remember_zone_control(
                conn, tenant.credential_id, zone=zone, ref=ProviderRef("x")
            )
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await credentials.forget_zone_controls(conn, tenant.credential_id)
    async with db.reading(tenant.organization_id) as conn:
        assert await credentials.zone_control(conn, tenant.credential_id, zone=zone) is None


async def test_T5_a_credential_outlives_the_last_thing_made_with_it(db: Database, tenant: Tenant) -> None:
    row = tenant.server()
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.insert_resources(conn, [row])
    with pytest.raises(Conflict):
        await close(db, tenant, tenant.credential_id)
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.advance(conn, [row.id], to=ResourceState.ABSENT, allowed=frozenset(ResourceState))
    with pytest.raises(Conflict):  # the deployment is still open
        await close(db, tenant, tenant.credential_id)
    async with db.writing(tenant.organization_id, FENCE) as conn:
        for state in (DeploymentState.CLOSING, DeploymentState.CLOSED):
            await ledger.set_deployment_state(conn, tenant.deployment_id, to=state)
    await close(db, tenant, tenant.credential_id)
    assert (await row_of(db, tenant)).state == "closed"
    async with db.platform() as conn:
        sweep = await credentials.rows_to_sweep(conn)
        assert tenant.credential_id not in {one.credential_id for one in sweep}
        assert await credentials.owner_of(conn, tenant.namespace, "scaleway") == ()


async def test_a_closed_credential_leaves_no_key_and_the_last_of_a_closed_organization_no_data_key(
    place: Place, db: Database, tenant: Tenant
) -> None:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await settings.write_secrets(
            conn,
            tenant.credential_id,
            ProviderSecrets(
                project_id=tenant.project_id,
                organization_ref=None,
                access_key=ACCESS_KEY,
                secret_key=SecretStr(str(uuid4())),
            ),
            keyring=KEYRING,
        )
    await finish(db, tenant)
    await close_organization(db, tenant)
    row = await row_of(db, tenant)
    assert row.state == "closing"
    assert row.closing_at is not None

    def count(table: str) -> int:
        with psycopg.connect(place.superuser) as conn:
            found = conn.execute(
                f"SELECT count(*) FROM {table} WHERE organization_id = %s".encode(), (tenant.organization_id,)
            ).fetchone()
        assert found is not None
        return int(found[0])

    assert (count("provider_settings"), count("organization_keys")) == (3, 1)  # the quarantine needs them
    await close(db, tenant, tenant.credential_id)
    assert (count("provider_settings"), count("organization_keys")) == (0, 0)


async def test_a_credential_made_anew_beside_one_in_quarantine_is_another(
    db: Database, tenant: Tenant
) -> None:
    await finish(db, tenant)
    with pytest.raises(Conflict):
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await credentials.begin_closing(conn, tenant.credential_id)
    again = await open_credential(db, tenant, project_id=tenant.project_id, name="scaleway")
    async with db.reading(tenant.organization_id) as conn:
        found = await credentials.find(conn, namespace=tenant.namespace, name="scaleway")
    assert found is not None
    assert found.id == again


async def test_writing_a_tenant_twice_is_a_conflict(db: Database, tenant: Tenant) -> None:
    with pytest.raises(Conflict):
        await write_tenant(db, tenant)
