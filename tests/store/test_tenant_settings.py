"""What people set on an organization and its credentials: replaced as a whole, within bounds, kept apart."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from inventiv_operator.domain.ids import CredentialId, Zone
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.domain.settings import KEYS, KNOWN, Layer, SettingChange, StoredSettings
from inventiv_operator.store import credentials, settings
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import StoreError
from inventiv_operator.store.keyring import Keyring
from inventiv_operator.store.settings import ProviderSecrets, SettingRefused
from store.conftest import FENCE, NAMESPACE_UID, ZONE, Tenant
from store.postgres_server import Place

KEYRING = Keyring(primary_id="k1", keys={"k1": b"a" * 32})


def check_of(place: Place, constraint: str) -> str:
    with psycopg.connect(place.superuser) as conn:
        row = conn.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", (constraint,)
        ).fetchone()
    assert row is not None
    return str(row[0])


def test_S1_the_checks_know_the_keys_of_the_table_in_code_and_those_of_the_identity(place: Place) -> None:
    keys = set(re.findall(r"'([A-Z_]+)'", check_of(place, "provider_settings_known_key")))
    assert {key for key in keys if not key.startswith("SCALEWAY_")} == KEYS


def test_S1_the_checks_have_the_bounds_of_the_table_in_code(place: Place) -> None:
    text = check_of(place, "provider_settings_typed_value")
    rules = dict(re.findall(r"WHEN '([A-Z_]+)'::text THEN (.*?)\s*(?=WHEN|ELSE)", text, re.DOTALL))
    for setting in KNOWN:
        rule = rules[setting.key]
        if setting.least is not None:
            column, numbers = "value_int", [setting.least, setting.most]
        elif setting.longest is not None:
            column, numbers = "value_text", [setting.longest]
        else:
            column, numbers = "value_bool", []
        assert column in rule
        assert [int(number) for number in re.findall(r"\b\d+\b", rule)] == numbers


async def replace(
    db: Database, tenant: Tenant, wanted: Layer, *, credential_id: CredentialId | None = None
) -> tuple[SettingChange, ...]:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        return await settings.replace_settings(
            conn, wanted, organization_id=tenant.organization_id, credential_id=credential_id
        )


async def levels(db: Database, tenant: Tenant) -> StoredSettings:
    async with db.reading(tenant.organization_id) as conn:
        return await settings.read_levels(conn, tenant.credential_id)


async def test_S1_a_level_is_replaced_as_a_whole_and_the_other_stays(db: Database, tenant: Tenant) -> None:
    own = tenant.credential_id
    await replace(db, tenant, {"WORKER_HEALTH_PORT": 1, "WORKER_VLLM_IMAGE": "a"})
    await replace(db, tenant, {"WORKER_HEALTH_PORT": 2, "WORKER_EXPOSE_PORTS": True}, credential_id=own)
    assert await levels(db, tenant) == StoredSettings(
        organization={"WORKER_HEALTH_PORT": 1, "WORKER_VLLM_IMAGE": "a"},
        credential={"WORKER_HEALTH_PORT": 2, "WORKER_EXPOSE_PORTS": True},
    )
    made = await replace(db, tenant, {"WORKER_HEALTH_PORT": 3, "WORKER_VLLM_PORT": 4}, credential_id=own)
    assert made == (
        SettingChange(key="WORKER_HEALTH_PORT", before=2, after=3),
        SettingChange(key="WORKER_VLLM_PORT", before=None, after=4),
        SettingChange(key="WORKER_EXPOSE_PORTS", before=True, after=None),
    )
    assert await levels(db, tenant) == StoredSettings(
        organization={"WORKER_HEALTH_PORT": 1, "WORKER_VLLM_IMAGE": "a"},
        credential={"WORKER_HEALTH_PORT": 3, "WORKER_VLLM_PORT": 4},
    )


async def test_S1_nothing_is_written_where_nothing_differs(
    place: Place, db: Database, tenant: Tenant
) -> None:
    def rows_and_versions() -> list[tuple[Any, ...]]:
        with psycopg.connect(place.superuser) as conn:
            return conn.execute(
                "SELECT id, key, xmin::text, changed_at FROM provider_settings WHERE organization_id = %s"
                " ORDER BY key",
                (tenant.organization_id,),
            ).fetchall()

    await replace(db, tenant, {"WORKER_HEALTH_PORT": 1, "WORKER_EXPOSE_PORTS": False})
    before = rows_and_versions()
    assert await replace(db, tenant, {"WORKER_HEALTH_PORT": 1, "WORKER_EXPOSE_PORTS": False}) == ()
    assert rows_and_versions() == before
    assert len(before) == 2


async def test_S1_the_identity_survives_that_everything_is_taken_back(db: Database, tenant: Tenant) -> None:
    given = ProviderSecrets(
        project_id=tenant.project_id,
        organization_ref=str(uuid4()),
        access_key="SCW" + "A" * 17,
        secret_key=SecretStr(str(uuid4())),
    )
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await settings.write_secrets(conn, tenant.credential_id, given, keyring=KEYRING)
    await replace(db, tenant, {"WORKER_VLLM_PORT": 4}, credential_id=tenant.credential_id)
    assert await levels(db, tenant) == StoredSettings(credential={"WORKER_VLLM_PORT": 4}, organization={})
    await replace(db, tenant, {}, credential_id=tenant.credential_id)
    assert await levels(db, tenant) == StoredSettings(credential={}, organization={})
    async with db.reading(tenant.organization_id) as conn:
        assert await settings.read_secrets(conn, tenant.credential_id, keyring=KEYRING) == given


async def test_S1_one_value_out_of_bounds_and_none_is_changed(db: Database, tenant: Tenant) -> None:
    await replace(db, tenant, {"INSTANCE_STARTUP_TIMEOUT_S": 60, "WORKER_VLLM_PORT": 4})
    with pytest.raises(SettingRefused, match="WORKER_HEALTH_PORT"):
        await replace(db, tenant, {"INSTANCE_STARTUP_TIMEOUT_S": 90, "WORKER_HEALTH_PORT": 65536})
    assert (await levels(db, tenant)).organization == {
        "INSTANCE_STARTUP_TIMEOUT_S": 60,
        "WORKER_VLLM_PORT": 4,
    }


async def test_T6_the_settings_of_another_are_not_read_and_not_replaced(
    db: Database, tenant: Tenant, other: Tenant
) -> None:
    for one, port in ((tenant, 1), (other, 2)):
        await replace(db, one, {"WORKER_HEALTH_PORT": port})
        await replace(db, one, {"WORKER_VLLM_PORT": port}, credential_id=one.credential_id)
    async with db.reading(tenant.organization_id) as conn:
        mixed = await settings.read_levels(conn, other.credential_id)
    assert mixed == StoredSettings(organization={"WORKER_HEALTH_PORT": 1}, credential={})
    await replace(db, tenant, {})
    await replace(db, tenant, {}, credential_id=tenant.credential_id)
    await replace(db, tenant, {}, credential_id=other.credential_id)
    assert await levels(db, tenant) == StoredSettings()
    assert await levels(db, other) == StoredSettings(
        organization={"WORKER_HEALTH_PORT": 2}, credential={"WORKER_VLLM_PORT": 2}
    )
    with pytest.raises(StoreError):
        await replace(db, tenant, {"WORKER_VLLM_PORT": 9}, credential_id=other.credential_id)
    assert (await levels(db, other)).credential == {"WORKER_VLLM_PORT": 2}


# -- zones ---------------------------------------------------------------------------------------------------


async def follow(db: Database, tenant: Tenant, zones: Sequence[Zone] | None) -> CredentialRow:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        return await credentials.open_credential(
            conn,
            id=tenant.credential_id,
            organization_id=tenant.organization_id,
            namespace=tenant.namespace,
            namespace_uid=NAMESPACE_UID,
            name="scaleway",
            uid=str(uuid4()),
            project_id=tenant.project_id,
            is_default=True,
            zones=zones,
        )


@pytest.mark.parametrize("zones", [None, (ZONE,), (ZONE, Zone("nl-ams-1"))], ids=["everywhere", "one", "two"])
async def test_where_a_credential_may_be_used_is_kept_with_it(
    db: Database, tenant: Tenant, zones: Sequence[Zone] | None
) -> None:
    await follow(db, tenant, [Zone("pl-waw-1")])
    assert (await follow(db, tenant, zones)).zones == zones
    async with db.reading(tenant.organization_id) as conn:
        row = await credentials.get(conn, tenant.credential_id)
    assert row is not None
    assert row.zones == zones


@pytest.mark.parametrize("zones", [[], [""], [f"z-{n}" for n in range(51)]], ids=["none", "empty", "many"])
async def test_a_credential_that_may_be_used_nowhere_is_refused(
    db: Database, tenant: Tenant, zones: list[Zone]
) -> None:
    with pytest.raises(StoreError):
        await follow(db, tenant, zones)
