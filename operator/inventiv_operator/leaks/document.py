"""A report for machines: keys are fixed, amounts are decimal strings in EUR, null when they are not known."""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from inventiv_operator.domain.cloud import GB, SeenAddress, SeenServer, SeenVolume
from inventiv_operator.domain.leaks import Finding
from inventiv_operator.domain.sight import Unknown
from inventiv_operator.leaks.report import (
    CredentialReport,
    OrganizationReport,
    Priced,
    Report,
    amount,
    cost_of,
)


def render(report: Report) -> str:
    return json.dumps(document(report), indent=2) + "\n"


def document(report: Report) -> dict[str, Any]:
    counts = report.findings()
    return {
        "installationID": str(report.installation_id),
        "at": report.at.isoformat(),
        "prices": {"date": report.prices.dated.isoformat(), "source": report.prices.source},
        "organizations": [_organization(organization) for organization in report.organizations],
        "findings": {str(finding): counts[finding] for finding in Finding},
        **_cost(report.things()),
        "toLookAt": _cost(report.to_look_at()),
        "clean": report.is_clean,
        "summary": report.sentence(),
    }


def _organization(organization: OrganizationReport) -> dict[str, Any]:
    return {
        "id": str(organization.id),
        "name": organization.name,
        "credentials": [_credential(credential) for credential in organization.credentials],
    }


def _credential(report: CredentialReport) -> dict[str, Any]:
    row = report.credential
    return {
        "id": str(row.id),
        "name": report.name,
        "seeded": not row.uid,
        "projectID": row.project_id,
        "state": row.state,
        "problem": None if report.problem is None else _why(report.problem),
        "note": report.note,
        "zones": list(report.zones),
        "things": [_thing(priced) for priced in report.things],
        "unlisted": [
            {"zone": name.zone, "kind": str(name.kind), "api": name.api and str(name.api), **_why(why)}
            for name, why in report.unlisted
        ],
        "withoutOurTags": report.foreign,
        **_cost(report.things),
    }


def _thing(priced: Priced) -> dict[str, Any]:
    thing = priced.thing
    return {
        "finding": str(thing.finding),
        "kind": str(thing.kind),
        "zone": thing.zone,
        "id": thing.ref,
        "name": thing.name,
        "deployment": thing.deployment or None,
        "eurPerHour": _amount(priced.eur_per_hour),
        "ledger": None
        if thing.row is None
        else {
            "id": str(thing.row.id),
            "state": str(thing.row.state),
            "since": thing.row.changed_at.isoformat(),
        },
        "seen": _seen(priced),
        "note": thing.note,
    }


def _seen(priced: Priced) -> dict[str, Any] | None:
    match priced.thing.seen:
        case None:
            return None
        case SeenServer() as server:
            return {"state": server.state, "type": server.commercial_type}
        case SeenVolume() as volume:
            return {
                "state": volume.status,
                "sizeGB": volume.size_bytes // GB,
                "iops": volume.perf_iops,
                "attachedTo": list(volume.attached_to),
            }
        case SeenAddress() as address:
            return {"address": address.address, "attachedTo": address.attached_to}
        case _:
            return {}


def _why(why: Unknown) -> dict[str, str]:
    return {"reason": why.reason, "message": why.message}


def _cost(things: Iterable[Priced]) -> dict[str, Any]:
    cost = cost_of(things)
    return {"eurPerHour": amount(cost.eur_per_hour), "ofUnknownPrice": cost.unpriced}


def _amount(eur: Decimal | None) -> str | None:
    return None if eur is None else amount(eur)
