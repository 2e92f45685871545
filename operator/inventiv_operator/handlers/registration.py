"""The handlers: each puts a key on the queue and does nothing else.

No change handlers on any kind: they copy whole specs, those of Secrets too, into an annotation. Timers never
use `patch` and return nothing: a timer whose own PATCH fails dies silently and for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import kopf

from inventiv_operator.handlers.seen import SeenObjects, lane_of
from inventiv_operator.kube.kinds import CREDENTIAL, NAMESPACE, OURS, SECRET, Kind
from inventiv_operator.runtime.queue import Key, Lane

_SPREAD = 2**32  # of the first eight hex digits of a uid


class Enqueue(Protocol):
    """`WorkQueue.add` fits."""

    def __call__(self, key: Key, *, lane: Lane = Lane.REFRESH) -> object: ...


class EnqueueSweep(Protocol):
    def __call__(self, sweep: str, *, credential_id: str) -> object:
        """`credential_id` comes from `status.credentialID`: text to look up in the ledger, not to trust."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepIntervals:
    watchdog_s: float
    terminator_s: float
    volume_cleanup_s: float
    full_reconciliation_s: float

    def by_sweep(self) -> Mapping[str, float]:
        return {
            "watchdog": self.watchdog_s,
            "terminator": self.terminator_s,
            "volume_cleanup": self.volume_cleanup_s,
            "full_reconciliation": self.full_reconciliation_s,
        }


def register(
    registry: kopf.OperatorRegistry,
    *,
    enqueue: Enqueue,
    enqueue_sweep: EnqueueSweep,
    intervals: SweepIntervals,
) -> None:
    """Put every handler of the operator on `registry`."""
    for kind in OURS:
        _on_our_kind(registry, kind, enqueue)
    # Secrets and namespaces have no generation: for them every new resourceVersion counts.
    _on_plain_kind(registry, SECRET, enqueue)
    _on_plain_kind(registry, NAMESPACE, enqueue)
    for sweep, interval_s in intervals.by_sweep().items():
        _on_time(registry, sweep, interval_s, enqueue_sweep)


def _on_our_kind(registry: kopf.OperatorRegistry, kind: Kind, enqueue: Enqueue) -> None:
    seen = SeenObjects()

    @kopf.on.event(kind.group, kind.version, kind.plural, id=f"{kind.plural}_seen", registry=registry)
    async def object_seen(event: Mapping[str, Any], **_: object) -> None:
        event_type, body = event["type"], event["object"]
        if seen.is_news(event_type, body):
            enqueue(_key_of(kind, body), lane=lane_of(event_type, body))


def _on_plain_kind(registry: kopf.OperatorRegistry, kind: Kind, enqueue: Enqueue) -> None:
    @kopf.on.event(kind.api_version, kind.plural, id=f"{kind.plural}_seen", registry=registry)
    async def object_seen(event: Mapping[str, Any], **_: object) -> None:
        enqueue(_key_of(kind, event["object"]), lane=Lane.REFRESH)


def _on_time(
    registry: kopf.OperatorRegistry, sweep: str, interval_s: float, enqueue_sweep: EnqueueSweep
) -> None:
    def spread_s(uid: str | None, **_: object) -> float:
        """Credentials listed in one second are not swept in one second."""
        return int((uid or "0")[:8], 16) / _SPREAD * interval_s

    @kopf.timer(
        CREDENTIAL.group,
        CREDENTIAL.version,
        CREDENTIAL.plural,
        id=sweep,
        interval=interval_s,
        initial_delay=spread_s,
        registry=registry,
    )
    async def due(status: Mapping[str, Any], **_: object) -> None:
        if credential_id := status.get("credentialID"):
            enqueue_sweep(sweep, credential_id=str(credential_id))


def _key_of(kind: Kind, body: Mapping[str, Any]) -> Key:
    metadata = body["metadata"]
    return Key(kind.kind, str(metadata.get("namespace") or ""), str(metadata["name"]))
