"""A credential on its way out takes no deployment, and one with a deployment is not on its way out (T5)."""

import asyncio
from uuid import uuid4

import pytest

from inventiv_operator.domain.ids import DeploymentId
from inventiv_operator.domain.ledger import DeploymentState
from inventiv_operator.store import credentials, ledger
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import Conflict
from store.conftest import FENCE, NAMESPACE_UID, Tenant


async def open_another(db: Database, tenant: Tenant) -> None:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.open_deployment(
            conn,
            id=DeploymentId(uuid4()),
            organization_id=tenant.organization_id,
            credential_id=tenant.credential_id,
            namespace=tenant.namespace,
            namespace_uid=NAMESPACE_UID,
            name="another",
            uid=str(uuid4()),
            reset_token="1",
        )


async def begin_closing(db: Database, tenant: Tenant) -> None:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await credentials.begin_closing(conn, tenant.credential_id)


async def close_its_deployment(db: Database, tenant: Tenant) -> None:
    for state in (DeploymentState.CLOSING, DeploymentState.CLOSED):
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await ledger.set_deployment_state(conn, tenant.deployment_id, to=state)


async def state_of(db: Database, tenant: Tenant) -> str:
    async with db.reading(tenant.organization_id) as conn:
        row = await credentials.get(conn, tenant.credential_id)
    assert row is not None
    return row.state


async def test_T5_a_credential_in_use_does_not_begin_to_close(db: Database, tenant: Tenant) -> None:
    with pytest.raises(Conflict):
        await begin_closing(db, tenant)
    await close_its_deployment(db, tenant)
    await begin_closing(db, tenant)
    assert await state_of(db, tenant) == "closing"


async def test_T5_a_closing_credential_takes_no_deployment(db: Database, tenant: Tenant) -> None:
    await close_its_deployment(db, tenant)
    await begin_closing(db, tenant)
    with pytest.raises(Conflict):
        await open_another(db, tenant)


async def waits(task: "asyncio.Task[None]") -> None:
    done, _ = await asyncio.wait({task}, timeout=0.2)
    assert not done


async def test_T5_a_deployment_that_comes_while_the_credential_begins_to_close_waits_and_is_refused(
    db: Database, tenant: Tenant
) -> None:
    await close_its_deployment(db, tenant)
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await credentials.begin_closing(conn, tenant.credential_id)
        opening = asyncio.create_task(open_another(db, tenant))
        await waits(opening)
    with pytest.raises(Conflict):
        await opening


async def test_T5_a_credential_that_is_just_taken_does_not_begin_to_close(
    db: Database, tenant: Tenant
) -> None:
    await close_its_deployment(db, tenant)
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.open_deployment(
            conn,
            id=DeploymentId(uuid4()),
            organization_id=tenant.organization_id,
            credential_id=tenant.credential_id,
            namespace=tenant.namespace,
            namespace_uid=NAMESPACE_UID,
            name="another",
            uid=str(uuid4()),
            reset_token="1",
        )
        closing = asyncio.create_task(begin_closing(db, tenant))
        await waits(closing)
    with pytest.raises(Conflict):
        await closing
    assert await state_of(db, tenant) == "open"
