"""One tenant on the local stack: its objects, and how far they are."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_stack import sample_tenant
from local_stack.api_client import ApiClient, is_ready
from local_stack.simulator_client import SimulatorClient, TenantKey, new_key
from local_stack.stack import Stack

NAMESPACE = "bench"
POLL_S = 0.2


class BenchError(Exception):
    """Something did not come true in time; the text says what was seen last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`deployments` objects of `replicas` instances each."""

    deployments: int
    replicas: int

    @property
    def instances(self) -> int:
        return self.deployments * self.replicas

    def __str__(self) -> str:
        return f"{self.instances} as {self.deployments} x {self.replicas}"


class Tenant:
    """Applied once; deployments come and go."""

    def __init__(self, stack: Stack, simulator: SimulatorClient) -> None:
        self._simulator = simulator
        self._api = ApiClient(stack.site)

    def close(self) -> None:
        self._api.close()

    def settle_in(self) -> TenantKey:
        """Organization, namespace, key and credential, until the credential is ready."""
        key = new_key()
        self._simulator.add_key(key)
        self._api.apply(*sample_tenant.everything(NAMESPACE, key))
        self.until(self._credential_is_ready, within_s=60.0, what="the credential to be Ready")
        return key

    def apply(self, load: Load) -> None:
        self._api.apply(
            *(
                sample_tenant.deployment(NAMESPACE, f"bench-{index}", replicas=load.replicas)
                for index in range(load.deployments)
            )
        )

    def delete_all(self) -> None:
        self._api.delete("Deployment", namespace=NAMESPACE)

    def ready_instances(self) -> int:
        return sum(int((item.get("status") or {}).get("readyReplicas") or 0) for item in self._deployments())

    def is_gone(self) -> bool:
        """Neither an object nor anything billed is left."""
        if self._deployments():
            return False
        billed = self._simulator.billed()
        return not (billed["servers"] or billed["volumes"] or billed["ips"])

    def until(self, true: Callable[[], bool], *, within_s: float, what: str) -> float:
        """Seconds until it came true."""
        began_s = time.monotonic()
        while not true():
            if time.monotonic() - began_s > within_s:
                raise BenchError(f"waited {within_s:.0f} s for {what}: {self._last_words()}")
            time.sleep(POLL_S)
        return time.monotonic() - began_s

    def _credential_is_ready(self) -> bool:
        name = sample_tenant.CREDENTIAL
        return is_ready(self._api.get("ProviderCredential", name, namespace=NAMESPACE))

    def _deployments(self) -> list[dict[str, Any]]:
        return self._api.list("Deployment", namespace=NAMESPACE)

    def _last_words(self) -> str:
        said = {
            condition["message"]
            for item in self._deployments()[:3]
            for condition in (item.get("status") or {}).get("conditions", [])
        }
        return "; ".join(sorted(said)) or "no status was written"
