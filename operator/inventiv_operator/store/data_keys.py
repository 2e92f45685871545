"""`organization_keys` beyond the first data key: wrapped by another key of the keyring, or replaced by a
fresh one together with every value under it.

These writes are not fenced by the leader's lease, so that they can be made while an operator runs. Each is
one statement that binds itself to its organization, and changes nothing unless everything is as it was read
(migrations/0008, docs/decisions/0015).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection

from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.store import envelope
from inventiv_operator.store.keyring import Keyring

_TO_REKEY: Final = "SELECT lookup_organizations_to_rekey(%s, %s)"
_KEYRING_USE: Final = "SELECT key_id, data_keys, credentials FROM lookup_keyring_use()"
_UNDER_KEY: Final = "SELECT lookup_organization_under_key(%s)"
_NO_NEW_DATA_KEYS: Final = "LOCK TABLE organization_keys IN SHARE MODE"
_READ: Final = """
SELECT organization_id, version, key_id, wrapped_key, rewrapped_from, value_id, provider_id, setting,
       value_ciphertext
FROM read_data_keys(%s::uuid[], %s)
"""
_REWRAP: Final = """
SELECT rewrap_data_keys(%(organization_id)s, %(key_id)s, %(versions)s::integer[], %(read_keys)s::bytea[],
                        %(new_keys)s::bytea[])
"""
_REPLACE: Final = """
SELECT replace_data_keys(%(organization_id)s, %(key_id)s, %(version)s, %(new_key)s, %(versions)s::integer[],
                         %(read_keys)s::bytea[], %(value_ids)s::uuid[], %(read_values)s::bytea[],
                         %(new_values)s::bytea[])
"""


class WrappedKey(NamedTuple):
    """`rewrapped_from`: the key of the keyring that wrapped it before `key_id`; empty: none did."""

    version: int
    key_id: str
    wrapped: bytes
    rewrapped_from: str


class SealedValue(NamedTuple):
    """`version` is that of the data key."""

    id: UUID
    provider_id: UUID
    key: str
    version: int
    sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKeys:
    """One organization's data keys, oldest first, and the values under them as far as they were asked for."""

    organization_id: OrganizationId
    keys: tuple[WrappedKey, ...]
    values: tuple[SealedValue, ...]


class KeyUse(NamedTuple):
    """What depends on one key of the keyring, over all organizations."""

    key_id: str
    data_keys: int
    credentials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrapping:
    """One organization's data keys that are under other keys, and the same under the primary."""

    organization_id: OrganizationId
    key_id: str
    read: tuple[WrappedKey, ...]
    new_keys: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """All of one organization's data keys and secret values, and what takes their place."""

    organization_id: OrganizationId
    key_id: str
    version: int
    read: tuple[WrappedKey, ...]
    read_values: tuple[SealedValue, ...]
    new_key: bytes = field(repr=False)
    new_values: tuple[bytes, ...] = field(repr=False)


async def organizations_to_rekey(
    conn: AsyncConnection[Any], primary_id: str, *, values: bool
) -> tuple[OrganizationId, ...]:
    """Who has a data key under another key; with `values`, also who has one that ever was under another.

    Closed organizations in their quarantine are among them. `conn` is the platform's.
    """
    cursor = await conn.execute(_TO_REKEY, (primary_id, values))
    return tuple(row[0] for row in await cursor.fetchall())


async def keyring_use(conn: AsyncConnection[Any]) -> tuple[KeyUse, ...]:
    """By key id. `conn` is the platform's."""
    cursor = await conn.execute(_KEYRING_USE)
    return tuple(KeyUse(*row) for row in await cursor.fetchall())


async def organization_under(conn: AsyncConnection[Any], key_id: str) -> OrganizationId | None:
    """Any that has a data key under this key. `conn` is the platform's."""
    row = await (await conn.execute(_UNDER_KEY, (key_id,))).fetchone()
    return None if row is None else row[0]


async def let_no_data_key_come(conn: AsyncConnection[Any]) -> None:
    """Until the end of the transaction; data keys are read meanwhile as ever."""
    await conn.execute(_NO_NEW_DATA_KEYS)


async def read(
    conn: AsyncConnection[Any], organization_ids: Sequence[OrganizationId], *, values: bool
) -> tuple[StoredKeys, ...]:
    """In the order given, each of one instant; one that has no data key has none here either.

    `conn` is the platform's; the statement binds itself to one organization after the other.
    """
    cursor = await conn.execute(_READ, (list(organization_ids), values))
    keys: dict[OrganizationId, dict[int, WrappedKey]] = {one: {} for one in organization_ids}
    sealed: dict[OrganizationId, list[SealedValue]] = {one: [] for one in organization_ids}
    for row in await cursor.fetchall():
        organization_id, version, value_id = row[0], row[1], row[5]
        keys[organization_id][version] = WrappedKey(*row[1:5])
        if value_id is not None:
            sealed[organization_id].append(SealedValue(value_id, row[6], row[7], version, row[8]))
    return tuple(
        StoredKeys(organization_id=one, keys=tuple(keys[one].values()), values=tuple(sealed[one]))
        for one in organization_ids
    )


def plan_rewrapping(stored: StoredKeys, *, keyring: Keyring) -> Rewrapping:
    """Raises `KeyUnavailable`, `DecryptionFailed`."""
    organization_id, primary_id = stored.organization_id, keyring.primary_id
    old = tuple(key for key in stored.keys if key.key_id != primary_id)
    return Rewrapping(
        organization_id=organization_id,
        key_id=primary_id,
        read=old,
        new_keys=tuple(_wrap(unwrap(organization_id, key, keyring), organization_id, keyring) for key in old),
    )


def plan_replacement(stored: StoredKeys, *, keyring: Keyring) -> Replacement:
    """A fresh data key and every value under it. Raises `KeyUnavailable`, `DecryptionFailed`."""
    organization_id = stored.organization_id
    data_keys = {key.version: unwrap(organization_id, key, keyring) for key in stored.keys}
    fresh, version = envelope.new_key(), max(data_keys, default=0) + 1
    return Replacement(
        organization_id=organization_id,
        key_id=keyring.primary_id,
        version=version,
        read=stored.keys,
        read_values=stored.values,
        new_key=_wrap(fresh, organization_id, keyring),
        new_values=tuple(
            _reseal(organization_id, value, by=data_keys[value.version], fresh=fresh, version=version)
            for value in stored.values
        ),
    )


def unwrap(organization_id: OrganizationId, key: WrappedKey, keyring: Keyring) -> bytes:
    """Raises `KeyUnavailable`, `DecryptionFailed`."""
    return envelope.unwrap_data_key(
        key.wrapped, by=keyring.key(key.key_id), organization_id=organization_id, key_id=key.key_id
    )


async def rewrap(conn: AsyncConnection[Any], plan: Rewrapping) -> None:
    """`conn` is the platform's: the statement is a transaction of its own.

    Raises:
        Conflict: a data key is not as it was read; nothing was changed.
    """
    await conn.execute(
        _REWRAP,
        {
            "organization_id": plan.organization_id,
            "key_id": plan.key_id,
            "versions": [key.version for key in plan.read],
            "read_keys": [key.wrapped for key in plan.read],
            "new_keys": list(plan.new_keys),
        },
    )


async def replace(conn: AsyncConnection[Any], plan: Replacement) -> None:
    """`conn` is the platform's: the statement is a transaction of its own.

    Raises:
        Conflict: a data key or a value is not as it was read, or one is new; nothing was changed.
    """
    await conn.execute(
        _REPLACE,
        {
            "organization_id": plan.organization_id,
            "key_id": plan.key_id,
            "version": plan.version,
            "new_key": plan.new_key,
            "versions": [key.version for key in plan.read],
            "read_keys": [key.wrapped for key in plan.read],
            "value_ids": [value.id for value in plan.read_values],
            "read_values": [value.sealed for value in plan.read_values],
            "new_values": list(plan.new_values),
        },
    )


def _wrap(data_key: bytes, organization_id: OrganizationId, keyring: Keyring) -> bytes:
    return envelope.wrap_data_key(
        data_key, by=keyring.primary, organization_id=organization_id, key_id=keyring.primary_id
    )


def _reseal(
    organization_id: OrganizationId, value: SealedValue, *, by: bytes, fresh: bytes, version: int
) -> bytes:
    text = envelope.open_value(
        value.sealed,
        by=by,
        organization_id=organization_id,
        provider_id=value.provider_id,
        key=value.key,
        version=value.version,
    )
    return envelope.seal_value(
        text,
        by=fresh,
        organization_id=organization_id,
        provider_id=value.provider_id,
        key=value.key,
        version=version,
    )
