"""Tenants with stored keys, and looks at how they are stored, for the tests of re-keying."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection
from pydantic import SecretStr

from inventiv_operator.store import credentials, data_keys, settings
from inventiv_operator.store.data_keys import KeyUse, StoredKeys, WrappedKey
from inventiv_operator.store.database import Database
from inventiv_operator.store.keyring import Keyring
from inventiv_operator.store.settings import ProviderSecrets
from store.conftest import FENCE, NOW, Tenant, new_tenant, write_tenant
from store.postgres_server import Place

ONE, TWO = b"a" * 32, b"b" * 32
OLD = Keyring(primary_id="k1", keys={"k1": ONE, "k2": TWO})  # a replica that does not know of the promotion
NEW = Keyring(primary_id="k2", keys={"k1": ONE, "k2": TWO})
ALONE = Keyring(primary_id="k2", keys={"k2": TWO})


@dataclass(frozen=True, kw_only=True)
class Stored:
    tenant: Tenant
    secrets: ProviderSecrets


def fresh_secrets(tenant: Tenant) -> ProviderSecrets:
    return ProviderSecrets(
        project_id=tenant.project_id,
        organization_ref=str(uuid4()),
        access_key="SCW" + "A" * 17,
        secret_key=SecretStr(str(uuid4())),
    )


async def write(db: Database, tenant: Tenant, *, keyring: Keyring = OLD) -> Stored:
    """As a validation does: the key, and by what it is protected."""
    stored = Stored(tenant=tenant, secrets=fresh_secrets(tenant))
    async with db.writing(tenant.organization_id, FENCE) as conn:
        key_id = await settings.write_secrets(conn, tenant.credential_id, stored.secrets, keyring=keyring)
        await credentials.set_validated(
            conn,
            tenant.credential_id,
            ready=True,
            reason="",
            validated_at=NOW,
            expires_at=None,
            key_fingerprint="0123abcd",
            access_key=stored.secrets.access_key,
            encryption_key_id=key_id,
        )
    return stored


async def tenants(db: Database, number: int, *, keyring: Keyring = OLD) -> list[Stored]:
    made = [new_tenant() for _ in range(number)]
    for tenant in made:
        await write_tenant(db, tenant)
    return [await write(db, tenant, keyring=keyring) for tenant in made]


async def read(db: Database, stored: Stored, *, keyring: Keyring) -> None:
    async with db.reading(stored.tenant.organization_id) as conn:
        found = await settings.read_secrets(conn, stored.tenant.credential_id, keyring=keyring)
    assert found == stored.secrets


async def stored_keys(db: Database, stored: Stored) -> StoredKeys:
    async with db.platform() as conn:
        (found,) = await data_keys.read(conn, [stored.tenant.organization_id], values=True)
    return found


async def keys_of(db: Database, stored: Stored) -> tuple[WrappedKey, ...]:
    return (await stored_keys(db, stored)).keys


async def named_key(db: Database, stored: Stored) -> str:
    async with db.reading(stored.tenant.organization_id) as conn:
        row = await credentials.get(conn, stored.tenant.credential_id)
    assert row is not None
    return row.encryption_key_id


async def use(db: Database) -> dict[str, KeyUse]:
    async with db.platform() as conn:
        return {one.key_id: one for one in await data_keys.keyring_use(conn)}


def column(place: Place, query: str, *values: object) -> list[Any]:
    with psycopg.connect(place.superuser, autocommit=True) as conn:
        return [row[0] for row in conn.execute(query.encode(), values).fetchall()]


def run(place: Place, statement: str, *values: object) -> None:
    with psycopg.connect(place.superuser, autocommit=True) as conn:
        conn.execute(statement.encode(), values)


def flip_a_bit(place: Place, table: str, name: str, tenant: Tenant) -> None:
    run(
        place,
        f"UPDATE {table} SET {name} = set_bit({name}, 200, 1 - get_bit({name}, 200))"
        f" WHERE organization_id = %s AND {name} IS NOT NULL",
        tenant.organization_id,
    )


async def until(true: Callable[[], Awaitable[bool]], *, within_s: float = 15.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not await true():
        assert time.monotonic() < deadline_s, "it did not come about"
        await asyncio.sleep(0.01)


async def somebody_waits(place: Place) -> bool:
    async with await AsyncConnection.connect(place.superuser, autocommit=True) as conn:
        row = await (await conn.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")).fetchone()
        return row is not None and row[0] > 0
