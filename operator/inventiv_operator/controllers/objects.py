"""What the controllers ask of the API server; `kube.client.KubeClient` fits."""

from collections.abc import Mapping
from typing import Any, Protocol

from inventiv_operator.kube.kinds import Kind


class StatusTarget(Protocol):
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
        """Raises Conflict (it moved on) and NotFound."""
        ...


class Objects(StatusTarget, Protocol):
    """Live reads, the status, and our finalizer. Everything raises `KubeError`."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any] | None: ...

    async def get_namespace(self, name: str) -> dict[str, Any] | None: ...

    async def add_finalizer(self, kind: Kind, obj: Mapping[str, Any]) -> dict[str, Any]: ...

    async def remove_finalizer(self, kind: Kind, obj: Mapping[str, Any]) -> dict[str, Any] | None: ...
