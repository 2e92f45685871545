"""The ledger of one credential as a whole, for a comparison with what is at the provider. Reads only."""

# ruff: noqa: A002 (`id` is the column's own name)

from collections.abc import Collection
from typing import Any, Final

from psycopg import AsyncConnection

from inventiv_operator.domain.ids import (
    CredentialId,
    DeploymentId,
    InstanceId,
    OrganizationId,
    ProviderRef,
    Zone,
)
from inventiv_operator.domain.ledger import CredentialRow, DeploymentRow, Resource
from inventiv_operator.store import rows
from inventiv_operator.store.ledger_reads import OPEN

_NAME: Final = "SELECT name FROM organizations WHERE id = %s"
_CREDENTIALS: Final = f"""
SELECT {rows.CREDENTIAL_COLUMNS} FROM providers WHERE state <> 'closed' ORDER BY namespace, name, created_at
"""  # noqa: S608 (constants)
_ZONES: Final = """
SELECT zone FROM cloud_resources WHERE provider_id = %(id)s
UNION SELECT zone FROM provider_zone_controls WHERE provider_id = %(id)s
ORDER BY zone
"""
_NAMED: Final = f"""
SELECT {rows.RESOURCE_COLUMNS} FROM cloud_resources
WHERE provider_ref = ANY(%(refs)s) OR (provider_ref IS NULL AND state IN {OPEN})
"""  # noqa: S608 (constants)
_DEPLOYMENTS: Final = f"""
SELECT {rows.DEPLOYMENT_COLUMNS} FROM deployments WHERE id = ANY(%s)
"""  # noqa: S608 (constants)
_INSTANCE_NAMES: Final = "SELECT id, name FROM instances WHERE id = ANY(%s)"


async def organization_name(conn: AsyncConnection[Any], id: OrganizationId) -> str:
    """Also of one that is closed; empty: `conn` is not bound to it."""
    row = await (await conn.execute(_NAME, (id,))).fetchone()
    return "" if row is None else str(row[0])


async def living_credentials(conn: AsyncConnection[Any]) -> tuple[CredentialRow, ...]:
    """Everything of the organization that is not closed: with an object, seeded, or in quarantine."""
    cursor = await conn.execute(_CREDENTIALS)
    return tuple(rows.credential(row) for row in await cursor.fetchall())


async def zones_of(conn: AsyncConnection[Any], id: CredentialId) -> tuple[Zone, ...]:
    """Where the credential has, or ever had, anything; empty: nothing was ever begun with it."""
    cursor = await conn.execute(_ZONES, {"id": id})
    return tuple(Zone(row[0]) for row in await cursor.fetchall())


async def rows_named(conn: AsyncConnection[Any], refs: Collection[ProviderRef]) -> tuple[Resource, ...]:
    """Rows of the organization with one of these ids, in whatever state and of whatever credential; and open
    ones whose id is not known yet.
    """
    cursor = await conn.execute(_NAMED, {"refs": list(refs)})
    return tuple(rows.resource(row) for row in await cursor.fetchall())


async def deployments(
    conn: AsyncConnection[Any], ids: Collection[DeploymentId]
) -> dict[DeploymentId, DeploymentRow]:
    """In whatever state; those that are not the organization's are left out."""
    cursor = await conn.execute(_DEPLOYMENTS, (list(ids),))
    found = [rows.deployment(row) for row in await cursor.fetchall()]
    return {row.id: row for row in found}


async def instance_names(conn: AsyncConnection[Any], ids: Collection[InstanceId]) -> dict[InstanceId, str]:
    cursor = await conn.execute(_INSTANCE_NAMES, (list(ids),))
    return {InstanceId(row[0]): str(row[1]) for row in await cursor.fetchall()}
