"""Many tenants on one stack at once, without starting kubectl for every look."""

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from local_stack import sample_tenant
from local_stack.api_client import ApiClient, is_ready
from local_stack.simulator_client import SimulatorClient, TenantKey, new_key
from local_stack.stack import Stack

Json = dict[str, Any]

OURS = ("Organization", "ProviderCredential", "Deployment")
TENANT_KINDS = (*OURS, "Secret", "Namespace")
DEPLOYMENT = "web"
FINALIZER = "inventiv.io/cleanup"


class Crowd:
    """Each tenant has a key of its own, and one of each kind, named after the tenant where it can be."""

    def __init__(self, stack: Stack, simulator: SimulatorClient, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self.simulator = simulator
        self.keys: dict[str, TenantKey] = {name: new_key() for name in self.names}
        self._api = ApiClient(stack.site)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._api.close()

    def apply(self) -> None:
        for name in self.names:
            self._api.apply(
                *sample_tenant.everything(name, self.keys[name]), sample_tenant.deployment(name, DEPLOYMENT)
            )

    def delete(self, kind: str, name: str) -> None:
        """In the background, and without a wait; one that went with its namespace is no error."""
        match kind:
            case "Organization" | "Namespace":
                self._api.delete(kind, name)
            case "Deployment":
                self._api.delete(kind, DEPLOYMENT, namespace=name)
            case _:
                self._api.delete(kind, sample_tenant.CREDENTIAL, namespace=name)

    def are_ready(self) -> bool:
        return all(self._all_ready(kind) for kind in reversed(OURS))

    def unprotected(self) -> list[str]:
        """Objects of ours without the finalizer that makes a deletion wait for the operator."""
        return [
            f"{kind} {_tenant_of(body)}"
            for kind in OURS
            for body in self._of(kind)
            if FINALIZER not in (body["metadata"].get("finalizers") or ())
        ]

    def left(self, kinds: Sequence[str] = TENANT_KINDS) -> list[str]:
        """What the API server still has of these tenants, with what it says about itself."""
        return [f"{kind} {_tenant_of(body)}: {_said(body)}" for kind in kinds for body in self._of(kind)]

    def are_gone(self) -> bool:
        return not any(self._of(kind) for kind in reversed(TENANT_KINDS))

    def is_gone(self, kind: str, name: str) -> bool:
        return all(_tenant_of(body) != name for body in self._of(kind))

    def servers(self) -> dict[str, int]:
        """How many servers each tenant pays for."""
        projects = [server["project"] for server in self.simulator.billed()["servers"]]
        return {name: projects.count(key.project_id) for name, key in self.keys.items()}

    def _all_ready(self, kind: str) -> bool:
        bodies = self._of(kind)
        return len(bodies) == len(self.names) and all(is_ready(body) for body in bodies)

    def _of(self, kind: str) -> list[Json]:
        wanted = set(self.names)
        return [body for body in self._api.list(kind) if _tenant_of(body) in wanted]


def _tenant_of(body: Json) -> str:
    metadata = body["metadata"]
    return str(metadata.get("namespace") or metadata["name"])


def _said(body: Json) -> str:
    status = body.get("status") or {}
    said = [c["message"] for c in status.get("conditions") or [] if c.get("message")]
    return "; ".join(said) or str(body["metadata"].get("deletionTimestamp", "not being deleted"))
