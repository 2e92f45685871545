"""Ledger against provider: what each of the two says of the other's things.

The listings were read first and the ledger after them, so whatever was made or ended in between is known to
both. Nothing here is a proof of absence (L1): what a listing lacks is suspect, and what could not be listed
is unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from inventiv_operator.domain.cloud import (
    SeenAddress,
    SeenSecurityGroup,
    SeenServer,
    SeenVolume,
    VolumeApi,
)
from inventiv_operator.domain.ids import DeploymentId, InstallationId, InstanceId, ProviderRef, Zone
from inventiv_operator.domain.intents import (
    ATTEMPT_TAG,
    CLOCK_SKEW,
    DEPLOYMENT_TAG,
    INSTALLATION_TAG,
    INSTANCE_TAG,
    ORGANIZATION_TAG,
    RESOURCE_TAG,
)
from inventiv_operator.domain.ledger import (
    OPEN_STATES,
    DeploymentRow,
    DeploymentState,
    Resource,
    ResourceKind,
    ResourceState,
)
from inventiv_operator.domain.sight import Unknown

ON_ITS_WAY: Final = timedelta(minutes=15)
"""How long a create or a deletion may take before somebody should look."""
_TAGS: Final = (
    INSTALLATION_TAG,
    ORGANIZATION_TAG,
    DEPLOYMENT_TAG,
    INSTANCE_TAG,
    ATTEMPT_TAG,
    RESOURCE_TAG,
)

Seen = SeenServer | SeenVolume | SeenAddress | SeenSecurityGroup


class Finding(StrEnum):
    """Gravest first, as they are shown. All but `KNOWN` are for somebody to look at."""

    LOST = "lost"  # its object vanished without a deletion being seen (L9)
    ORPHAN = "orphan"  # carries this installation's tags, and no open row
    ABANDONED = "abandoned"  # given up by annotation, and still there
    UNUSED = "unused"  # an open row whose deployment is closed
    MISSING = "missing"  # the ledger says it is there, a complete listing does not: no proof
    UNPROVEN = "unproven"  # on its way in or out for too long
    UNKNOWN_INSTALLATION = "unknown-installation"  # tags of ours, of another installation or of none
    UNKNOWN = "unknown"  # could not be looked at
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class ListName:
    """One list of one zone; `api` is for volumes alone."""

    zone: Zone
    kind: ResourceKind
    api: VolumeApi | None = None

    def __str__(self) -> str:
        return f"{self.kind} ({self.api})" if self.api is not None else str(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Complete. `listed_at` is before its first request, by our clock."""

    listed_at: datetime
    items: Mapping[ProviderRef, Seen]


Lists = Mapping[ListName, Listed | Unknown]
"""What is not in it was not there to be asked for."""
Key = tuple[ResourceKind, Zone, ProviderRef]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerView:
    """What the ledger holds of one credential, read after the listings."""

    rows: Sequence[Resource] = ()  # open ones of the credential
    named: Sequence[Resource] = ()  # any of the organization that the listed things name, in whatever state
    deployments: Mapping[DeploymentId, DeploymentRow] = field(default_factory=dict)
    instance_names: Mapping[InstanceId, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One line of the report. `row` None: the ledger has no open row of it; `seen` None: it was not seen."""

    finding: Finding
    kind: ResourceKind
    zone: Zone
    ref: ProviderRef | None
    name: str
    deployment: str  # namespace/name; empty: of none, or of one that is not the organization's
    note: str
    row: Resource | None
    seen: Seen | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`foreign` is how many things without tags of ours the project holds; they are the tenant's business."""

    things: tuple[Thing, ...]
    foreign: int


def compare(
    lists: Lists, ledger: LedgerView, *, installation_id: InstallationId, now: datetime
) -> Comparison:
    """Every open row once, and what is listed without one: ours by its tags, or by what the ledger held."""
    rows = _Rows(lists, ledger, now=now)
    things = [rows.judge(row) for row in ledger.rows]
    strangers = _Strangers(ledger, installation_id=installation_id)
    foreign = 0
    for name, listed in lists.items():
        if isinstance(listed, Unknown):
            continue
        for seen in listed.items.values():
            if (name.kind, name.zone, seen.ref) in rows.taken:
                continue
            if strangers.is_foreign(name, seen):
                foreign += not (isinstance(seen, SeenSecurityGroup) and seen.project_default)
                continue
            thing = strangers.judge(name, listed, seen)
            if thing is not None:
                things.append(thing)
    return Comparison(things=tuple(sorted(things, key=_order)), foreign=foreign)


def tags_of_ours(seen: Seen) -> dict[str, str]:
    """By name; a tenant can write them too, so they are hints and never a proof."""
    pairs = (tag.partition("=") for tag in seen.tags)
    return {name: value for name, _, value in pairs if name in _TAGS and value}


def list_of(row: Resource) -> ListName:
    return ListName(row.zone, row.kind, row.volume_api)


def things_unknown(ledger: LedgerView, why: Unknown) -> tuple[Thing, ...]:
    """The rows of a credential that could not be used at all."""
    unknown = [_thing_of(row, ledger, Finding.UNKNOWN, note=_because(why), seen=None) for row in ledger.rows]
    return tuple(sorted(unknown, key=_order))


def _order(thing: Thing) -> tuple[int, str, int, str]:
    return (
        list(Finding).index(thing.finding),
        thing.zone,
        list(ResourceKind).index(thing.kind),
        thing.ref or "",
    )


def _because(why: Unknown) -> str:
    return f"{why.reason}: {why.message}" if why.message else why.reason


def _thing_of(row: Resource, ledger: LedgerView, finding: Finding, *, note: str, seen: Seen | None) -> Thing:
    name = "" if row.instance_id is None else ledger.instance_names.get(row.instance_id, "")
    return Thing(
        finding=finding,
        kind=row.kind,
        zone=row.zone,
        ref=row.provider_ref if seen is None else seen.ref,
        name=name if seen is None else _name_of(seen),
        deployment=_deployment_name(ledger, row.deployment_id),
        note=note,
        row=row,
        seen=seen,
    )


def _name_of(seen: Seen) -> str:
    return seen.address if isinstance(seen, SeenAddress) else seen.name


def _deployment_name(ledger: LedgerView, deployment_id: DeploymentId | None) -> str:
    found = None if deployment_id is None else ledger.deployments.get(deployment_id)
    return "" if found is None else f"{found.namespace}/{found.name}"


class _Rows:
    """What the listings say of the rows; `taken` grows by what was found to be theirs."""

    def __init__(self, lists: Lists, ledger: LedgerView, *, now: datetime) -> None:
        self._lists = lists
        self._ledger = ledger
        self._now = now
        self.taken: set[Key] = set()
        self._by_attempt = {
            (name.kind, attempt): seen
            for name, listed in lists.items()
            if not isinstance(listed, Unknown)
            for seen in listed.items.values()
            if (attempt := tags_of_ours(seen).get(ATTEMPT_TAG))
        }

    def judge(self, row: Resource) -> Thing:
        listed = self._lists.get(list_of(row))
        if listed is None:
            listed = Unknown(reason="ProviderUnreachable", message="there is no such list in this zone")
        seen = None if isinstance(listed, Unknown) else self._find(row, listed)
        if seen is not None:
            self.taken.add((row.kind, row.zone, seen.ref))
        finding, note = self._finding(row, listed, seen)
        return _thing_of(row, self._ledger, finding, note=note, seen=seen)

    def _find(self, row: Resource, listed: Listed) -> Seen | None:
        if row.provider_ref is not None:
            return listed.items.get(row.provider_ref)
        found = (self._by_attempt.get((row.kind, attempt)) for attempt in row.attempts)
        return next((seen for seen in found if seen is not None), None)

    def _finding(self, row: Resource, listed: Listed | Unknown, seen: Seen | None) -> tuple[Finding, str]:
        """The gravest thing to say of it, and why."""
        where = _because(listed) if isinstance(listed, Unknown) else "" if seen else "not in the listing"
        is_intent = row.state is ResourceState.INTENDED
        if is_intent and row.send_before is None and seen is None:
            return Finding.KNOWN, "intended, never sent"  # it has made nothing, however old it is
        ownerless = self._ownerless(row)
        if ownerless is not None:
            return ownerless[0], _join(ownerless[1], where)
        if isinstance(listed, Unknown):
            return Finding.UNKNOWN, where
        if row.state is ResourceState.PRESENT:
            return _present(row, listed, seen)
        note = _join("intended" if is_intent else "being deleted", where)
        if self._now - row.changed_at <= ON_ITS_WAY:
            return Finding.KNOWN, note
        return Finding.UNPROVEN, _join(note, f"since {_minute(row.changed_at)}", row.last_error)

    def _ownerless(self, row: Resource) -> tuple[Finding, str] | None:
        """Whatever is seen of it, nobody wants it any more."""
        deployment = None if row.deployment_id is None else self._ledger.deployments.get(row.deployment_id)
        state = None if deployment is None else deployment.state
        if row.state is ResourceState.LOST or state is DeploymentState.LOST:
            return Finding.LOST, "the object of its deployment vanished"
        return (Finding.UNUSED, "its deployment is closed") if state is DeploymentState.CLOSED else None


def _present(row: Resource, listed: Listed, seen: Seen | None) -> tuple[Finding, str]:
    if seen is not None:
        return Finding.KNOWN, ""
    if row.changed_at > listed.listed_at - CLOCK_SKEW:
        return Finding.KNOWN, "newer than the listing"
    return Finding.MISSING, "not in a complete listing, which is no proof that it is gone"


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


class _Strangers:
    """What is listed and is no open row of this credential."""

    def __init__(self, ledger: LedgerView, *, installation_id: InstallationId) -> None:
        self._ledger = ledger
        self._ours = str(installation_id)
        self._named: dict[Key, list[Resource]] = {}
        self._attempts: set[str] = set()
        own = {row.id for row in ledger.rows}
        for row in ledger.named:
            if row.provider_ref is not None:
                self._named.setdefault((row.kind, row.zone, row.provider_ref), []).append(row)
            elif row.state in OPEN_STATES and row.id not in own:
                self._attempts.update(row.attempts)

    def is_foreign(self, name: ListName, seen: Seen) -> bool:
        """Tags can be taken off: what the ledger ever held, and did not give back, is not foreign."""
        held = any(row.state is not ResourceState.RELEASED for row in self._rows_of(name, seen))
        return not held and not tags_of_ours(seen)

    def judge(self, name: ListName, listed: Listed, seen: Seen) -> Thing | None:
        """None: there is nothing to say of it here."""
        rows, tags = self._rows_of(name, seen), tags_of_ours(seen)
        if any(row.state in OPEN_STATES for row in rows) or tags.get(ATTEMPT_TAG) in self._attempts:
            return None  # another credential of this organization holds it, and it is shown there
        last = max(rows, key=lambda row: row.changed_at, default=None)
        if last is not None and last.changed_at > listed.listed_at - CLOCK_SKEW:
            return None  # it ended while we looked
        finding, note = self._finding(tags, last)
        return Thing(
            finding=finding,
            kind=name.kind,
            zone=name.zone,
            ref=seen.ref,
            name=_name_of(seen),
            deployment=self._deployment_of(tags),
            note=_join(note, _attached(seen)),
            row=None,
            seen=seen,
        )

    def _rows_of(self, name: ListName, seen: Seen) -> list[Resource]:
        return self._named.get((name.kind, name.zone, seen.ref), [])

    def _finding(self, tags: Mapping[str, str], last: Resource | None) -> tuple[Finding, str]:
        if last is not None and last.state is ResourceState.ABANDONED:
            return Finding.ABANDONED, f"given up, {_minute(last.changed_at)}"
        if last is not None:
            since = _minute(last.changed_at)
            return Finding.ORPHAN, f"still there, and the ledger has it as {last.state} since {since}"
        installation = tags.get(INSTALLATION_TAG)
        if installation == self._ours:
            return Finding.ORPHAN, "has the tags of this installation, and the ledger does not know it"
        if installation is None:
            return Finding.UNKNOWN_INSTALLATION, "has tags of ours, but none that names an installation"
        return Finding.UNKNOWN_INSTALLATION, f"has the tags of installation {installation[:64]}"

    def _deployment_of(self, tags: Mapping[str, str]) -> str:
        named = tags.get(DEPLOYMENT_TAG, "")
        found = next((row for key, row in self._ledger.deployments.items() if str(key) == named), None)
        return "" if found is None else f"{found.namespace}/{found.name}"


def _attached(seen: Seen) -> str:
    """Its disks may carry no tags of their own (api.md 3.2), and go on to be billed when it is gone."""
    if not isinstance(seen, SeenServer) or not seen.volumes:
        return ""
    return f"attached volumes: {', '.join(sorted(volume.ref for volume in seen.volumes))}"
