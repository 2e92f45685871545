"""What a deployment asks for, free of Kubernetes' wrapping."""

from dataclasses import dataclass, field

from inventiv_operator.domain.cloud import IngressRule
from inventiv_operator.domain.ids import Zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """How an instance is asked whether it is ready. `path` None: a TCP connection is enough."""

    port: int
    path: str | None
    period_s: float
    timeout_s: float
    failure_threshold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedDeployment:
    """The spec, with the defaults and the tenant's settings filled in.

    `cloud_init` is not secret, but may be large.
    """

    replicas: int
    zone: Zone
    instance_type: str
    image: str
    root_size_gb: int | None  # None: the image's minimum
    root_iops: int
    cloud_init: str | None = field(repr=False)
    dynamic_ip: bool
    ingress: tuple[IngressRule, ...]
    readiness: Readiness | None
    startup_timeout_s: float
    max_start_failures: int
    failed_retention_s: float
    tags: tuple[str, ...]
    paused: bool
    template_hash: str  # of what only a new server can give: placement, image, cloudInit, publicIP
