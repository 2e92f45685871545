"""Tenants. A name is bound again only to a row that is not closed."""

# ruff: noqa: A002 (`id` is the column's own name)

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection

from inventiv_operator.domain.audit import Action
from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.domain.ledger import OrganizationRow
from inventiv_operator.store import audit, rows
from inventiv_operator.store.destruction import destroy_what_is_over
from inventiv_operator.store.errors import Conflict

_FIND: Final = f"SELECT {rows.ORGANIZATION_COLUMNS} FROM lookup_organization(%s)"  # noqa: S608 (constants)
_GET: Final = f"SELECT {rows.ORGANIZATION_COLUMNS} FROM organizations WHERE id = %s"  # noqa: S608 (constants)
_ALL_OPEN: Final = "SELECT id, name FROM lookup_open_organizations()"
_UPSERT: Final = f"""
INSERT INTO organizations AS o (id, name, uid, is_default) VALUES (%(id)s, %(name)s, %(uid)s, %(is_default)s)
ON CONFLICT (id) DO UPDATE
    SET uid = excluded.uid, is_default = excluded.is_default,
        changed_at = CASE WHEN (o.uid, o.is_default) = (excluded.uid, excluded.is_default)
                          THEN o.changed_at ELSE ledger_now() END
    WHERE o.name = excluded.name AND o.state <> 'closed'
RETURNING {rows.ORGANIZATION_COLUMNS}, xmax = 0
"""  # noqa: S608 (constants)
_LEFT: Final = """
SELECT 1, CASE uid WHEN '' THEN 'the seeded credential' ELSE 'credential ' || namespace || '/' || name END, 0
FROM providers WHERE organization_id = %(id)s AND state = 'open'
UNION ALL
SELECT 2, 'deployment ' || namespace || '/' || name, 0 FROM deployments
WHERE organization_id = %(id)s AND state <> 'closed'
UNION ALL
SELECT 3, kind, count(*) FROM cloud_resources
WHERE organization_id = %(id)s AND state IN ('intended', 'present', 'deleting', 'lost')
GROUP BY kind
ORDER BY 1, 2
"""
_LOCK_CLAIMS: Final = """
SELECT FROM namespace_claims WHERE organization_id = %(id)s AND released_at IS NULL
ORDER BY id FOR NO KEY UPDATE
"""
"""Waits for what is being opened in its namespaces, which shares these rows, and has the next one wait."""
_LOCK: Final = "SELECT FROM organizations WHERE id = %(id)s FOR NO KEY UPDATE"
"""The same for a seeded credential, which has no namespace. Claims come first, as they do wherever one is
changed: the audit line about it refers to the organization.
"""
_CLOSE: Final = """
UPDATE organizations SET state = 'closed', is_default = false, closed_at = ledger_now(),
    changed_at = ledger_now()
WHERE id = %(id)s AND state <> 'closed'
RETURNING name, uid
"""
_RELEASE_CLAIMS: Final = """
UPDATE namespace_claims SET released_at = ledger_now() WHERE organization_id = %(id)s AND released_at IS NULL
RETURNING namespace, namespace_uid
"""
_RELEASE_PROJECTS: Final = """
UPDATE project_claims SET released_at = ledger_now() WHERE organization_id = %(id)s AND released_at IS NULL
RETURNING project_id
"""
_NOUNS: Final = {"server": "server", "volume": "volume", "ip": "IP", "security_group": "security group"}
_NAMED_EACH: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationName:
    """What a job needs to walk the tenants."""

    id: OrganizationId
    name: str


async def find(conn: AsyncConnection[Any], name: str) -> OrganizationRow | None:
    """The one of this name that is not closed. `conn` is the platform's."""
    row = await (await conn.execute(_FIND, (name,))).fetchone()
    return None if row is None else rows.organization(row)


async def get(conn: AsyncConnection[Any], id: OrganizationId) -> OrganizationRow | None:
    """In whatever state; None: not the one that `conn` is bound to."""
    row = await (await conn.execute(_GET, (id,))).fetchone()
    return None if row is None else rows.organization(row)


async def all_open(conn: AsyncConnection[Any]) -> tuple[OrganizationName, ...]:
    """Everyone that is not closed, by name. `conn` is the platform's."""
    cursor = await conn.execute(_ALL_OPEN)
    return tuple(OrganizationName(id=row[0], name=row[1]) for row in await cursor.fetchall())


async def upsert(
    conn: AsyncConnection[Any], *, id: OrganizationId, name: str, uid: str, is_default: bool
) -> OrganizationRow:
    """Make the row, or follow the object: its uid after it was made anew, its `default`.

    `id` is that of the row found by name, or a new one; `conn` is bound to it.

    Raises:
        Conflict: there is another default, or another row of this name (`organizations_one_default` and
            `organizations_name`, at the end of the transaction's block), or this one is closed.
    """
    row = await (
        await conn.execute(_UPSERT, {"id": id, "name": name, "uid": uid, "is_default": is_default})
    ).fetchone()
    if row is None:
        raise Conflict("the organization is closed, or has another name")
    *columns, is_new = row
    if is_new:
        await _tell(conn, id, Action.ORGANIZATION_OPENED, kind="organization", name=name, detail={"uid": uid})
    return rows.organization(columns)


async def what_is_left(conn: AsyncConnection[Any], id: OrganizationId) -> list[str]:
    """What its deletion waits for, in words; a credential in its quarantine is not among it."""
    found = await (await conn.execute(_LEFT, {"id": id})).fetchall()
    left: list[str] = []
    for section, noun in ((1, "credentials"), (2, "deployments")):
        named = [str(row[1]) for row in found if row[0] == section]
        left += named if len(named) <= _NAMED_EACH else [f"{len(named)} {noun}"]
    for section, kind, count in found:
        if section == 3:  # noqa: PLR2004 (see the statement)
            left.append(f"{count} {_NOUNS[kind]}{'' if count == 1 else 's'}")
    return left


async def close(conn: AsyncConnection[Any], id: OrganizationId) -> None:
    """Its namespaces and Scaleway projects are free from now on; its name, made anew, is another tenant.

    A credential in its quarantine keeps its key, and no claim: the same tenant, made anew, must not have to
    wait a day for its own project. Where no quarantine runs any more the data key is destroyed at once.

    Raises:
        Conflict: something is left (again), or it is closed already.
    """
    await conn.execute(_LOCK_CLAIMS, {"id": id})
    await conn.execute(_LOCK, {"id": id})
    if await what_is_left(conn, id):
        raise Conflict("something of the organization is left")
    closed = await (await conn.execute(_CLOSE, {"id": id})).fetchone()
    if closed is None:
        raise Conflict("the organization is closed already")
    for namespace, uid in await (await conn.execute(_RELEASE_CLAIMS, {"id": id})).fetchall():
        released = Action.NAMESPACE_RELEASED
        await _tell(conn, id, released, kind="namespace", name=namespace, detail={"uid": uid})
    for (project_id,) in await (await conn.execute(_RELEASE_PROJECTS, {"id": id})).fetchall():
        detail = {"projectID": project_id}
        await _tell(conn, id, Action.PROJECT_RELEASED, kind="project", ref=project_id, detail=detail)
    name, uid = closed
    await _tell(conn, id, Action.ORGANIZATION_CLOSED, kind="organization", name=name, detail={"uid": uid})
    await destroy_what_is_over(conn, id)


async def _tell(
    conn: AsyncConnection[Any],
    id: OrganizationId,
    action: Action,
    *,
    kind: str,
    name: str = "",
    ref: str = "",
    detail: Mapping[str, str] | None = None,
) -> None:
    await audit.append(conn, organization_id=id, action=action, kind=kind, name=name, ref=ref, detail=detail)
