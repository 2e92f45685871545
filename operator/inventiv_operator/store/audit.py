"""`action_logs`: what was done to which thing, per organization. The operator can add and read, no more.

append       one line, in the transaction of what it tells
append_all   lines of what was done elsewhere, in one statement (controllers/audit_trail.py)
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from inventiv_operator.domain.audit import Action, AuditLine, AuditValue
from inventiv_operator.domain.ids import OrganizationId

_APPEND: Final = """
INSERT INTO action_logs (organization_id, action, object_kind, object_name, object_ref, request_id, detail)
VALUES (%(organization_id)s, %(action)s, %(kind)s, %(name)s, %(ref)s, %(request_id)s, %(detail)s)
"""
# One parameter for all of them: a tenth of the time that a list per column takes.
_APPEND_ALL: Final = """
INSERT INTO action_logs
    (organization_id, at, action, object_kind, object_name, object_ref, request_id, detail)
SELECT %(organization_id)s, l.at, l.action, l.kind, l.name, l.ref, l.request_id, l.detail
FROM jsonb_to_recordset(%(lines)s::jsonb) AS l
    (n integer, at timestamptz, action text, kind text, name text, ref text, request_id text, detail jsonb)
WHERE NOT %(again)s OR NOT EXISTS (
    SELECT FROM action_logs a
    WHERE a.organization_id = %(organization_id)s AND a.at = l.at AND a.action = l.action
      AND a.object_ref = l.ref AND a.request_id = l.request_id AND a.detail = l.detail
)
ORDER BY l.n
"""


async def append(
    conn: AsyncConnection[Any],
    *,
    organization_id: OrganizationId,
    action: Action,
    kind: str = "",
    name: str = "",
    ref: str = "",
    request_id: str = "",
    detail: Mapping[str, AuditValue] | None = None,
) -> None:
    """One line, in the transaction of what it tells. `ref` and `request_id`: the provider's. No secrets."""
    await conn.execute(
        _APPEND,
        {
            "organization_id": organization_id,
            "action": str(action),
            "kind": kind,
            "name": name,
            "ref": ref,
            "request_id": request_id,
            "detail": Jsonb(dict(detail or {})),
        },
    )


async def append_all(
    conn: AsyncConnection[Any], organization_id: OrganizationId, lines: Iterable[AuditLine], *, again: bool
) -> None:
    """Lines of one organization, in their order, each with the instant of its own.

    `again`: an earlier attempt may have been committed, so those that are there already are left out.
    """
    rows = [
        {
            "n": n,
            "at": line.at.isoformat(),
            "action": line.action,
            "kind": line.kind,
            "name": line.name,
            "ref": line.ref,
            "request_id": line.request_id,
            "detail": line.detail,
        }
        for n, line in enumerate(lines)
    ]
    await conn.execute(
        _APPEND_ALL, {"organization_id": organization_id, "lines": json.dumps(rows), "again": again}
    )
