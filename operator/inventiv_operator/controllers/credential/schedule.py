"""When a key is to be proven again, and how long a fresh one may be refused. Kept in memory: a restart
asks anew.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from inventiv_operator.controllers.credential.key import ApiKey
from inventiv_operator.domain.ids import CredentialId
from inventiv_operator.runtime.clock import Clock

VALID_FOR_S = 600.0
"""A proven key is proven again after about this time."""
GRACE_S = 120.0
"""New rights take up to two minutes to be known everywhere at Scaleway (api.md, section 10)."""
_JITTER = 0.1


@dataclass(slots=True)
class _Seen:
    identity: str
    generation: int
    first_s: float
    due_s: float


class ValidationSchedule:
    def __init__(self, clock: Clock, *, jitter: Callable[[], float] = random.random) -> None:
        """`jitter` returns numbers in [0, 1)."""
        self._clock = clock
        self._jitter = jitter
        self._seen: dict[CredentialId, _Seen] = {}

    def due_in_s(
        self, credential_id: CredentialId, key: ApiKey, *, generation: int, age_s: float | None
    ) -> float:
        """Seconds until this key is to be asked about; 0: now. A changed key or spec is asked about at once.

        `age_s` is that of the last proof in the ledger, None without one: it speaks for the time before this
        process.
        """
        seen = self._seen.get(credential_id)
        now_s = self._clock.monotonic()
        identity = _identity(key)
        if seen is None or seen.identity != identity:
            due_s = now_s if age_s is None or seen is not None else now_s + self._spread(VALID_FOR_S) - age_s
            seen = _Seen(identity=identity, generation=generation, first_s=now_s, due_s=due_s)
            self._seen[credential_id] = seen
        elif seen.generation != generation:
            seen.generation = generation
            seen.due_s = now_s
        return max(0.0, seen.due_s - now_s)

    def asked(self, credential_id: CredentialId, *, again_in_s: float | None) -> float:
        """Note that it was asked about; None: after the usual time. Returns when again, in seconds."""
        delay_s = self._spread(VALID_FOR_S) if again_in_s is None else again_in_s
        if (seen := self._seen.get(credential_id)) is not None:
            seen.due_s = self._clock.monotonic() + delay_s
        return delay_s

    def is_fresh(self, credential_id: CredentialId) -> bool:
        """Whether a 403 may only mean "not yet"."""
        seen = self._seen.get(credential_id)
        return seen is not None and self._clock.monotonic() - seen.first_s < GRACE_S

    def forget(self, credential_id: CredentialId) -> None:
        self._seen.pop(credential_id, None)

    def _spread(self, whole_s: float) -> float:
        """Ten percent less or more, so that a thousand credentials are not asked about in one second."""
        return whole_s * (1.0 - _JITTER + 2 * _JITTER * self._jitter())


def _identity(key: ApiKey) -> str:
    return f"{key.access_key} {sha256(key.secret_key.get_secret_value().encode()).hexdigest()}"
