"""Writing `cloud_resources`: intent first, effect second, fact third.

`domain.ledger.TRANSITIONS` is repeated as the guard of every UPDATE: fewer rows back than asked for is a
`Conflict`.
"""

# ruff: noqa: A002 (`id` is the column's own name)

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection

from inventiv_operator.domain.cloud import VolumeApi
from inventiv_operator.domain.ids import ProviderRef, ResourceId
from inventiv_operator.domain.ledger import TRANSITIONS, NewResource, Origin, ResourceState
from inventiv_operator.store import rows
from inventiv_operator.store.errors import Conflict

REACHED_FROM: Final = {
    to: frozenset(state for state, following in TRANSITIONS.items() if to in following)
    for to in ResourceState
}

_INSERT: Final = """
INSERT INTO cloud_resources (id, organization_id, provider_id, deployment_id, instance_id, kind, role, zone,
                             volume_api, size_gb, state, provider_ref, origin)
SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::text[],
                     %s::text[], %s::text[], %s::int[], %s::text[], %s::text[], %s::text[])
"""
_MARK_SENDING: Final = """
UPDATE cloud_resources SET send_before = %(send_before)s, attempts = attempts || %(attempt)s::text
WHERE id = %(id)s AND state = 'intended' AND provider_ref IS NULL AND send_before IS NULL
RETURNING id
"""
_CLEAR_SEND: Final = """
UPDATE cloud_resources SET send_before = NULL
WHERE id = %(id)s AND state IN ('intended', 'deleting') AND provider_ref IS NULL
RETURNING id
"""
_RECORD_PRESENT: Final = """
UPDATE cloud_resources SET provider_ref = %(ref)s, origin = %(origin)s, changed_at = ledger_now(),
    volume_api = coalesce(%(volume_api)s, volume_api),
    state = CASE state WHEN 'intended' THEN 'present' ELSE state END
WHERE id = %(id)s AND state IN ('intended', 'deleting') AND provider_ref IS NULL
RETURNING id
"""
_ADVANCE: Final = """
UPDATE cloud_resources SET state = %(to)s, changed_at = ledger_now()
WHERE id = ANY(%(ids)s) AND state = ANY(%(allowed)s)
RETURNING id
"""
_MARK_PREPARED: Final = """
UPDATE cloud_resources SET prepared_at = ledger_now(), prepared_hash = coalesce(%(hash)s, prepared_hash)
WHERE id = ANY(%(ids)s)
RETURNING id
"""
_MARK_PREPARING: Final = """
UPDATE cloud_resources SET prepared_hash = %(hash)s WHERE id = %(id)s RETURNING id
"""
_MARK_STARTED: Final = """
UPDATE cloud_resources SET started_at = ledger_now() WHERE id = ANY(%(ids)s) RETURNING id
"""
_RECORD_ERROR: Final = """
UPDATE cloud_resources SET last_error = %(message)s, last_error_at = ledger_now()
WHERE id = %(id)s
RETURNING id
"""


async def insert_resources(conn: AsyncConnection[Any], resources: Sequence[NewResource]) -> None:
    """All in one statement, before the calls that make the things (S6)."""
    if not resources:
        return
    columns = zip(
        *(
            (
                new.id,
                new.organization_id,
                new.credential_id,
                new.deployment_id,
                new.instance_id,
                new.kind.value,
                new.role,
                new.zone,
                None if new.volume_api is None else str(new.volume_api),
                new.size_gb,
                new.state.value,
                new.provider_ref,
                None if new.origin is None else new.origin.value,
            )
            for new in resources
        ),
        strict=True,
    )
    await conn.execute(_INSERT, [list(column) for column in columns])


async def mark_sending(
    conn: AsyncConnection[Any], id: ResourceId, *, attempt: str, send_before: datetime
) -> None:
    """From the commit on, a create call may have left.

    Raises:
        Conflict: no longer an intent, or another attempt is open: its outcome must be settled first (L3).
    """
    await _all(conn, _MARK_SENDING, {"id": id, "attempt": attempt, "send_before": send_before}, number=1)


async def clear_send(conn: AsyncConnection[Any], id: ResourceId) -> None:
    """The open attempt came to nothing, provably; it stays in `attempts`. `Conflict`: the id is known."""
    await _all(conn, _CLEAR_SEND, {"id": id}, number=1)


async def record_present(
    conn: AsyncConnection[Any],
    id: ResourceId,
    *,
    provider_ref: ProviderRef,
    origin: Origin,
    volume_api: VolumeApi | None = None,
) -> None:
    """The id of what an intent made. An intent that is no longer wanted goes on `deleting`, with the id.

    `volume_api` of a volume as it was seen, whatever the intent expected; None keeps what is noted.

    Raises:
        Conflict: it has an id, or is in a final state.
        IdTaken: another row has this id (at the end of the transaction's block).
    """
    values = {
        "id": id,
        "ref": provider_ref,
        "origin": origin.value,
        "volume_api": None if volume_api is None else volume_api.value,
    }
    await _all(conn, _RECORD_PRESENT, values, number=1)


async def advance(
    conn: AsyncConnection[Any],
    ids: Sequence[ResourceId],
    *,
    to: ResourceState,
    allowed: Collection[ResourceState],
) -> None:
    """Move rows to a state, from those `allowed` that `TRANSITIONS` lets it be reached from.

    Raises:
        Conflict: one of them is elsewhere; none of this transaction may be believed then.
    """
    states = [state.value for state in REACHED_FROM[to].intersection(allowed)]
    await _all(conn, _ADVANCE, {"ids": list(ids), "to": to.value, "allowed": states}, number=len(set(ids)))


async def mark_prepared(
    conn: AsyncConnection[Any], ids: Sequence[ResourceId], *, prepared_hash: str | None = None
) -> None:
    """What had to be set on the thing is set; None keeps what is noted of it."""
    await _all(conn, _MARK_PREPARED, {"ids": list(ids), "hash": prepared_hash}, number=len(set(ids)))


async def mark_preparing(conn: AsyncConnection[Any], id: ResourceId, *, prepared_hash: str) -> None:
    """Something is about to be set on the thing; since when the last one is set stays as it is."""
    await _all(conn, _MARK_PREPARING, {"id": id, "hash": prepared_hash}, number=1)


async def mark_started(conn: AsyncConnection[Any], ids: Sequence[ResourceId]) -> None:
    """A power-on was accepted."""
    await _all(conn, _MARK_STARTED, {"ids": list(ids)}, number=len(set(ids)))


async def record_error(conn: AsyncConnection[Any], id: ResourceId, *, message: str) -> None:
    """What the provider said last; cut to what a person reads."""
    await _all(conn, _RECORD_ERROR, {"id": id, "message": rows.message_of(message)}, number=1)


async def _all(conn: AsyncConnection[Any], statement: str, values: dict[str, Any], *, number: int) -> None:
    cursor = await conn.execute(statement.encode(), values)
    if cursor.rowcount != number:
        raise Conflict("the row is not, or no longer, in a state for this")
