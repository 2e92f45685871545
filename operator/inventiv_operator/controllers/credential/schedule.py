"""When a key is to be proven again, and how long a fresh one may be refused. Kept in memory: a restart
asks anew.

A credential has up to two keys: the stored one, and one that is offered in its place. Each has its own
schedule, so that a bad offer does not keep anybody from noticing that the stored key was revoked.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from inventiv_operator.controllers.credential.key import ApiKey
from inventiv_operator.domain.ids import CredentialId
from inventiv_operator.runtime.clock import Clock

VALID_FOR_S = 600.0
"""A proven key is proven again after about this time."""
GRACE_S = 120.0
"""New rights take up to two minutes to be known everywhere at Scaleway (api.md, section 10)."""
REFUSED_FIRST_S = 120.0
REFUSED_CAP_S = 1800.0
"""A key that is refused stays so until people act; their acts are noticed at once."""
DOUBT_S = 10.0
"""How soon after a validation another one may be asked for by a call that was answered 401."""
_JITTER = 0.1


class Role(StrEnum):
    STORED = "stored"
    OFFERED = "offered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What people changed last: a new value of either has the key asked about at once."""

    generation: int
    nudge: str = ""  # of `inventiv.io/reconcile-at`


@dataclass(slots=True)
class _Seen:
    identity: str
    turn: Turn
    first_s: float
    due_s: float
    asked_s: float | None = None
    refusals: int = 0
    is_doubted: bool = False


class ValidationSchedule:
    def __init__(self, clock: Clock, *, jitter: Callable[[], float] = random.random) -> None:
        """`jitter` returns numbers in [0, 1)."""
        self._clock = clock
        self._jitter = jitter
        self._seen: dict[tuple[CredentialId, Role], _Seen] = {}

    def due_in_s(
        self, credential_id: CredentialId, role: Role, key: ApiKey, *, turn: Turn, age_s: float | None
    ) -> float:
        """Seconds until this key is to be asked about; 0: now. A changed key or turn is asked about at once.

        `age_s` is that of the last proof in the ledger, None without one: it speaks for the time before this
        process.
        """
        seen = self._seen.get((credential_id, role))
        now_s = self._clock.monotonic()
        identity = _identity(key)
        if seen is None or seen.identity != identity:
            due_s = now_s if age_s is None or seen is not None else now_s + self._spread(VALID_FOR_S) - age_s
            seen = _Seen(identity=identity, turn=turn, first_s=now_s, due_s=due_s)
            self._seen[credential_id, role] = seen
        elif seen.turn != turn:
            seen.turn = turn
            seen.due_s = now_s
        return max(0.0, seen.due_s - now_s)

    def asked(self, credential_id: CredentialId, role: Role, *, again_in_s: float | None) -> float:
        """Note that it was asked about; None: after the usual time. Returns when again, in seconds."""
        return self._note(
            credential_id, role, self._spread(VALID_FOR_S) if again_in_s is None else again_in_s
        )

    def refused(self, credential_id: CredentialId, role: Role) -> float:
        """Note a clear no; each one is followed by a longer wait. Returns when again, in seconds."""
        seen = self._seen.get((credential_id, role))
        before = 0 if seen is None else seen.refusals
        whole_s = min(REFUSED_CAP_S, REFUSED_FIRST_S * 2.0 ** min(before, 16))
        delay_s = self._note(credential_id, role, self._spread(whole_s))
        if seen is not None:
            seen.refusals = before + 1
        return delay_s

    def doubt(self, credential_id: CredentialId) -> None:
        """A call with the stored key was refused: it is to be asked about now."""
        seen = self._seen.get((credential_id, Role.STORED))
        if seen is not None:
            seen.is_doubted = True
            earliest_s = 0.0 if seen.asked_s is None else seen.asked_s + DOUBT_S
            seen.due_s = min(seen.due_s, max(self._clock.monotonic(), earliest_s))

    def is_doubted(self, credential_id: CredentialId) -> bool:
        """Whether a call was refused since it was asked about."""
        seen = self._seen.get((credential_id, Role.STORED))
        return seen is not None and seen.is_doubted

    def adopted(self, credential_id: CredentialId) -> None:
        """The offered key is the stored one now."""
        seen = self._seen.pop((credential_id, Role.OFFERED), None)
        if seen is not None:
            self._seen[credential_id, Role.STORED] = seen

    def is_fresh(self, credential_id: CredentialId, role: Role) -> bool:
        """Whether a 403 may only mean "not yet"."""
        seen = self._seen.get((credential_id, role))
        return seen is not None and self._clock.monotonic() - seen.first_s < GRACE_S

    def withdrawn(self, credential_id: CredentialId) -> None:
        """Nothing is offered in place of the stored key any more."""
        self._seen.pop((credential_id, Role.OFFERED), None)

    def forget(self, credential_id: CredentialId) -> None:
        for role in Role:
            self._seen.pop((credential_id, role), None)

    def _note(self, credential_id: CredentialId, role: Role, delay_s: float) -> float:
        if (seen := self._seen.get((credential_id, role))) is not None:
            seen.asked_s = self._clock.monotonic()
            seen.due_s = seen.asked_s + delay_s
            seen.refusals, seen.is_doubted = 0, False
        return delay_s

    def _spread(self, whole_s: float) -> float:
        """Ten percent less or more, so that a thousand credentials are not asked about in one second."""
        return whole_s * (1.0 - _JITTER + 2 * _JITTER * self._jitter())


def _identity(key: ApiKey) -> str:
    return f"{key.access_key} {sha256(key.secret_key.get_secret_value().encode()).hexdigest()}"
