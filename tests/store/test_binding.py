"""Whose namespace it is stays so until what is bound to its organization is written (T1)."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from inventiv_operator.domain.ids import CredentialId, DeploymentId
from inventiv_operator.domain.ledger import DeploymentState
from inventiv_operator.store import claims, credentials, ledger, organizations
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import Conflict
from store.conftest import FENCE, NAMESPACE_UID, Tenant, new_tenant, write_tenant
from store.postgres_server import Place

SECOND = "-2"
"""Another namespace of a tenant; its credential serves there, as a seeded one serves everywhere."""


async def claim_second(db: Database, tenant: Tenant) -> None:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await claims.claim(
            conn,
            organization_id=tenant.organization_id,
            namespace=f"{tenant.namespace}{SECOND}",
            uid=NAMESPACE_UID,
        )


class Opening:
    """Of one thing in a namespace: `credential`, or `deployment`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    async def on(
        self,
        conn: psycopg.AsyncConnection[Any],
        tenant: Tenant,
        *,
        namespace: str = "",
        uid: str = NAMESPACE_UID,
    ) -> None:
        namespace = namespace or f"{tenant.namespace}{SECOND}"
        if self.kind == "credential":
            await credentials.open_credential(
                conn,
                id=CredentialId(uuid4()),
                organization_id=tenant.organization_id,
                namespace=namespace,
                namespace_uid=uid,
                name="second",
                uid=str(uuid4()),
                project_id=tenant.project_id,
                is_default=False,
            )
            return
        await ledger.open_deployment(
            conn,
            id=DeploymentId(uuid4()),
            organization_id=tenant.organization_id,
            credential_id=tenant.credential_id,
            namespace=namespace,
            namespace_uid=uid,
            name="second",
            uid=str(uuid4()),
            reset_token="1",
        )

    async def alone(self, db: Database, tenant: Tenant, *, namespace: str = "", uid: str = "") -> None:
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await self.on(conn, tenant, namespace=namespace, uid=uid or NAMESPACE_UID)


@pytest.fixture(params=["credential", "deployment"])
def opening(request: pytest.FixtureRequest) -> Opening:
    return Opening(request.param)


async def release(db: Database, tenant: Tenant) -> bool:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        return await release_on(conn, tenant)


async def release_on(conn: psycopg.AsyncConnection[Any], tenant: Tenant) -> bool:
    namespace = f"{tenant.namespace}{SECOND}"
    return await claims.release(conn, organization_id=tenant.organization_id, namespace=namespace)


async def close(db: Database, tenant: Tenant) -> None:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await organizations.close(conn, tenant.organization_id)


async def waits(task: "asyncio.Task[object]") -> None:
    done, _ = await asyncio.wait({task}, timeout=0.2)
    assert not done


def task_of(coroutine: Awaitable[object]) -> "asyncio.Task[object]":
    return asyncio.ensure_future(coroutine)


async def end_first(db: Database, tenant: Tenant, *, credential_too: bool) -> None:
    """Nothing is left that the tenant began with."""
    async with db.writing(tenant.organization_id, FENCE) as conn:
        for state in (DeploymentState.CLOSING, DeploymentState.CLOSED):
            await ledger.set_deployment_state(conn, tenant.deployment_id, to=state)
        if credential_too:
            await credentials.begin_closing(conn, tenant.credential_id)


async def test_T1_nothing_is_opened_in_a_namespace_that_is_not_the_organizations(
    db: Database, tenant: Tenant, other: Tenant, opening: Opening
) -> None:
    with pytest.raises(Conflict, match="namespace"):
        await opening.alone(db, tenant)  # nobody's
    with pytest.raises(Conflict):
        await opening.alone(db, tenant, namespace=other.namespace)
    with pytest.raises(Conflict):
        await opening.alone(db, tenant, namespace=tenant.namespace, uid="made anew")
    await opening.alone(db, tenant, namespace=tenant.namespace)


async def test_T1_a_credential_does_not_follow_its_object_into_a_namespace_made_anew(
    db: Database, tenant: Tenant
) -> None:
    async def follow(uid: str) -> None:
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await credentials.open_credential(
                conn,
                id=tenant.credential_id,
                organization_id=tenant.organization_id,
                namespace=tenant.namespace,
                namespace_uid=uid,
                name="scaleway",
                uid="made anew",
                project_id=tenant.project_id,
                is_default=True,
            )

    with pytest.raises(Conflict):
        await follow("another")
    await follow(NAMESPACE_UID)


async def test_T1_what_comes_while_the_namespace_is_let_go_waits_and_is_refused(
    db: Database, tenant: Tenant, opening: Opening
) -> None:
    await claim_second(db, tenant)
    async with db.writing(tenant.organization_id, FENCE) as conn:
        assert await release_on(conn, tenant)
        late = task_of(opening.alone(db, tenant))
        await waits(late)
    with pytest.raises(Conflict):
        await late


async def test_T1_what_comes_while_the_namespace_is_claimed_anew_waits_and_is_refused(
    db: Database, tenant: Tenant, opening: Opening
) -> None:
    await claim_second(db, tenant)
    async with db.writing(tenant.organization_id, FENCE) as conn:
        namespace = f"{tenant.namespace}{SECOND}"
        assert await claims.renew(
            conn, organization_id=tenant.organization_id, namespace=namespace, uid="anew"
        )
        late = task_of(opening.alone(db, tenant))
        await waits(late)
    with pytest.raises(Conflict):
        await late
    await opening.alone(db, tenant, uid="anew")


async def test_T1_a_namespace_in_which_something_is_just_opened_is_not_let_go(
    db: Database, tenant: Tenant, opening: Opening
) -> None:
    await claim_second(db, tenant)
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await opening.on(conn, tenant)
        releasing = task_of(release(db, tenant))
        await waits(releasing)
    assert not await releasing


async def test_T1_an_organization_in_which_something_is_just_opened_does_not_close(
    db: Database, tenant: Tenant, opening: Opening
) -> None:
    await claim_second(db, tenant)
    await end_first(db, tenant, credential_too=opening.kind == "credential")
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await opening.on(conn, tenant)
        closing = task_of(close(db, tenant))
        await waits(closing)
    with pytest.raises(Conflict):
        await closing
    async with db.platform() as conn:
        holder = await claims.organization_of(conn, f"{tenant.namespace}{SECOND}")
    assert holder is not None


async def test_T1_what_comes_while_the_organization_closes_waits_and_is_refused(
    db: Database, tenant: Tenant
) -> None:
    await claim_second(db, tenant)
    await end_first(db, tenant, credential_too=True)
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await organizations.close(conn, tenant.organization_id)
        late = task_of(Opening("credential").alone(db, tenant))
        await waits(late)
    with pytest.raises(Conflict):
        await late


async def test_T1_whatever_comes_at_once_nothing_is_open_in_a_namespace_that_was_let_go(
    db: Database, place: Place
) -> None:
    """And nobody waits for somebody who waits for him: every attempt is done, or refused as a `Conflict`."""

    async def attempt(doing: Awaitable[object]) -> None:
        with suppress(Conflict):
            await doing

    for _ in range(12):
        tenant = new_tenant()
        await write_tenant(db, tenant)
        await claim_second(db, tenant)
        await end_first(db, tenant, credential_too=True)
        await asyncio.gather(
            attempt(Opening("credential").alone(db, tenant)),
            attempt(release(db, tenant)),
            attempt(Opening("credential").alone(db, tenant, namespace=tenant.namespace)),
            attempt(close(db, tenant)),
            attempt(claim_second(db, tenant)),
        )
        with psycopg.connect(place.superuser) as conn:
            stray = conn.execute(
                "SELECT namespace FROM providers p WHERE organization_id = %s AND state = 'open'"
                " AND NOT EXISTS (SELECT FROM namespace_claims c WHERE c.namespace = p.namespace"
                "  AND c.organization_id = p.organization_id AND c.released_at IS NULL)",
                (tenant.organization_id,),
            ).fetchall()
        assert stray == []
