"""From the object of the API server to what the planner wants, free of Kubernetes' wrapping."""

import json
from hashlib import sha256

from inventiv_operator.api.deployment import DeploymentSpec, PublicIP
from inventiv_operator.api.objects import DeploymentObject
from inventiv_operator.api.supported import unsupported_deployment_fields
from inventiv_operator.api.workload import ReadinessProbe
from inventiv_operator.domain.cloud import IngressRule
from inventiv_operator.domain.ids import Zone
from inventiv_operator.domain.prepared import DEFAULT_IOPS
from inventiv_operator.domain.settings import (
    INSTANCE_STARTUP_TIMEOUT_S,
    WORKER_INSTANCE_STARTUP_TIMEOUT_S,
    EffectiveSettings,
    SettingValue,
    StoredSettings,
    resolve,
)
from inventiv_operator.domain.verdict import Verdict, refused
from inventiv_operator.domain.wanted import Readiness, WantedDeployment

RECONCILE_AT = "inventiv.io/reconcile-at"
RESTART_AT = "inventiv.io/restart-at"


def unsupported(obj: DeploymentObject) -> Verdict | None:
    """What the object asks for and nobody does yet: refused, never ignored.

    Raises:
        InvalidSpec: the spec cannot be read.
    """
    sentences = list(unsupported_deployment_fields(obj.spec))
    if obj.metadata.annotations.get(RESTART_AT):
        sentences.append(f"the annotation {RESTART_AT} is not supported yet")
    return refused("NotSupported", "; ".join(sentences)) if sentences else None


def effective_settings(obj: DeploymentObject, stored: StoredSettings) -> EffectiveSettings:
    """Its own fields first, then what is set on its credential, then on its organization.

    Raises:
        InvalidSpec: the spec cannot be read.
    """
    own: dict[str, SettingValue] = {}
    if obj.spec.startup_timeout_seconds is not None:  # whether its instances have a container or not
        own |= dict.fromkeys(
            (INSTANCE_STARTUP_TIMEOUT_S.key, WORKER_INSTANCE_STARTUP_TIMEOUT_S.key),
            obj.spec.startup_timeout_seconds,
        )
    return resolve(own=own, credential=stored.credential, organization=stored.organization)


def wanted_deployment(obj: DeploymentObject, stored: StoredSettings) -> WantedDeployment:
    """The spec with the defaults filled in, as they are set now. Only the first placement counts yet.

    Raises:
        InvalidSpec: the spec cannot be read.
    """
    spec, settings = obj.spec, effective_settings(obj, stored)
    place, root = spec.placement[0], spec.root_volume
    return WantedDeployment(
        replicas=spec.replicas,
        zone=Zone(place.zone),
        instance_type=place.instance_type,
        image=spec.image,
        root_size_gb=None if root is None else root.size_gb,
        root_iops=DEFAULT_IOPS if root is None else root.iops,
        cloud_init=None if spec.cloud_init is None else spec.cloud_init.inline,
        dynamic_ip=spec.network.public_ip is PublicIP.DYNAMIC,
        ingress=_ingress(spec),
        readiness=None if spec.readiness is None else _readiness(spec.readiness),
        startup_timeout_s=float(
            settings.instance_startup_timeout_s
            if spec.container is None
            else settings.worker_instance_startup_timeout_s
        ),
        max_start_failures=spec.max_start_failures,
        failed_retention_s=float(spec.failed_retention_seconds),
        tags=spec.tags,
        paused=spec.paused,
        template_hash=_template_hash(spec),
    )


def reset_token(obj: DeploymentObject) -> str:
    """Generation and `inventiv.io/reconcile-at`: a new one forgives failed starts."""
    return f"{obj.metadata.generation}/{obj.metadata.annotations.get(RECONCILE_AT, '')}"[:256]


def _ingress(spec: DeploymentSpec) -> tuple[IngressRule, ...]:
    return tuple(
        IngressRule(protocol=rule.protocol.value, port=rule.port, cidr=cidr)
        for rule in spec.network.ingress
        for cidr in rule.cidrs
    )


def _readiness(probe: ReadinessProbe) -> Readiness | None:
    http, tcp = probe.http_get, probe.tcp_socket
    port = http.port if http is not None else tcp.port if tcp is not None else None
    if port is None:
        return None
    return Readiness(
        port=port,
        path=None if http is None else http.path,
        period_s=float(probe.period_seconds),
        timeout_s=float(probe.timeout_seconds),
        failure_threshold=probe.failure_threshold,
    )


def _template_hash(spec: DeploymentSpec) -> str:
    """Of everything that only a new server can give. The size of the root volume is not in it: it can
    grow.
    """
    parts = {
        "placement": [[place.zone, place.instance_type] for place in spec.placement],
        "image": spec.image,
        "cloudInit": None if spec.cloud_init is None else spec.cloud_init.model_dump(mode="json"),
        "container": None if spec.container is None else spec.container.model_dump(mode="json"),
        "publicIP": spec.network.public_ip.value,
    }
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
