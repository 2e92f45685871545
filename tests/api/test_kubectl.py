"""What people see: explain, columns, short names, scale."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from contract_manifests import DEPLOYMENT_STATUS, NAMESPACE, credential, deployment, organization
from local_stack.stack import Stack

READY = {
    "type": "Ready",
    "status": "False",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-07-01T10:00:00Z",
    "reason": "SecretMissing",
    "message": "Secret acme/scaleway is not there; create it",
}
ORGANIZATION_STATUS = {
    "used": {"instances": 3, "gpus": 6, "volumesGB": 600, "hourlyCost": "2.3625"},
    "conditions": [READY],
}
CREDENTIAL_STATUS = {
    "expiresAt": "2027-01-01T00:00:00Z",
    "resources": {"servers": 2, "volumes": 4, "ips": 0, "securityGroups": 1},
    "conditions": [READY],
}


@pytest.fixture(scope="module")
def cluster(clean_cluster: Stack) -> Iterator[Stack]:
    """With one object of each kind, and a status on each, written as the operator does."""
    clean_cluster.kubectl("create", "namespace", NAMESPACE)
    for manifest, status in (
        (organization(displayName="Acme SAS", default=True), ORGANIZATION_STATUS),
        (credential(), CREDENTIAL_STATUS),
        (deployment(replicas=3), DEPLOYMENT_STATUS),
    ):
        clean_cluster.kubectl("create", "--filename=-", stdin=json.dumps(manifest))
        write_status(clean_cluster, manifest, status)
    yield clean_cluster
    clean_cluster.kubectl("delete", "namespace", NAMESPACE)


def write_status(cluster: Stack, manifest: dict[str, Any], status: dict[str, Any]) -> None:
    head = {key: manifest[key] for key in ("apiVersion", "kind", "metadata")}
    cluster.kubectl(
        "apply",
        "--server-side",
        "--subresource=status",
        "--field-manager=inventiv-operator",
        "--filename=-",
        stdin=json.dumps({**head, "status": status}),
    )


def table(cluster: Stack, *arguments: str) -> list[list[str]]:
    """Header and rows, cut at the columns of the header."""
    lines = cluster.kubectl("get", *arguments, f"--namespace={NAMESPACE}").stdout.splitlines()
    starts = [0, *(i + 1 for i in range(1, len(lines[0])) if lines[0][i - 1 : i + 1] == "  ")]
    starts = [i for i in starts if lines[0][i : i + 1].strip()]
    return [[line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for line in lines]


def test_the_columns_of_a_deployment(cluster: Stack) -> None:
    header, row = table(cluster, "idep")
    assert header == ["NAME", "READY", "PHASE", "TYPE", "ZONE", "IP", "COST/H", "MESSAGE", "AGE"]
    assert row[:-1] == [
        "llama",
        "2/3",
        "Degraded",
        "L4-1-24G",
        "fr-par-2",
        "51.15.0.1 +1",
        "0.7875",
        "waiting for llama-2 to boot",
    ]


def test_the_wide_columns_of_a_deployment(cluster: Stack) -> None:
    header, row = table(cluster, "idep", "--output=wide")
    assert header[9:] == ["IMAGE", "CREDENTIAL", "PROVIDER ID"]
    assert row[9:] == [
        "ubuntu_jammy_gpu_os_12",
        "scaleway",
        "scaleway://fr-par-2/77f9b3e5-3c0c-4d84-a2a2-9a2b8f0c1e55",
    ]


def test_the_columns_of_a_credential(cluster: Stack) -> None:
    header, row = table(cluster, "icred")
    assert header == ["NAME", "PROVIDER", "PROJECT", "SERVERS", "EXPIRES", "READY", "REASON", "AGE"]
    assert row[:-1] == [
        "scaleway",
        "scaleway",
        "11111111-2222-4333-8444-555555555555",
        "2",
        "2027-01-01T00:00:00Z",
        "False",
        "SecretMissing",
    ]


def test_the_columns_of_an_organization(cluster: Stack) -> None:
    header, row = table(cluster, "iorg")
    assert header == ["NAME", "DISPLAY NAME", "DEFAULT", "INSTANCES", "GPUS", "COST/H", "READY", "AGE"]
    assert row[:-1] == ["acme", "Acme SAS", "true", "3", "6", "2.3625", "False"]


def test_the_category_lists_all_three_kinds(cluster: Stack) -> None:
    listed = cluster.kubectl("get", "inventiv", f"--namespace={NAMESPACE}", "--output=name").stdout
    assert sorted(listed.split()) == [
        "deployment.inventiv.io/llama",
        "organization.inventiv.io/acme",
        "providercredential.inventiv.io/scaleway",
    ]


def test_a_status_is_read_exactly_as_it_was_written(cluster: Stack) -> None:
    text = cluster.kubectl("get", "idep", "llama", f"--namespace={NAMESPACE}", "--output=json").stdout
    assert json.loads(text)["status"] == DEPLOYMENT_STATUS


def test_replicas_are_scaled_within_the_bounds_of_the_schema(cluster: Stack) -> None:
    target = ("deployments.inventiv.io", "llama", f"--namespace={NAMESPACE}")
    scale = json.loads(cluster.kubectl("get", *target, "--subresource=scale", "--output=json").stdout)
    assert scale["status"] == {"replicas": 3, "selector": "inventiv.io/deployment=llama"}
    cluster.kubectl("scale", *target, "--replicas=5")
    refused = cluster.kubectl("scale", *target, "--replicas=101", check=False)
    assert "spec.replicas" in refused.stderr
    replicas = cluster.kubectl("get", *target, "--output=jsonpath={.spec.replicas}").stdout
    assert replicas == "5"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param(
            "deployments.inventiv.io.spec.placement",
            ["order of preference", "instanceType", "zone", "-required-", "such as fr-par-2"],
            id="placement",
        ),
        pytest.param(
            "deployments.inventiv.io.spec.cloudInit",
            ["at most 64 KiB", "anyone with read access to the Scaleway project", "inline", "secretRef"],
            id="user-data-is-no-secret",
        ),
        pytest.param(
            "deployments.inventiv.io.spec.container.env.valueFrom.secretKeyRef",
            ["inventiv.io/workload=true", "readable inside the machine"],
            id="variables-are-no-secret",
        ),
        pytest.param("deployments.inventiv.io.spec.rootVolume.sizeGB", ["GB of 10^9 bytes"], id="units"),
        pytest.param("deployments.inventiv.io.spec.failedRetentionSeconds", ["Default: 600"], id="default"),
        pytest.param("providercredentials.spec.secretRef", ["inventiv.io/credential=true"], id="secret"),
        pytest.param("organizations.spec.quota.hourlyCost", ["EUR per hour"], id="quota"),
    ],
)
def test_explain_says_what_people_ask(cluster: Stack, path: str, words: list[str]) -> None:
    said = " ".join(cluster.kubectl("explain", path).stdout.split())
    assert not [word for word in words if word not in said], said
