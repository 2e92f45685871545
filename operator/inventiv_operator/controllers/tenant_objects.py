"""What the organization and credential controllers ask of the API server; `kube.client.KubeClient` fits."""

from collections.abc import Mapping
from typing import Any, Protocol

from inventiv_operator.controllers.objects import Objects
from inventiv_operator.kube.client import ObjectList
from inventiv_operator.kube.kinds import Kind
from inventiv_operator.kube.secret import SecretData


class Lists(Protocol):
    async def list(
        self, kind: Kind, *, namespace: str | None = None, metadata_only: bool = False
    ) -> ObjectList: ...


class TenantObjects(Objects, Lists, Protocol):
    """Everything raises `KubeError`."""

    async def get_secret(self, namespace: str, name: str) -> SecretData | None: ...

    async def label_namespace(
        self, name: str, *, uid: str, resource_version: str, value: str | None
    ) -> Mapping[str, Any]:
        """Raises Conflict when it is another namespace by now."""
        ...
