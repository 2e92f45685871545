"""One tenant on the local stack: its objects, and how far they are."""

import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from local_stack.parts import Part
from local_stack.simulator_client import SimulatorClient, TenantKey, new_key
from local_stack.stack import Stack

NAMESPACE = "bench"
ZONE = "fr-par-1"
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
        self._stack = stack
        self._simulator = simulator
        authority = ssl.create_default_context(cafile=str(stack.site.certificates / "ca.crt"))
        self._http = httpx.Client(
            base_url=stack.site.url(Part.APISERVER, scheme="https"),
            headers={"Authorization": f"Bearer {stack.site.state.secrets.admin_token}"},
            verify=authority,
            timeout=30.0,
            trust_env=False,
        )

    def close(self) -> None:
        self._http.close()

    def settle_in(self) -> TenantKey:
        """Organization, namespace, key and credential, until the credential is ready."""
        key = new_key()
        self._simulator.add_key(key)
        self._apply(_tenant_objects(key))
        self.until(self._credential_is_ready, within_s=60.0, what="the credential to be Ready")
        return key

    def apply(self, load: Load) -> None:
        self._apply([_deployment(index, load.replicas) for index in range(load.deployments)])

    def delete_all(self) -> None:
        self._http.delete(_deployments_path()).raise_for_status()

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
        path = f"/apis/inventiv.io/v1alpha1/namespaces/{NAMESPACE}/providercredentials/bench"
        return _is_ready(self._http.get(path).raise_for_status().json())

    def _deployments(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._http.get(_deployments_path()).raise_for_status().json()["items"]
        return items

    def _last_words(self) -> str:
        said = {
            condition["message"]
            for item in self._deployments()[:3]
            for condition in (item.get("status") or {}).get("conditions", [])
        }
        return "; ".join(sorted(said)) or "no status was written"

    def _apply(self, objects: list[dict[str, Any]]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        self._stack.kubectl("apply", "--filename=-", stdin=json.dumps(listed))


def _is_ready(body: dict[str, Any]) -> bool:
    conditions = (body.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _deployments_path() -> str:
    return f"/apis/inventiv.io/v1alpha1/namespaces/{NAMESPACE}/deployments"


def _tenant_objects(key: TenantKey) -> list[dict[str, Any]]:
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "inventiv.io/v1alpha1",
            "kind": "Organization",
            "metadata": {"name": "bench"},
            "spec": {"displayName": "Bench", "namespaces": [NAMESPACE]},
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "bench",
                "namespace": NAMESPACE,
                "labels": {"inventiv.io/credential": "true"},
            },
            "stringData": {"SCW_ACCESS_KEY": key.access_key, "SCW_SECRET_KEY": key.secret_key},
        },
        {
            "apiVersion": "inventiv.io/v1alpha1",
            "kind": "ProviderCredential",
            "metadata": {"name": "bench", "namespace": NAMESPACE},
            "spec": {"provider": "scaleway", "projectID": key.project_id, "secretRef": {"name": "bench"}},
        },
    ]


def _deployment(index: int, replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": "inventiv.io/v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": f"bench-{index}", "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "placement": [{"zone": ZONE, "instanceType": "DEV1-S"}],
            "image": "ubuntu_jammy",
            "cloudInit": {"inline": "#cloud-config\n"},
        },
    }
