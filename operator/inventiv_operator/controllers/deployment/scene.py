"""What all instances of one pass share."""

from collections.abc import Callable
from dataclasses import dataclass, field

from inventiv_operator.controllers.control import PositiveControl
from inventiv_operator.domain.ids import CredentialId, DeploymentId, InstanceId, OrganizationId
from inventiv_operator.domain.instance_facts import InstancePolicy
from inventiv_operator.domain.start_record import StartRecord
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
    """What a create call and its cloud-init need."""

    root_size_gb: int | None  # None: the image's minimum
    dynamic_ip: bool
    cloud_init: str | None = field(repr=False)
    tags: tuple[str, ...]


@dataclass(slots=True, kw_only=True, eq=False)
class Starts:
    """What the starts of one pass have in common; it changes while they go on.

    `stopped`: a refusal that the others would get as well, so they are not sent any more in this pass.
    `lacks_group`: a create was answered with a 404, so the security group may be gone.
    """

    record: StartRecord
    stopped: str = ""
    lacks_group: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One pass over one deployment. `template` None: it is being deleted."""

    deployment_id: DeploymentId
    cloud: Cloud
    policy: InstancePolicy
    template: Template | None
    starts: Starts
    is_retired: Callable[[InstanceId], bool]  # by a later pass, while a step of this one was under way
    deadline_s: float  # monotonic; nothing new is begun after it, nothing under way is cut
