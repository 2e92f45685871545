"""Reading the ledger. Reads for one reconcile are one round trip."""

from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection

from inventiv_operator.domain.ids import CredentialId, DeploymentId, OrganizationId
from inventiv_operator.domain.ledger import DeploymentLedger, DeploymentRow, Resource
from inventiv_operator.store import rows
from inventiv_operator.store.errors import Conflict

OPEN: Final = "('intended', 'present', 'deleting', 'lost')"
"""`domain.ledger.OPEN_STATES`, as the partial indexes spell it."""

_DEPLOYMENT: Final = f"SELECT {rows.DEPLOYMENT_COLUMNS} FROM deployments WHERE id = %s"  # noqa: S608 (constants)
_INSTANCES: Final = f"""
SELECT {rows.INSTANCE_COLUMNS} FROM instances WHERE deployment_id = %s AND state <> 'gone'
ORDER BY ordinal, created_at
"""  # noqa: S608 (constants)
_RESOURCES: Final = f"""
SELECT {rows.RESOURCE_COLUMNS} FROM cloud_resources WHERE deployment_id = %s AND state IN {OPEN}
ORDER BY created_at, id
"""  # noqa: S608 (constants)
_OF_CREDENTIAL: Final = f"""
SELECT {rows.RESOURCE_COLUMNS} FROM cloud_resources WHERE provider_id = %s AND state IN {OPEN}
ORDER BY created_at, id
"""  # noqa: S608 (constants)
_BY_NAME: Final = f"""
SELECT {rows.DEPLOYMENT_COLUMNS} FROM deployments WHERE namespace = %s AND name = %s AND state <> 'closed'
ORDER BY created_at
"""  # noqa: S608 (constants)
_OWNERS: Final = "SELECT lookup_deployment_owners(%s, %s)"
_PENDING: Final = "SELECT organization_id, namespace, name, state FROM lookup_deployments()"


class PendingDeployment(NamedTuple):
    """One that is not closed: `state` is open, lost or closing."""

    organization_id: OrganizationId
    namespace: str
    name: str
    state: str


async def read_ledger(conn: AsyncConnection[Any], deployment_id: DeploymentId) -> DeploymentLedger:
    """Everything open of one deployment.

    Raises:
        Conflict: there is no such deployment of the organization that `conn` is bound to.
    """
    parameters = (deployment_id,)
    async with conn.pipeline():
        deployment = await conn.execute(_DEPLOYMENT, parameters)
        instances = await conn.execute(_INSTANCES, parameters)
        resources = await conn.execute(_RESOURCES, parameters)
    found = await deployment.fetchone()
    if found is None:
        raise Conflict("no such deployment")
    return DeploymentLedger(
        deployment=rows.deployment(found),
        instances=tuple([rows.instance(row) for row in await instances.fetchall()]),
        resources=tuple([rows.resource(row) for row in await resources.fetchall()]),
    )


async def get_deployment(
    conn: AsyncConnection[Any], *, namespace: str, name: str
) -> tuple[DeploymentRow, ...]:
    """Those of this name that are not closed, oldest first: one may be leaving while another is open."""
    cursor = await conn.execute(_BY_NAME, (namespace, name))
    return tuple([rows.deployment(row) for row in await cursor.fetchall()])


async def credential_resources(
    conn: AsyncConnection[Any], credential_id: CredentialId
) -> tuple[Resource, ...]:
    """What is open with this credential, whatever deployment it is of, and the control's own groups."""
    cursor = await conn.execute(_OF_CREDENTIAL, (credential_id,))
    return tuple([rows.resource(row) for row in await cursor.fetchall()])


async def owners_of_deployment(
    conn: AsyncConnection[Any], *, namespace: str, name: str
) -> tuple[OrganizationId, ...]:
    """Whose rows of this name are not closed. `conn` is the platform's."""
    cursor = await conn.execute(_OWNERS, (namespace, name))
    return tuple(row[0] for row in await cursor.fetchall())


async def pending_deployments(conn: AsyncConnection[Any]) -> tuple[PendingDeployment, ...]:
    """Every deployment that is not closed. `conn` is the platform's."""
    cursor = await conn.execute(_PENDING)
    return tuple(PendingDeployment(*row) for row in await cursor.fetchall())
