"""The handlers: each puts a key on the queue; that of credentials also tells which Secret each one uses.

No change handlers on any kind: they copy whole specs, those of Secrets too, into an annotation. No timers
either: see docs/decisions/0004-sweeps-are-timed-by-the-ledger.md.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import kopf

from inventiv_operator.handlers.seen import SeenObjects, lane_of
from inventiv_operator.kube.kinds import CREDENTIAL, NAMESPACE, OURS, SECRET, Kind
from inventiv_operator.runtime.queue import Key, Lane


class Enqueue(Protocol):
    """`WorkQueue.add` fits."""

    def __call__(self, key: Key, *, lane: Lane = Lane.REFRESH) -> object: ...


class Saw(Protocol):
    """`SecretUsers.saw` fits."""

    def __call__(self, namespace: str, credential: str, body: Mapping[str, Any], /) -> object: ...


def register(registry: kopf.OperatorRegistry, *, enqueue: Enqueue, saw_credential: Saw) -> None:
    """Put every handler of the operator on `registry`.

    `saw_credential` is told of every one that there is and whose key goes on the queue.
    """
    for kind in OURS:
        _on_our_kind(registry, kind, enqueue, saw=saw_credential if kind == CREDENTIAL else None)
    # Secrets and namespaces have no generation: for them every new resourceVersion counts.
    _on_plain_kind(registry, SECRET, enqueue)
    _on_plain_kind(registry, NAMESPACE, enqueue)


def _on_our_kind(registry: kopf.OperatorRegistry, kind: Kind, enqueue: Enqueue, *, saw: Saw | None) -> None:
    seen = SeenObjects()

    @kopf.on.event(kind.group, kind.version, kind.plural, id=f"{kind.plural}_seen", registry=registry)
    async def object_seen(event: Mapping[str, Any], **_: object) -> None:
        event_type, body = event["type"], event["object"]
        if not seen.is_news(event_type, body):
            return
        key = _key_of(kind, body)
        if saw is not None and event_type != "DELETED":  # that it is gone is found by the pass
            saw(key.namespace, key.name, body)
        enqueue(key, lane=lane_of(event_type, body))


def _on_plain_kind(registry: kopf.OperatorRegistry, kind: Kind, enqueue: Enqueue) -> None:
    @kopf.on.event(kind.api_version, kind.plural, id=f"{kind.plural}_seen", registry=registry)
    async def object_seen(event: Mapping[str, Any], **_: object) -> None:
        enqueue(_key_of(kind, event["object"]), lane=Lane.REFRESH)


def _key_of(kind: Kind, body: Mapping[str, Any]) -> Key:
    metadata = body["metadata"]
    return Key(kind.kind, str(metadata.get("namespace") or ""), str(metadata["name"]))
