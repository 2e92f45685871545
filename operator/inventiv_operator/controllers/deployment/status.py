"""The status of a deployment, rendered from what a pass, or the ledger, knows. `controllers.status` writes
it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from inventiv_operator.api.base import timestamp_text
from inventiv_operator.api.conditions import ConditionStatus, ConditionType, Reason, Said, clip
from inventiv_operator.api.deployment_status import INSTANCES_LIMIT
from inventiv_operator.api.objects import DeploymentObject
from inventiv_operator.controllers.deployment.observe import Suspect
from inventiv_operator.controllers.status import ObjectStatusWriter, reason_of, said_ready
from inventiv_operator.domain.ids import Zone
from inventiv_operator.domain.instance_facts import InstanceFacts, has_begun
from inventiv_operator.domain.ledger import (
    CredentialRow,
    DeploymentLedger,
    DeploymentRow,
    InstanceState,
    Resource,
    ResourceKind,
)
from inventiv_operator.domain.sight import Listed, NotListed, Unknown
from inventiv_operator.domain.upkeep_plan import settings_of
from inventiv_operator.domain.verdict import ORDINARY, Standing, Verdict, is_ready
from inventiv_operator.domain.waits import Wait
from inventiv_operator.kube.kinds import DEPLOYMENT

Prices = Mapping[tuple[Zone, str], Decimal]
"""EUR per hour by zone and instance type."""

SELECTOR_LABEL = "inventiv.io/deployment"
COLUMN_MAX_CHARS = 128
MESSAGE_MAX_CHARS = 512
COST_STEP = Decimal("0.000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFacts:
    """`standings` None: nothing was learnt of the instances, so what the status says of them stays."""

    verdict: Verdict
    row: DeploymentRow | None = None
    credential: CredentialRow | None = None
    standings: tuple[Standing, ...] | None = None
    template_hash: str | None = None  # None: what the instances have counts as up to date
    prices: Prices | None = None  # None: not known now, so the cost stays as it was


def standings_of(ledger: DeploymentLedger) -> tuple[Standing, ...]:
    """From the ledger alone, when nobody may or can look at the provider."""
    blind = Unknown(reason="ProviderUnreachable")
    return tuple(
        Standing(
            facts=InstanceFacts(
                instance=instance,
                server=_part(ledger.resources, instance.id, ResourceKind.SERVER),
                volumes=tuple(
                    row
                    for row in ledger.resources
                    if row.instance_id == instance.id and row.kind is ResourceKind.VOLUME
                ),
                sight=blind,
                ready=instance.ready_at is not None,
            ),
            wait=Wait(reason="", message=instance.message),
        )
        for instance in ledger.instances
        if instance.state is not InstanceState.GONE
    )


def _part(rows: Iterable[Resource], instance_id: object, kind: ResourceKind) -> Resource | None:
    return next((row for row in rows if row.instance_id == instance_id and row.kind is kind), None)


class StatusWriter:
    """Of deployments."""

    def __init__(self, writer: ObjectStatusWriter) -> None:
        self._writer = writer

    async def write(
        self, body: Mapping[str, Any], obj: DeploymentObject, facts: StatusFacts
    ) -> dict[str, Any] | None:
        """The object as it is after the write; None when it moved on or is gone."""
        old = dict(body.get("status") or {})
        return await self._writer.write(DEPLOYMENT, body, render(old, obj, facts), said=conditions(facts))

    async def report(self, body: Mapping[str, Any], found: Sequence[Suspect]) -> None:
        """A server that carries our tags and is not ours: somebody must know that it is billed (L3)."""
        for suspect in found:
            await self._writer.announce(
                DEPLOYMENT,
                body,
                reason="SuspectServer",
                message=f"server {suspect.seen.ref} ({suspect.seen.name}) in {suspect.seen.zone} carries the"
                f" tags of {suspect.row.provider_ref}, but this operator did not make it; it is left alone,"
                " and billed: delete it if nobody needs it",
            )


# -- rendering -----------------------------------------------------------------------------------------------


def render(old: Mapping[str, Any], obj: DeploymentObject, facts: StatusFacts) -> dict[str, Any]:
    """Everything but the conditions; names as on the wire."""
    selected = obj.metadata.uid if facts.row is None else facts.row.id
    status: dict[str, Any] = {
        "deploymentID": None if facts.row is None else str(facts.row.id),
        "credentialName": None if facts.credential is None else facts.credential.name,
        "selector": f"{SELECTOR_LABEL}={selected}",
        "phase": facts.verdict.phase,
    }
    if facts.standings is None:
        kept = ("replicas", "readyReplicas", "updatedReplicas", "ready", "zones", "ips", "instances")
        status |= {name: old[name] for name in (*kept, "hourlyCost") if name in old}
        for name in ("deploymentID", "credentialName"):
            status[name] = status[name] or old.get(name)
        return status
    status |= _counts(obj, facts, facts.standings)
    cost = None if facts.prices is None else _cost(facts.standings, facts.prices)
    status["hourlyCost"] = old.get("hourlyCost") if cost is None else cost
    before = {entry.get("id"): entry for entry in old.get("instances") or ()}
    entries = [
        _instance(standing, before.get(str(standing.facts.instance.id)) or {})
        for standing in facts.standings[:INSTANCES_LIMIT]
    ]
    status["instances"] = entries
    status["zones"] = _column(entry["zone"] for entry in entries)
    status["ips"] = _column(entry["publicIP"] for entry in entries if "publicIP" in entry)
    return status


def _counts(obj: DeploymentObject, facts: StatusFacts, standings: Sequence[Standing]) -> dict[str, Any]:
    ready = sum(1 for s in standings if is_ready(s.facts))
    updated = sum(
        1
        for s in standings
        if s.facts.instance.state is InstanceState.ACTIVE
        and facts.template_hash in {None, s.facts.instance.template_hash}
    )
    return {
        "replicas": len(standings),
        "readyReplicas": ready,
        "updatedReplicas": updated,
        "ready": f"{ready}/{_replicas(obj)}",
    }


def _replicas(obj: DeploymentObject) -> int:
    spec = obj.parsed_spec
    return 0 if isinstance(spec, Exception) else spec.replicas


def _column(values: Iterable[str]) -> str:
    return clip(",".join(dict.fromkeys(values)), COLUMN_MAX_CHARS)


def _cost(standings: Sequence[Standing], prices: Prices) -> str | None:
    """Of every server that may exist, whatever its state: it counts until it is proven gone (L6)."""
    total = Decimal(0)
    for standing in standings:
        if not has_begun(standing.facts):
            continue
        instance = standing.facts.instance
        price = prices.get((instance.zone, instance.instance_type))
        if price is None:
            return None
        total += price
    return f"{total.quantize(COST_STEP).normalize():f}"


def _instance(standing: Standing, before: Mapping[str, Any]) -> dict[str, Any]:
    facts, instance = standing.facts, standing.facts.instance
    ref = None if facts.server is None else facts.server.provider_ref
    address = _address(facts, before)
    message = _message(standing)
    entry: dict[str, Any] = {
        "id": str(instance.id),
        "ordinal": instance.ordinal,
        "name": instance.name,
        "providerID": None if ref is None else f"scaleway://{instance.zone}/{ref}",
        "zone": instance.zone,
        "instanceType": instance.instance_type,
        "state": _state(facts, before),
        "ready": is_ready(facts),
        "publicIP": address,
        "volumes": [_volume(row) for row in facts.volumes if row.provider_ref is not None],
        "createdAt": timestamp_text(instance.created_at),
        "readyAt": None if instance.ready_at is None else timestamp_text(instance.ready_at),
        "message": clip(message, MESSAGE_MAX_CHARS),
    }
    return {name: value for name, value in entry.items() if value is not None}


def _state(facts: InstanceFacts, before: Mapping[str, Any]) -> str:
    if facts.instance.state is not InstanceState.ACTIVE:
        return str(facts.instance.state)
    match facts.sight:
        case Listed(seen=seen):
            return str(seen.state)
        case Unknown():
            return str(before.get("state") or "unknown")
        case NotListed() if not has_begun(facts):
            return "pending"
        case _:
            return "creating" if facts.server is not None and facts.server.provider_ref is None else "unknown"


def _address(facts: InstanceFacts, before: Mapping[str, Any]) -> str | None:
    match facts.sight:
        case Listed(seen=seen):
            return next((a.address for a in seen.addresses if a.address), None)
        case Unknown():
            address = before.get("publicIP")
            return None if address is None else str(address)
        case _:
            return None


def _volume(row: Resource) -> dict[str, Any]:
    size_gb = settings_of(row).size_gb
    kind = (
        "sbs_volume" if row.volume_api == "block" else "scratch" if row.role.startswith("extra") else "l_ssd"
    )
    entry = {"id": row.provider_ref, "kind": kind, "sizeGB": size_gb}
    return {name: value for name, value in entry.items() if value is not None}


def _message(standing: Standing) -> str:
    wait, instance = standing.wait, standing.facts.instance
    if wait.message:
        return wait.message
    if wait.reason not in ORDINARY:
        return wait.reason
    return instance.message or instance.reason if instance.state is not InstanceState.ACTIVE else ""


# -- conditions ----------------------------------------------------------------------------------------------


def conditions(facts: StatusFacts) -> tuple[Said, ...]:
    """Ready, Progressing, CredentialReady."""
    return (said_ready(facts.verdict), _said_progressing(facts.verdict), _said_credential(facts))


def _said_progressing(verdict: Verdict) -> Said:
    reason = Reason.COMPLETE if verdict.ready else reason_of(verdict.reason)
    return Said(
        type=ConditionType.PROGRESSING,
        status=ConditionStatus.TRUE if verdict.progressing else ConditionStatus.FALSE,
        reason=reason,
        message=verdict.message,
    )


def _said_credential(facts: StatusFacts) -> Said:
    credential = facts.credential
    if credential is None:
        return Said(
            type=ConditionType.CREDENTIAL_READY,
            status=ConditionStatus.UNKNOWN,
            reason=Reason.PROGRESSING,
            message="no ProviderCredential serves this deployment yet",
        )
    frozen, ready = bool(credential.frozen_reason), credential.ready and not credential.frozen_reason
    reason = Reason.FROZEN if frozen else Reason.READY if ready else reason_of(credential.reason)
    return Said(
        type=ConditionType.CREDENTIAL_READY,
        status=ConditionStatus.TRUE if ready else ConditionStatus.FALSE,
        reason=reason,
        message=f"{credential.title} is {'ready' if ready else 'not ready'}"
        + (f": {credential.frozen_reason}" if frozen else ""),
    )
