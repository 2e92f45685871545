"""An id that the ledger holds for something else already: said, and left alone.

It comes from tags that somebody copied, or from a restored database. Whose the other row is stays unsaid: it
may be another tenant's.
"""

import logging
from typing import Any

from psycopg import AsyncConnection

from inventiv_operator.controllers.ledger_writer import Writes
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.domain.ledger import Resource
from inventiv_operator.domain.waits import Wait
from inventiv_operator.store import ledger

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 60.0


class HeldElsewhere(Exception):
    """`wait` is where that leaves what the id was found for."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.wait = Wait(reason="CreateFailed", after_s=LOOK_AGAIN_S, message=message)


async def held_elsewhere(writer: Writes, row: Resource, ref: ProviderRef, *, what: str) -> HeldElsewhere:
    """The error to raise; an error in the log the first time, which the ledger remembers."""
    message = (
        f"{what} {ref} in {row.zone} was found here, but the ledger holds it, or a part of it, for something"
        " else already: nothing is done to it. If nothing else of yours uses it, delete it at Scaleway, and"
        " this goes on; otherwise remove the tags starting with inventiv- that were copied to it, or ask the"
        " platform team"
    )
    if row.last_error != message:
        logger.error(
            "an id of the provider is held by another row of the ledger; nothing is done to it",
            extra={"resource": str(row.kind), "provider_ref": ref, "zone": str(row.zone)},
        )

        async def note(conn: AsyncConnection[Any]) -> None:
            await ledger.record_error(conn, row.id, message=message)

        await writer.write(row.organization_id, note)
    return HeldElsewhere(message)
