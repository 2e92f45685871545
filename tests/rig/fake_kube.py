"""As much of an API server as the deployment controller asks for: state, resourceVersions, finalizers,
conflicts.
"""

import asyncio
import itertools
import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from inventiv_operator.kube.client import ObjectList
from inventiv_operator.kube.errors import Conflict, Invalid, NotFound
from inventiv_operator.kube.kinds import CLEANUP_FINALIZER, DEPLOYMENT, EVENT, NAMESPACE, Kind

Body = dict[str, Any]
Name = tuple[str, str, str]


def _copy(body: Mapping[str, Any]) -> Body:
    """Through JSON, as over the wire."""
    copied: Body = json.loads(json.dumps(body))
    return copied


class FakeKube:
    """Objects go in and out as copies. `changed` is set whenever one moves on."""

    def __init__(self) -> None:
        self._objects: dict[Name, Body] = {}
        self._versions = itertools.count(1)
        self.changed = asyncio.Event()
        self.events: list[Body] = []
        self.status_writes = 0

    # -- what people do --------------------------------------------------------------------------------------

    def make_namespace(self, name: str) -> str:
        """Its uid."""
        uid = str(uuid4())
        self._objects[NAMESPACE.kind, "", name] = {"metadata": {"name": name, "uid": uid}}
        return uid

    def apply(self, namespace: str, name: str, spec: Mapping[str, Any], **annotations: str) -> Body:
        """As `kubectl apply` of a Deployment: the generation grows when the spec changes."""
        key = (DEPLOYMENT.kind, namespace, name)
        body = self._objects.get(key)
        if body is None:
            metadata = {"namespace": namespace, "name": name, "uid": str(uuid4()), "generation": 1}
            body = self._objects[key] = {"metadata": metadata, "spec": _copy(spec)}
        elif body["spec"] != spec:
            body["spec"] = _copy(spec)
            body["metadata"]["generation"] += 1
        if annotations:
            body["metadata"].setdefault("annotations", {}).update(annotations)
        return self._moved(body)

    def delete(self, namespace: str, name: str) -> None:
        """As `kubectl delete --wait=false`."""
        key = (DEPLOYMENT.kind, namespace, name)
        body = self._objects.get(key)
        if body is None:
            return
        if not body["metadata"].get("finalizers"):
            self._remove(key)
            return
        body["metadata"].setdefault("deletionTimestamp", "2026-07-01T00:00:00Z")
        self._moved(body)

    def vanish(self, namespace: str, name: str) -> None:
        """Its finalizer was stripped, or etcd lost it: no deletion is ever seen (L9)."""
        self._remove((DEPLOYMENT.kind, namespace, name))

    def restore(self, body: Body) -> None:
        """An old object is there again, as from a backup of etcd."""
        metadata = body["metadata"]
        self._objects[DEPLOYMENT.kind, metadata["namespace"], metadata["name"]] = _copy(body)
        self.changed.set()

    def read(self, namespace: str, name: str) -> Body | None:
        body = self._objects.get((DEPLOYMENT.kind, namespace, name))
        return None if body is None else _copy(body)

    def status(self, namespace: str, name: str) -> Body:
        body = self.read(namespace, name)
        return {} if body is None else body.get("status") or {}

    def condition(self, namespace: str, name: str, kind: str = "Ready") -> Body:
        conditions = self.status(namespace, name).get("conditions") or []
        return next((c for c in conditions if c["type"] == kind), {})

    def is_there(self, namespace: str, name: str) -> bool:
        return (DEPLOYMENT.kind, namespace, name) in self._objects

    def is_ready(self, namespace: str, name: str) -> bool:
        """As `kubectl wait` sees it: of the newest generation."""
        body = self._objects.get((DEPLOYMENT.kind, namespace, name), {})
        status = body.get("status") or {}
        if status.get("observedGeneration") != body.get("metadata", {}).get("generation"):
            return False
        return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())

    # -- what the controllers ask (controllers.objects.Objects, kube.events) ---------------------------------

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Body | None:
        body = self._objects.get((kind.kind, namespace or "", name))
        return None if body is None else _copy(body)

    async def list(
        self, kind: Kind, *, namespace: str | None = None, metadata_only: bool = False
    ) -> ObjectList:
        found = [
            _copy(body)
            for (of_kind, at, _), body in self._objects.items()
            if of_kind == kind.kind and namespace in {None, at}
        ]
        return ObjectList(items=found, resource_version=str(next(self._versions)))

    async def get_namespace(self, name: str) -> Body | None:
        return await self.get(NAMESPACE, None, name)

    async def apply_status(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str,
        resource_version: str,
        status: Mapping[str, Any],
    ) -> Body:
        body = self._objects.get((kind.kind, namespace or "", name))
        if body is None:
            raise NotFound(f"{name} is gone")
        if body["metadata"]["uid"] != uid or body["metadata"]["resourceVersion"] != resource_version:
            raise Conflict(f"{name} moved on")
        if body.get("status") != status:
            self.status_writes += 1
            body["status"] = _copy(status)
            self._version(body)  # our own status is no news: `changed` stays as it is
        return _copy(body)

    async def add_finalizer(self, kind: Kind, obj: Mapping[str, Any]) -> Body:
        body = self._current(kind, obj)
        if body["metadata"].get("deletionTimestamp"):
            raise Invalid("no finalizer can be added to an object that is being deleted")
        body["metadata"].setdefault("finalizers", []).append(CLEANUP_FINALIZER)
        return self._moved(body)

    async def remove_finalizer(self, kind: Kind, obj: Mapping[str, Any]) -> Body | None:
        try:
            body = self._current(kind, obj)
        except NotFound:
            return None
        body["metadata"]["finalizers"].remove(CLEANUP_FINALIZER)
        if body["metadata"].get("deletionTimestamp") and not body["metadata"]["finalizers"]:
            self._remove((kind.kind, body["metadata"]["namespace"], body["metadata"]["name"]))
            return None
        return self._moved(body)

    async def create(self, kind: Kind, namespace: str | None, body: Mapping[str, Any]) -> Body:
        assert kind == EVENT
        self.events.append(_copy(body))
        return dict(body)

    # -- inside ----------------------------------------------------------------------------------------------

    def _current(self, kind: Kind, obj: Mapping[str, Any]) -> Body:
        metadata = obj["metadata"]
        body = self._objects.get((kind.kind, metadata.get("namespace") or "", metadata["name"]))
        if body is None:
            raise NotFound(f"{metadata['name']} is gone")
        if body["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            raise Conflict(f"{metadata['name']} moved on")
        return body

    def _moved(self, body: Body) -> Body:
        self._version(body)
        self.changed.set()
        return _copy(body)

    def _version(self, body: Body) -> None:
        body["metadata"]["resourceVersion"] = str(next(self._versions))

    def _remove(self, key: Name) -> None:
        self._objects.pop(key, None)
        self.changed.set()
