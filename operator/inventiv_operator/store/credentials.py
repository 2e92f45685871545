"""Rows of `providers`: one for each ProviderCredential, and for each seeded one. Nothing secret is in them.

open      serves deployments
closing   nothing uses it; key and row are kept for a quarantine: what somebody still finds can be deleted
closed    its key is destroyed
"""

# ruff: noqa: A002 (`id` is the column's own name)

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection

from inventiv_operator.domain.ids import CredentialId, OrganizationId, ProviderRef, Zone
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.store import rows
from inventiv_operator.store.destruction import destroy_what_is_over
from inventiv_operator.store.errors import Conflict
from inventiv_operator.store.settings import delete_settings

_SELECT: Final = f"SELECT {rows.CREDENTIAL_COLUMNS} FROM providers"  # noqa: S608 (constants)
_GET: Final = f"{_SELECT} WHERE id = %s"
_IN_NAMESPACE: Final = f"""
{_SELECT} WHERE namespace = %s AND uid <> '' AND state <> 'closed' ORDER BY name, created_at
"""
_FIND: Final = f"""
{_SELECT} WHERE namespace = %s AND name = %s AND uid <> '' AND state <> 'closed'
ORDER BY state = 'open' DESC, created_at DESC LIMIT 1
"""
_OPEN: Final = f"""
INSERT INTO providers AS p (id, organization_id, namespace, name, uid, project_id, is_default, zones)
SELECT %(id)s, c.organization_id, c.namespace, %(name)s, %(uid)s, %(project_id)s, %(is_default)s, %(zones)s
FROM namespace_claims c
WHERE c.organization_id = %(organization_id)s AND c.namespace = %(namespace)s
  AND c.namespace_uid = %(namespace_uid)s AND c.released_at IS NULL
FOR SHARE
ON CONFLICT (id) DO UPDATE
    SET uid = excluded.uid, is_default = excluded.is_default, zones = excluded.zones,
        changed_at = ledger_now()
    WHERE p.state = 'open' AND p.project_id = excluded.project_id
RETURNING {rows.CREDENTIAL_COLUMNS}
"""  # noqa: S608 (constants)
_CLAIM_PROJECT: Final = """
WITH taken AS (
    INSERT INTO project_claims (organization_id, project_id)
    SELECT organization_id, project_id FROM providers WHERE id = %(id)s
    ON CONFLICT (project_id) WHERE released_at IS NULL DO NOTHING
    RETURNING id
)
SELECT true FROM taken
UNION ALL
SELECT false FROM project_claims c
JOIN providers p ON p.organization_id = c.organization_id AND p.project_id = c.project_id
WHERE p.id = %(id)s AND c.released_at IS NULL
"""
_SET_VALIDATED: Final = """
UPDATE providers SET ready = %(ready)s, reason = %(reason)s, validated_at = %(validated_at)s,
    expires_at = %(expires_at)s, key_fingerprint = %(key_fingerprint)s, access_key = %(access_key)s,
    encryption_key_id = %(encryption_key_id)s, rejected_at = NULL, changed_at = ledger_now()
WHERE id = %(id)s AND state <> 'closed'
RETURNING id
"""
_SET_NOT_READY: Final = """
UPDATE providers SET ready = false, reason = %(reason)s, changed_at = ledger_now(),
    rejected_at = coalesce(rejected_at, %(rejected_at)s)
WHERE id = %(id)s
RETURNING id
"""
_FORGET_REFUSAL: Final = """
UPDATE providers SET rejected_at = NULL, changed_at = ledger_now() WHERE id = %(id)s AND state <> 'closed'
RETURNING id
"""
_FREEZE: Final = """
UPDATE providers SET frozen_reason = %(reason)s, frozen_at = coalesce(frozen_at, ledger_now()), ready = false,
    reason = 'Frozen', changed_at = ledger_now()
WHERE id = %(id)s
RETURNING id
"""
_UNFREEZE: Final = """
UPDATE providers SET frozen_reason = '', frozen_at = NULL, changed_at = ledger_now() WHERE id = %(id)s
RETURNING id
"""
_LOCK: Final = "SELECT FROM providers WHERE id = %s FOR NO KEY UPDATE"
"""Waits for a deployment that is being opened with it; the statement that follows sees that one."""
_BEGIN_CLOSING: Final = """
UPDATE providers SET state = 'closing', closing_at = ledger_now(), changed_at = ledger_now()
WHERE id = %(id)s AND state = 'open'
  AND NOT EXISTS (SELECT FROM deployments WHERE provider_id = %(id)s AND state <> 'closed')
RETURNING id
"""
_CLOSE: Final = """
UPDATE providers SET state = 'closed', closed_at = ledger_now(), changed_at = ledger_now(), ready = false
WHERE id = %(id)s AND state <> 'closed'
  AND NOT EXISTS (SELECT FROM deployments WHERE provider_id = %(id)s AND state <> 'closed')
  AND NOT EXISTS (
      SELECT FROM cloud_resources
      WHERE provider_id = %(id)s AND state IN ('intended', 'present', 'deleting', 'lost')
  )
RETURNING organization_id, project_id
"""
_RELEASE_PROJECT: Final = """
UPDATE project_claims SET released_at = ledger_now()
WHERE organization_id = %(organization_id)s AND project_id = %(project_id)s AND released_at IS NULL
  AND NOT EXISTS (
      SELECT FROM providers
      WHERE organization_id = %(organization_id)s AND project_id = %(project_id)s AND state <> 'closed'
  )
RETURNING id
"""
_ZONE_CONTROL: Final = (
    "SELECT security_group_ref FROM provider_zone_controls WHERE provider_id = %s AND zone = %s"
)
_REMEMBER_CONTROL: Final = """
INSERT INTO provider_zone_controls (organization_id, provider_id, zone, security_group_ref)
SELECT organization_id, id, %(zone)s, %(ref)s FROM providers WHERE id = %(id)s
ON CONFLICT (provider_id, zone) DO UPDATE
    SET security_group_ref = excluded.security_group_ref, recorded_at = ledger_now()
RETURNING provider_id
"""
_FORGET_CONTROLS: Final = "DELETE FROM provider_zone_controls WHERE provider_id = %s"
_TO_SWEEP: Final = "SELECT organization_id, id, namespace, name, state FROM lookup_credentials()"
_OWNERS: Final = "SELECT lookup_credential_owners(%s, %s)"


class CredentialToSweep(NamedTuple):
    """Whose project a sweep has to visit; `state` is open or closing; a seeded one has no `namespace`."""

    organization_id: OrganizationId
    credential_id: CredentialId
    namespace: str
    name: str
    state: str


async def get(conn: AsyncConnection[Any], id: CredentialId) -> CredentialRow | None:
    """In whatever state; None: not one of this organization."""
    row = await (await conn.execute(_GET, (id,))).fetchone()
    return None if row is None else rows.credential(row)


async def in_namespace(conn: AsyncConnection[Any], *, namespace: str) -> tuple[CredentialRow, ...]:
    """Those that are not closed, by name."""
    cursor = await conn.execute(_IN_NAMESPACE, (namespace,))
    return tuple(rows.credential(row) for row in await cursor.fetchall())


async def find(conn: AsyncConnection[Any], *, namespace: str, name: str) -> CredentialRow | None:
    """The open one of this name, else the newest that is closing."""
    row = await (await conn.execute(_FIND, (namespace, name))).fetchone()
    return None if row is None else rows.credential(row)


async def open_credential(
    conn: AsyncConnection[Any],
    *,
    id: CredentialId,
    organization_id: OrganizationId,
    namespace: str,
    namespace_uid: str,
    name: str,
    uid: str,
    project_id: str,
    is_default: bool,
    zones: Sequence[Zone] | None = None,
) -> CredentialRow:
    """Make the row, or follow the object: its uid after it was made anew, its `default` and `zones`.

    `namespace_uid` is the one that the namespace has now. That the organization holds this very namespace is
    looked at again here, and stays so until the transaction ends (T1).

    Raises:
        Conflict: another open one has the name, or this one is closing, or is of another project, or the
            namespace is not the organization's any more.
    """
    cursor = await conn.execute(
        _OPEN,
        {
            "id": id,
            "organization_id": organization_id,
            "namespace": namespace,
            "namespace_uid": namespace_uid,
            "name": name,
            "uid": uid,
            "project_id": project_id,
            "is_default": is_default,
            "zones": None if zones is None else list(zones),
        },
    )
    row = await cursor.fetchone()
    if row is None:
        raise Conflict(
            f"credential {namespace}/{name} is on its way out, or of another project, or its namespace is not"
            " the organization's any more: it is looked at again"
        )
    return rows.credential(row)


async def set_validated(
    conn: AsyncConnection[Any],
    id: CredentialId,
    *,
    ready: bool,
    reason: str,
    validated_at: datetime,
    expires_at: datetime | None,
    key_fingerprint: str,
    access_key: str,
    encryption_key_id: str,
) -> bool:
    """What a validation found. The first that is ready claims the Scaleway project for the organization (T1):
    the answer says whether this one did.

    Raises:
        Conflict: the project belongs to another organization (constraint `project_claims_one_holder`), or the
            credential is closed.
    """
    claim = await (await conn.execute(_CLAIM_PROJECT, {"id": id})).fetchone() if ready else (False,)
    if claim is None:
        raise Conflict(
            "the Scaleway project belongs to somebody else", constraint="project_claims_one_holder"
        )
    await _one(
        conn,
        _SET_VALIDATED,
        {
            "id": id,
            "ready": ready,
            "reason": "" if ready else reason,
            "validated_at": validated_at,
            "expires_at": expires_at,
            "key_fingerprint": key_fingerprint,
            "access_key": access_key,
            "encryption_key_id": encryption_key_id,
        },
    )
    return bool(claim[0])


async def forget_refusal(conn: AsyncConnection[Any], id: CredentialId) -> None:
    """The stored key is another one now, and nobody has asked about it yet."""
    await _one(conn, _FORGET_REFUSAL, {"id": id})


async def set_not_ready(
    conn: AsyncConnection[Any], id: CredentialId, *, reason: str, rejected_at: datetime | None = None
) -> None:
    """`rejected_at`: the stored key was refused (401) just now; the first such instant stays until a
    validation passes.
    """
    await _one(conn, _SET_NOT_READY, {"id": id, "reason": reason, "rejected_at": rejected_at})


async def freeze(conn: AsyncConnection[Any], id: CredentialId, *, reason: str) -> None:
    """No create, no delete, no conclusion, until a validation passes again (T8)."""
    await _one(conn, _FREEZE, {"id": id, "reason": rows.message_of(reason) or "frozen"})


async def unfreeze(conn: AsyncConnection[Any], id: CredentialId) -> None:
    """A validation passed; it says itself whether the credential is ready."""
    await _one(conn, _UNFREEZE, {"id": id})


async def begin_closing(conn: AsyncConnection[Any], id: CredentialId) -> None:
    """Nothing uses it: the quarantine begins. Raises `Conflict` unless it is open, and used by no
    deployment.
    """
    await conn.execute(_LOCK, (id,))
    await _one(conn, _BEGIN_CLOSING, {"id": id})


async def close(conn: AsyncConnection[Any], id: CredentialId) -> bool:
    """The end: its settings, key included, go, and its project is free unless another credential holds it:
    the answer says whether it became so now.

    With the last credential of a closed organization the data key goes too.

    Raises:
        Conflict: closed already, or a deployment or cloud resource of it is not in a final state.
    """
    row = await (await conn.execute(_CLOSE, {"id": id})).fetchone()
    if row is None:
        raise Conflict("the credential is closed already, or something of it is left")
    place = {"id": id, "organization_id": row[0], "project_id": row[1]}
    await delete_settings(conn, id)
    released = await (await conn.execute(_RELEASE_PROJECT.encode(), place)).fetchone()
    await destroy_what_is_over(conn, row[0])
    return released is not None


async def zone_control(conn: AsyncConnection[Any], id: CredentialId, *, zone: Zone) -> ProviderRef | None:
    """The security group that is known to exist there; None: the zone is used for the first time."""
    row = await (await conn.execute(_ZONE_CONTROL, (id, zone))).fetchone()
    return None if row is None else ProviderRef(row[0])


async def remember_zone_control(
    conn: AsyncConnection[Any], id: CredentialId, *, zone: Zone, ref: ProviderRef
) -> None:
    """From now on this one must be found there."""
    await _one(conn, _REMEMBER_CONTROL, {"id": id, "zone": zone, "ref": ref})


async def forget_zone_controls(conn: AsyncConnection[Any], id: CredentialId) -> None:
    """For a validation that passed after a freeze: the next use of a zone records its control anew."""
    await conn.execute(_FORGET_CONTROLS, (id,))


async def rows_to_sweep(conn: AsyncConnection[Any]) -> tuple[CredentialToSweep, ...]:
    """Everyone that is not closed, those in quarantine included. `conn` is the platform's."""
    cursor = await conn.execute(_TO_SWEEP)
    return tuple(CredentialToSweep(*row) for row in await cursor.fetchall())


async def owner_of(conn: AsyncConnection[Any], namespace: str, name: str) -> tuple[OrganizationId, ...]:
    """Whose rows of this name are not closed. `conn` is the platform's."""
    cursor = await conn.execute(_OWNERS, (namespace, name))
    return tuple(row[0] for row in await cursor.fetchall())


async def _one(conn: AsyncConnection[Any], statement: str, values: dict[str, Any]) -> None:
    cursor = await conn.execute(statement.encode(), values)
    if await cursor.fetchone() is None:
        raise Conflict("the credential is not, or no longer, in a state for this")
