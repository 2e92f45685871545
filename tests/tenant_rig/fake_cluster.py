"""As much of an API server as the organization and credential controllers ask for: state and conflicts.

Objects go in and out as copies; errors can be ordered for one call.
"""

import base64
import itertools
import pickle
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import uuid4

from inventiv_operator.kube.client import ObjectList
from inventiv_operator.kube.errors import Conflict, Invalid, NotFound
from inventiv_operator.kube.kinds import (
    CLEANUP_FINALIZER,
    CREDENTIAL,
    EVENT,
    NAMESPACE,
    ORGANIZATION,
    ORGANIZATION_LABEL,
    SECRET,
    Kind,
)
from inventiv_operator.kube.secret import SecretData, secret_of

Body = dict[str, Any]
BodyT = TypeVar("BodyT")
Place = tuple[str, str, str]


def _copy(body: BodyT) -> BodyT:
    """Twice as fast as `copy.deepcopy`; it is done for every look at an object."""
    copied: BodyT = pickle.loads(pickle.dumps(body))
    return copied


class FakeCluster:
    def __init__(self) -> None:
        self._objects: dict[Place, Body] = {}
        self._versions = itertools.count(1)
        self.errors: dict[str, Exception] = {}
        """By method name: raised once."""
        self.status_writes = 0
        self.events: list[Body] = []
        self.watch: Callable[[str, Body], None] | None = None
        """Told of every change, as a watch is: MODIFIED (also of what is new) or DELETED, and the object."""

    # -- what people do ------------------------------------------------------------------------------------

    def put(self, kind: Kind, namespace: str, name: str, **parts: Any) -> Body:
        """Make it or change it; the generation grows when the spec does."""
        place = (kind.kind, namespace, name)
        body = self._objects.get(place)
        if body is None:
            metadata = {"name": name, "uid": str(uuid4()), "generation": 1}
            body = self._objects[place] = {
                "kind": kind.kind,
                "metadata": metadata | ({"namespace": namespace} if namespace else {}),
            }
        elif "spec" in parts and parts["spec"] != body.get("spec"):
            body["metadata"]["generation"] += 1
        body["metadata"].update(parts.pop("metadata", {}))
        body.update(_copy(parts))
        return self._version(body)

    def put_secret(self, namespace: str, name: str, **values: str) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self.put(SECRET, namespace, name, data=data)

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """As `kubectl delete --wait=false`."""
        body = self._objects[kind.kind, namespace, name]
        if body["metadata"].get("finalizers"):
            body["metadata"].setdefault("deletionTimestamp", "2026-07-01T00:00:00Z")
            self._version(body)
        else:
            self.vanish(kind, namespace, name)

    def vanish(self, kind: Kind, namespace: str, name: str) -> None:
        """Without its finalizer being asked."""
        body = self._objects.pop((kind.kind, namespace, name))
        if self.watch is not None:
            self.watch("DELETED", _copy(body))

    def read(self, kind: Kind, namespace: str, name: str) -> Body | None:
        return _copy(self._objects.get((kind.kind, namespace, name)))

    def condition(self, kind: Kind, namespace: str, name: str, condition: str = "Ready") -> Body:
        status = (self.read(kind, namespace, name) or {}).get("status") or {}
        return next((c for c in status.get("conditions") or [] if c["type"] == condition), {})

    def label_of(self, namespace: str) -> str | None:
        body = self._objects[NAMESPACE.kind, "", namespace]
        found: str | None = (body["metadata"].get("labels") or {}).get(ORGANIZATION_LABEL)
        return found

    # -- what the controllers ask --------------------------------------------------------------------------

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Body | None:
        self._stumble("get")
        return self.read(kind, namespace or "", name)

    async def get_namespace(self, name: str) -> Body | None:
        return await self.get(NAMESPACE, None, name)

    async def get_secret(self, namespace: str, name: str) -> SecretData | None:
        body = await self.get(SECRET, namespace, name)
        return None if body is None else secret_of(body)

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        metadata_only: bool = False,
    ) -> ObjectList:
        self._stumble("list")
        found = [
            _copy(body)
            for (of_kind, at, _), body in self._objects.items()
            if of_kind == kind.kind and namespace in {None, at}
        ]
        return ObjectList(items=found, resource_version=str(next(self._versions)))

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
        self._stumble("apply_status")
        body = self._objects.get((kind.kind, namespace or "", name))
        if body is None:
            raise NotFound(f"{name} is gone")
        if (body["metadata"]["uid"], body["metadata"]["resourceVersion"]) != (uid, resource_version):
            raise Conflict(f"{name} moved on")
        self.status_writes += 1
        body["status"] = _copy(dict(status))
        return self._version(body)

    async def add_finalizer(
        self, kind: Kind, obj: Mapping[str, Any], *, finalizer: str = CLEANUP_FINALIZER
    ) -> Body:
        body = self._current(kind, obj)
        if body["metadata"].get("deletionTimestamp"):
            raise Invalid("no finalizer can be added to an object that is being deleted")
        body["metadata"].setdefault("finalizers", []).append(finalizer)
        return self._version(body)

    async def remove_finalizer(
        self, kind: Kind, obj: Mapping[str, Any], *, finalizer: str = CLEANUP_FINALIZER
    ) -> Body | None:
        try:
            body = self._current(kind, obj)
        except NotFound:
            return None
        body["metadata"]["finalizers"].remove(finalizer)
        if body["metadata"].get("deletionTimestamp") and not body["metadata"]["finalizers"]:
            self.vanish(kind, body["metadata"].get("namespace", ""), body["metadata"]["name"])
            return None
        return self._version(body)

    async def label_namespace(self, name: str, *, uid: str, resource_version: str, value: str | None) -> Body:
        body = self._objects.get((NAMESPACE.kind, "", name))
        if body is None:
            raise NotFound(f"{name} is gone")
        if (body["metadata"]["uid"], body["metadata"]["resourceVersion"]) != (uid, resource_version):
            raise Conflict(f"{name} moved on")
        labels = body["metadata"].setdefault("labels", {})
        labels.pop(ORGANIZATION_LABEL, None)
        if value is not None:
            labels[ORGANIZATION_LABEL] = value
        return self._version(body)

    async def create(self, kind: Kind, namespace: str | None, body: Mapping[str, Any]) -> Body:
        assert kind == EVENT
        self.events.append(_copy(dict(body)))
        return dict(body)

    # -- inside --------------------------------------------------------------------------------------------

    def _stumble(self, method: str) -> None:
        if method in self.errors:
            raise self.errors.pop(method)

    def _current(self, kind: Kind, obj: Mapping[str, Any]) -> Body:
        metadata = obj["metadata"]
        body = self._objects.get((kind.kind, metadata.get("namespace") or "", metadata["name"]))
        if body is None:
            raise NotFound(f"{metadata['name']} is gone")
        if body["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            raise Conflict(f"{metadata['name']} moved on")
        return body

    def _version(self, body: Body) -> Body:
        body["metadata"]["resourceVersion"] = str(next(self._versions))
        if self.watch is not None:
            self.watch("MODIFIED", _copy(body))
        return _copy(body)


KINDS = {"iorg": ORGANIZATION, "icred": CREDENTIAL}
