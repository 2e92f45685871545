"""Two tenants with a row in every table there is: what the tests of row-level security aim at."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from psycopg import AsyncConnection, sql
from pydantic import SecretStr

from inventiv_operator.domain.audit import Action
from inventiv_operator.domain.ids import ProviderRef, Zone
from inventiv_operator.store import audit, claims, credentials, ledger, settings
from inventiv_operator.store.database import Database
from inventiv_operator.store.keyring import Keyring
from inventiv_operator.store.settings import ProviderSecrets
from store.conftest import FENCE, NOW, Tenant, new_tenant, write_tenant
from store.postgres_server import Place

KEYRING = Keyring(primary_id="k1", keys={"k1": b"k" * 32})
OF_NO_TENANT = {"installation", "operator_lease", "instance_types", "schema_migrations"}
"""Everything else must name the organization of each of its rows."""
TENANT_TABLES = [
    "action_logs",
    "cloud_resources",
    "deployments",
    "instances",
    "namespace_claims",
    "organization_keys",
    "organizations",
    "project_claims",
    "provider_settings",
    "provider_zone_controls",
    "providers",
]


async def fill_every_table(db: Database, tenant: Tenant, *, zone: Zone) -> None:
    instance = tenant.instance(int(zone[-1]))
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await claims.claim(
            conn, organization_id=tenant.organization_id, namespace=tenant.namespace, uid="namespace"
        )
        await settings.write_secrets(
            conn,
            tenant.credential_id,
            ProviderSecrets(
                project_id=tenant.project_id,
                organization_ref=str(uuid4()),
                access_key="SCW" + "A" * 17,
                secret_key=SecretStr(str(uuid4())),
            ),
            keyring=KEYRING,
        )
        await credentials.set_validated(
            conn,
            tenant.credential_id,
            ready=True,
            reason="",
            validated_at=NOW,
            expires_at=None,
            key_fingerprint="0123abcd",
            access_key="SCW" + "A" * 17,
            encryption_key_id="k1",
        )
        await credentials.remember_zone_control(
            conn, tenant.credential_id, zone=zone, ref=ProviderRef(str(uuid4()))
        )
        await ledger.insert_instances(conn, [instance])
        server, group = tenant.server(instance), tenant.group()
        parts = [replace(part, zone=zone, role=f"{part.role}-{zone}") for part in (server, group)]
        await ledger.insert_resources(conn, parts)
        await audit.append(conn, organization_id=tenant.organization_id, action=Action.KEY_USED)


async def filled_tenant(place: Place, zone: Zone) -> Tenant:
    tenant = new_tenant()
    async with Database(place.operator) as db:
        await write_tenant(db, tenant)
        await fill_every_table(db, tenant, zone=zone)
    return tenant


def owner_column(table: str) -> sql.Identifier:
    return sql.Identifier("id" if table == "organizations" else "organization_id")


async def rows_of(
    conn: AsyncConnection[dict[str, Any]], table: str, organization_id: UUID
) -> list[dict[str, Any]]:
    query = sql.SQL("SELECT * FROM {} WHERE {} = %s").format(sql.Identifier(table), owner_column(table))
    return await (await conn.execute(query, (organization_id,))).fetchall()
