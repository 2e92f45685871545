"""The objects of one tenant, as JSON: for tests and the benchmark, which need many and small ones."""

from typing import Any

from local_stack.simulator_client import TenantKey

Json = dict[str, Any]

API_VERSION = "inventiv.io/v1alpha1"
CREDENTIAL = "scaleway"


def namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def organization(name: str, **spec: Any) -> Json:
    """Of the namespace of the same name."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Organization",
        "metadata": {"name": name},
        "spec": {"namespaces": [name], **spec},
    }


def secret(name: str, key: TenantKey, **data: str) -> Json:
    """Labelled, so that a new key is noticed at once."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": CREDENTIAL, "namespace": name, "labels": {"inventiv.io/credential": "true"}},
        "stringData": {"SCW_ACCESS_KEY": key.access_key, "SCW_SECRET_KEY": key.secret_key, **data},
    }


def credential(name: str, key: TenantKey, **spec: Any) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "ProviderCredential",
        "metadata": {"name": CREDENTIAL, "namespace": name},
        "spec": {"projectID": key.project_id, "secretRef": {"name": CREDENTIAL}, **spec},
    }


def deployment(namespace_name: str, name: str, *, replicas: int = 1, **spec: Any) -> Json:
    """The smallest type, which every zone has, with a cloud-init that does nothing."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace_name},
        "spec": {
            "replicas": replicas,
            "placement": [{"zone": "fr-par-1", "instanceType": "DEV1-S"}],
            "image": "ubuntu_jammy",
            "cloudInit": {"inline": "#cloud-config\n"},
            **spec,
        },
    }


def everything(name: str, key: TenantKey) -> list[Json]:
    """All but deployments."""
    return [namespace(name), organization(name), secret(name, key), credential(name, key)]
