"""What a report looks like, for people and for machines."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from domain.test_leaks import DENIED, SERVERS, server, volume
from domain.things import root_row, server_row
from inventiv_operator.domain.cloud import SeenAddress
from inventiv_operator.domain.ids import (
    CredentialId,
    InstallationId,
    OrganizationId,
    ProviderRef,
    Zone,
)
from inventiv_operator.domain.leaks import Finding, Seen, Thing
from inventiv_operator.domain.ledger import CredentialRow, Resource, ResourceKind
from inventiv_operator.domain.prices import BUILT_IN
from inventiv_operator.domain.sight import Unknown
from inventiv_operator.leaks import document, text
from inventiv_operator.leaks.report import CredentialReport, OrganizationReport, Priced, Report

ID = "6d0a1f2e-0000-4000-8000-00000000000"
PROJECT = "105bdce1-64c0-48ab-899d-868455867ecf"


def credential(**changes: object) -> CredentialRow:
    row = CredentialRow(
        id=CredentialId(UUID(int=3)),
        organization_id=OrganizationId(UUID(int=2)),
        namespace="acme",
        name="scaleway",
        uid="u",
        project_id=PROJECT,
        is_default=True,
        state="open",
        ready=True,
        reason="",
        frozen_reason="",
        validated_at=None,
        rejected_at=None,
        expires_at=None,
        key_fingerprint="",
        access_key="SCWABCDEFGHIJKLMNOPQ",
        encryption_key_id="k1",
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def priced(
    finding: Finding,
    number: int,
    *,
    eur: str | None,
    seen: Seen | None = None,
    row: Resource | None = None,
    kind: ResourceKind = ResourceKind.SERVER,
    note: str = "",
    name: str = "acme-llama-0",
) -> Priced:
    thing = Thing(
        finding=finding,
        kind=kind,
        zone=Zone("fr-par-2"),
        ref=ProviderRef(f"{ID}{number}"),
        name=name,
        deployment="acme/llama",
        note=note,
        row=row,
        seen=seen,
    )
    return Priced(thing=thing, eur_per_hour=None if eur is None else Decimal(eur))


def report(*credentials: CredentialReport) -> Report:
    return Report(
        installation_id=InstallationId(UUID(int=7)),
        at=datetime(2026, 7, 1, tzinfo=UTC),
        prices=BUILT_IN,
        organizations=(
            OrganizationReport(id=OrganizationId(UUID(int=2)), name="acme", credentials=credentials),
        ),
    )


CLEAN = report(
    CredentialReport(
        credential=credential(),
        things=(
            priced(Finding.KNOWN, 1, eur="0.7875", seen=server(), row=server_row()),
            priced(
                Finding.KNOWN,
                2,
                eur="0.0156",
                seen=volume(),
                row=root_row(),
                kind=ResourceKind.VOLUME,
                name="root",
            ),
        ),
        zones=(Zone("fr-par-2"),),
        foreign=3,
    )
)
ORPHAN = priced(Finding.ORPHAN, 3, eur=None, seen=server(), note="the ledger does not know it")
FOUND = report(
    CredentialReport(credential=credential(), things=(ORPHAN,), unlisted=((SERVERS, DENIED),)),
    CredentialReport(
        credential=credential(uid="", namespace="", name="seeded", state="closing"),
        things=(),
        problem=Unknown(reason="Frozen", message="it sees another project"),
    ),
)


def test_a_clean_bill_for_people() -> None:
    organization, credential_line, header, first, second, blank, prices, last = text.render(
        CLEAN, width=None
    ).splitlines()
    assert organization == "Organization acme (00000000-0000-0000-0000-000000000002): 0.8031 EUR per hour"
    assert credential_line == (
        "  Credential acme/scaleway (00000000-0000-0000-0000-000000000003), project"
        f" {PROJECT}: 2 things, 0.8031 EUR per hour, 3 without our tags, not shown"
    )
    assert header.split() == ["WHAT", "KIND", "ZONE", "ID", "EUR/H", "OF"]
    assert first == (
        f"    known                server         fr-par-2 {ID}1    0.7875  acme/llama acme-llama-0;"
        " L4-1-24G, running"
    )
    assert second == (
        f"    known                volume         fr-par-2 {ID}2    0.0156  acme/llama root;"
        " 120 GB, 5000 iops, available"
    )
    assert header.index("OF") == first.index("acme/llama")
    assert blank == ""
    assert "2026-09-26, https://www.scaleway.com/en/pricing/storage/" in prices
    assert last == "Nothing but known things: 2 things of 1 organization, 0.8031 EUR per hour."


def test_what_is_to_be_looked_at_for_people() -> None:
    said = text.render(FOUND, width=None)
    assert f"    orphan               server         fr-par-2 {ID}3         ?  " in said
    assert (
        "    unknown              list of server in fr-par-2: PermissionDenied: list servers: 403\n" in said
    )
    assert "  Credential seeded (" in said
    assert "on its way out" in said
    assert "nothing could be looked at: Frozen: it sees another project\n" in said
    assert said.endswith(
        "\nTo look at, in 1 organization: 1 orphan, 2 unknown; they cost 0.0000 EUR per hour and 1 of unknown"
        " price, everything together 0.0000 EUR per hour and 1 of unknown price.\n"
    )


@pytest.mark.parametrize("width", [30, 60, 80, 100, 120, 300])
def test_ids_are_whole_at_every_width(width: int) -> None:
    for one in (CLEAN, FOUND):
        said = text.render(one, width=width)
        for credential_report in one.credentials():
            assert PROJECT in said
            for found in credential_report.things:
                assert str(found.thing.ref) in said
    lines = text.render(CLEAN, width=100).splitlines()
    assert max(len(line) for line in lines) <= 100
    assert any(line.startswith("        acme/llama") for line in lines), "the rest goes on below its line"


def test_what_a_tenant_writes_steers_no_terminal() -> None:
    evil = priced(Finding.ORPHAN, 1, eur="0", seen=server(), name="\x1b[2Jgone\nfake line", note="\x07")
    said = text.render(report(CredentialReport(credential=credential(), things=(evil,))), width=None)
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "?[2Jgone?fake line" in said


def test_an_organization_without_a_credential_says_so() -> None:
    assert "no credential" in text.render(report(), width=None)
    assert report().is_clean


def test_for_machines() -> None:
    found = json.loads(document.render(CLEAN))
    assert found["clean"] is True
    assert found["installationID"] == str(UUID(int=7))
    assert found["eurPerHour"] == "0.8031"
    assert found["ofUnknownPrice"] == 0
    assert found["toLookAt"] == {"eurPerHour": "0.0000", "ofUnknownPrice": 0}
    assert found["findings"] == {**dict.fromkeys((str(one) for one in Finding), 0), "known": 2}
    ((one,),) = (organization["credentials"] for organization in found["organizations"])
    assert {
        key: one[key] for key in ("name", "seeded", "projectID", "state", "problem", "withoutOurTags")
    } == {
        "name": "acme/scaleway",
        "seeded": False,
        "projectID": PROJECT,
        "state": "open",
        "problem": None,
        "withoutOurTags": 3,
    }
    first, second = one["things"]
    row = CLEAN.organizations[0].credentials[0].things[0].thing.row
    assert row is not None
    assert first == {
        "finding": "known",
        "kind": "server",
        "zone": "fr-par-2",
        "id": f"{ID}1",
        "name": "acme-llama-0",
        "deployment": "acme/llama",
        "eurPerHour": "0.7875",
        "ledger": {"id": str(row.id), "state": "present", "since": row.changed_at.isoformat()},
        "seen": {"state": "running", "type": "L4-1-24G"},
        "note": "",
    }
    assert second["seen"] == {"state": "available", "sizeGB": 120, "iops": 5000, "attachedTo": []}


def test_for_machines_what_could_not_be_looked_at() -> None:
    found = json.loads(document.render(FOUND))
    assert (found["clean"], found["findings"]["unknown"], found["ofUnknownPrice"]) == (False, 2, 1)
    assert found["toLookAt"] == {"eurPerHour": "0.0000", "ofUnknownPrice": 1}
    first, seeded = found["organizations"][0]["credentials"]
    assert first["things"][0]["eurPerHour"] is None
    assert first["things"][0]["ledger"] is None
    assert first["unlisted"] == [
        {
            "zone": "fr-par-2",
            "kind": "server",
            "api": None,
            "reason": "PermissionDenied",
            "message": "list servers: 403",
        }
    ]
    assert (seeded["name"], seeded["seeded"]) == ("seeded", True)
    assert seeded["problem"] == {"reason": "Frozen", "message": "it sees another project"}


def test_no_key_is_shown() -> None:
    """Not even the public half: who reads a report need not know it."""
    for one in (CLEAN, FOUND):
        assert "SCWABC" not in document.render(one) + text.render(one, width=None)


def test_an_address_says_what_it_is_attached_to() -> None:
    seen = SeenAddress(ref=ProviderRef("a"), address="192.0.2.1", project_id="p", tags=(), attached_to=None)
    one = priced(Finding.ORPHAN, 1, eur="0.005", seen=seen, kind=ResourceKind.ADDRESS, name="192.0.2.1")
    shown = report(CredentialReport(credential=credential(), things=(one,)))
    assert "192.0.2.1; attached to nothing" in text.render(shown, width=None)
    things = json.loads(document.render(shown))["organizations"][0]["credentials"][0]["things"]
    assert things[0]["seen"] == {"address": "192.0.2.1", "attachedTo": None}
