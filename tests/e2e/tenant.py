"""A tenant on the real API server: its objects, and waiting for what they say."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from local_stack import sample_tenant
from local_stack.simulator_client import SimulatorClient, TenantKey
from local_stack.stack import Stack

Json = dict[str, Any]

WITHIN_S = 60.0
FAST_WORLD = {
    "boot_s": 0.3,
    "allocate_s": 0.1,
    "guest_s": 0.0,
    "terminate_s": 0.3,
    "detach_s": 0.1,
    "delete_detach_s": 0.1,
}


def until(
    true: Callable[[], object],
    *,
    what: str,
    within_s: float = WITHIN_S,
    poll_s: float = 0.1,
    tell: Callable[[], str] = str,
) -> None:
    """Poll under a deadline; `tell` adds to the failure."""
    deadline_s = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline_s:
            pytest.fail(f"{what}: not within {within_s:g} s\n{tell()}")
        time.sleep(poll_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    stack: Stack
    simulator: SimulatorClient
    key: TenantKey
    name: str

    # -- objects -------------------------------------------------------------------------------------------

    def namespace(self) -> Json:
        return sample_tenant.namespace(self.name)

    def organization(self, **spec: Any) -> Json:
        return sample_tenant.organization(self.name, **spec)

    def secret(self, key: TenantKey | None = None, **data: str) -> Json:
        return sample_tenant.secret(self.name, key or self.key, **data)

    def credential(self, **spec: Any) -> Json:
        return sample_tenant.credential(self.name, self.key, **spec)

    def deployment(self, name: str = "web", *, replicas: int = 1, **spec: Any) -> Json:
        return sample_tenant.deployment(self.name, name, replicas=replicas, **spec)

    def everything(self) -> list[Json]:
        return sample_tenant.everything(self.name, self.key)

    # -- kubectl -------------------------------------------------------------------------------------------

    def apply(self, *objects: Json) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.stack.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    def delete(self, kind: str, name: str) -> None:
        self.stack.kubectl("delete", kind, name, *self._where(kind), "--wait=false")

    def get(self, kind: str, name: str) -> Json | None:
        answer = self.stack.kubectl(
            "get", kind, name, *self._where(kind), "-o", "json", "--ignore-not-found"
        ).stdout
        return json.loads(answer) if answer.strip() else None

    def status(self, kind: str, name: str) -> Json:
        return (self.get(kind, name) or {}).get("status") or {}

    def ready(self, kind: str, name: str) -> tuple[str, str, str]:
        """Status, reason and message of the condition Ready."""
        for condition in self.status(kind, name).get("conditions") or []:
            if condition["type"] == "Ready":
                return condition["status"], condition["reason"], condition["message"]
        return "", "", ""

    def until_ready(
        self, kind: str, name: str, *, within_s: float = WITHIN_S, log: Callable[[], str] = str
    ) -> None:
        def is_ready() -> bool:
            body = self.get(kind, name) or {}
            status = body.get("status") or {}
            current = status.get("observedGeneration") == body.get("metadata", {}).get("generation")
            return current and self.ready(kind, name)[0] == "True"

        until(
            is_ready,
            what=f"{kind} {name} to be Ready",
            within_s=within_s,
            tell=lambda: f"{self.ready(kind, name)}\n{log()[-6000:]}",
        )

    def until_reason(self, kind: str, name: str, reason: str, *, log: Callable[[], str] = str) -> str:
        """The message that comes with it."""
        until(
            lambda: self.ready(kind, name)[1] == reason,
            what=f"{kind} {name} to say {reason}",
            tell=lambda: f"{self.ready(kind, name)}\n{log()[-6000:]}",
        )
        return self.ready(kind, name)[2]

    def until_gone(self, kind: str, name: str, *, log: Callable[[], str] = str) -> None:
        until(
            lambda: self.get(kind, name) is None,
            what=f"{kind} {name} to be gone",
            tell=lambda: f"{self.ready(kind, name)}\n{log()[-6000:]}",
        )

    def _where(self, kind: str) -> list[str]:
        return [] if kind in {"iorg", "namespace"} else ["--namespace", self.name]
