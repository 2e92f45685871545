"""Objects of the API server as values."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from contract_manifests import (
    DEPLOYMENT_STATUS,
    FULL_CREDENTIAL,
    FULL_DEPLOYMENT,
    FULL_ORGANIZATION,
    as_stored,
    credential,
    deployment,
    organization,
)
from inventiv_operator.api.deployment import OnStopped, PublicIP, ReclaimPolicy
from inventiv_operator.api.objects import (
    InvalidSpec,
    parse_credential,
    parse_deployment,
    parse_organization,
)


def test_the_shortest_deployment_has_the_defaults_of_the_contract() -> None:
    spec = parse_deployment(as_stored(deployment())).spec
    assert spec.replicas == 1
    assert spec.credential_ref is None
    assert spec.root_volume is None
    assert spec.volumes == ()
    assert spec.network.public_ip is PublicIP.DYNAMIC
    assert spec.network.ingress == ()
    for absent in (spec.cloud_init, spec.container, spec.readiness):
        assert absent is None
    assert (spec.startup_timeout_seconds, spec.ttl_seconds) == (None, None)
    assert spec.on_stopped is OnStopped.RESTART
    assert (spec.max_unavailable, spec.max_start_failures, spec.failed_retention_seconds) == (1, 3, 600)
    assert spec.tags == ()
    assert (spec.paused, spec.deletion_protection) == (False, False)
    assert spec.deletion_policy is ReclaimPolicy.DELETE


def test_the_defaults_inside_a_deployment_are_those_of_the_contract() -> None:
    spec = parse_deployment(
        as_stored(
            deployment(
                rootVolume={},
                volumes=[{"name": "data"}],
                network={"ingress": [{"port": 80, "cidrs": ["0.0.0.0/0"]}]},
                readiness={"httpGet": {"port": 8000}},
            )
        )
    ).spec
    assert spec.root_volume is not None
    assert (spec.root_volume.size_gb, spec.root_volume.iops) == (None, 5000)
    (volume,) = spec.volumes
    assert (volume.size_gb, volume.iops, volume.reclaim_policy) == (None, 5000, ReclaimPolicy.DELETE)
    assert spec.network.ingress[0].protocol == "TCP"
    assert spec.readiness is not None
    assert spec.readiness.http_get is not None
    assert spec.readiness.http_get.path == "/"
    probe = spec.readiness
    assert (probe.period_seconds, probe.timeout_seconds, probe.failure_threshold) == (10, 3, 3)


def test_the_shortest_credential_has_the_defaults_of_the_contract() -> None:
    spec = parse_credential(as_stored(credential())).spec
    assert spec.provider == "scaleway"
    assert spec.default is True
    assert (spec.secret_ref.access_key_key, spec.secret_ref.secret_key_key) == (
        "SCW_ACCESS_KEY",
        "SCW_SECRET_KEY",
    )
    assert (spec.zones, spec.settings, spec.organization_id) == (None, None, None)


def test_the_shortest_organization_has_the_defaults_of_the_contract() -> None:
    spec = parse_organization(as_stored(organization())).spec
    assert (spec.default, spec.suspended) == (False, False)
    assert spec.namespaces == ()
    assert (spec.quota, spec.settings) == (None, None)
    assert (spec.allowed_zones, spec.allowed_instance_types) == (None, None)


@pytest.mark.parametrize(
    ("parse", "manifest"),
    [
        pytest.param(parse_organization, FULL_ORGANIZATION, id="organization"),
        pytest.param(parse_credential, FULL_CREDENTIAL, id="credential"),
        pytest.param(parse_deployment, FULL_DEPLOYMENT, id="deployment"),
    ],
)
def test_a_full_spec_comes_back_as_it_was_written(parse: Any, manifest: dict[str, Any]) -> None:
    spec = parse(as_stored(manifest)).spec
    assert spec.model_dump(mode="json", by_alias=True, exclude_none=True) == manifest["spec"]


def test_a_status_comes_back_as_it_was_written() -> None:
    status = parse_deployment(as_stored(deployment(), status=DEPLOYMENT_STATUS)).status
    assert status.model_dump(mode="json", by_alias=True, exclude_none=True) == DEPLOYMENT_STATUS


def test_prices_are_decimals() -> None:
    spec = parse_organization(as_stored(FULL_ORGANIZATION)).spec
    assert spec.quota is not None
    assert spec.quota.hourly_cost == Decimal("40.00")


def test_ids_are_compared_in_lower_case() -> None:
    spec = parse_credential(as_stored(credential(projectID="AAAAAAAA-2222-4333-8444-55555555555B"))).spec
    assert spec.project_id == "aaaaaaaa-2222-4333-8444-55555555555b"


def test_metadata_is_read() -> None:
    metadata = parse_deployment(
        as_stored(
            deployment(),
            finalizers=["inventiv.io/cleanup"],
            annotations={"inventiv.io/reconcile-at": "1"},
            labels={"team": "search"},
            deletionTimestamp="2026-07-01T12:00:00Z",
        )
    ).metadata
    assert (metadata.name, metadata.namespace, metadata.resource_version) == ("llama", "acme", "41")
    assert metadata.finalizers == ("inventiv.io/cleanup",)
    assert metadata.annotations["inventiv.io/reconcile-at"] == "1"
    assert metadata.labels == {"team": "search"}
    assert metadata.deletion_timestamp == datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_a_cluster_scoped_object_has_no_namespace() -> None:
    assert parse_organization(as_stored(organization())).metadata.namespace == ""


def test_an_unknown_field_of_a_newer_release_is_no_obstacle() -> None:
    assert parse_deployment(as_stored(deployment(somethingNew={"a": 1}))).spec.replicas == 1


def test_T5_an_object_whose_spec_cannot_be_read_can_still_be_deleted() -> None:
    broken = parse_deployment(
        as_stored(
            deployment(replicas="many"),
            status=DEPLOYMENT_STATUS,
            deletionTimestamp="2026-07-01T12:00:00Z",
            finalizers=["inventiv.io/cleanup"],
        )
    )
    assert broken.metadata.deletion_timestamp is not None
    assert broken.status.credential_name == "scaleway"
    with pytest.raises(InvalidSpec, match=r"spec\.replicas"):
        _ = broken.spec


def test_a_missing_spec_is_an_invalid_one() -> None:
    body = as_stored(credential())
    del body["spec"]
    with pytest.raises(InvalidSpec, match=r"spec\.projectID"):
        _ = parse_credential(body).spec


def test_of_many_problems_a_few_are_named() -> None:
    """Two for each of eight places, and one for the list that is left empty."""
    body = as_stored(deployment(placement=[{"zone": "Paris"}] * 8))
    with pytest.raises(InvalidSpec, match=r"spec\.placement\[0\]\.zone: .*; and 12 more$"):
        _ = parse_deployment(body).spec


def test_T7_what_is_wrong_with_a_spec_does_not_print_user_data() -> None:
    body = as_stored(deployment(cloudInit={"inline": "token: swordfish", "secretRef": "swordfish"}))
    with pytest.raises(InvalidSpec) as caught:
        _ = parse_deployment(body).spec
    assert "spec.cloudInit.secretRef" in str(caught.value)
    assert "swordfish" not in str(caught.value)
    assert "swordfish" not in repr(parse_deployment(body))


def test_a_status_that_cannot_be_read_counts_as_empty() -> None:
    obj = parse_deployment(as_stored(deployment(), status={"replicas": "three"}))
    assert obj.status.replicas == 0
    assert obj.status.conditions == ()
