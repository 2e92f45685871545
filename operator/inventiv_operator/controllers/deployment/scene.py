"""What all instances of one pass share."""

from dataclasses import dataclass

from inventiv_operator.controllers.control import PositiveControl
from inventiv_operator.domain.ids import CredentialId, DeploymentId, OrganizationId, ProviderRef, Zone
from inventiv_operator.domain.instance_plan import InstancePolicy
from inventiv_operator.scaleway.client import ScalewayClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """The way to one tenant's project, and what makes its 404s proofs."""

    organization_id: OrganizationId
    credential_id: CredentialId
    client: ScalewayClient
    control: PositiveControl


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What a create call and its cloud-init need; None where the deployment is going or unreadable."""

    root_size_gb: int | None  # None: the image's minimum
    dynamic_ip: bool
    cloud_init: str | None
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One pass over one deployment."""

    deployment_id: DeploymentId
    cloud: Cloud
    policy: InstancePolicy
    template: Template | None
    group_refs: dict[Zone, ProviderRef]
    deadline_s: float  # monotonic; nothing new is begun after it, nothing under way is cut
