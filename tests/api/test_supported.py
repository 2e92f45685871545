"""Fields without a behaviour yet are refused by name; those with one, and defaults, are not."""

from typing import Any

import pytest

from contract_manifests import as_stored, deployment, organization
from inventiv_operator.api.objects import parse_deployment, parse_organization
from inventiv_operator.api.supported import (
    unsupported_deployment_fields,
    unsupported_organization_fields,
)

_CONTAINER = {"image": "vllm/vllm-openai:v0.13.0"}
_TWO_PLACES = [
    {"zone": "fr-par-2", "instanceType": "L4-1-24G"},
    {"zone": "fr-par-1", "instanceType": "L4-1-24G"},
]


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        pytest.param("spec.placement", {"placement": _TWO_PLACES}, id="two-places"),
        pytest.param("spec.volumes", {"volumes": [{"name": "data"}]}, id="volumes"),
        pytest.param("spec.network.publicIP", {"network": {"publicIP": "Reserved"}}, id="reserved-ip"),
        pytest.param(
            "spec.cloudInit.secretRef", {"cloudInit": {"secretRef": {"name": "a", "key": "b"}}}, id="secret"
        ),
        pytest.param(
            "spec.cloudInit.configMapRef",
            {"cloudInit": {"configMapRef": {"name": "a", "key": "b"}}},
            id="config-map",
        ),
        pytest.param("spec.container", {"container": _CONTAINER}, id="container"),
        pytest.param("spec.container", {"container": {}}, id="empty-container"),
        pytest.param("spec.onStopped", {"onStopped": "Report"}, id="on-stopped"),
        pytest.param("spec.maxUnavailable", {"maxUnavailable": 2}, id="max-unavailable"),
        pytest.param("spec.ttlSeconds", {"ttlSeconds": 60}, id="ttl"),
        pytest.param("spec.deletionPolicy", {"deletionPolicy": "Retain"}, id="retain"),
    ],
)
def test_a_deployment_that_asks_for_what_is_not_there_yet_is_told_the_field(
    field: str, spec: dict[str, Any]
) -> None:
    (said,) = unsupported_deployment_fields(parse_deployment(as_stored(deployment(**spec))).spec)
    assert said.startswith(field)
    assert "not supported" in said


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        pytest.param("spec.suspended", {"suspended": True}, id="suspended"),
        pytest.param("spec.allowedZones", {"allowedZones": ["fr-par-1"]}, id="zones"),
        pytest.param("spec.allowedInstanceTypes", {"allowedInstanceTypes": ["L4-*"]}, id="types"),
        pytest.param("spec.quota", {"quota": {"instances": 0}}, id="quota-of-none"),
    ],
)
def test_an_organization_that_asks_for_what_is_not_there_yet_is_told_the_field(
    field: str, spec: dict[str, Any]
) -> None:
    (said,) = unsupported_organization_fields(parse_organization(as_stored(organization(**spec))).spec)
    assert said.startswith(field)


def test_all_that_is_missing_is_said_at_once() -> None:
    spec = parse_deployment(as_stored(deployment(container=_CONTAINER, ttlSeconds=60))).spec
    assert [said.split()[0] for said in unsupported_deployment_fields(spec)] == [
        "spec.container",
        "spec.ttlSeconds",
    ]


def test_what_is_there_and_defaults_written_out_are_accepted() -> None:
    spec = parse_deployment(
        as_stored(
            deployment(
                replicas=4,
                credentialRef={"name": "scaleway"},
                rootVolume={"sizeGB": 120, "iops": 15000},
                volumes=[],
                network={"publicIP": "None", "ingress": [{"port": 22, "cidrs": ["198.51.100.0/24"]}]},
                cloudInit={"inline": "#cloud-config\n"},
                startupTimeoutSeconds=60,
                onStopped="Restart",
                maxUnavailable=1,
                maxStartFailures=5,
                failedRetentionSeconds=0,
                tags=["team=search"],
                paused=True,
                deletionPolicy="Delete",
                deletionProtection=True,
            )
        )
    ).spec
    assert unsupported_deployment_fields(spec) == ()
    plain = organization(
        displayName="Acme",
        default=True,
        namespaces=["acme"],
        suspended=False,
        quota={},
        settings={"workerVLLMPort": 1},
    )
    assert unsupported_organization_fields(parse_organization(as_stored(plain)).spec) == ()
