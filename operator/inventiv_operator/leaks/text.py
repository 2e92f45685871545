"""A report for people: one line for each thing, ids in full, the last line a sentence."""

import textwrap
from collections.abc import Iterator
from typing import Final

from inventiv_operator.domain.cloud import GB, SeenAddress, SeenServer, SeenVolume
from inventiv_operator.domain.leaks import Finding, Thing
from inventiv_operator.domain.ledger import ResourceKind
from inventiv_operator.domain.sight import Unknown
from inventiv_operator.leaks.report import (
    CredentialReport,
    OrganizationReport,
    Priced,
    Report,
    amount,
    cost_of,
    counted,
    money,
)

_INDENT: Final = "    "
_HANGING: Final = "        "
_ID_CHARS: Final = 36
_ZONE_CHARS: Final = 8
_PRICE_CHARS: Final = 9
_FINDING_CHARS: Final = max(len(finding) for finding in Finding)
_KIND_CHARS: Final = max(len(kind) for kind in ResourceKind)
_HEADER: Final = ("WHAT", "KIND", "ZONE", "ID", "EUR/H", "OF")


def render(report: Report, *, width: int | None) -> str:
    """`width` in characters; None: lines are as long as they are."""
    lines: list[str] = []
    for organization in report.organizations:
        lines += [*_organization(organization, width=width), ""]
    prices = report.prices
    lines += _wrapped(
        f"Prices without tax. Servers: the catalog's, nothing when powered off. Storage and addresses:"
        f" {prices.dated}, {prices.source}.",
        width=width,
        indent="",
    )
    return "\n".join([*lines, report.sentence()]) + "\n"


def _organization(organization: OrganizationReport, *, width: int | None) -> Iterator[str]:
    cost = cost_of(priced for credential in organization.credentials for priced in credential.things)
    yield from _wrapped(
        f"Organization {organization.name} ({organization.id}): {money(cost)}", width=width, indent=""
    )
    if not organization.credentials:
        yield "  no credential, so nothing to look at"
    for credential in organization.credentials:
        yield from _credential(credential, width=width)


def _credential(report: CredentialReport, *, width: int | None) -> Iterator[str]:
    row = report.credential
    said = [counted(len(report.things), "thing"), money(cost_of(report.things))]
    if report.foreign:
        said.append(f"{report.foreign} without our tags, not shown")
    if row.state != "open":
        said.append("on its way out")
    head = f"Credential {report.name} ({row.id}), project {row.project_id}: {', '.join(said)}"
    yield from _wrapped(head, width=width, indent="  ")
    if report.note:
        yield from _wrapped(report.note, width=width, indent=_INDENT)
    if report.problem is not None:
        yield from _unknown("nothing could be looked at", report.problem, width=width)
    if report.things:
        yield _row(*_HEADER)
    for priced in report.things:
        yield from _thing(priced, width=width)
    for name, why in report.unlisted:
        yield from _unknown(f"list of {name} in {name.zone}", why, width=width)


def _thing(priced: Priced, *, width: int | None) -> Iterator[str]:
    thing = priced.thing
    price = "?" if priced.eur_per_hour is None else amount(priced.eur_per_hour)
    line = _row(thing.finding, thing.kind, thing.zone, thing.ref or "(no id yet)", price)
    rest = "; ".join(_details(thing))
    if not rest:
        yield line.rstrip()
    elif width is None or len(line) + len(rest) <= width:
        yield f"{line}{rest}"
    else:
        yield line.rstrip()
        yield from _wrapped(rest, width=width, indent=_HANGING)


def _row(finding: str, kind: str, zone: str, ref: str, price: str, rest: str = "") -> str:
    what = f"{finding:{_FINDING_CHARS}} {kind:{_KIND_CHARS}} {zone:{_ZONE_CHARS}} {ref:{_ID_CHARS}}"
    return f"{_INDENT}{what} {price:>{_PRICE_CHARS}}  {rest}"


def _details(thing: Thing) -> Iterator[str]:
    whose = " ".join(part for part in (thing.deployment, thing.name) if part)
    if whose:
        yield plain(whose)
    match thing.seen:
        case SeenServer(commercial_type=commercial_type, state=state):
            yield plain(f"{commercial_type}, {state}")
        case SeenVolume(size_bytes=size_bytes, perf_iops=iops, status=status):
            speed = "" if iops is None else f", {iops} iops"
            yield plain(f"{size_bytes // GB} GB{speed}, {status}")
        case SeenAddress(attached_to=server):
            yield "attached to nothing" if server is None else f"attached to {server}"
    if thing.note:
        yield plain(thing.note)


def _unknown(what: str, why: Unknown, *, width: int | None) -> Iterator[str]:
    said = plain(f"{Finding.UNKNOWN:{_FINDING_CHARS}} {what}: {why.reason}: {why.message}")
    return iter(_wrapped(said, width=width, indent=_INDENT))


def _wrapped(text: str, *, width: int | None, indent: str) -> list[str]:
    """Ids, and whatever else is longer than the line, stay whole."""
    if width is None:
        return [f"{indent}{text}"]
    return textwrap.wrap(
        text,
        width=width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def plain(text: str) -> str:
    """Names and tags are the tenant's to write: nothing of them may steer a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
