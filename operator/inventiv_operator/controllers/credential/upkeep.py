"""What every pass over a credential does, whoever drives it: its object, or the ledger for a seeded one."""

from datetime import datetime
from typing import Final

from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.credential.custody import Custody, KeyState, SaidOfKey
from inventiv_operator.controllers.credential.key import IN_SECRET, KeyPlace
from inventiv_operator.domain.expiry import has_ended, next_step_in_s
from inventiv_operator.domain.ledger import CredentialRow

KEY_ENDED: Final = "the key has expired; put a new one into {place}"


async def past_its_end(
    custody: Custody, state: KeyState, *, now: datetime, place: KeyPlace = IN_SECRET
) -> KeyState:
    """The end of a key is known beforehand, so nobody waits for Scaleway to refuse it; it is asked next, in
    case the end was put off.
    """
    row = state.row
    if not state.said.ready or not has_ended(row.expires_at, now=now):
        return state
    await custody.set_not_ready(row, Reason.CREDENTIAL_EXPIRED)
    message = KEY_ENDED.format(place=place.key)
    said = SaidOfKey(ready=False, reason=Reason.CREDENTIAL_EXPIRED, message=message)
    return KeyState(row=await custody.read(row), said=said, again_in_s=0.0)


def has_moved(before: CredentialRow, after: CredentialRow) -> bool:
    """Whether its deployments may do more now, or less, or with another key."""
    return _standing_of(before) != _standing_of(after)


def _standing_of(row: CredentialRow) -> tuple[bool, bool, bool, str]:
    return row.ready, row.rejected_at is None, bool(row.frozen_reason), row.key_fingerprint


def sooner(again_in_s: float | None, row: CredentialRow | None, *, now: datetime) -> float | None:
    """Not later than the next thing to be told about the end of the key, in seconds."""
    step_s = next_step_in_s(None if row is None else row.expires_at, now=now)
    return min((after_s for after_s in (again_in_s, step_s) if after_s is not None), default=None)
