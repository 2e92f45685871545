"""`action_logs`: who did what to which thing, per organization. The operator can add and read, no more."""

from collections.abc import Mapping
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from inventiv_operator.domain.ids import OrganizationId

_APPEND: Final = """
INSERT INTO action_logs (organization_id, action, object_kind, object_name, object_ref, request_id, detail)
VALUES (%(organization_id)s, %(action)s, %(kind)s, %(name)s, %(ref)s, %(request_id)s, %(detail)s)
"""


async def append(
    conn: AsyncConnection[Any],
    *,
    organization_id: OrganizationId,
    action: str,
    kind: str = "",
    name: str = "",
    ref: str = "",
    request_id: str = "",
    detail: Mapping[str, str | int | bool | None] | None = None,
) -> None:
    """One line, in the transaction of what it tells. `ref` and `request_id`: the provider's. No secrets."""
    await conn.execute(
        _APPEND,
        {
            "organization_id": organization_id,
            "action": action,
            "kind": kind,
            "name": name,
            "ref": ref,
            "request_id": request_id,
            "detail": Jsonb(dict(detail or {})),
        },
    )
