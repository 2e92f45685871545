"""Whether what is left of a credential may be given up: it goes on being billed, and nobody looks after it
any more, so it takes a person's word and a reason that has lasted.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from inventiv_operator.domain.ledger import CredentialRow

ABANDON_AFTER: Final = timedelta(hours=24)
"""How long the key must have been refused, or the credential frozen: time to put a valid key in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Honoured:
    """What is left may be given up now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """`why` ends a sentence that begins with the annotation, and says when it would be different."""

    why: str


def abandonable_from(row: CredentialRow) -> datetime | None:
    """From when on it may be, with what is known now; None: the key works as far as anybody knows."""
    since = min(_since(row).values(), default=None)
    return None if since is None else since + ABANDON_AFTER


def may_abandon(
    row: CredentialRow, *, asked: str, is_being_deleted: bool, now: datetime
) -> Honoured | Refused:
    """`asked` is the value of the annotation: the id of the credential, so that it is meant, and meant here.

    Times are UTC; the ledger keeps since when the stored key is refused, so a restart begins nothing anew.
    """
    if not is_being_deleted:
        return Refused(why="the ProviderCredential is not being deleted: delete it first")
    if asked.strip().lower() != str(row.id):
        return Refused(why=f"expected is the id in status.credentialID, {row.id}; found {_quoted(asked)}")
    since = _since(row)
    if not since:
        return Refused(
            why="the stored key is not refused by Scaleway and the credential is not frozen, so what is left"
            " can be deleted with it: delete the Deployments that are named"
        )
    state, at = min(since.items(), key=lambda item: item[1])
    if now < at + ABANDON_AFTER:
        return Refused(
            why=f"{state} since {_instant(at)}, which is less than 24 hours; it becomes possible at"
            f" {_instant(at + ABANDON_AFTER)}"
        )
    return Honoured()


def _since(row: CredentialRow) -> dict[str, datetime]:
    """What lets things be given up, in words, and since when it is so. Either is enough on its own."""
    both = {"its key has been refused": row.rejected_at, "it has been frozen": row.frozen_at}
    return {state: at for state, at in both.items() if at is not None}


def _quoted(asked: str) -> str:
    """An id as it is; anything else may be what somebody pasted by mistake, and is not repeated."""
    try:
        return str(UUID(asked.strip()))
    except ValueError:
        return f"a text of {len(asked)} characters that is no id"


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
