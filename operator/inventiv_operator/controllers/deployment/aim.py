"""From the spec, and what stands in its way, to what a pass is to bring about. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from inventiv_operator.controllers.deployment.deployment_pass import Aim
from inventiv_operator.controllers.deployment.resolve import Start, StartProblem
from inventiv_operator.controllers.deployment.scene import Template
from inventiv_operator.domain.cloud import IngressRule
from inventiv_operator.domain.ids import Zone
from inventiv_operator.domain.instance_facts import InstancePolicy
from inventiv_operator.domain.intents import Timing
from inventiv_operator.domain.ledger import CredentialRow, DeploymentLedger
from inventiv_operator.domain.start_record import HoldBack
from inventiv_operator.domain.template_change import would_replace
from inventiv_operator.domain.verdict import Verdict, refused
from inventiv_operator.domain.wanted import WantedDeployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Why something is not done. `total`: nothing at all is changed; otherwise deletions go on."""

    verdict: Verdict
    total: bool
    is_pause: bool = False


def block_of(
    snapshot: DeploymentLedger,
    wanted: WantedDeployment,
    credential: CredentialRow | None,
    *,
    unsupported: Verdict | None,
    is_at_home: bool,
) -> Block | None:
    """The gravest reason, if any. `is_at_home`: the namespace is still of the organization that it was begun
    for.
    """
    if wanted.paused:
        verdict = refused(
            "Paused", "spec.paused is true: nothing is started, scaled or replaced", phase="Paused"
        )
        return Block(verdict=verdict, total=True, is_pause=True)
    if unsupported is not None:
        return Block(verdict=unsupported, total=True)
    if wanted.replicas:
        replaced = would_replace(
            snapshot.instances,
            snapshot.resources,
            template_hash=wanted.template_hash,
            root_size_gb=wanted.root_size_gb,
        )
        if replaced:
            return Block(verdict=refused("NotSupported", replaced, phase="Degraded"), total=True)
    problem = start_problem(credential, zone=wanted.zone) if is_at_home else STRAYED
    return None if problem is None else Block(verdict=problem, total=False)


STRAYED: Final = refused(
    "OrganizationMissing",
    "the namespace is not of the Organization any more that this deployment was begun for: nothing new is"
    " made; what exists is watched, and goes when the deployment is deleted; delete it and apply it again",
    phase="Degraded",
)
"""No deployment is begun like that, and a claim stays while one is open: should the ledger say otherwise."""


def start_problem(credential: CredentialRow | None, *, zone: Zone) -> Verdict | None:
    """Why nothing new is made there with it. The zone comes first: it is for somebody to change, and a
    credential that is not ready may become so by itself.
    """
    if credential is not None and credential.zones is not None and zone not in credential.zones:
        return refused(
            "ZoneNotAllowed",
            f"{credential.title} may not be used in zone {zone}, only in {', '.join(credential.zones)}:"
            " nothing new is made there; change the deployment's placement, or spec.zones of the credential",
        )
    return credential_problem(credential)


def credential_problem(credential: CredentialRow | None) -> Verdict | None:
    """Why nothing new is made with it; None: nothing speaks against it."""
    if credential is None:
        return refused("MissingProviderCredentials", "the ProviderCredential of this deployment is gone")
    if credential.ready and credential.state == "open":
        return None
    why = credential.reason or ("Deleting" if credential.state != "open" else "Progressing")
    where = "status.seededCredential of the Organization" if credential.is_seeded else "its Ready condition"
    return refused("CredentialNotReady", f"{credential.title} is not ready ({why}); see {where}")


def aim_of(
    wanted: WantedDeployment,
    *,
    block: Block | None,
    start: Start | StartProblem | None,
    hold: HoldBack,
    timing: Timing,
    probe_cidrs: Sequence[str],
    steady_s: float,
) -> Aim:
    """`start` None: it was not looked up, because something blocks."""
    problem = start if isinstance(start, StartProblem) else None
    free = block is None
    why_not = block.verdict.reason if block else problem.reason if problem else hold.reason
    return Aim(
        replicas=wanted.replicas,
        may_scale_down=block is None or not block.total,
        keeps_group=free,
        policy=InstancePolicy(
            timing=timing,
            startup_timeout_s=wanted.startup_timeout_s,
            failed_retention_s=wanted.failed_retention_s,
            cloud_init=wanted.cloud_init is not None,
            root_iops=wanted.root_iops,
            root_size_gb=wanted.root_size_gb,
            tags=wanted.tags,
            template_hash=wanted.template_hash,
            may_create=free and problem is None and not hold.reason,
            may_start=free,
            may_restart=block is None or not block.is_pause,
            may_let_go=block is None or not block.is_pause,
            why_not=why_not,
        ),
        template=Template(
            dynamic_ip=wanted.dynamic_ip,
            root_size_gb=wanted.root_size_gb,
            cloud_init=wanted.cloud_init,
            tags=wanted.tags,
        ),
        start=start if isinstance(start, Start) else None,
        zone=wanted.zone,
        rules=(*wanted.ingress, *_probe_rules(wanted, probe_cidrs)),
        readiness=wanted.readiness,
        steady_age_s=steady_s * 0.9,
    )


def _probe_rules(wanted: WantedDeployment, cidrs: Sequence[str]) -> tuple[IngressRule, ...]:
    if wanted.readiness is None:
        return ()
    port = wanted.readiness.port
    rules = (IngressRule(protocol="TCP", port=port, cidr=cidr) for cidr in cidrs)
    return tuple(rule for rule in rules if rule not in wanted.ingress)
