"""Whether the schema is the one this release knows, and whether row-level security binds the role (start-up
proof).
"""

from typing import Any, Final

from psycopg import AsyncConnection
from psycopg import errors as pg

from inventiv_operator.store.errors import BypassesRowSecurity, SchemaMismatch

VERSIONS: Final = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
)
"""The numbers of the files in `migrations/`; a test holds the two alike."""
READ_VERSIONS: Final = "SELECT version FROM schema_migrations"

_FIRST_UNBOUND_ROLE = """
SELECT r.rolname FROM pg_roles r
WHERE (r.rolsuper OR r.rolbypassrls) AND pg_has_role(session_user, r.oid, 'MEMBER')
ORDER BY r.rolname = session_user DESC, r.rolname LIMIT 1
"""
_TENANT_TABLES = """
SELECT c.relname,
       pg_has_role(session_user, c.relowner, 'MEMBER') AS owned,
       c.relrowsecurity AND c.relforcerowsecurity AND row_security_active(c.oid) AS bound
FROM pg_class c
WHERE c.relkind IN ('r', 'p')
  AND c.relnamespace = (SELECT s.relnamespace FROM pg_class s WHERE s.oid = to_regclass('provider_settings'))
  AND (c.relname = 'organizations' OR EXISTS (
      SELECT FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
  ))
ORDER BY c.relname
"""


def versions_problem(found: set[str]) -> str | None:
    """One line, or None when the schema is ours."""
    missing = [version for version in VERSIONS if version not in found]
    if missing:
        at = max(found & set(VERSIONS), default="none")
        return (
            f"the database schema is at version {at} and this release needs {VERSIONS[-1]}:"
            " run `inventiv-operator migrate`"
        )
    unknown = sorted(found - set(VERSIONS))
    if unknown:
        return (
            f"the database schema has version {unknown[-1]}, which this release does not know:"
            " run the release that made it"
        )
    return None


async def check_operator(conn: AsyncConnection[Any]) -> None:
    """Everything that is asked of the operator's own login.

    Raises:
        SchemaMismatch, BypassesRowSecurity
    """
    unbound = await _column(conn, _FIRST_UNBOUND_ROLE)
    if unbound:
        raise BypassesRowSecurity(
            f"the database login is, or can become, {unbound[0]!r}, which bypasses row-level security:"
            " use a login that is a plain member of the operator's role"
        )
    problem = versions_problem(await _versions(conn))
    if problem is not None:
        raise SchemaMismatch(problem)
    for name, owned, bound in await (await conn.execute(_TENANT_TABLES)).fetchall():
        if owned:
            raise BypassesRowSecurity(
                f"the database login owns table {name} or can become its owner:"
                " use a login that is a plain member of the operator's role"
            )
        if not bound:
            raise BypassesRowSecurity(f"row-level security does not bind the database login on table {name}")


async def _versions(conn: AsyncConnection[Any]) -> set[str]:
    try:
        return set(await _column(conn, READ_VERSIONS))
    except pg.UndefinedTable:
        return set()
    except pg.InsufficientPrivilege:
        raise SchemaMismatch(
            "the database login may not read the schema's version: run `inventiv-operator migrate` with"
            " INVENTIV_OPERATOR_ROLE set to its role"
        ) from None


async def _column(conn: AsyncConnection[Any], query: str) -> list[str]:
    cursor = await conn.execute(query.encode())
    return [str(row[0]) for row in await cursor.fetchall()]
