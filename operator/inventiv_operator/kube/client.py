"""What the operator does at the API server; bodies go in and come out as dicts.

Status is written by server-side apply with the resourceVersion that was read; finalizers, and annotations
that are used up, by JSON patch with a `test` of the resourceVersion (an apply of a finalizer on an object
that is gone would make a ghost).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from inventiv_operator.kube.errors import Gone, Invalid, NotFound, Unavailable
from inventiv_operator.kube.kinds import (
    CLEANUP_FINALIZER,
    FIELD_MANAGER,
    GROUP,
    NAMESPACE,
    ORGANIZATION_LABEL,
    OURS,
    SECRET,
    VERSION,
    Kind,
)
from inventiv_operator.kube.secret import SecretData, secret_of
from inventiv_operator.kube.transport import (
    APPLY_PATCH,
    JSON,
    JSON_PATCH,
    LIST_TIMEOUT_S,
    MERGE_PATCH,
    METADATA_LIST,
    Transport,
)

PAGE_SIZE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    items: Sequence[dict[str, Any]]
    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectList:
    """A complete list; `resource_version` is the one at which it was taken."""

    items: Sequence[dict[str, Any]] = field(repr=False)
    resource_version: str


class KubeClient:
    """Every method raises `KubeError` (see its tree) unless it says otherwise."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    # Reading

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any] | None:
        """The object as the API server has it now; None is a 404 and nothing else."""
        try:
            return await self._transport.call(
                "GET",
                _path(kind, namespace, name),
                what=f"get {kind.label(namespace=namespace, name=name)}",
                rule=kind.rule("get"),
            )
        except NotFound:
            return None

    async def get_namespace(self, name: str) -> dict[str, Any] | None:
        return await self.get(NAMESPACE, None, name)

    async def get_secret(self, namespace: str, name: str) -> SecretData | None:
        """A Secret whose values do not print."""
        body = await self.get(SECRET, namespace, name)
        return None if body is None else secret_of(body)

    async def cluster_uid(self) -> str:
        """The UID of `kube-system`, which is what the world takes for the identity of a cluster."""
        body = await self.get_namespace("kube-system")
        if body is None:
            raise Unavailable("namespace kube-system is not there: the cluster is not up yet")
        return str(body["metadata"]["uid"])

    async def missing_crds(self) -> tuple[str, ...]:
        """Which of our three kinds the API server does not serve; empty when all is well."""
        try:
            served = await self._transport.call(
                "GET",
                f"/apis/{GROUP}/{VERSION}",
                what=f"discover {GROUP}/{VERSION}",
                rule=f"get nonResourceURL /apis/{GROUP}/{VERSION}",
            )
        except NotFound:
            served = {}
        plurals = {resource.get("name") for resource in served.get("resources") or ()}
        return tuple(f"{kind.plural}.{GROUP}" for kind in OURS if kind.plural not in plurals)

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        metadata_only: bool = False,
    ) -> ObjectList:
        """Everything of a kind, in pages of 500, starting over once when the continuation is too old.

        `metadata_only` asks the server to leave spec, status and data out.
        """
        for attempt in ("first", "again"):
            items: list[dict[str, Any]] = []
            version = ""
            try:
                async for page in self.pages(
                    kind, namespace=namespace, label_selector=label_selector, metadata_only=metadata_only
                ):
                    items.extend(page.items)
                    version = page.resource_version
            except Gone:
                if attempt == "again":
                    raise
                continue
            return ObjectList(items=items, resource_version=version)
        raise AssertionError("unreachable")

    async def pages(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        metadata_only: bool = False,
    ) -> AsyncIterator[Page]:
        params = {"limit": str(PAGE_SIZE)}
        if label_selector is not None:
            params["labelSelector"] = label_selector
        while True:
            body = await self._transport.call(
                "GET",
                kind.path(namespace=namespace),
                what=f"list {kind.label(namespace=namespace, name=None)}",
                rule=kind.rule("list"),
                params=params,
                accept=METADATA_LIST if metadata_only else JSON,
                timeout_s=LIST_TIMEOUT_S,
            )
            metadata = body.get("metadata") or {}
            yield Page(
                items=body.get("items") or [], resource_version=str(metadata.get("resourceVersion") or "")
            )
            if not metadata.get("continue"):
                return
            params["continue"] = str(metadata["continue"])

    # Writing

    async def apply_status(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str,
        resource_version: str,
        status: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Write the whole status that is ours; the object must still be at `resource_version`.

        Raises:
            Conflict: it moved on; read it again.
            NotFound: it is gone.
        """
        metadata = {"name": name, "uid": uid, "resourceVersion": resource_version}
        if kind.namespaced:
            metadata["namespace"] = namespace or ""
        return await self._transport.call(
            "PATCH",
            _path(kind, namespace, name, subresource="status"),
            what=f"apply status of {kind.label(namespace=namespace, name=name)}",
            rule=kind.rule("patch", subresource="status"),
            params={"fieldManager": FIELD_MANAGER, "force": "true"},
            body={
                "apiVersion": kind.api_version,
                "kind": kind.kind,
                "metadata": metadata,
                "status": dict(status),
            },
            content_type=APPLY_PATCH,
        )

    async def add_finalizer(
        self, kind: Kind, obj: Mapping[str, Any], *, finalizer: str = CLEANUP_FINALIZER
    ) -> dict[str, Any]:
        """Add it to the object as it was read; one that is there already is no call.

        Raises:
            Conflict: the object moved on.
            NotFound: it is gone.
            Invalid: it is being deleted, so no finalizer may be added any more.
        """
        present = list(obj["metadata"].get("finalizers") or ())
        if finalizer in present:
            return dict(obj)
        operation = (
            {"op": "add", "path": "/metadata/finalizers/-", "value": finalizer}
            if present
            else {"op": "add", "path": "/metadata/finalizers", "value": [finalizer]}
        )
        return await self._json_patch(kind, obj, [operation], verb="add finalizer of")

    async def remove_finalizer(
        self, kind: Kind, obj: Mapping[str, Any], *, finalizer: str = CLEANUP_FINALIZER
    ) -> dict[str, Any] | None:
        """Remove it; None when the object went with it or was gone already.

        Raises:
            Conflict: the object moved on.
        """
        present = list(obj["metadata"].get("finalizers") or ())
        if finalizer not in present:
            return dict(obj)
        path = f"/metadata/finalizers/{present.index(finalizer)}"
        operations = [{"op": "test", "path": path, "value": finalizer}, {"op": "remove", "path": path}]
        try:
            return await self._json_patch(kind, obj, operations, verb="remove finalizer of")
        except NotFound:
            return None

    async def remove_annotation(self, kind: Kind, obj: Mapping[str, Any], annotation: str) -> dict[str, Any]:
        """Remove an annotation that is used up; one that is not there is no call."""
        if annotation not in (obj["metadata"].get("annotations") or {}):
            return dict(obj)
        escaped = annotation.replace("~", "~0").replace("/", "~1")
        operations = [{"op": "remove", "path": f"/metadata/annotations/{escaped}"}]
        return await self._json_patch(kind, obj, operations, verb="remove annotation of")

    async def label_namespace(
        self, name: str, *, uid: str, resource_version: str, value: str | None
    ) -> dict[str, Any]:
        """Set (or with None remove) the label `inventiv.io/organization` of exactly this namespace.

        Raises:
            Conflict: it moved on, or is another namespace of the same name.
            NotFound: it is gone.
        """
        return await self._transport.call(
            "PATCH",
            NAMESPACE.path(name=quote(name, safe="")),
            what=f"label {NAMESPACE.label(namespace=None, name=name)}",
            rule=NAMESPACE.rule("patch"),
            params={"fieldManager": FIELD_MANAGER},
            body={
                "metadata": {
                    "uid": uid,
                    "resourceVersion": resource_version,
                    "labels": {ORGANIZATION_LABEL: value},
                }
            },
            content_type=MERGE_PATCH,
        )

    async def create(self, kind: Kind, namespace: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._transport.call(
            "POST",
            kind.path(namespace=namespace),
            what=f"create {kind.label(namespace=namespace, name=None)}",
            rule=kind.rule("create"),
            params={"fieldManager": FIELD_MANAGER},
            body=dict(body),
        )

    async def _json_patch(
        self, kind: Kind, obj: Mapping[str, Any], operations: Sequence[Mapping[str, Any]], *, verb: str
    ) -> dict[str, Any]:
        metadata = obj["metadata"]
        namespace, name = metadata.get("namespace"), str(metadata["name"])
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}
        return await self._transport.call(
            "PATCH",
            _path(kind, namespace, name),
            what=f"{verb} {kind.label(namespace=namespace, name=name)}",
            rule=kind.rule("patch"),
            params={"fieldManager": FIELD_MANAGER},
            body=[test, *operations],
            content_type=JSON_PATCH,
        )


def _path(kind: Kind, namespace: str | None, name: str, *, subresource: str = "") -> str:
    """The path of one object. An empty name would be the whole collection, so it is refused."""
    if not name or (kind.namespaced and not namespace):
        raise Invalid(f"{kind.kind} needs a name{' and a namespace' if kind.namespaced else ''}")
    return kind.path(
        namespace=quote(namespace, safe="") if namespace else None,
        name=quote(name, safe=""),
        subresource=subresource,
    )
