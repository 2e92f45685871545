"""`provider_settings`: what an organization, or one of its credentials, has set; secrets only as ciphertext.

Bounds and types are held by the table's CHECKs (product.md, Settings). Every query names the organization
that the connection is bound to, and row-level security stands behind it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg import errors as pg
from pydantic import SecretStr

from inventiv_operator.domain.ids import CredentialId, OrganizationId
from inventiv_operator.domain.settings import (
    KEYS,
    Layer,
    SettingChange,
    SettingValue,
    StoredSettings,
    changes,
)
from inventiv_operator.store import envelope
from inventiv_operator.store.errors import MissingProviderCredentials, StoreError
from inventiv_operator.store.keyring import Keyring

PROJECT_ID: Final = "SCALEWAY_PROJECT_ID"
ORGANIZATION_REF: Final = "SCALEWAY_ORGANIZATION_ID"
ACCESS_KEY: Final = "SCALEWAY_ACCESS_KEY"
SECRET_KEY: Final = "SCALEWAY_SECRET_KEY"  # noqa: S105 (a name)
_IDENTITY: Final = (PROJECT_ID, ORGANIZATION_REF, ACCESS_KEY, SECRET_KEY)

_KEY_ID: Final = """
SELECT key_id FROM organization_keys WHERE organization_id = %s ORDER BY version DESC LIMIT 1
"""
_BOUND: Final = "nullif(current_setting('inventiv.organization_id', true), '')::uuid"
_READ_SECRETS: Final = f"""
SELECT s.key, s.value_text, s.value_ciphertext, s.key_version, k.key_id, k.wrapped_key, s.organization_id
FROM provider_settings s
LEFT JOIN organization_keys k ON k.organization_id = s.organization_id AND k.version = s.key_version
WHERE s.organization_id = {_BOUND} AND s.provider_id = %(provider_id)s AND s.key = ANY(%(keys)s)
"""  # noqa: S608 (constants)
_HOLD_DATA_KEY: Final = f"SELECT FROM organizations WHERE id = {_BOUND} FOR SHARE"
_DATA_KEY: Final = """
SELECT p.organization_id, k.version, k.key_id, k.wrapped_key
FROM providers p LEFT JOIN organization_keys k ON k.organization_id = p.organization_id
WHERE p.id = %(provider_id)s
ORDER BY k.version DESC NULLS LAST LIMIT 1
"""
_NEW_DATA_KEY: Final = """
INSERT INTO organization_keys (organization_id, version, key_id, wrapped_key) VALUES (%s, 1, %s, %s)
ON CONFLICT (organization_id, version) DO NOTHING
"""
_WRITE: Final = """
INSERT INTO provider_settings
    (organization_id, provider_id, key, value_text, value_int, value_bool, value_ciphertext, key_version)
VALUES (%(organization_id)s, %(provider_id)s, %(key)s, %(text)s, %(int)s, %(bool)s, %(ciphertext)s,
        %(key_version)s)
ON CONFLICT ON CONSTRAINT provider_settings_once DO UPDATE
    SET value_text = excluded.value_text, value_int = excluded.value_int, value_bool = excluded.value_bool,
        value_ciphertext = excluded.value_ciphertext, key_version = excluded.key_version,
        changed_at = ledger_now()
"""
_READ: Final = f"""
SELECT key, coalesce(to_jsonb(value_text), to_jsonb(value_int), to_jsonb(value_bool))
FROM provider_settings
WHERE organization_id = {_BOUND} AND provider_id IS NOT DISTINCT FROM %(provider_id)s
  AND value_ciphertext IS NULL
"""  # noqa: S608 (constants)
_READ_LEVELS: Final = f"""
SELECT provider_id IS NULL, key, coalesce(to_jsonb(value_text), to_jsonb(value_int), to_jsonb(value_bool))
FROM provider_settings
WHERE organization_id = {_BOUND} AND (provider_id IS NULL OR provider_id = %(provider_id)s)
  AND key = ANY(%(keys)s)
"""  # noqa: S608 (constants)
_DELETE: Final = f"""
DELETE FROM provider_settings
WHERE organization_id = {_BOUND} AND provider_id IS NOT DISTINCT FROM %(provider_id)s AND key = ANY(%(keys)s)
"""  # noqa: S608 (constants)
_DELETE_ALL: Final = f"""
DELETE FROM provider_settings WHERE organization_id = {_BOUND} AND provider_id = %(provider_id)s
"""  # noqa: S608 (constants)


class SettingRefused(StoreError):
    """No such setting, another type, or out of its bounds. `key` names it."""

    def __init__(self, key: str) -> None:
        super().__init__(f"setting {key} is unknown, or its value is not within its bounds")
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSecrets:
    """What a client is made of. `organization_ref` is the id of Scaleway's organization; None: not known."""

    project_id: str
    organization_ref: str | None
    access_key: str
    secret_key: SecretStr


async def read_secrets(
    conn: AsyncConnection[Any], credential_id: CredentialId, *, keyring: Keyring
) -> ProviderSecrets:
    """The stored key of one credential of the organization that `conn` is bound to.

    Raises:
        MissingProviderCredentials: nothing, or not everything, is stored.
        KeyUnavailable: the keyring lacks the key that the data key is wrapped with.
        DecryptionFailed: altered, or moved here from elsewhere.
    """
    cursor = await conn.execute(_READ_SECRETS, {"provider_id": credential_id, "keys": list(_IDENTITY)})
    found = {row[0]: row for row in await cursor.fetchall()}
    missing = [key for key in (PROJECT_ID, ACCESS_KEY, SECRET_KEY) if key not in found]
    if missing:
        raise MissingProviderCredentials(f"{', '.join(missing)} of credential {credential_id} not stored yet")
    organization_ref = found.get(ORGANIZATION_REF)
    return ProviderSecrets(
        project_id=found[PROJECT_ID][1],
        organization_ref=None if organization_ref is None else organization_ref[1],
        access_key=found[ACCESS_KEY][1],
        secret_key=SecretStr(_decrypt(found[SECRET_KEY], credential_id, keyring)),
    )


async def write_secrets(
    conn: AsyncConnection[Any], credential_id: CredentialId, secrets: ProviderSecrets, *, keyring: Keyring
) -> str:
    """Store a key in place of the one before. The answer is the id of the keyring's key that protects it.

    The first of an organization makes its data key.

    Raises:
        MissingProviderCredentials: no such credential of the organization that `conn` is bound to.
        KeyUnavailable, DecryptionFailed: the organization's data key cannot be read.
        SettingRefused: an id or the access key is not in its form.
    """
    organization_id, version, key_id, data_key = await _data_key(conn, credential_id, keyring)
    sealed = envelope.seal_value(
        secrets.secret_key.get_secret_value(),
        by=data_key,
        organization_id=organization_id,
        provider_id=credential_id,
        key=SECRET_KEY,
        version=version,
    )
    texts = {PROJECT_ID: secrets.project_id, ACCESS_KEY: secrets.access_key}
    if secrets.organization_ref is None:
        await conn.execute(_DELETE, {"provider_id": credential_id, "keys": [ORGANIZATION_REF]})
    else:
        texts[ORGANIZATION_REF] = secrets.organization_ref
    for key, text in texts.items():
        await _write(conn, organization_id, credential_id, key, text=text)
    await _write(conn, organization_id, credential_id, SECRET_KEY, ciphertext=sealed, key_version=version)
    return key_id


async def read_settings(
    conn: AsyncConnection[Any], credential_id: CredentialId | None
) -> Mapping[str, SettingValue]:
    """What is set on the credential, identity included; None: the organization's defaults. Never a secret."""
    cursor = await conn.execute(_READ, {"provider_id": credential_id})
    return {row[0]: row[1] for row in await cursor.fetchall()}


async def read_levels(conn: AsyncConnection[Any], credential_id: CredentialId) -> StoredSettings:
    """What people have set on the credential and on its organization, in one round trip."""
    cursor = await conn.execute(_READ_LEVELS, {"provider_id": credential_id, "keys": list(KEYS)})
    levels: dict[bool, dict[str, SettingValue]] = {True: {}, False: {}}
    for is_organizations, key, value in await cursor.fetchall():
        levels[is_organizations][key] = value
    return StoredSettings(credential=levels[False], organization=levels[True])


async def replace_settings(
    conn: AsyncConnection[Any],
    wanted: Layer,
    *,
    organization_id: OrganizationId,
    credential_id: CredentialId | None,
) -> tuple[SettingChange, ...]:
    """Bring one level in line with `wanted`: what is not in it falls through from now on. Identity stays.

    Raises:
        SettingRefused: see there; the transaction, and with it every other change, is lost.
    """
    made = changes(await read_settings(conn, credential_id), wanted)
    for change in made:
        if change.after is None:
            await delete_setting(conn, change.key, credential_id=credential_id)
        else:
            await write_setting(
                conn, change.key, change.after, organization_id=organization_id, credential_id=credential_id
            )
    return made


async def write_setting(
    conn: AsyncConnection[Any],
    key: str,
    value: SettingValue,
    *,
    organization_id: OrganizationId,
    credential_id: CredentialId | None,
) -> None:
    """Set one value; `credential_id` None: the organization's default.

    Raises:
        SettingRefused: see there; the transaction is lost.
    """
    if isinstance(value, bool):
        await _write(conn, organization_id, credential_id, key, bool=value)
    elif isinstance(value, int):
        await _write(conn, organization_id, credential_id, key, int=value)
    else:
        await _write(conn, organization_id, credential_id, key, text=value)


async def delete_setting(conn: AsyncConnection[Any], key: str, *, credential_id: CredentialId | None) -> None:
    """From now on it falls through to the next place in the order of resolution."""
    await conn.execute(_DELETE, {"provider_id": credential_id, "keys": [key]})


async def delete_settings(conn: AsyncConnection[Any], credential_id: CredentialId) -> None:
    """All of one credential, its key included."""
    await conn.execute(_DELETE_ALL, {"provider_id": credential_id})


async def encryption_key_id(conn: AsyncConnection[Any], organization_id: OrganizationId) -> str:
    """Which key of the keyring protects the organization's secrets; empty: it has none."""
    row = await (await conn.execute(_KEY_ID, (organization_id,))).fetchone()
    return "" if row is None else str(row[0])


async def _data_key(
    conn: AsyncConnection[Any], credential_id: CredentialId, keyring: Keyring
) -> tuple[UUID, int, str, bytes]:
    # Re-keying replaces a data key only while nobody is between reading it and committing a value under it.
    await conn.execute(_HOLD_DATA_KEY)
    row = await (await conn.execute(_DATA_KEY, {"provider_id": credential_id})).fetchone()
    if row is None:
        raise MissingProviderCredentials(f"credential {credential_id} is not one of this organization")
    organization_id: UUID = row[0]
    if row[1] is None:
        fresh = envelope.wrap_data_key(
            envelope.new_key(),
            by=keyring.primary,
            organization_id=organization_id,
            key_id=keyring.primary_id,
        )
        await conn.execute(_NEW_DATA_KEY, (organization_id, keyring.primary_id, fresh))
        row = await (await conn.execute(_DATA_KEY, {"provider_id": credential_id})).fetchone()
        if row is None or row[1] is None:
            raise AssertionError("the data key was made, or was there")
    _, version, key_id, wrapped = row
    by = keyring.key(key_id)
    data_key = envelope.unwrap_data_key(wrapped, by=by, organization_id=organization_id, key_id=key_id)
    return organization_id, version, key_id, data_key


def _decrypt(row: tuple[Any, ...], credential_id: CredentialId, keyring: Keyring) -> str:
    key, _, sealed, version, key_id, wrapped, organization_id = row
    by = keyring.key(key_id)
    data_key = envelope.unwrap_data_key(wrapped, by=by, organization_id=organization_id, key_id=key_id)
    return envelope.open_value(
        sealed,
        by=data_key,
        organization_id=organization_id,
        provider_id=credential_id,
        key=key,
        version=version,
    )


async def _write(
    conn: AsyncConnection[Any], organization_id: UUID, credential_id: UUID | None, key: str, **value: Any
) -> None:
    row = dict.fromkeys(("text", "int", "bool", "ciphertext", "key_version"))
    row |= {"organization_id": organization_id, "provider_id": credential_id, "key": key, **value}
    try:
        await conn.execute(_WRITE, row)
    except (pg.CheckViolation, pg.NumericValueOutOfRange):
        raise SettingRefused(key) from None
