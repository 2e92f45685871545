"""Which namespace belongs to which organization (T1): decided by the platform team, kept with its uid.

Whatever changes a claim adds its line to the audit log, in the same transaction.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from psycopg import AsyncConnection

from inventiv_operator.domain.audit import Action
from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.store import audit

_CLAIM: Final = """
WITH taken AS (
    INSERT INTO namespace_claims (organization_id, namespace, namespace_uid)
    VALUES (%(organization_id)s, %(namespace)s, %(uid)s)
    ON CONFLICT (namespace) WHERE released_at IS NULL DO NOTHING
    RETURNING namespace_uid
)
SELECT namespace_uid, true FROM taken
UNION ALL
SELECT namespace_uid, false FROM namespace_claims
WHERE organization_id = %(organization_id)s AND namespace = %(namespace)s AND released_at IS NULL
"""
_LOCK: Final = """
SELECT FROM namespace_claims
WHERE organization_id = %(organization_id)s AND namespace = %(namespace)s AND released_at IS NULL
FOR NO KEY UPDATE
"""
"""Waits for what is being opened in the namespace, which shares the row. The next statement sees it."""
_RELEASE: Final = """
UPDATE namespace_claims SET released_at = ledger_now()
WHERE organization_id = %(organization_id)s AND namespace = %(namespace)s AND released_at IS NULL
  AND NOT EXISTS (SELECT FROM providers WHERE namespace = %(namespace)s AND state = 'open')
  AND NOT EXISTS (SELECT FROM deployments WHERE namespace = %(namespace)s AND state <> 'closed')
RETURNING namespace_uid
"""
_RENEW: Final = """
UPDATE namespace_claims c SET namespace_uid = %(uid)s
FROM namespace_claims was
WHERE c.organization_id = %(organization_id)s AND c.namespace = %(namespace)s AND c.released_at IS NULL
  AND was.id = c.id
RETURNING was.namespace_uid
"""
_HELD: Final = """
SELECT organization_id, namespace, namespace_uid FROM namespace_claims
WHERE organization_id = %(organization_id)s AND released_at IS NULL
ORDER BY namespace
"""
_HOLDS: Final = """
SELECT EXISTS (
    SELECT FROM namespace_claims
    WHERE organization_id = %(organization_id)s AND namespace = %(namespace)s AND released_at IS NULL
)
"""
_HOLDER: Final = "SELECT organization_id, namespace, namespace_uid FROM lookup_namespace(%s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A namespace, and the uid it had when it was claimed."""

    organization_id: OrganizationId
    namespace: str
    namespace_uid: str


class ClaimOutcome(StrEnum):
    CLAIMED = "claimed"  # now, or already
    HELD_BY_OTHER = "held_by_other"
    UID_CHANGED = "uid_changed"  # ours, but of a namespace that was deleted and made anew


async def claim(
    conn: AsyncConnection[Any], *, organization_id: OrganizationId, namespace: str, uid: str
) -> ClaimOutcome:
    """Take the namespace when it is free. Says no more of another holder than that there is one."""
    cursor = await conn.execute(
        _CLAIM, {"organization_id": organization_id, "namespace": namespace, "uid": uid}
    )
    row = await cursor.fetchone()
    if row is None:
        return ClaimOutcome.HELD_BY_OTHER
    held_uid, is_new = row
    if is_new:
        await _tell(conn, organization_id, Action.NAMESPACE_CLAIMED, namespace, uid=uid)
    return ClaimOutcome.CLAIMED if held_uid == uid else ClaimOutcome.UID_CHANGED


async def renew(
    conn: AsyncConnection[Any], *, organization_id: OrganizationId, namespace: str, uid: str
) -> bool:
    """Follow a namespace that was made anew; the platform team said so. Whether the organization holds it."""
    cursor = await conn.execute(
        _RENEW, {"organization_id": organization_id, "namespace": namespace, "uid": uid}
    )
    row = await cursor.fetchone()
    if row is not None and row[0] != uid:
        await _tell(conn, organization_id, Action.NAMESPACE_RENEWED, namespace, uid=uid, from_uid=row[0])
    return row is not None


async def release(conn: AsyncConnection[Any], *, organization_id: OrganizationId, namespace: str) -> bool:
    """Whether it is no longer held. False: open credentials, or deployments not closed, are left in it."""
    wanted = {"organization_id": organization_id, "namespace": namespace}
    await conn.execute(_LOCK, wanted)
    released = await (await conn.execute(_RELEASE, wanted)).fetchone()
    if released is not None:
        await _tell(conn, organization_id, Action.NAMESPACE_RELEASED, namespace, uid=released[0])
    held = await of_organization(conn, organization_id)
    return all(claim.namespace != namespace for claim in held)


async def of_organization(conn: AsyncConnection[Any], organization_id: OrganizationId) -> tuple[Claim, ...]:
    """What it holds, by name."""
    cursor = await conn.execute(_HELD, {"organization_id": organization_id})
    return tuple(_claim(row) for row in await cursor.fetchall())


async def holds(conn: AsyncConnection[Any], *, organization_id: OrganizationId, namespace: str) -> bool:
    """Whether the namespace is this organization's, whatever its uid is now."""
    wanted = {"organization_id": organization_id, "namespace": namespace}
    row = await (await conn.execute(_HOLDS, wanted)).fetchone()
    return row is not None and bool(row[0])


async def organization_of(conn: AsyncConnection[Any], namespace: str) -> Claim | None:
    """Whose namespace it is. `conn` is the platform's."""
    row = await (await conn.execute(_HOLDER, (namespace,))).fetchone()
    return None if row is None else _claim(row)


async def _tell(
    conn: AsyncConnection[Any],
    organization_id: OrganizationId,
    action: Action,
    namespace: str,
    *,
    uid: str,
    from_uid: str | None = None,
) -> None:
    """One line of the audit log; `uid` is the namespace's, `from_uid` the one that it was claimed with."""
    await audit.append(
        conn,
        organization_id=organization_id,
        action=action,
        kind="namespace",
        name=namespace,
        detail={"uid": uid} if from_uid is None else {"uid": uid, "fromUID": from_uid},
    )


def _claim(row: tuple[Any, ...]) -> Claim:
    return Claim(organization_id=row[0], namespace=row[1], namespace_uid=row[2])
