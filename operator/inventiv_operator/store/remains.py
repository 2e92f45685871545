"""What a credential's end waits for, by name: numbers are in `store.usage`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import class_row

from inventiv_operator.domain.ids import CredentialId
from inventiv_operator.store.ledger_reads import OPEN

_DEPLOYMENTS: Final = """
SELECT name, state FROM deployments WHERE provider_id = %(id)s AND state <> 'closed'
ORDER BY name LIMIT %(limit)s
"""
_RESOURCES: Final = f"""
SELECT kind, zone, coalesce(provider_ref, '') AS ref FROM cloud_resources
WHERE provider_id = %(id)s AND state IN {OPEN}
ORDER BY array_position(ARRAY['server', 'volume', 'ip', 'security_group'], kind), provider_ref NULLS LAST, id
LIMIT %(limit)s
"""  # noqa: S608 (constants)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentLeft:
    """`state` is open, lost or closing."""

    name: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceLeft:
    """`ref` empty: a create whose outcome is not known yet."""

    kind: str
    zone: str
    ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """The first few of each."""

    deployments: Sequence[DeploymentLeft]
    resources: Sequence[ResourceLeft]


async def remains_of(conn: AsyncConnection[Any], credential_id: CredentialId, *, limit: int) -> Remains:
    """At most `limit` deployments, and as many resources, servers first."""
    values = {"id": credential_id, "limit": limit}
    async with conn.cursor(row_factory=class_row(DeploymentLeft)) as cursor:
        deployments = await (await cursor.execute(_DEPLOYMENTS, values)).fetchall()
    async with conn.cursor(row_factory=class_row(ResourceLeft)) as cursor:
        resources = await (await cursor.execute(_RESOURCES.encode(), values)).fetchall()
    return Remains(deployments=deployments, resources=resources)
