"""Events for people who run `kubectl describe`: on transitions, deduplicated, best effort.

An event is never a fact that anything depends on. In a namespace that is being deleted creating one is
refused with 403 while status writes still work; that and everything else is swallowed with a debug line.
"""

import logging
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from inventiv_operator.kube.errors import KubeError
from inventiv_operator.kube.kinds import EVENT, FIELD_MANAGER, Kind
from inventiv_operator.runtime.clock import Clock

logger = logging.getLogger(__name__)

EventType = Literal["Normal", "Warning"]

REPEAT_S = 600.0
"""The same words about the same object are said once in this time."""
_REMEMBERED = 4096
_NOTE_LIMIT = 1024  # the API's own bound, in characters here
_CLUSTER_SCOPED_NAMESPACE = "default"  # where Kubernetes keeps events about cluster-scoped objects


class _Creator(Protocol):
    async def create(self, kind: Kind, namespace: str | None, body: Mapping[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    kind: Kind
    namespace: str | None
    name: str
    uid: str

    @classmethod
    def of(cls, kind: Kind, obj: Mapping[str, Any]) -> "ObjectRef":
        metadata = obj["metadata"]
        return cls(
            kind=kind,
            namespace=metadata.get("namespace"),
            name=str(metadata["name"]),
            uid=str(metadata["uid"]),
        )


class EventRecorder:
    def __init__(self, client: _Creator, *, clock: Clock, instance: str) -> None:
        """`instance` tells replicas apart: the host name of the pod."""
        self._client = client
        self._clock = clock
        self._instance = instance or FIELD_MANAGER
        self._said: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    async def emit(
        self,
        ref: ObjectRef,
        *,
        reason: str,
        message: str,
        event_type: EventType = "Normal",
        action: str = "Reconcile",
    ) -> None:
        """Say it once; call it on transitions only. Raises nothing but cancellation."""
        if self._was_said(ref.uid, reason, message):
            return
        namespace = ref.namespace or _CLUSTER_SCOPED_NAMESPACE
        try:
            await self._client.create(
                EVENT, namespace, self._body(ref, namespace, reason, message, event_type, action)
            )
        except KubeError as error:
            logger.debug("event not written", extra={"event_reason": reason, "error": str(error)})

    def _was_said(self, uid: str, reason: str, message: str) -> bool:
        key, now_s = (uid, reason, message), self._clock.monotonic()
        said_at_s = self._said.get(key)
        if said_at_s is not None and now_s - said_at_s < REPEAT_S:
            return True
        self._said[key] = now_s
        self._said.move_to_end(key)
        while len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)
        return False

    def _body(
        self, ref: ObjectRef, namespace: str, reason: str, message: str, event_type: str, action: str
    ) -> dict[str, Any]:
        now = self._clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        regarding = {
            "apiVersion": ref.kind.api_version,
            "kind": ref.kind.kind,
            "name": ref.name,
            "uid": ref.uid,
        }
        if ref.namespace:
            regarding["namespace"] = ref.namespace
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": f"{ref.name[:230]}.{secrets.token_hex(8)}", "namespace": namespace},
            "eventTime": now,
            "reportingController": "inventiv.io/operator",
            "reportingInstance": self._instance[:128],
            "action": action,
            "reason": reason[:128],
            "regarding": regarding,
            "note": message if len(message) <= _NOTE_LIMIT else f"{message[: _NOTE_LIMIT - 1]}…",
            "type": event_type,
        }
