"""From the spec to what the planner wants."""

from typing import Any

import pytest

from inventiv_operator.api.objects import DeploymentObject, InvalidSpec, parse_deployment
from inventiv_operator.controllers.deployment.translate import (
    effective_settings,
    reset_token,
    unsupported,
    wanted_deployment,
)
from inventiv_operator.domain.cloud import IngressRule
from inventiv_operator.domain.settings import Layer, StoredSettings
from inventiv_operator.domain.wanted import Readiness, WantedDeployment
from rig.tenant import CLOUD_INIT, TYPE, ZONE, deployment_spec

METADATA: dict[str, Any] = {"name": "llama", "namespace": "acme", "uid": "u", "resourceVersion": "1"}


def given(generation: int = 1, annotations: dict[str, str] | None = None, **changes: Any) -> DeploymentObject:
    return parse_deployment(
        {
            "metadata": METADATA | {"generation": generation, "annotations": annotations or {}},
            "spec": deployment_spec() | changes,
        }
    )


def wanted_of(obj: DeploymentObject, stored: StoredSettings | None = None) -> WantedDeployment:
    return wanted_deployment(obj, stored or StoredSettings())


def test_the_defaults_of_the_contract() -> None:
    wanted = wanted_of(given())
    assert (wanted.zone, wanted.instance_type, wanted.image) == (ZONE, TYPE, "ubuntu_jammy_gpu_os_12")
    assert (wanted.root_size_gb, wanted.root_iops, wanted.dynamic_ip) == (None, 5000, True)
    assert (wanted.ingress, wanted.readiness, wanted.tags, wanted.paused) == ((), None, (), False)
    assert (wanted.startup_timeout_s, wanted.max_start_failures, wanted.failed_retention_s) == (300, 3, 600)
    assert wanted.cloud_init == CLOUD_INIT
    assert CLOUD_INIT not in repr(wanted)


def test_every_network_of_a_rule_is_a_rule_at_the_provider() -> None:
    ingress = [
        {"port": 80, "cidrs": ["192.0.2.0/24", "2001:db8::/32"]},
        {"port": 53, "protocol": "UDP", "cidrs": ["0.0.0.0/0"]},
    ]
    assert wanted_of(given(network={"ingress": ingress})).ingress == (
        IngressRule(protocol="TCP", port=80, cidr="192.0.2.0/24"),
        IngressRule(protocol="TCP", port=80, cidr="2001:db8::/32"),
        IngressRule(protocol="UDP", port=53, cidr="0.0.0.0/0"),
    )


def test_both_kinds_of_probe() -> None:
    http = {"httpGet": {"port": 8000, "path": "/health"}, "periodSeconds": 5}
    assert wanted_of(given(readiness=http)).readiness == Readiness(
        port=8000, path="/health", period_s=5.0, timeout_s=3.0, failure_threshold=3
    )
    tcp = wanted_of(given(readiness={"tcpSocket": {"port": 22}})).readiness
    assert tcp is not None
    assert (tcp.port, tcp.path) == (22, None)


IN_PLACE: list[dict[str, Any]] = [
    {"replicas": 7},
    {"tags": ["a=b"]},
    {"rootVolume": {"sizeGB": 100, "iops": 15000}},
    {"network": {"ingress": [{"port": 80, "cidrs": ["192.0.2.0/24"]}]}},
    {"readiness": {"tcpSocket": {"port": 22}}},
    {"startupTimeoutSeconds": 60, "failedRetentionSeconds": 0, "maxStartFailures": 1},
    {"paused": True},
]
REPLACING: list[dict[str, Any]] = [
    {"image": "ubuntu_noble"},
    {"cloudInit": {"inline": "#!/bin/sh"}},
    {"placement": [{"zone": ZONE, "instanceType": "L4-2-24G"}]},
    {"network": {"publicIP": "None"}},
]


@pytest.mark.parametrize("change", IN_PLACE, ids=lambda change: next(iter(change)))
def test_the_template_is_the_same_after_a_change_in_place(change: dict[str, Any]) -> None:
    assert wanted_of(given(**change)).template_hash == wanted_of(given()).template_hash
    assert unsupported(given(**change)) is None


@pytest.mark.parametrize("change", REPLACING, ids=lambda change: next(iter(change)))
def test_the_template_is_another_after_a_change_that_replaces(change: dict[str, Any]) -> None:
    assert wanted_of(given(**change)).template_hash != wanted_of(given()).template_hash


def test_failed_starts_are_forgiven_by_a_new_generation_or_reconcile_at() -> None:
    tokens = {
        reset_token(given()),
        reset_token(given(2)),
        reset_token(given(annotations={"inventiv.io/reconcile-at": "now"})),
    }
    assert len(tokens) == 3


def test_a_spec_that_cannot_be_read_raises_when_it_is_asked_for() -> None:
    with pytest.raises(InvalidSpec, match="replicas"):
        wanted_of(parse_deployment({"metadata": METADATA, "spec": {"replicas": "x"}}))


KEY = "INSTANCE_STARTUP_TIMEOUT_S"


@pytest.mark.parametrize(
    ("own", "credential", "organization", "counts"),
    [
        pytest.param(60, {KEY: 120}, {KEY: 240}, 60.0, id="own-field"),
        pytest.param(None, {KEY: 120}, {KEY: 240}, 120.0, id="credential"),
        pytest.param(None, {}, {KEY: 240}, 240.0, id="organization"),
        pytest.param(None, {}, {}, 300.0, id="built-in"),
        pytest.param(None, {"WORKER_INSTANCE_STARTUP_TIMEOUT_S": 120}, {}, 300.0, id="only-for-containers"),
    ],
)
def test_S8_the_startup_timeout_is_the_first_that_is_set(
    own: int | None, credential: Layer, organization: Layer, counts: float
) -> None:
    obj = given() if own is None else given(startupTimeoutSeconds=own)
    stored = StoredSettings(credential=credential, organization=organization)
    assert wanted_of(obj, stored).startup_timeout_s == counts


def test_S8_an_instance_with_a_container_has_a_startup_timeout_of_its_own() -> None:
    stored = StoredSettings(credential={KEY: 120}, organization={"WORKER_INSTANCE_STARTUP_TIMEOUT_S": 7200})
    container = {"image": "vllm/vllm-openai:v0.13.0"}
    assert wanted_of(given(container=container), stored).startup_timeout_s == 7200.0
    assert wanted_of(given(container=container, startupTimeoutSeconds=60), stored).startup_timeout_s == 60.0
    assert effective_settings(given(), stored).worker_instance_startup_timeout_s == 7200
