"""Giving up what is left of a credential: it may go on at the provider, and nothing here looks after it."""

from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import class_row

from inventiv_operator.domain.ids import CredentialId
from inventiv_operator.store.ledger_reads import OPEN

_LOCK: Final = "SELECT FROM providers WHERE id = %(id)s FOR NO KEY UPDATE"
_COLUMNS: Final = """
r.kind, r.zone, coalesce(r.provider_ref, '') AS ref, r.role, coalesce(d.name, '') AS deployment,
coalesce(r.instance_id::text, '') AS instance_id, r.id::text AS resource_id, d.id::text AS deployment_id,
r.provider_ref IS NOT NULL OR r.send_before IS NOT NULL OR (r.kind = 'volume' AND EXISTS (
    SELECT FROM cloud_resources s WHERE s.instance_id = r.instance_id AND s.kind = 'server'
      AND (s.provider_ref IS NOT NULL OR s.send_before IS NOT NULL)
)) AS may_exist
"""
"""A volume without a call of its own comes with its server."""
_IN_ORDER: Final = """
ORDER BY array_position(ARRAY['server', 'volume', 'ip', 'security_group'], r.kind), r.zone, r.provider_ref,
         r.id
"""
_GIVE_UP: Final = f"""
WITH before AS (
    SELECT id, state FROM cloud_resources WHERE provider_id = %(id)s AND state IN {OPEN} FOR UPDATE
), r AS (
    UPDATE cloud_resources c SET state = 'abandoned', changed_at = ledger_now()
    FROM before WHERE c.id = before.id
    RETURNING c.*, before.state AS state_before
)
SELECT {_COLUMNS}, r.state_before FROM r LEFT JOIN deployments d ON d.id = r.deployment_id {_IN_ORDER}
"""  # noqa: S608 (constants)
_END_INSTANCES: Final = """
UPDATE instances SET state = 'gone', gone_at = ledger_now(), reason = 'Abandoned', message = %(message)s
WHERE state <> 'gone' AND deployment_id IN (SELECT id FROM deployments WHERE provider_id = %(id)s)
"""
_CLOSE_LOST: Final = """
UPDATE deployments SET state = 'closing', changed_at = ledger_now()
WHERE provider_id = %(id)s AND state = 'lost'
"""
_GIVEN_UP: Final = f"""
SELECT {_COLUMNS}, '' AS state_before
FROM cloud_resources r LEFT JOIN deployments d ON d.id = r.deployment_id
WHERE r.provider_id = %(id)s AND r.state = 'abandoned' {_IN_ORDER}
"""  # noqa: S608 (constants)
_ANYTHING: Final = f"""
SELECT EXISTS (SELECT FROM cloud_resources WHERE provider_id = %(id)s AND state IN {OPEN})
    OR EXISTS (SELECT FROM deployments WHERE provider_id = %(id)s AND state = 'lost')
"""  # noqa: S608 (constants)
MESSAGE: Final = "given up with its credential; Scaleway goes on billing what exists of it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """One thing that was given up. `ref` empty: a create whose outcome was never learnt, or, where not even
    `may_exist`, an intent whose create was never sent.
    """

    kind: str
    zone: str
    ref: str
    role: str
    deployment: str  # name; empty: the operator's own
    deployment_id: str | None
    instance_id: str  # as in the tag `inventiv-instance`; empty: of no instance
    resource_id: str  # of the ledger
    may_exist: bool
    state_before: str  # empty where only the list is read


async def lock(conn: AsyncConnection[Any], credential_id: CredentialId) -> None:
    """What is read of the credential from here on stays so until the transaction ends."""
    await conn.execute(_LOCK, {"id": credential_id})


async def is_anything_left(conn: AsyncConnection[Any], credential_id: CredentialId) -> bool:
    """Whether there is something to give up."""
    row = await (await conn.execute(_ANYTHING.encode(), {"id": credential_id})).fetchone()
    return row is not None and bool(row[0])


async def give_up(conn: AsyncConnection[Any], credential_id: CredentialId) -> tuple[Abandoned, ...]:
    """Everything open becomes `abandoned`, intents too, and its instances are gone; what was given up now.

    Deployments that are lost are closed by their reconciler next: no object of theirs is left to wait for.
    """
    values = {"id": credential_id, "message": MESSAGE}
    async with conn.cursor(row_factory=class_row(Abandoned)) as cursor:
        moved = await (await cursor.execute(_GIVE_UP.encode(), values)).fetchall()
    await conn.execute(_END_INSTANCES, values)
    await conn.execute(_CLOSE_LOST, values)
    return tuple(moved)


async def given_up(conn: AsyncConnection[Any], credential_id: CredentialId) -> tuple[Abandoned, ...]:
    """Everything of the credential that was ever given up and may exist, servers first."""
    async with conn.cursor(row_factory=class_row(Abandoned)) as cursor:
        found = await (await cursor.execute(_GIVEN_UP.encode(), {"id": credential_id})).fetchall()
    return tuple(thing for thing in found if thing.may_exist)
