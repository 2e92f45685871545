"""The operator's own pod and what surrounds it: built by kustomize, applied to a real API server."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_stack.stack import Stack

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
NAMESPACE = "inventiv-system"
_WITHIN_S = 30.0


def built(stack: Stack, folder: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(stack.kubectl("kustomize", str(MANIFESTS / folder)).stdout))


@pytest.fixture(scope="module")
def base(stack: Stack) -> list[dict[str, Any]]:
    return built(stack, "base")


@pytest.fixture(scope="module")
def pod(base: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = (o for o in base if o["kind"] == "Deployment" and o["apiVersion"] == "apps/v1")
    template: dict[str, Any] = found["spec"]["template"]
    return template


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]


def test_it_can_be_applied_again_without_a_change(installed_stack: Stack) -> None:
    """On the way a client-side apply needs the CRDs to be short enough for its annotation."""
    done = installed_stack.kubectl("apply", "--dry-run=server", f"--kustomize={MANIFESTS / 'base'}")
    assert "created" not in done.stdout
    assert "Warning: would violate" not in done.stderr


def test_everything_lives_in_one_namespace_or_in_none(base: list[dict[str, Any]]) -> None:
    cluster_scoped = {
        "Namespace",
        "CustomResourceDefinition",
        "ClusterRole",
        "ClusterRoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    for item in base:
        wanted = None if item["kind"] in cluster_scoped else NAMESPACE
        assert item["metadata"].get("namespace") == wanted, item["metadata"]["name"]


def test_every_policy_refuses_what_it_cannot_judge(base: list[dict[str, Any]]) -> None:
    policies = [item for item in base if item["kind"] == "ValidatingAdmissionPolicy"]
    assert len(policies) == 4
    assert {policy["spec"]["failurePolicy"] for policy in policies} == {"Fail"}


def test_the_strict_overlay_changes_one_word(stack: Stack, base: list[dict[str, Any]]) -> None:
    strict = {(item["kind"], item["metadata"]["name"]): item for item in built(stack, "overlays/strict")}
    differing = [
        (item, other)
        for item in base
        if item != (other := strict.pop((item["kind"], item["metadata"]["name"])))
    ]
    assert not strict
    ((lenient, severe),) = differing
    assert lenient["metadata"]["name"] == "inventiv-organization-required"
    assert lenient["spec"].pop("validationActions") == ["Warn"]
    assert severe["spec"].pop("validationActions") == ["Deny"]
    assert lenient == severe


def test_the_pod_meets_the_restricted_standard(installed_stack: Stack, pod: dict[str, Any]) -> None:
    """The namespace enforces it: a pod that does not is refused at once."""
    body = {"apiVersion": "v1", "kind": "Pod", **pod}
    body["metadata"] = {**pod["metadata"], "name": "probe", "namespace": NAMESPACE}
    installed_stack.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(body))
    body["spec"] = {**pod["spec"], "securityContext": {}}
    deadline = time.monotonic() + _WITHIN_S
    while True:  # the namespace is read from a cache
        careless = installed_stack.kubectl(
            "create", "--dry-run=server", "--filename=-", stdin=json.dumps(body), check=False
        )
        if "violates PodSecurity" in careless.stderr:
            return
        assert time.monotonic() < deadline, careless
        time.sleep(0.1)


def test_every_container_is_confined(pod: dict[str, Any]) -> None:
    for container in containers(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_images_have_a_version(pod: dict[str, Any]) -> None:
    images = {container["image"] for container in containers(pod)}
    assert len(images) == 1, "the schema is migrated by the release that uses it"
    (image,) = images
    assert image.rpartition(":")[2] not in {"", "latest", image}


def test_the_owner_of_the_tables_is_known_to_the_migration_only(pod: dict[str, Any]) -> None:
    migrate, operator = containers(pod)
    assert migrate["args"] == ["migrate"]
    assert [each["name"] for each in migrate["env"]] == ["INVENTIV_MIGRATION_DATABASE_URL"]
    assert operator["args"] == ["run"]
    assert "INVENTIV_MIGRATION_DATABASE_URL" not in {each["name"] for each in operator["env"]}
    secrets = {
        e["valueFrom"]["secretKeyRef"]["name"]
        for c in (migrate, operator)
        for e in c["env"]
        if "valueFrom" in e
    }
    assert secrets == {"inventiv-operator", "inventiv-operator-migration"}


def test_the_keyring_is_mounted_as_a_folder_so_that_a_change_arrives(pod: dict[str, Any]) -> None:
    (_, operator) = containers(pod)
    (mount,) = (m for m in operator["volumeMounts"] if m["name"] == "keyring")
    path = next(e["value"] for e in operator["env"] if e["name"] == "INVENTIV_KEYRING_FILE")
    assert "subPath" not in mount
    assert mount["readOnly"] is True
    assert path.startswith(mount["mountPath"] + "/")
    (volume,) = (v for v in pod["spec"]["volumes"] if v["name"] == "keyring")
    assert volume["secret"]["defaultMode"] == 0o440


def test_probes_and_metrics_use_the_port_of_the_operator(
    base: list[dict[str, Any]], pod: dict[str, Any]
) -> None:
    (_, operator) = containers(pod)
    (port,) = operator["ports"]
    assert {e["name"]: e.get("value") for e in operator["env"]}["INVENTIV_HTTP_PORT"] == str(
        port["containerPort"]
    )
    probes = {name: operator[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {probe["port"] for probe in probes.values()} == {port["name"]}
    assert probes["livenessProbe"]["path"] == "/healthz"
    assert probes["readinessProbe"]["path"] == "/readyz"
    (service,) = (item for item in base if item["kind"] == "Service")
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
