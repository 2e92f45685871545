"""Rows of `providers` without an object: the seeded credential of an organization, one at most that is
open.
"""

# ruff: noqa: A002 (`id` is the column's own name)

from typing import Any, Final

from psycopg import AsyncConnection

from inventiv_operator.domain.ids import CredentialId, OrganizationId, ProjectId
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.store import rows
from inventiv_operator.store.errors import Conflict

NAME: Final = "seeded"
"""Shown to people, and looked up by nobody."""
_FIND: Final = f"""
SELECT {rows.CREDENTIAL_COLUMNS} FROM providers
WHERE organization_id = %s AND uid = '' AND state = 'open'
"""  # noqa: S608 (constants)
_HAS_OPEN: Final = "SELECT EXISTS (SELECT FROM providers WHERE organization_id = %s AND state = 'open')"
_LOCK: Final = "SELECT FROM organizations WHERE id = %s FOR UPDATE"
"""Waits for a credential that is being opened for the organization, and has the next one wait."""
_OPEN: Final = f"""
INSERT INTO providers (id, organization_id, namespace, name, uid, project_id, is_default)
SELECT %(id)s, o.id, '', %(name)s, '', %(project_id)s, false FROM organizations o
WHERE o.id = %(organization_id)s AND o.is_default AND o.state = 'open'
  AND NOT EXISTS (SELECT FROM providers p WHERE p.organization_id = o.id AND p.state = 'open')
RETURNING {rows.CREDENTIAL_COLUMNS}
"""  # noqa: S608 (constants)
_TRY_CLAIM: Final = """
INSERT INTO project_claims (organization_id, project_id) VALUES (%(organization_id)s, %(project_id)s)
ON CONFLICT (project_id) WHERE released_at IS NULL DO NOTHING
RETURNING id
"""
_OWN_CLAIM: Final = """
SELECT id FROM project_claims
WHERE organization_id = %(organization_id)s AND project_id = %(project_id)s AND released_at IS NULL
"""
HELD_BY_OTHER: Final = "project_claims_one_holder"


async def find(conn: AsyncConnection[Any], organization_id: OrganizationId) -> CredentialRow | None:
    """The open one; None: there is none."""
    row = await (await conn.execute(_FIND, (organization_id,))).fetchone()
    return None if row is None else rows.credential(row)


async def has_open_credential(conn: AsyncConnection[Any], organization_id: OrganizationId) -> bool:
    """Whether the organization has any, with an object or without."""
    row = await (await conn.execute(_HAS_OPEN, (organization_id,))).fetchone()
    return row is not None and bool(row[0])


async def open_seeded(
    conn: AsyncConnection[Any], *, id: CredentialId, organization_id: OrganizationId, project_id: ProjectId
) -> CredentialRow | None:
    """Make the row; None: the organization is not the default, or has a credential by now.

    Raises:
        Conflict: another organization holds the project (`HELD_BY_OTHER`); nothing may be asked with this key
            in its name.
    """
    place = {"id": id, "organization_id": organization_id, "project_id": project_id, "name": NAME}
    await conn.execute(_LOCK, (organization_id,))
    await _refuse_project_of_another(conn, place)
    row = await (await conn.execute(_OPEN, place)).fetchone()
    return None if row is None else rows.credential(row)


async def _refuse_project_of_another(conn: AsyncConnection[Any], place: dict[str, object]) -> None:
    """Tried and taken back: a claim is made by the proof of access, and others' claims cannot be read."""
    async with conn.transaction(force_rollback=True):
        free = await (await conn.execute(_TRY_CLAIM, place)).fetchone()
    if free is None and await (await conn.execute(_OWN_CLAIM, place)).fetchone() is None:
        raise Conflict("another organization holds the Scaleway project", constraint=HELD_BY_OTHER)
