"""The schemas at a real API server: what it admits, what it refuses and in which words."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from contract_manifests import (
    FULL_CREDENTIAL,
    FULL_DEPLOYMENT,
    FULL_ORGANIZATION,
    NAMESPACE,
    credential,
    deployment,
    organization,
)
from inventiv_operator.api.objects import parse_credential, parse_deployment, parse_organization
from local_stack.stack import Stack

UUID = "01234567-89ab-4def-8123-456789abcdef"
PLACE = {"zone": "fr-par-2", "instanceType": "L4-1-24G"}
OTHER_PLACE = {"zone": "fr-par-1", "instanceType": "L4-1-24G"}
OPEN_80 = {"port": 80, "cidrs": ["0.0.0.0/0"]}
HTTP = {"httpGet": {"port": 8000}}
TCP = {"tcpSocket": {"port": 8000}}


@pytest.fixture(scope="module")
def cluster(clean_cluster: Stack) -> Iterator[Stack]:
    """With the namespace of the examples."""
    clean_cluster.kubectl("create", "namespace", NAMESPACE)
    yield clean_cluster
    clean_cluster.kubectl("delete", "namespace", NAMESPACE)


def create(cluster: Stack, manifest: dict[str, Any], *, dry_run: bool = True) -> dict[str, Any]:
    """Ask with strict validation, as `kubectl create` does; the object as the server would store it."""
    dry = ["--dry-run=server"] if dry_run else []
    text = cluster.kubectl(
        "create", "--validate=strict", "--output=json", *dry, "--filename=-", stdin=json.dumps(manifest)
    ).stdout
    stored: dict[str, Any] = json.loads(text)
    stored["metadata"].setdefault("resourceVersion", "1")  # a dry run has none
    return stored


def refusal(cluster: Stack, manifest: dict[str, Any]) -> str:
    done = cluster.kubectl(
        "create",
        "--validate=strict",
        "--dry-run=server",
        "--filename=-",
        stdin=json.dumps(manifest),
        check=False,
    )
    assert done.returncode != 0, f"admitted: {manifest['spec']}"
    return done.stderr


def patch_refusal(cluster: Stack, kind: str, name: str, spec: dict[str, Any]) -> str:
    done = cluster.kubectl(
        "patch",
        kind,
        name,
        f"--namespace={NAMESPACE}",
        "--type=merge",
        "--dry-run=server",
        f"--patch={json.dumps({'spec': spec})}",
        check=False,
    )
    assert done.returncode != 0, f"admitted: {spec}"
    return done.stderr


@pytest.mark.parametrize(
    ("parse", "manifest"),
    [
        pytest.param(parse_organization, FULL_ORGANIZATION, id="full-organization"),
        pytest.param(parse_organization, organization(), id="shortest-organization"),
        pytest.param(parse_credential, FULL_CREDENTIAL, id="full-credential"),
        pytest.param(parse_credential, credential(), id="shortest-credential"),
        pytest.param(parse_deployment, FULL_DEPLOYMENT, id="full-deployment"),
        pytest.param(parse_deployment, deployment(), id="shortest-deployment"),
        pytest.param(
            parse_deployment,
            deployment(
                volumes=[{"name": "data"}], network={"ingress": [OPEN_80]}, readiness=HTTP, rootVolume={}
            ),
            id="inner-defaults",
        ),
    ],
)
def test_what_people_write_is_admitted_and_defaults_are_the_same_on_both_sides(
    cluster: Stack, parse: Any, manifest: dict[str, Any]
) -> None:
    stored = create(cluster, manifest)
    ours = parse({**stored, "spec": manifest["spec"]}).spec
    assert parse(stored).spec == ours


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"image": UUID}, id="image-uuid-in-one-zone"),
        pytest.param(
            {"image": UUID, "placement": [PLACE, {**PLACE, "instanceType": "L40S-1-48G"}]},
            id="image-uuid-with-two-types-in-one-zone",
        ),
        pytest.param({"replicas": 0}, id="no-replicas"),
        pytest.param({"replicas": 100}, id="100-replicas"),
        pytest.param({"network": {"publicIP": "None"}}, id="no-address"),
        pytest.param(
            {"network": {"ingress": [OPEN_80, {**OPEN_80, "protocol": "UDP", "cidrs": ["::/0"]}]}},
            id="one-port-by-tcp-and-udp",
        ),
        pytest.param({"network": None, "replicas": None}, id="null-means-default"),
        pytest.param({"tags": ["team=search", "inventive"]}, id="tag-that-is-not-ours"),
        pytest.param({"cloudInit": {"inline": "x" * 65536}}, id="64-KiB"),
        pytest.param({"failedRetentionSeconds": 0}, id="no-retention"),
    ],
)
def test_a_deployment_within_the_rules_is_admitted(cluster: Stack, spec: dict[str, Any]) -> None:
    create(cluster, deployment(**spec))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param({"replica": 3}, ['unknown field "spec.replica"'], id="unknown-field"),
        pytest.param({"replicas": -1}, ["spec.replicas: ", "greater than or equal to 0"], id="replicas--1"),
        pytest.param({"replicas": 101}, ["spec.replicas: ", "less than or equal to 100"], id="replicas-101"),
        pytest.param({"placement": []}, ["spec.placement: ", "at least 1 item"], id="no-place"),
        pytest.param({"placement": None}, ["spec.placement: Required"], id="placement-missing"),
        pytest.param({"image": None}, ["spec.image: Required"], id="image-missing"),
        pytest.param({"placement": [PLACE, PLACE]}, ["spec.placement: ", "once"], id="same-place-twice"),
        pytest.param(
            {"placement": [{**PLACE, "zone": "Paris"}]}, ["spec.placement[0].zone: "], id="zone-of-no-form"
        ),
        pytest.param(
            {"image": UUID, "placement": [PLACE, OTHER_PLACE]},
            ["spec.image: ", "one zone"],
            id="image-uuid-in-two-zones",
        ),
        pytest.param(
            {"readiness": {"httpGet": {"port": 70000}}},
            ["spec.readiness.httpGet.port: ", "65535"],
            id="probe-of-port-70000",
        ),
        pytest.param({"readiness": {}}, ["spec.readiness: ", "exactly one"], id="probe-of-nothing"),
        pytest.param({"readiness": HTTP | TCP}, ["spec.readiness: ", "exactly one"], id="two-probes"),
        pytest.param(
            {"readiness": TCP, "network": {"publicIP": "None"}},
            ["spec.readiness: ", "publicIP"],
            id="probe-without-address",
        ),
        pytest.param(
            {"network": {"ingress": [{**OPEN_80, "port": 70000}]}},
            ["spec.network.ingress[0].port: ", "65535"],
            id="port-70000",
        ),
        pytest.param(
            {"network": {"ingress": [OPEN_80, OPEN_80]}},
            ["spec.network.ingress[1]: Duplicate"],
            id="port-twice",
        ),
        pytest.param(
            {"network": {"ingress": [{**OPEN_80, "cidrs": ["10.0.0.1/8"]}]}},
            ["spec.network.ingress[0].cidrs[0]: ", "must be a network"],
            id="host-bits",
        ),
        pytest.param(
            {"network": {"ingress": [{**OPEN_80, "cidrs": ["10.0.0.0/33"]}]}},
            ["spec.network.ingress[0].cidrs[0]: ", "must be a network"],
            id="no-cidr",
        ),
        pytest.param(
            {"network": {"ingress": [{"port": 80}]}},
            ["spec.network.ingress[0].cidrs: Required"],
            id="open-to-whom",
        ),
        pytest.param({"tags": ["inventiv-x"]}, ["spec.tags[0]: ", "start with inventiv-"], id="our-tag"),
        pytest.param({"tags": ["a", "b,c"]}, ["spec.tags[1]: ", "comma"], id="comma-in-a-tag"),
        pytest.param({"tags": ["a", "a"]}, ["spec.tags[1]: Duplicate"], id="tag-twice"),
        pytest.param({"tags": ["a\nb"]}, ["spec.tags[0]: "], id="line-break-in-a-tag"),
        pytest.param({"cloudInit": {}}, ["spec.cloudInit: ", "exactly one"], id="user-data-from-nowhere"),
        pytest.param(
            {"cloudInit": {"inline": "x", "secretRef": {"name": "a", "key": "b"}}},
            ["spec.cloudInit: ", "exactly one"],
            id="user-data-twice",
        ),
        pytest.param(
            {"cloudInit": {"inline": "x" * 65537}}, ["spec.cloudInit.inline: "], id="user-data-too-long"
        ),
        pytest.param(
            {"cloudInit": {"inline": "é" * 32769}},
            ["spec.cloudInit.inline: ", "65536 bytes"],
            id="user-data-too-long-in-bytes",
        ),
        pytest.param({"rootVolume": {"iops": 7000}}, ["spec.rootVolume.iops: ", "15000"], id="iops-7000"),
        pytest.param(
            {"volumes": [{"name": "a"}, {"name": "a"}]}, ["spec.volumes[1]: Duplicate"], id="volume-twice"
        ),
        pytest.param(
            {"volumes": [{"name": str(n)} for n in range(16)]}, ["spec.volumes: ", "15"], id="16-volumes"
        ),
        pytest.param(
            {"container": {"dataVolume": "data"}},
            ["spec.container.dataVolume: ", "one of volumes"],
            id="data-volume-that-is-none",
        ),
        pytest.param(
            {"container": {"env": [{"name": "A"}]}},
            ["spec.container.env[0]: ", "exactly one"],
            id="variable-without-value",
        ),
        pytest.param({"container": {"ports": [0]}}, ["spec.container.ports[0]: "], id="container-port-0"),
        pytest.param({"maxUnavailable": 0}, ["spec.maxUnavailable: "], id="max-unavailable-0"),
        pytest.param({"startupTimeoutSeconds": 5}, ["spec.startupTimeoutSeconds: ", "30"], id="timeout-5"),
        pytest.param({"onStopped": "Panic"}, ["spec.onStopped: ", "Restart"], id="on-stopped-unknown"),
        pytest.param({"credentialRef": {"name": "No Name"}}, ["spec.credentialRef.name: "], id="bad-name"),
    ],
)
def test_a_wrong_deployment_is_refused_by_the_name_of_the_field(
    cluster: Stack, spec: dict[str, Any], words: list[str]
) -> None:
    said = refusal(cluster, deployment(**spec))
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param({"projectID": "acme"}, ["spec.projectID: "], id="short-uuid"),
        pytest.param(
            {"projectID": "zzzzzzzz-2222-4333-8444-555555555555"},
            ["spec.projectID: ", "should match"],
            id="bad-uuid",
        ),
        pytest.param({"organizationID": UUID + "0"}, ["spec.organizationID: "], id="long-uuid"),
        pytest.param({"provider": "aws"}, ["spec.provider: ", "scaleway"], id="other-provider"),
        pytest.param({"secretRef": {}}, ["spec.secretRef.name: Required"], id="no-secret"),
        pytest.param(
            {"secretRef": {"name": "a", "namespace": "other"}},
            ['unknown field "spec.secretRef.namespace"'],
            id="T2-secret-of-another-namespace",
        ),
        pytest.param({"zones": ["fr-par-1", "fr-par-1"]}, ["spec.zones[1]: Duplicate"], id="zone-twice"),
        pytest.param({"zones": []}, ["spec.zones: "], id="no-zone"),
        pytest.param(
            {"settings": {"instanceStartupTimeoutSeconds": 29}},
            ["spec.settings.instanceStartupTimeoutSeconds: ", "30"],
            id="startup-timeout",
        ),
        pytest.param(
            {"settings": {"workerInstanceStartupTimeoutSeconds": 86401}},
            ["spec.settings.workerInstanceStartupTimeoutSeconds: ", "86400"],
            id="worker-startup-timeout",
        ),
        pytest.param(
            {"settings": {"workerHealthPort": 0}}, ["spec.settings.workerHealthPort: "], id="health-port"
        ),
        pytest.param(
            {"settings": {"workerVLLMPort": 65536}}, ["spec.settings.workerVLLMPort: "], id="vllm-port"
        ),
        pytest.param(
            {"settings": {"workerDataVolumeGB": 49}}, ["spec.settings.workerDataVolumeGB: "], id="volume"
        ),
        pytest.param(
            {"settings": {"scalewayAPIURL": "https://evil.example"}},
            ['unknown field "spec.settings.scalewayAPIURL"'],
            id="setting-that-is-none",
        ),
    ],
)
def test_a_wrong_credential_is_refused_by_the_name_of_the_field(
    cluster: Stack, spec: dict[str, Any], words: list[str]
) -> None:
    said = refusal(cluster, credential(**spec))
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        pytest.param(organization(namespaces=["Acme"]), ["spec.namespaces[0]: "], id="namespace-of-no-form"),
        pytest.param(
            organization(namespaces=["acme", "acme"]),
            ["spec.namespaces[1]: Duplicate"],
            id="namespace-twice",
        ),
        pytest.param(organization(quota={"gpus": -1}), ["spec.quota.gpus: "], id="negative-quota"),
        pytest.param(
            organization(quota={"hourlyCost": "1e3"}), ["spec.quota.hourlyCost: "], id="price-of-no-form"
        ),
        pytest.param(
            organization(quota={"hourlyCost": 40.0}),
            ["spec.quota.hourlyCost: ", "must be of type string"],
            id="price-as-a-float",
        ),
        pytest.param(organization("a" * 64), ["metadata.name", "63 characters"], id="name-that-is-no-label"),
    ],
)
def test_a_wrong_organization_is_refused_by_the_name_of_the_field(
    cluster: Stack, manifest: dict[str, Any], words: list[str]
) -> None:
    said = refusal(cluster, manifest)
    assert all(word in said for word in words), said


@pytest.fixture(scope="module")
def stored(cluster: Stack) -> None:
    """One deployment with a credentialRef, one without, and a credential."""
    create(cluster, FULL_DEPLOYMENT, dry_run=False)
    create(cluster, deployment("short"), dry_run=False)
    create(cluster, credential(), dry_run=False)


@pytest.mark.usefixtures("stored")
class TestImmutability:
    @pytest.mark.parametrize(
        ("name", "spec"),
        [
            pytest.param("full", {"credentialRef": {"name": "other"}}, id="changed"),
            pytest.param("full", {"credentialRef": None}, id="removed"),
            pytest.param("short", {"credentialRef": {"name": "scaleway"}}, id="added"),
        ],
    )
    def test_the_credential_of_a_deployment(self, cluster: Stack, name: str, spec: dict[str, Any]) -> None:
        said = patch_refusal(cluster, "deployments.inventiv.io", name, spec)
        assert "spec.credentialRef: " in said
        assert "immutable" in said

    def test_the_project_of_a_credential(self, cluster: Stack) -> None:
        said = patch_refusal(cluster, "icred", "scaleway", {"projectID": UUID})
        assert "spec.projectID: " in said
        assert "immutable" in said

    def test_a_volume_grows_but_does_not_shrink(self, cluster: Stack) -> None:
        smaller = {"volumes": [{"name": "data", "sizeGB": 199}]}
        assert "cannot shrink" in patch_refusal(cluster, "idep", "full", smaller)
        larger = json.dumps({"spec": {"volumes": [{"name": "data", "sizeGB": 201}]}})
        cluster.kubectl("patch", "idep", "full", f"-n={NAMESPACE}", "--type=merge", f"--patch={larger}")

    def test_everything_else_may_change(self, cluster: Stack) -> None:
        spec = {"replicas": 3, "image": "debian_bookworm", "placement": [OTHER_PLACE], "network": None}
        patch = json.dumps({"spec": spec})
        cluster.kubectl("patch", "idep", "short", f"-n={NAMESPACE}", "--type=merge", f"--patch={patch}")
