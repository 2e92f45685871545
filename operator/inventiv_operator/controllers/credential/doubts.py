"""A key that stops working is noticed by whoever uses it first, not ten minutes later."""

from inventiv_operator.controllers.credential.schedule import ValidationSchedule
from inventiv_operator.controllers.sweeps.terminator import seeded_key
from inventiv_operator.controllers.waking import Enqueue
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.kube.kinds import CREDENTIAL
from inventiv_operator.runtime.queue import Key, Lane, QueueKey


class Doubts:
    """Has a key validated soon, however often it is told: whoever is told of a refused call may be the one
    who makes the next.
    """

    def __init__(self, schedule: ValidationSchedule, *, enqueue: Enqueue) -> None:
        self._schedule = schedule
        self._enqueue = enqueue

    def __call__(self, row: CredentialRow) -> None:
        is_first = not self._schedule.is_doubted(row.id)
        self._schedule.doubt(row.id)
        if not is_first:
            return
        # Whose it is, is not told: that would hold for every key of the namespace, and a closing credential
        # outlives the claim on it. Its next tenant would stand in the line of the former one (T6).
        key: QueueKey = Key(CREDENTIAL.kind, row.namespace, row.name)
        if not row.namespace:  # seeded: it has no object
            key = seeded_key(row.organization_id, row.id)
        self._enqueue(key, lane=Lane.CREATE)
