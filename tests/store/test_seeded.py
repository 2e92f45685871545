"""Rows without an object: one at most for each organization, made for the default one alone (S3)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg import errors as pg

from inventiv_operator.domain.ids import CredentialId, OrganizationId, ProjectId
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.store import claims, credentials, organizations, seeded
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import Conflict
from store.conftest import FENCE, NAMESPACE_UID, Tenant, new_tenant, write_tenant
from store.postgres_server import Place
from store.test_tenancy import validate


@pytest.fixture
async def platform(own: Database) -> OrganizationId:
    """The default organization, which has nothing."""
    return await organization(own, "platform", is_default=True)


async def organization(db: Database, name: str, *, is_default: bool = False) -> OrganizationId:
    new = OrganizationId(uuid4())
    async with db.writing(new, FENCE) as conn:
        await organizations.upsert(conn, id=new, name=name, uid="u", is_default=is_default)
    return new


async def tenant_in(db: Database) -> Tenant:
    made = new_tenant()
    await write_tenant(db, made)
    return made


@asynccontextmanager
async def opening(
    db: Database, organization_id: OrganizationId, *, project_id: str = ""
) -> AsyncIterator[CredentialRow | None]:
    """Committed at the end of the block."""
    async with db.writing(organization_id, FENCE) as conn:
        yield await seeded.open_seeded(
            conn,
            id=CredentialId(uuid4()),
            organization_id=organization_id,
            project_id=ProjectId(project_id or str(uuid4())),
        )


async def opened(
    db: Database, organization_id: OrganizationId, *, project_id: str = ""
) -> CredentialRow | None:
    async with opening(db, organization_id, project_id=project_id) as row:
        return row


async def open_object(conn: AsyncConnection[Any], organization_id: OrganizationId) -> None:
    await claims.claim(conn, organization_id=organization_id, namespace="acme", uid=NAMESPACE_UID)
    await credentials.open_credential(
        conn,
        id=CredentialId(uuid4()),
        organization_id=organization_id,
        namespace="acme",
        namespace_uid=NAMESPACE_UID,
        name="scaleway",
        uid="u",
        project_id=str(uuid4()),
        is_default=True,
    )


async def test_S3_the_default_organization_has_one(own: Database, platform: OrganizationId) -> None:
    row = await opened(own, platform)
    assert row is not None
    assert (row.uid, row.namespace, row.is_seeded, row.state) == ("", "", True, "open")
    assert (row.title, row.full_name) == ("the organization's seeded credential", "seeded")
    assert await opened(own, platform) is None
    async with own.reading(platform) as conn:
        assert await seeded.find(conn, platform) == row
        assert await seeded.has_open_credential(conn, platform)


async def test_S3_no_other_organization_has_one(own: Database, platform: OrganizationId) -> None:
    other = await organization(own, "other")
    assert await opened(own, other) is None
    async with own.reading(other) as conn:
        assert await seeded.find(conn, other) is None
        assert not await seeded.has_open_credential(conn, other)
        assert await seeded.find(conn, platform) is None


async def test_S3_none_is_made_beside_an_objects(own: Database, platform: OrganizationId) -> None:
    async with own.writing(platform, FENCE) as conn:
        await open_object(conn, platform)
    assert await opened(own, platform) is None


async def test_S3_an_objects_that_is_being_committed_is_waited_for(
    own: Database, platform: OrganizationId
) -> None:
    async with own.writing(platform, FENCE) as conn:
        await open_object(conn, platform)
        late = asyncio.create_task(opened(own, platform))
        await waits_for_a_lock(own)
        assert not late.done()
    assert await late is None


async def test_S3_two_at_once_make_one(own: Database, platform: OrganizationId) -> None:
    async with opening(own, platform) as first:
        late = asyncio.create_task(opened(own, platform))
        await waits_for_a_lock(own)
    assert first is not None
    assert await late is None


async def waits_for_a_lock(db: Database) -> None:
    async with asyncio.timeout(30), db.platform() as conn:
        while True:
            cursor = await conn.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            row = await cursor.fetchone()
            if row is not None and row[0]:
                return
            await asyncio.sleep(0)


async def test_the_index_holds_what_the_statement_promises(
    led: Place, own: Database, platform: OrganizationId
) -> None:
    await opened(own, platform)
    with psycopg.connect(led.superuser) as conn, pytest.raises(pg.UniqueViolation) as caught:
        conn.execute(
            "INSERT INTO providers (id, organization_id, namespace, name, uid, project_id, is_default)"
            " VALUES (gen_random_uuid(), %s, '', 'another', '', gen_random_uuid(), false)",
            (platform,),
        )
    assert caught.value.diag.constraint_name == "providers_seeded"


@pytest.mark.parametrize(("namespace", "uid"), [("acme", ""), ("", "u")])
async def test_only_a_row_without_an_object_has_no_namespace(
    led: Place, platform: OrganizationId, namespace: str, uid: str
) -> None:
    with psycopg.connect(led.superuser) as conn, pytest.raises(pg.CheckViolation) as caught:
        conn.execute(
            "INSERT INTO providers (id, organization_id, namespace, name, uid, project_id, is_default)"
            " VALUES (gen_random_uuid(), %s, %s, 'x', %s, gen_random_uuid(), false)",
            (platform, namespace, uid),
        )
    assert caught.value.diag.constraint_name == "providers_namespace_check"


async def test_two_organizations_have_one_each_of_the_same_name(
    own: Database, platform: OrganizationId
) -> None:
    """The default moved; a name without a namespace is nobody's."""
    assert await opened(own, platform) is not None
    async with own.writing(platform, FENCE) as conn:
        await organizations.upsert(conn, id=platform, name="platform", uid="u", is_default=False)
    second = await organization(own, "second", is_default=True)
    assert await opened(own, second) is not None
    async with own.reading(platform) as conn:
        assert await seeded.find(conn, platform) is not None


async def test_nobody_who_asks_for_an_object_finds_it(own: Database, platform: OrganizationId) -> None:
    row = await opened(own, platform)
    assert row is not None
    async with own.reading(platform) as conn:
        assert await credentials.find(conn, namespace="", name="seeded") is None
        assert await credentials.in_namespace(conn, namespace="") == ()
    async with own.platform() as conn:
        assert await credentials.owner_of(conn, "", "seeded") == ()
        [swept] = await credentials.rows_to_sweep(conn)
    assert (swept.credential_id, swept.namespace, swept.state) == (row.id, "", "open")


async def test_T1_the_project_of_another_organization_is_refused(
    own: Database, platform: OrganizationId
) -> None:
    tenant = await tenant_in(own)
    await validate(own, tenant)
    with pytest.raises(Conflict) as caught:
        await opened(own, platform, project_id=tenant.project_id)
    assert caught.value.constraint == seeded.HELD_BY_OTHER
    async with own.reading(platform) as conn:
        assert await seeded.find(conn, platform) is None


async def test_T1_opening_claims_nothing(own: Database, platform: OrganizationId) -> None:
    """The first that proves access has it."""
    tenant = await tenant_in(own)
    assert await opened(own, platform, project_id=tenant.project_id) is not None
    await validate(own, tenant)


async def test_a_project_of_its_own_is_no_conflict(own: Database, platform: OrganizationId) -> None:
    """That of an earlier credential in its quarantine."""
    row = await opened(own, platform)
    assert row is not None
    async with own.writing(platform, FENCE) as conn:
        await credentials.set_validated(
            conn,
            row.id,
            ready=True,
            reason="",
            validated_at=row.closed_at or (await now(conn)),
            expires_at=None,
            key_fingerprint="3f9a1c2b",
            access_key="SCW" + "X" * 17,
            encryption_key_id="k1",
        )
        await credentials.begin_closing(conn, row.id)
    again = await opened(own, platform, project_id=row.project_id)
    assert again is not None
    assert again.id != row.id


async def now(conn: AsyncConnection[Any]) -> Any:
    row = await (await conn.execute("SELECT ledger_now()")).fetchone()
    assert row is not None
    return row[0]


async def test_T5_a_deletion_names_it(own: Database, platform: OrganizationId) -> None:
    row = await opened(own, platform)
    assert row is not None
    async with own.reading(platform) as conn:
        assert await organizations.what_is_left(conn, platform) == ["the seeded credential"]
    async with own.writing(platform, FENCE) as conn:
        await credentials.begin_closing(conn, row.id)
    async with own.reading(platform) as conn:
        assert await organizations.what_is_left(conn, platform) == []


async def test_T1_an_organization_whose_seeded_credential_is_just_opened_does_not_close(
    own: Database, platform: OrganizationId
) -> None:
    async def close() -> None:
        async with own.writing(platform, FENCE) as conn:
            await organizations.close(conn, platform)

    async with opening(own, platform) as row:
        assert row is not None
        closing = asyncio.create_task(close())
        done, _ = await asyncio.wait({closing}, timeout=0.2)
        assert not done
    with pytest.raises(Conflict):
        await closing
