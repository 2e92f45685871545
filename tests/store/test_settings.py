"""`provider_settings` on a real PostgreSQL: the CHECKs, and secrets that decrypt in their own row alone."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors as pg
from pydantic import SecretStr

from inventiv_operator.domain.ids import CredentialId
from inventiv_operator.store import settings
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import DecryptionFailed, KeyUnavailable, MissingProviderCredentials
from inventiv_operator.store.keyring import Keyring
from inventiv_operator.store.settings import ProviderSecrets, SettingRefused
from store.conftest import FENCE, Tenant, is_alone
from store.postgres_server import Place

KEYRING = Keyring(primary_id="k1", keys={"k1": b"a" * 32})
ROTATED = Keyring(primary_id="k2", keys={"k1": b"a" * 32, "k2": b"b" * 32})
ACCESS_KEY = "SCW" + "A" * 17


def secrets(project_id: str, **changed: Any) -> ProviderSecrets:
    given: dict[str, Any] = {
        "project_id": project_id,
        "organization_ref": str(uuid4()),
        "access_key": ACCESS_KEY,
        "secret_key": SecretStr(str(uuid4())),
    }
    return ProviderSecrets(**(given | changed))


async def write(db: Database, tenant: Tenant, given: ProviderSecrets, *, keyring: Keyring = KEYRING) -> str:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        return await settings.write_secrets(conn, tenant.credential_id, given, keyring=keyring)


async def read(db: Database, tenant: Tenant, *, keyring: Keyring = KEYRING) -> ProviderSecrets:
    async with db.reading(tenant.organization_id) as conn:
        return await settings.read_secrets(conn, tenant.credential_id, keyring=keyring)


def rows(place: Place, tenant: Tenant) -> list[tuple[Any, ...]]:
    with psycopg.connect(place.superuser) as conn:
        return conn.execute(
            "SELECT key, value_text, value_ciphertext FROM provider_settings WHERE organization_id = %s",
            (tenant.organization_id,),
        ).fetchall()


def run(place: Place, statement: str, *values: object) -> None:
    with psycopg.connect(place.superuser, autocommit=True) as conn:
        conn.execute(statement.encode(), values)


async def test_a_key_is_read_back_by_its_own_organization(place: Place, db: Database, tenant: Tenant) -> None:
    given = secrets(tenant.project_id)
    assert await write(db, tenant, given) == "k1"
    assert await read(db, tenant) == given
    async with db.reading(tenant.organization_id) as conn:
        assert await settings.encryption_key_id(conn, tenant.organization_id) == "k1"
    secret = given.secret_key.get_secret_value()
    assert secret not in repr(given)
    assert secret.encode() not in repr(rows(place, tenant)).encode()


async def test_a_new_key_takes_the_place_of_the_one_before(db: Database, tenant: Tenant) -> None:
    await write(db, tenant, secrets(tenant.project_id))
    newer = secrets(tenant.project_id, organization_ref=None)
    assert await write(db, tenant, newer, keyring=ROTATED) == "k1"  # the data key stays wrapped as it was
    assert await read(db, tenant, keyring=ROTATED) == newer


async def test_S7_without_a_stored_key_there_is_none(db: Database, tenant: Tenant, other: Tenant) -> None:
    await write(db, other, secrets(other.project_id))
    with pytest.raises(MissingProviderCredentials):
        await read(db, tenant)
    async with db.reading(tenant.organization_id) as conn:
        with pytest.raises(MissingProviderCredentials):
            await settings.read_secrets(conn, other.credential_id, keyring=KEYRING)
        assert await settings.encryption_key_id(conn, tenant.organization_id) == ""


@pytest.mark.parametrize("key", [settings.PROJECT_ID, settings.ACCESS_KEY, settings.SECRET_KEY])
async def test_S7_a_key_that_is_not_whole_is_none(
    place: Place, db: Database, tenant: Tenant, key: str
) -> None:
    await write(db, tenant, secrets(tenant.project_id))
    run(place, "DELETE FROM provider_settings WHERE provider_id = %s AND key = %s", tenant.credential_id, key)
    with pytest.raises(MissingProviderCredentials, match=key):
        await read(db, tenant)


async def test_a_key_of_the_keyring_that_is_gone_is_this_organizations_problem_alone(
    db: Database, tenant: Tenant, other: Tenant
) -> None:
    await write(db, tenant, secrets(tenant.project_id))
    await write(db, other, secrets(other.project_id), keyring=ROTATED)
    only_new = Keyring(primary_id="k2", keys={"k2": b"b" * 32})
    with pytest.raises(KeyUnavailable):
        await read(db, tenant, keyring=only_new)
    with pytest.raises(KeyUnavailable):
        await write(db, tenant, secrets(tenant.project_id), keyring=only_new)
    await read(db, other, keyring=only_new)


async def test_T7_a_ciphertext_moved_to_another_row_does_not_decrypt(
    place: Place, db: Database, tenant: Tenant, other: Tenant
) -> None:
    await write(db, tenant, secrets(tenant.project_id))
    await write(db, other, secrets(other.project_id))
    run(
        place,
        "UPDATE provider_settings t SET value_ciphertext = s.value_ciphertext FROM provider_settings s"
        " WHERE t.key = 'SCALEWAY_SECRET_KEY' AND s.key = t.key"
        " AND t.provider_id = %s AND s.provider_id = %s",
        other.credential_id,
        tenant.credential_id,
    )
    with pytest.raises(DecryptionFailed):
        await read(db, other)
    # Nor with the data key that it belongs to, moved along.
    run(
        place,
        "UPDATE organization_keys t SET wrapped_key = s.wrapped_key FROM organization_keys s"
        " WHERE t.organization_id = %s AND s.organization_id = %s",
        other.organization_id,
        tenant.organization_id,
    )
    with pytest.raises(DecryptionFailed):
        await read(db, other)
    await read(db, tenant)


@pytest.mark.parametrize(
    ("table", "column"), [("provider_settings", "value_ciphertext"), ("organization_keys", "wrapped_key")]
)
async def test_T7_a_flipped_bit_does_not_decrypt(
    place: Place, db: Database, tenant: Tenant, table: str, column: str
) -> None:
    await write(db, tenant, secrets(tenant.project_id))
    run(
        place,
        f"UPDATE {table} SET {column} = set_bit({column}, 200, 1 - get_bit({column}, 200))"
        f" WHERE organization_id = %s AND {column} IS NOT NULL",
        tenant.organization_id,
    )
    with pytest.raises(DecryptionFailed):
        await read(db, tenant)


async def test_T7_a_dump_without_the_keyring_shows_no_secret(
    place: Place, db: Database, tenant: Tenant
) -> None:
    given = secrets(tenant.project_id)
    await write(db, tenant, given)
    secret = given.secret_key.get_secret_value()
    with psycopg.connect(place.superuser) as conn:
        tables = conn.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 2200"
        ).fetchall()
        for (table,) in tables:
            with conn.cursor().copy(f"COPY {table} TO STDOUT".encode()) as dump:
                content = b"".join(bytes(part) for part in dump)
            assert secret.encode() not in content
            assert secret.encode().hex().encode() not in content


# -- the CHECKs --------------------------------------------------------------------------------------------

BOUNDS = [
    ("INSTANCE_STARTUP_TIMEOUT_S", 30, 86400),
    ("WORKER_INSTANCE_STARTUP_TIMEOUT_S", 30, 86400),
    ("WORKER_HEALTH_PORT", 1, 65535),
    ("WORKER_VLLM_PORT", 1, 65535),
    ("WORKER_DATA_VOLUME_GB_DEFAULT", 50, 5000),
]


async def set_value(
    db: Database, tenant: Tenant, key: str, value: Any, *, credential_id: CredentialId | None = None
) -> None:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await settings.write_setting(
            conn, key, value, organization_id=tenant.organization_id, credential_id=credential_id
        )


@pytest.mark.parametrize(("key", "least", "most"), BOUNDS)
async def test_a_number_stays_within_its_bounds(
    db: Database, tenant: Tenant, key: str, least: int, most: int
) -> None:
    for value in (least, most):
        await set_value(db, tenant, key, value)
    refused: tuple[Any, ...] = (least - 1, most + 1, 2**70, str(least), True)
    for value in refused:
        with pytest.raises(SettingRefused, match=key):
            await set_value(db, tenant, key, value)
    async with db.reading(tenant.organization_id) as conn:
        assert await settings.read_settings(conn, None) == {key: most}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("UNKNOWN", 1, id="unknown"),
        pytest.param("WORKER_EXPOSE_PORTS", 1, id="bool-as-int"),
        pytest.param("WORKER_EXPOSE_PORTS", "true", id="bool-as-text"),
        pytest.param("WORKER_VLLM_IMAGE", "x" * 513, id="long-image"),
        pytest.param("SCALEWAY_PROJECT_ID", str(uuid4()).upper(), id="upper-case-project"),
        pytest.param("SCALEWAY_ACCESS_KEY", "SCW1", id="access-key"),
        pytest.param("SCALEWAY_SECRET_KEY", str(uuid4()), id="secret-in-plain-text"),
        pytest.param("SCALEWAY_SECRET_KEY_CANDIDATE", str(uuid4()), id="candidate-in-plain-text"),
    ],
)
async def test_a_value_of_the_wrong_kind_is_refused_without_being_quoted(
    db: Database, tenant: Tenant, key: str, value: Any
) -> None:
    with pytest.raises(SettingRefused) as caught:
        await set_value(db, tenant, key, value, credential_id=tenant.credential_id)
    assert str(value) not in str(caught.value).replace(key, "") or isinstance(value, int)
    assert is_alone(caught.value)


@pytest.mark.parametrize("key", ["SCALEWAY_SECRET_KEY", "SCALEWAY_SECRET_KEY_CANDIDATE"])
async def test_T7_a_secret_in_plain_bytes_is_impossible(
    place: Place, db: Database, tenant: Tenant, key: str
) -> None:
    await write(db, tenant, secrets(tenant.project_id))
    run(place, "DELETE FROM provider_settings WHERE key = %s AND provider_id = %s", key, tenant.credential_id)
    with pytest.raises(pg.CheckViolation):
        run(
            place,
            "INSERT INTO provider_settings (organization_id, provider_id, key, value_ciphertext, key_version)"
            " VALUES (%s, %s, %s, %s, 1)",
            tenant.organization_id,
            tenant.credential_id,
            key,
            str(uuid4()).encode(),
        )


async def test_an_identity_belongs_to_a_credential(db: Database, tenant: Tenant) -> None:
    with pytest.raises(SettingRefused):
        await set_value(db, tenant, "SCALEWAY_PROJECT_ID", str(uuid4()))


async def test_S1_a_setting_stands_once_for_a_credential_and_once_for_the_organization(
    place: Place, db: Database, tenant: Tenant
) -> None:
    await set_value(db, tenant, "WORKER_HEALTH_PORT", 1)
    await set_value(db, tenant, "WORKER_HEALTH_PORT", 2)
    await set_value(db, tenant, "WORKER_HEALTH_PORT", 3, credential_id=tenant.credential_id)
    await set_value(db, tenant, "WORKER_EXPOSE_PORTS", True, credential_id=tenant.credential_id)
    await set_value(db, tenant, "WORKER_VLLM_IMAGE", "", credential_id=tenant.credential_id)
    async with db.reading(tenant.organization_id) as conn:
        assert await settings.read_settings(conn, None) == {"WORKER_HEALTH_PORT": 2}
        assert await settings.read_settings(conn, tenant.credential_id) == {
            "WORKER_HEALTH_PORT": 3,
            "WORKER_EXPOSE_PORTS": True,
            "WORKER_VLLM_IMAGE": "",
        }
    with pytest.raises(pg.UniqueViolation):  # NULLS NOT DISTINCT
        run(
            place,
            "INSERT INTO provider_settings (organization_id, key, value_int)"
            " VALUES (%s, 'WORKER_HEALTH_PORT', 4)",
            tenant.organization_id,
        )


async def test_a_setting_that_is_taken_back_falls_through(db: Database, tenant: Tenant) -> None:
    await write(db, tenant, secrets(tenant.project_id))
    await set_value(db, tenant, "WORKER_HEALTH_PORT", 3, credential_id=tenant.credential_id)
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await settings.delete_setting(conn, "WORKER_HEALTH_PORT", credential_id=tenant.credential_id)
    async with db.reading(tenant.organization_id) as conn:
        assert "WORKER_HEALTH_PORT" not in await settings.read_settings(conn, tenant.credential_id)
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await settings.delete_settings(conn, tenant.credential_id)
    with pytest.raises(MissingProviderCredentials):
        await read(db, tenant)


def test_S1_the_table_has_the_indexes_of_its_origin(place: Place) -> None:
    with psycopg.connect(place.superuser) as conn:
        found = conn.execute(
            "SELECT indexdef FROM pg_indexes WHERE tablename = 'provider_settings'"
        ).fetchall()
    definitions = " ".join(definition for (definition,) in found)
    assert "(provider_id, key, organization_id) NULLS NOT DISTINCT" in definitions
    assert "btree (organization_id)" in definitions
    assert "btree (provider_id, organization_id)" in definitions
