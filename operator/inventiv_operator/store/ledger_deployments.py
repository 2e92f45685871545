"""Writing deployments and their instances. Every change of state repeats its guard: no row back is a
`Conflict`.
"""

# ruff: noqa: A002 (`id` is the column's own name)

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection

from inventiv_operator.domain.ids import CredentialId, DeploymentId, InstanceId, OrganizationId
from inventiv_operator.domain.ledger import (
    DeploymentRow,
    DeploymentState,
    InstanceState,
    NewInstance,
)
from inventiv_operator.store import rows
from inventiv_operator.store.errors import Conflict
from inventiv_operator.store.ledger_reads import OPEN

DEPLOYMENT_FROM: Final[Mapping[DeploymentState, frozenset[DeploymentState]]] = {
    DeploymentState.OPEN: frozenset({DeploymentState.LOST}),  # its object came back
    DeploymentState.LOST: frozenset({DeploymentState.OPEN}),
    DeploymentState.CLOSING: frozenset({DeploymentState.OPEN, DeploymentState.LOST}),
    DeploymentState.CLOSED: frozenset({DeploymentState.CLOSING}),  # and nothing of it is open (L5)
}
"""Which states a state is reached from."""

INSTANCE_FROM: Final[Mapping[InstanceState, frozenset[InstanceState]]] = {
    InstanceState.ACTIVE: frozenset(),
    InstanceState.FAILED: frozenset({InstanceState.ACTIVE}),
    # Again while deleting: the newest cause is the one that is shown.
    InstanceState.DELETING: frozenset({InstanceState.ACTIVE, InstanceState.FAILED, InstanceState.DELETING}),
    InstanceState.GONE: frozenset({InstanceState.ACTIVE, InstanceState.FAILED, InstanceState.DELETING}),
}
"""The same for instances; gone is reached only when no resource of it is open."""

_OPEN_DEPLOYMENT: Final = f"""
INSERT INTO deployments (id, organization_id, provider_id, namespace, name, uid, reset_token)
SELECT %(id)s, c.organization_id, p.id, c.namespace, %(name)s, %(uid)s, %(reset_token)s
FROM namespace_claims c, providers p
WHERE c.organization_id = %(organization_id)s AND c.namespace = %(namespace)s
  AND c.namespace_uid = %(namespace_uid)s AND c.released_at IS NULL
  AND p.id = %(credential_id)s AND p.state = 'open'
FOR SHARE
RETURNING {rows.DEPLOYMENT_COLUMNS}
"""  # noqa: S608 (constants)
_REBIND: Final = """
UPDATE deployments SET uid = %(uid)s, state = 'open', changed_at = ledger_now()
WHERE id = %(id)s AND state IN ('open', 'lost')
RETURNING id
"""
_SET_STATE: Final = f"""
UPDATE deployments SET state = %(to)s, changed_at = ledger_now(),
    closed_at = CASE WHEN %(to)s = 'closed' THEN ledger_now() END
WHERE id = %(id)s AND state = ANY(%(allowed)s)
  AND (%(to)s <> 'closed' OR NOT EXISTS (
      SELECT FROM cloud_resources WHERE deployment_id = %(id)s AND state IN {OPEN}
  ))
RETURNING id
"""  # noqa: S608 (constants)
_SET_TEMPLATE: Final = """
UPDATE deployments SET template_hash = %(template_hash)s, changed_at = ledger_now()
WHERE id = %(id)s AND state <> 'closed'
RETURNING id
"""
_SET_BACKOFF: Final = """
UPDATE deployments SET start_failures = %(start_failures)s, next_start_at = %(next_start_at)s,
    reset_token = %(reset_token)s, start_reason = %(start_reason)s, start_message = %(start_message)s,
    changed_at = ledger_now()
WHERE id = %(id)s AND state <> 'closed'
RETURNING id
"""
_INSERT_INSTANCES: Final = """
INSERT INTO instances (id, organization_id, deployment_id, ordinal, name, zone, instance_type, image_ref,
                       root_volume_type, template_hash, state, reason)
SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::int[], %s::text[], %s::text[], %s::text[],
                     %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
"""
_SET_INSTANCE: Final = f"""
UPDATE instances SET state = %(to)s, reason = %(reason)s, message = %(message)s,
    failed_at = coalesce(%(failed_at)s, failed_at),
    gone_at = CASE WHEN %(to)s = 'gone' THEN ledger_now() END
WHERE id = %(id)s AND state = ANY(%(allowed)s)
  AND (%(to)s <> 'gone' OR NOT EXISTS (
      SELECT FROM cloud_resources WHERE instance_id = %(id)s AND state IN {OPEN}
  ))
RETURNING id
"""  # noqa: S608 (constants)
_MARK_READY: Final = """
UPDATE instances SET ready_at = %(ready_at)s WHERE id = %(id)s AND state = 'active' RETURNING id
"""


async def open_deployment(
    conn: AsyncConnection[Any],
    *,
    id: DeploymentId,
    organization_id: OrganizationId,
    credential_id: CredentialId,
    namespace: str,
    namespace_uid: str,
    name: str,
    uid: str,
    reset_token: str,
) -> DeploymentRow:
    """The row that pins the credential, before the first intent.

    `namespace_uid` is the one that the namespace has now. That the organization holds this very namespace is
    looked at again here, and stays so until the transaction ends (T1).

    Raises:
        Conflict: there is an open or lost one of this name (constraint `deployments_name`), at the end of the
            transaction's block. Or the credential is on its way out, or the namespace is not the
            organization's any more.
    """
    cursor = await conn.execute(
        _OPEN_DEPLOYMENT,
        {
            "id": id,
            "organization_id": organization_id,
            "credential_id": credential_id,
            "namespace": namespace,
            "namespace_uid": namespace_uid,
            "name": name,
            "uid": uid,
            "reset_token": reset_token,
        },
    )
    row = await cursor.fetchone()
    if row is None:
        raise Conflict(
            f"the credential of deployment {namespace}/{name} is not open any more, or its namespace is not"
            " the organization's: it is looked at again"
        )
    return rows.deployment(row)


async def rebind_deployment(conn: AsyncConnection[Any], id: DeploymentId, *, uid: str) -> None:
    """Its object came back, or was made anew while the row was open. `Conflict`: it is on its way out."""
    await _one(conn, _REBIND, {"id": id, "uid": uid})


async def set_deployment_state(conn: AsyncConnection[Any], id: DeploymentId, *, to: DeploymentState) -> None:
    """Raises `Conflict`: not reachable from where it is, or something of it is still open (closed)."""
    await _one(
        conn, _SET_STATE, {"id": id, "to": to.value, "allowed": [s.value for s in DEPLOYMENT_FROM[to]]}
    )


async def set_template(conn: AsyncConnection[Any], id: DeploymentId, *, template_hash: str) -> None:
    """Of the servers that are being made."""
    await _one(conn, _SET_TEMPLATE, {"id": id, "template_hash": template_hash})


async def set_backoff(
    conn: AsyncConnection[Any],
    id: DeploymentId,
    *,
    start_failures: int,
    next_start_at: datetime | None,
    reset_token: str,
    start_reason: str,
    start_message: str,
) -> None:
    """How often in a row its start failed, why, and when the next one may be."""
    await _one(
        conn,
        _SET_BACKOFF,
        {
            "id": id,
            "start_failures": start_failures,
            "next_start_at": next_start_at,
            "reset_token": reset_token,
            "start_reason": start_reason,
            "start_message": rows.message_of(start_message),
        },
    )


async def insert_instances(conn: AsyncConnection[Any], instances: Sequence[NewInstance]) -> None:
    """All in one statement. A second living incarnation of an ordinal violates `instances_ordinal`."""
    if not instances:
        return
    columns = zip(
        *(
            (
                new.id,
                new.organization_id,
                new.deployment_id,
                new.ordinal,
                new.name,
                new.zone,
                new.instance_type,
                new.image_ref,
                new.root_volume_type,
                new.template_hash,
                new.state.value,
                new.reason,
            )
            for new in instances
        ),
        strict=True,
    )
    await conn.execute(_INSERT_INSTANCES, [list(column) for column in columns])


async def set_instance(
    conn: AsyncConnection[Any],
    instance_id: InstanceId,
    *,
    state: InstanceState,
    reason: str = "",
    message: str = "",
    failed_at: datetime | None = None,
) -> None:
    """Raises `Conflict`: not reachable from where it is, or a resource of it is still open (gone)."""
    await _one(
        conn,
        _SET_INSTANCE,
        {
            "id": instance_id,
            "to": state.value,
            "allowed": [s.value for s in INSTANCE_FROM[state]],
            "reason": reason,
            "message": rows.message_of(message),
            "failed_at": failed_at,
        },
    )


async def mark_instance_ready(
    conn: AsyncConnection[Any], instance_id: InstanceId, *, ready_at: datetime
) -> None:
    """Raises `Conflict` unless it is active."""
    await _one(conn, _MARK_READY, {"id": instance_id, "ready_at": ready_at})


async def _one(conn: AsyncConnection[Any], statement: str, values: dict[str, Any]) -> None:
    cursor = await conn.execute(statement.encode(), values)
    if await cursor.fetchone() is None:
        raise Conflict("the row is not, or no longer, in a state for this")
