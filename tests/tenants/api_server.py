"""The API server of three tenants: the one in memory, with a namespace controller, and the watches of an
operator.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from inventiv_operator.handlers.registration import Saw
from inventiv_operator.handlers.seen import SeenObjects, lane_of
from inventiv_operator.kube.client import ObjectList
from inventiv_operator.kube.kinds import (
    CREDENTIAL,
    CREDENTIAL_SECRET_SELECTOR,
    DEPLOYMENT,
    NAMESPACE,
    ORGANIZATION,
    SECRET,
    Kind,
)
from inventiv_operator.runtime.queue import Key, Lane, WorkQueue
from tenant_rig.fake_cluster import Body, FakeCluster

KINDS: Mapping[str, Kind] = {k.kind: k for k in (ORGANIZATION, CREDENTIAL, DEPLOYMENT, SECRET, NAMESPACE)}
OURS = frozenset({ORGANIZATION.kind, CREDENTIAL.kind, DEPLOYMENT.kind})


class ApiServer(FakeCluster):
    """Deletes what is in a namespace that is being deleted, and the namespace when nothing is left in it."""

    # -- what people do ------------------------------------------------------------------------------------

    def takes_in(self, namespace: str) -> bool:
        """Whether something new can be made there."""
        body = self.read(NAMESPACE, "", namespace)
        return body is not None and "deletionTimestamp" not in body["metadata"]

    def is_going(self, kind: Kind, namespace: str, name: str) -> bool:
        body = self.read(kind, namespace, name)
        return body is not None and "deletionTimestamp" in body["metadata"]

    def names(self, kind: Kind, namespace: str) -> list[str]:
        return [name for of_kind, at, name in list(self._objects) if (of_kind, at) == (kind.kind, namespace)]

    def delete_namespace(self, namespace: str) -> None:
        body = self._objects[NAMESPACE.kind, "", namespace]
        body["metadata"]["deletionTimestamp"] = "2026-07-01T00:00:00Z"
        self._version(body)
        for kind, name in self._inside(namespace):
            self.delete(kind, namespace, name)
        self._collect(namespace)

    def force_namespace(self, namespace: str) -> None:
        """As somebody who strips every finalizer because it takes too long."""
        for kind, name in self._inside(namespace):
            self.vanish(kind, namespace, name)
        if self.read(NAMESPACE, "", namespace) is not None:
            self.vanish(NAMESPACE, "", namespace)

    def vanish(self, kind: Kind, namespace: str, name: str) -> None:
        super().vanish(kind, namespace, name)
        if namespace:
            self._collect(namespace)

    def is_ready(self, kind: Kind, namespace: str, name: str) -> bool:
        """As `kubectl wait` sees it: of the newest generation."""
        body = self._objects.get((kind.kind, namespace, name))
        if body is None or "deletionTimestamp" in body["metadata"]:
            return False
        status = body.get("status") or {}
        conditions = status.get("conditions") or []
        return status.get("observedGeneration") == body["metadata"]["generation"] and any(
            c["type"] == "Ready" and c["status"] == "True" for c in conditions
        )

    def _inside(self, namespace: str) -> list[tuple[Kind, str]]:
        return [(KINDS[kind], name) for kind, at, name in list(self._objects) if at == namespace]

    def _collect(self, namespace: str) -> None:
        place = (NAMESPACE.kind, "", namespace)
        body = self._objects.get(place)
        if body is None or "deletionTimestamp" not in body["metadata"] or self._inside(namespace):
            return
        super().vanish(NAMESPACE, "", namespace)

    # -- what an operator asks, besides --------------------------------------------------------------------

    async def missing_crds(self) -> tuple[str, ...]:
        return ()

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        metadata_only: bool = False,
    ) -> ObjectList:
        listed = await super().list(kind, namespace=namespace, metadata_only=metadata_only)
        if label_selector is None:
            return listed
        assert label_selector == CREDENTIAL_SECRET_SELECTOR
        return ObjectList(items=list(_watched(listed.items)), resource_version=listed.resource_version)


def _watched(items: Iterable[Body]) -> Iterable[Body]:
    name, _, value = CREDENTIAL_SECRET_SELECTOR.partition("=")
    return (i for i in items if (i["metadata"].get("labels") or {}).get(name) == value)


class Watches:
    """What Kopf and the handlers do with an event, without the socket: see `handlers.registration`."""

    def __init__(self, queue: WorkQueue, *, saw_credential: Saw) -> None:
        self._queue = queue
        self._saw_credential = saw_credential
        self._seen = {kind: SeenObjects() for kind in OURS}

    def __call__(self, event: str, body: Mapping[str, Any]) -> None:
        kind, metadata = str(body["kind"]), body["metadata"]
        key = Key(kind, str(metadata.get("namespace") or ""), str(metadata["name"]))
        if kind in OURS:
            if self._seen[kind].is_news(event, body):
                if kind == CREDENTIAL.kind and event != "DELETED":
                    self._saw_credential(key.namespace, key.name, body)
                self._queue.add(key, lane=lane_of(event, body))
        elif kind != SECRET.kind or list(_watched([dict(body)])):
            self._queue.add(key, lane=Lane.REFRESH)
