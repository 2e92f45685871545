"""Others write while data keys are wrapped anew or replaced: nothing is lost, nothing comes back."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from inventiv_operator.domain.ids import CredentialId
from inventiv_operator.rekeying import Rekeying
from inventiv_operator.store import credentials, data_keys, settings
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import (
    Conflict,
    MissingProviderCredentials,
)
from store.conftest import FENCE, NAMESPACE_UID
from store.postgres_server import Place
from store.rekeying_rig import (
    ALONE,
    NEW,
    OLD,
    Stored,
    fresh_secrets,
    keys_of,
    read,
    run,
    somebody_waits,
    stored_keys,
    tenants,
    until,
    write,
)


async def planned(db: Database, stored: Stored, *, values: bool) -> Callable[[], Coroutine[Any, Any, None]]:
    """Read now; the answer writes."""
    found = await stored_keys(db, stored)

    async def carry_out() -> None:
        async with db.platform() as conn:
            if values:
                await data_keys.replace(conn, data_keys.plan_replacement(found, keyring=NEW))
            else:
                await data_keys.rewrap(conn, data_keys.plan_rewrapping(found, keyring=NEW))

    return carry_out


def everything(place: Place) -> list[Any]:
    with psycopg.connect(place.superuser) as conn:
        return [
            conn.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3".encode()).fetchall()
            for table in ("organization_keys", "provider_settings", "action_logs", "providers")
        ]


@pytest.mark.parametrize("values", [False, True])
async def test_data_keys_that_moved_since_they_were_read_are_left_alone(
    led: Place, own: Database, *, values: bool
) -> None:
    for first in (False, True):
        [stored] = await tenants(own, 1)
        carry_out = await planned(own, stored, values=values)
        await (await planned(own, stored, values=first))()
        before = everything(led)
        with pytest.raises(Conflict):
            await carry_out()
        assert everything(led) == before


async def test_a_value_that_changed_or_came_since_it_was_read_is_not_lost(led: Place, own: Database) -> None:
    [stored] = await tenants(own, 1)
    carry_out = await planned(own, stored, values=True)
    newer = await write(own, stored.tenant)
    before = everything(led)
    with pytest.raises(Conflict):
        await carry_out()
    assert everything(led) == before
    await read(own, newer, keyring=OLD)
    carry_out = await planned(own, stored, values=True)
    async with own.writing(stored.tenant.organization_id, FENCE) as conn:
        second = CredentialId(uuid4())
        await credentials.open_credential(
            conn,
            id=second,
            organization_id=stored.tenant.organization_id,
            namespace=stored.tenant.namespace,
            namespace_uid=NAMESPACE_UID,
            name="second",
            uid="u",
            project_id=stored.tenant.project_id,
            is_default=False,
        )
        await settings.write_secrets(conn, second, newer.secrets, keyring=OLD)
    with pytest.raises(Conflict):
        await carry_out()
    assert await Rekeying(own, NEW, values=True).run() == 1
    async with own.reading(stored.tenant.organization_id) as conn:
        assert await settings.read_secrets(conn, second, keyring=ALONE) == newer.secrets


async def test_a_writer_that_has_read_the_data_key_is_waited_for(led: Place, own: Database) -> None:
    [stored] = await tenants(own, 1)
    secrets = fresh_secrets(stored.tenant)
    async with own.writing(stored.tenant.organization_id, FENCE) as conn:
        await settings._data_key(conn, stored.tenant.credential_id, OLD)
        replacing = asyncio.create_task((await planned(own, stored, values=True))())
        await until(lambda: somebody_waits(led))
        await settings.write_secrets(conn, stored.tenant.credential_id, secrets, keyring=OLD)
    with pytest.raises(Conflict):  # the value is not as it was read
        await replacing
    await read(own, Stored(tenant=stored.tenant, secrets=secrets), keyring=OLD)


async def test_a_writer_that_comes_while_a_data_key_is_replaced_uses_the_new_one(
    led: Place, own: Database
) -> None:
    [stored] = await tenants(own, 1)
    async with own.platform() as conn, conn.transaction():
        found = await stored_keys(own, stored)
        await data_keys.replace(conn, data_keys.plan_replacement(found, keyring=NEW))
        writing = asyncio.create_task(write(own, stored.tenant))
        await until(lambda: somebody_waits(led))
        await read(own, stored, keyring=OLD)  # who only reads does not wait
    await read(own, await writing, keyring=ALONE)
    assert [key.version for key in await keys_of(own, stored)] == [2]


@pytest.mark.parametrize("values", [False, True])
async def test_T5_a_data_key_that_is_destroyed_meanwhile_does_not_come_back(
    led: Place, own: Database, *, values: bool
) -> None:
    """The end of a quarantine, before and in the middle of it."""
    for committed_first in (True, False):
        [stored] = await tenants(own, 1)
        tenant = stored.tenant
        run(
            led,
            "UPDATE deployments SET state = 'closed', closed_at = now() WHERE id = %s",
            tenant.deployment_id,
        )
        run(
            led,
            "UPDATE organizations SET state = 'closed', closed_at = now() WHERE id = %s",
            tenant.organization_id,
        )
        carry_out = await planned(own, stored, values=values)
        async with own.writing(tenant.organization_id, FENCE) as conn:
            await credentials.close(conn, tenant.credential_id)
            rewriting = None if committed_first else asyncio.create_task(carry_out())
            if rewriting is not None:
                await until(lambda: somebody_waits(led))
        with pytest.raises(Conflict):
            await (carry_out() if rewriting is None else rewriting)
        assert await keys_of(own, stored) == ()
        with pytest.raises(MissingProviderCredentials):
            await read(own, stored, keyring=OLD)


@pytest.mark.parametrize("values", [False, True])
async def test_re_keying_and_the_end_of_a_credential_do_not_lock_each_other_out(
    led: Place, own: Database, *, values: bool
) -> None:
    """Both take the credential's row first, and then what is under it."""
    [stored] = await tenants(own, 1)
    tenant = stored.tenant
    run(led, "UPDATE deployments SET state = 'closed', closed_at = now() WHERE id = %s", tenant.deployment_id)
    carry_out = await planned(own, stored, values=values)
    async with own.writing(tenant.organization_id, FENCE) as conn:
        await credentials.set_not_ready(conn, tenant.credential_id, reason="Deleting")
        rewriting = asyncio.create_task(carry_out())
        await until(lambda: somebody_waits(led))
        await credentials.close(conn, tenant.credential_id)
    if values:  # the value is not there any more
        with pytest.raises(Conflict):
            await rewriting
    else:  # of an open organization the data key stays
        await rewriting


async def test_T2_the_database_keeps_organizations_apart_whoever_is_named(led: Place, own: Database) -> None:
    """The rows of one, in the name of another: the function binds the transaction to the one it is given."""
    mine, theirs = await tenants(own, 2)
    before = everything(led)
    plan = data_keys.plan_rewrapping(await stored_keys(own, theirs), keyring=NEW)
    with pytest.raises(Conflict):
        async with own.platform() as conn:
            await data_keys.rewrap(
                conn,
                data_keys.Rewrapping(
                    organization_id=mine.tenant.organization_id,
                    key_id="k2",
                    read=plan.read,
                    new_keys=plan.new_keys,
                ),
            )
    assert everything(led) == before


async def test_the_look_ups_are_bound_to_no_tenant_and_show_no_key_material(
    led: Place, own: Database
) -> None:
    await tenants(own, 2)
    async with own.platform() as conn:
        assert await (await conn.execute("SELECT * FROM organization_keys")).fetchall() == []
        cursor = await conn.execute("SELECT * FROM lookup_keyring_use()")
        assert [one.name for one in cursor.description or ()] == ["key_id", "data_keys", "credentials"]
