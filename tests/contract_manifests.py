"""Objects as people write them: the examples of the contract, in full and in their shortest form."""

from typing import Any

Json = dict[str, Any]

NAMESPACE = "acme"


def organization(name: str = "acme", **spec: Any) -> Json:
    return {
        "apiVersion": "inventiv.io/v1alpha1",
        "kind": "Organization",
        "metadata": {"name": name},
        "spec": spec,
    }


def credential(name: str = "scaleway", **spec: Any) -> Json:
    shortest = {"projectID": "11111111-2222-4333-8444-555555555555", "secretRef": {"name": "scaleway"}}
    return {
        "apiVersion": "inventiv.io/v1alpha1",
        "kind": "ProviderCredential",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {**shortest, **spec},
    }


def deployment(name: str = "llama", **spec: Any) -> Json:
    shortest = {
        "placement": [{"zone": "fr-par-2", "instanceType": "L4-1-24G"}],
        "image": "ubuntu_jammy_gpu_os_12",
    }
    return {
        "apiVersion": "inventiv.io/v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {**shortest, **spec},
    }


FULL_ORGANIZATION = organization(
    "full",
    displayName="Acme SAS",
    default=False,
    namespaces=["acme"],
    suspended=False,
    allowedZones=["fr-par-2"],
    allowedInstanceTypes=["L4-*"],
    quota={"instances": 20, "gpus": 8, "volumesGB": 5000, "hourlyCost": "40.00"},
    settings={},
)

FULL_CREDENTIAL = credential(
    "full",
    provider="scaleway",
    organizationID="99999999-2222-4333-8444-555555555555",
    secretRef={"name": "scaleway", "accessKeyKey": "SCW_ACCESS_KEY", "secretKeyKey": "SCW_SECRET_KEY"},
    zones=["fr-par-1", "fr-par-2"],
    default=True,
    settings={
        "instanceStartupTimeoutSeconds": 300,
        "workerInstanceStartupTimeoutSeconds": 3600,
        "workerHealthPort": 8080,
        "workerVLLMPort": 8000,
        "workerDataVolumeGB": 200,
        "workerExposePorts": False,
        "workerVLLMImage": "",
    },
)

FULL_DEPLOYMENT = deployment(
    "full",
    replicas=1,
    credentialRef={"name": "scaleway"},
    placement=[
        {"zone": "fr-par-2", "instanceType": "L4-1-24G"},
        {"zone": "fr-par-1", "instanceType": "L4-1-24G"},
    ],
    rootVolume={"sizeGB": 120, "iops": 5000},
    volumes=[{"name": "data", "sizeGB": 200, "iops": 5000, "reclaimPolicy": "Delete"}],
    network={
        "publicIP": "Dynamic",
        "ingress": [{"port": 8000, "protocol": "TCP", "cidrs": ["203.0.113.0/24"]}],
    },
    cloudInit={"inline": "#cloud-config\n"},
    container={
        "image": "vllm/vllm-openai:v0.13.0",
        "args": ["--model", "Qwen/Qwen2.5-7B-Instruct"],
        "env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}],
        "ports": [8000],
        "dataVolume": "data",
    },
    readiness={
        "httpGet": {"port": 8000, "path": "/health"},
        "periodSeconds": 10,
        "timeoutSeconds": 3,
        "failureThreshold": 3,
    },
    startupTimeoutSeconds=3600,
    onStopped="Restart",
    maxUnavailable=1,
    maxStartFailures=3,
    failedRetentionSeconds=600,
    ttlSeconds=86400,
    tags=["team=search"],
    paused=False,
    deletionPolicy="Delete",
    deletionProtection=False,
)

DEPLOYMENT_STATUS: Json = {
    "observedGeneration": 1,
    "deploymentID": "0b5ac1f6-8f4e-4a39-9b57-0d4a6d7b3c11",
    "credentialName": "scaleway",
    "replicas": 3,
    "readyReplicas": 2,
    "updatedReplicas": 3,
    "selector": "inventiv.io/deployment=llama",
    "phase": "Degraded",
    "ready": "2/3",
    "zones": "fr-par-2",
    "ips": "51.15.0.1 +1",
    "hourlyCost": "0.7875",
    "instances": [
        {
            "id": "5f0c7c0e-3c1e-4b0f-9d43-3a5f3b0d2f10",
            "ordinal": 0,
            "name": "acme-llama-0",
            "providerID": "scaleway://fr-par-2/77f9b3e5-3c0c-4d84-a2a2-9a2b8f0c1e55",
            "zone": "fr-par-2",
            "instanceType": "L4-1-24G",
            "state": "running",
            "ready": True,
            "publicIP": "51.15.0.1",
            "volumes": [{"id": "0f5c7c0e-3c1e-4b0f-9d43-3a5f3b0d2f11", "kind": "sbs_volume", "sizeGB": 120}],
            "createdAt": "2026-07-01T10:00:00Z",
            "readyAt": "2026-07-01T10:01:00Z",
            "message": "",
        }
    ],
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-07-01T10:00:00Z",
            "reason": "Starting",
            "message": "waiting for llama-2 to boot",
        }
    ],
}
"""As the operator writes it for a deployment of three of which two are ready."""


def as_stored(manifest: Json, *, status: Json | None = None, **metadata: Any) -> Json:
    """With what the API server adds, apart from defaults."""
    stored = {
        **manifest,
        "metadata": {
            "uid": "c1f0f4de-5a52-4c8b-b0f5-5b0f1b0c7a01",
            "resourceVersion": "41",
            "generation": 1,
            "creationTimestamp": "2026-07-01T10:00:00Z",
            **manifest["metadata"],
            **metadata,
        },
    }
    return stored if status is None else {**stored, "status": status}
