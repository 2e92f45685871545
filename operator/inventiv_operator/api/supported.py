"""Fields and annotations of the contract whose behaviour does not exist yet: refused or said, never ignored.

A field that is set to its default asks for nothing, so it is accepted. Each answer is a sentence that names
the field; when a behaviour arrives, its line here goes.
"""

from collections.abc import Iterator, Mapping

from inventiv_operator.api.deployment import DeploymentSpec, OnStopped, PublicIP, ReclaimPolicy
from inventiv_operator.api.organization import OrganizationSpec

ABANDON = "inventiv.io/abandon"
RELEASE_FREEZE = "inventiv.io/release-freeze"


def unsupported_organization_fields(spec: OrganizationSpec) -> tuple[str, ...]:
    return tuple(_organization(spec))


def unsupported_deployment_fields(spec: DeploymentSpec) -> tuple[str, ...]:
    return tuple(_deployment(spec))


def annotations_without_effect(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Of a ProviderCredential. It would loosen what holds it back, so without it it is held as before."""
    if not annotations.get(RELEASE_FREEZE):
        return ()
    return (f"the annotation {RELEASE_FREEZE} has no effect in this release",)


def _organization(spec: OrganizationSpec) -> Iterator[str]:
    if spec.suspended:
        yield "spec.suspended: true is not supported yet"
    if spec.allowed_zones is not None:
        yield "spec.allowedZones is not supported yet"
    if spec.allowed_instance_types is not None:
        yield "spec.allowedInstanceTypes is not supported yet"
    if spec.quota is not None and spec.quota.model_dump(exclude_none=True):
        yield "spec.quota is not supported yet"


def _deployment(spec: DeploymentSpec) -> Iterator[str]:
    if len(spec.placement) > 1:
        yield "spec.placement with more than one entry is not supported yet"
    if spec.volumes:
        yield "spec.volumes is not supported yet"
    if spec.network.public_ip is PublicIP.RESERVED:
        yield "spec.network.publicIP: Reserved is not supported yet"
    if spec.cloud_init is not None and spec.cloud_init.secret_ref is not None:
        yield "spec.cloudInit.secretRef is not supported yet"
    if spec.cloud_init is not None and spec.cloud_init.config_map_ref is not None:
        yield "spec.cloudInit.configMapRef is not supported yet"
    if spec.container is not None:
        yield "spec.container is not supported yet"
    yield from _deployment_policies(spec)


def _deployment_policies(spec: DeploymentSpec) -> Iterator[str]:
    if spec.on_stopped is not OnStopped.RESTART:
        yield "spec.onStopped: Report is not supported yet"
    if spec.max_unavailable != DeploymentSpec.model_fields["max_unavailable"].default:
        yield "spec.maxUnavailable other than 1 is not supported yet"
    if spec.ttl_seconds is not None:
        yield "spec.ttlSeconds is not supported yet"
    if spec.deletion_policy is not ReclaimPolicy.DELETE:
        yield "spec.deletionPolicy: Retain is not supported yet"
