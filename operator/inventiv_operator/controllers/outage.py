"""Saying on an object that the database is away, where that is news.

An object that is Ready keeps saying so: nothing about it is known to have changed, and what runs goes on
running. One that waits for the operator (new, changed, being deleted, not ready) says what it waits for.
"""

from inventiv_operator.api.conditions import ConditionStatus, ConditionType, Reason, Said, condition_of
from inventiv_operator.controllers.objects import Objects
from inventiv_operator.controllers.status import ObjectStatusWriter, old_conditions
from inventiv_operator.kube.kinds import OURS
from inventiv_operator.runtime.queue import Key

MESSAGE = (
    "the operator cannot reach its PostgreSQL database, so it does nothing for now; what runs goes on"
    " running, and work"
    " resumes by itself"
)


class OutageNotes:
    def __init__(self, kube: Objects, *, status: ObjectStatusWriter) -> None:
        self._kube = kube
        self._status = status
        self._kinds = {kind.kind: kind for kind in OURS}

    async def say(self, key: Key, why: str) -> None:
        """Set Ready=False/DatabaseUnavailable and leave the rest of the status as it is.

        Raises:
            KubeError: the API server is away too.
        """
        kind = self._kinds.get(key.kind)
        body = None if kind is None else await self._kube.get(kind, key.namespace or None, key.name)
        if kind is None or body is None or _is_settled(body):
            return
        said = Said(
            type=ConditionType.READY,
            status=ConditionStatus.FALSE,
            reason=Reason.DATABASE_UNAVAILABLE,
            message=f"{MESSAGE} ({why})",
        )
        status = dict(body.get("status") or {})
        others = [
            Said(type=ConditionType(c.type), status=c.status, reason=Reason(c.reason), message=c.message)
            for c in old_conditions(body)
            if c.type != ConditionType.READY and c.reason in set(Reason)
        ]
        for written_anew in ("conditions", "observedGeneration"):
            status.pop(written_anew, None)
        await self._status.write(kind, body, status, said=[said, *others])


def _is_settled(body: dict[str, object]) -> bool:
    metadata = body["metadata"]
    if not isinstance(metadata, dict) or metadata.get("deletionTimestamp"):
        return False
    ready = condition_of(old_conditions(body), ConditionType.READY)
    return (
        ready is not None
        and ready.status == ConditionStatus.TRUE
        and ready.observed_generation == metadata.get("generation")
    )
