"""The end of an organization's data key, and of the settings that no credential has any more.

It comes with whichever is later: the organization is closed, or the quarantine of its last credential is
over. Until then the key that somebody may still need is kept readable.
"""

from typing import Any, Final

from psycopg import AsyncConnection

from inventiv_operator.domain.audit import Action
from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.store import audit

_IS_OVER: Final = """
    EXISTS (SELECT FROM organizations o WHERE o.id = %(id)s AND o.state = 'closed')
    AND NOT EXISTS (SELECT FROM providers p WHERE p.organization_id = %(id)s AND p.state <> 'closed')
"""
_SETTINGS: Final = f"DELETE FROM provider_settings WHERE organization_id = %(id)s AND {_IS_OVER}"  # noqa: S608 (constants)
_DATA_KEYS: Final = f"""
DELETE FROM organization_keys WHERE organization_id = %(id)s AND {_IS_OVER} RETURNING version
"""  # noqa: S608 (constants)


async def destroy_what_is_over(conn: AsyncConnection[Any], organization_id: OrganizationId) -> None:
    """Nothing while the organization lives, or a credential of it is not closed."""
    values = {"id": organization_id}
    await conn.execute(_SETTINGS.encode(), values)  # first: they refer to the data key
    destroyed = await (await conn.execute(_DATA_KEYS.encode(), values)).fetchall()
    for (version,) in destroyed:
        await audit.append(
            conn,
            organization_id=organization_id,
            action=Action.KEY_DESTROYED,
            kind="data-key",
            detail={"version": version},
        )
