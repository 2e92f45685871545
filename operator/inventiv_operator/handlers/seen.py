"""Which watch events are news.

Our own status writes come back as MODIFIED events. An event of one of our three kinds that changes neither
generation, labels, annotations, finalizers nor deletionTimestamp says nothing that a reconcile could act on,
and is dropped. Of each object a number is remembered, not the object.
"""

from collections.abc import Mapping
from typing import Any

from inventiv_operator.runtime.queue import Lane

_REMEMBERED = 50_000  # objects; a forgotten one costs a reconcile too many


class SeenObjects:
    def __init__(self, *, remembered: int = _REMEMBERED) -> None:
        self._seen: dict[str, int] = {}
        self._remembered = remembered

    def is_news(self, event_type: str | None, body: Mapping[str, Any]) -> bool:
        """Whether somebody should look; `event_type` None is the first listing, which always is news."""
        metadata = body.get("metadata") or {}
        uid = str(metadata.get("uid") or "")
        if event_type == "DELETED":
            self._seen.pop(uid, None)
            return True
        looks = _looks_of(metadata)
        is_same = self._seen.get(uid) == looks
        if uid not in self._seen and len(self._seen) >= self._remembered:
            self._seen.pop(next(iter(self._seen)))  # a deletion may have been missed, so there is a bound
        self._seen[uid] = looks
        return not (event_type == "MODIFIED" and is_same)


def lane_of(event_type: str | None, body: Mapping[str, Any]) -> Lane:
    """Deletions first, then what has a generation nobody has acted on, then the rest."""
    metadata = body.get("metadata") or {}
    if event_type == "DELETED" or metadata.get("deletionTimestamp"):
        return Lane.DELETE
    observed = (body.get("status") or {}).get("observedGeneration")
    return Lane.CREATE if metadata.get("generation") != observed else Lane.REFRESH


def _looks_of(metadata: Mapping[str, Any]) -> int:
    return hash(
        (
            metadata.get("generation"),
            metadata.get("deletionTimestamp"),
            tuple(sorted((metadata.get("labels") or {}).items())),
            tuple(sorted((metadata.get("annotations") or {}).items())),
            tuple(metadata.get("finalizers") or ()),
        )
    )
