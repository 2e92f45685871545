"""From the spec to what the planner wants."""

from typing import Any

import pytest

from inventiv_operator.api.objects import DeploymentObject, InvalidSpec, parse_deployment
from inventiv_operator.controllers.deployment.translate import unsupported, wanted_deployment
from inventiv_operator.domain.cloud import IngressRule
from inventiv_operator.domain.wanted import Readiness
from rig.tenant import CLOUD_INIT, TYPE, ZONE, deployment_spec

METADATA: dict[str, Any] = {"name": "llama", "namespace": "acme", "uid": "u", "resourceVersion": "1"}


def given(generation: int = 1, annotations: dict[str, str] | None = None, **changes: Any) -> DeploymentObject:
    return parse_deployment(
        {
            "metadata": METADATA | {"generation": generation, "annotations": annotations or {}},
            "spec": deployment_spec() | changes,
        }
    )


def test_the_defaults_of_the_contract() -> None:
    wanted = wanted_deployment(given())
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
    assert wanted_deployment(given(network={"ingress": ingress})).ingress == (
        IngressRule(protocol="TCP", port=80, cidr="192.0.2.0/24"),
        IngressRule(protocol="TCP", port=80, cidr="2001:db8::/32"),
        IngressRule(protocol="UDP", port=53, cidr="0.0.0.0/0"),
    )


def test_both_kinds_of_probe() -> None:
    http = {"httpGet": {"port": 8000, "path": "/health"}, "periodSeconds": 5}
    assert wanted_deployment(given(readiness=http)).readiness == Readiness(
        port=8000, path="/health", period_s=5.0, timeout_s=3.0, failure_threshold=3
    )
    tcp = wanted_deployment(given(readiness={"tcpSocket": {"port": 22}})).readiness
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
    assert wanted_deployment(given(**change)).template_hash == wanted_deployment(given()).template_hash
    assert unsupported(given(**change)) is None


@pytest.mark.parametrize("change", REPLACING, ids=lambda change: next(iter(change)))
def test_the_template_is_another_after_a_change_that_replaces(change: dict[str, Any]) -> None:
    assert wanted_deployment(given(**change)).template_hash != wanted_deployment(given()).template_hash


def test_failed_starts_are_forgiven_by_a_new_generation_or_reconcile_at() -> None:
    tokens = {
        wanted_deployment(given()).reset_token,
        wanted_deployment(given(2)).reset_token,
        wanted_deployment(given(annotations={"inventiv.io/reconcile-at": "now"})).reset_token,
    }
    assert len(tokens) == 3


def test_a_spec_that_cannot_be_read_raises_when_it_is_asked_for() -> None:
    with pytest.raises(InvalidSpec, match="replicas"):
        wanted_deployment(parse_deployment({"metadata": METADATA, "spec": {"replicas": "x"}}))
