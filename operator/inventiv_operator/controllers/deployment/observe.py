"""From the ledger and the shared listing to facts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from inventiv_operator.domain.cloud import STOPPED, Listing, SeenServer
from inventiv_operator.domain.ids import ProviderRef, Zone
from inventiv_operator.domain.instance_facts import InstanceFacts, ServerSight
from inventiv_operator.domain.intents import (
    ATTEMPT_TAG,
    CLOCK_SKEW,
    GROSS_SKEW,
    INSTANCE_TAG,
    Timing,
    born_after_intent,
    settled_at,
)
from inventiv_operator.domain.ledger import (
    DeploymentLedger,
    Instance,
    InstanceState,
    Origin,
    Resource,
    ResourceKind,
)
from inventiv_operator.domain.sight import Listed, NotListed, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneView:
    """One zone as listed at `listed_at` (wall clock, when its first page was asked for), or why it is not
    known.
    """

    servers: Listing[SeenServer] | None
    listed_at: datetime | None
    unknown: Unknown | None = None


def facts_of(
    ledger: DeploymentLedger,
    *,
    views: Mapping[Zone, ZoneView],
    group_refs: Mapping[Zone, ProviderRef],
    timing: Timing,
) -> tuple[InstanceFacts, ...]:
    """Everything known of each instance, in the order of their ordinals."""
    rows: dict[object, list[Resource]] = {}
    for row in ledger.resources:
        rows.setdefault(row.instance_id, []).append(row)
    return tuple(
        _instance_facts(
            instance,
            rows.get(instance.id, []),
            view=views.get(instance.zone),
            group_ref=group_refs.get(instance.zone),
            timing=timing,
        )
        for instance in sorted(ledger.instances, key=lambda i: (i.ordinal, i.created_at))
        if instance.state is not InstanceState.GONE
    )


def _instance_facts(
    instance: Instance,
    rows: Iterable[Resource],
    *,
    view: ZoneView | None,
    group_ref: ProviderRef | None,
    timing: Timing,
) -> InstanceFacts:
    rows = tuple(rows)
    server = next((row for row in rows if row.kind is ResourceKind.SERVER), None)
    return InstanceFacts(
        instance=instance,
        server=server,
        volumes=tuple(row for row in rows if row.kind is ResourceKind.VOLUME),
        sight=_sight(server, view),
        candidate=None if server is None else _candidate(instance, server, view, group_ref, timing=timing),
        listed_at=None if view is None else view.listed_at,
        group_ref=group_ref,
    )


def _sight(server: Resource | None, view: ZoneView | None) -> ServerSight:
    if server is None or server.provider_ref is None:
        return NotListed()
    if view is None:
        return Unknown(reason="Progressing", message="its zone was not looked at yet")
    if view.servers is None:
        return view.unknown or Unknown(reason="ProviderUnreachable")
    seen = view.servers.items.get(server.provider_ref)
    return NotListed() if seen is None else Listed(seen)


def _candidate(
    instance: Instance,
    server: Resource,
    view: ZoneView | None,
    group_ref: ProviderRef | None,
    *,
    timing: Timing,
) -> SeenServer | None:
    """The server that the open intent made, if it shows.

    Our own attempt tag is the proof: a random value that only our POST knew. Name, type and birth only
    choose among several that carry it, because somebody copied its tags: a tenant may have renamed ours, and
    the provider's clock may not agree with ours. Where a tenant took all our tags away, one that has never
    been started, with exactly this name and type, in the group that is this deployment's own, born while the
    call was on its way, is ours too (L7); a server that somebody made by hand is in another group, or runs.
    """
    if view is None or view.servers is None or server.provider_ref is not None or not server.attempts:
        return None

    def fits(seen: SeenServer) -> bool:
        return seen.name == instance.name and seen.commercial_type == instance.instance_type

    index = view.servers.once(_by_attempt)
    proven = [seen for attempt in server.attempts for seen in index.get(attempt, ())]
    if proven:
        return min(
            proven, key=lambda seen: (not born_after_intent(seen, server), not fits(seen), seen.created_at)
        )
    stripped = [
        seen
        for seen in view.servers.items.values()
        if fits(seen)
        and born_after_intent(seen, server)
        and group_ref is not None
        and seen.security_group_ref == group_ref
        and seen.state == STOPPED
        and not any(tag.startswith((f"{INSTANCE_TAG}=", f"{ATTEMPT_TAG}=")) for tag in seen.tags)
        and _born_on_the_way(seen, server, timing=timing)
    ]
    return stripped[0] if len(stripped) == 1 else None


def _born_on_the_way(seen: SeenServer, row: Resource, *, timing: Timing) -> bool:
    due = settled_at(row, timing=timing)
    return due is not None and seen.created_at <= due + CLOCK_SKEW


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A server with a tag of one of our attempts that is not the one in the ledger.

    `is_ours`: another of our own calls made it, so it is billed for nothing and is removed (L3). Otherwise
    somebody copied our tags: it is reported and left alone.
    """

    seen: SeenServer
    row: Resource
    is_ours: bool


def suspects(servers: Listing[SeenServer], rows: Iterable[Resource]) -> tuple[Suspect, ...]:
    """Servers of one zone that carry an attempt of a row whose server is known already."""
    rows = tuple(rows)
    known = {row.provider_ref for row in rows if row.provider_ref is not None}
    by_attempt = {
        attempt: row
        for row in rows
        if row.kind is ResourceKind.SERVER and row.provider_ref is not None
        for attempt in row.attempts
    }
    if not by_attempt:
        return ()
    index = servers.once(_by_attempt)
    carriers = (
        (attempt, row, seen) for attempt, row in by_attempt.items() for seen in index.get(attempt, ())
    )
    found = []
    taken: set[str] = set()
    for attempt, row, seen in sorted(carriers, key=lambda each: each[2].created_at):
        if seen.ref in known:
            continue
        kept = _attempt_of_kept(row, servers)
        # One POST makes at most one server: the same attempt twice is a copy, a second attempt's is ours.
        is_first = kept is not None and attempt != kept and attempt not in taken
        is_ours = is_first and born_after_intent(seen, row, skew=GROSS_SKEW)
        taken.add(attempt)
        found.append(Suspect(seen=seen, row=row, is_ours=is_ours))
    return tuple(found)


def _by_attempt(servers: Listing[SeenServer]) -> dict[str, list[SeenServer]]:
    """The listing of a zone is shared by all its deployments, and each looks up only its own attempts."""
    index: dict[str, list[SeenServer]] = {}
    for seen in servers.items.values():
        attempt = attempt_of(seen)
        if attempt is not None:
            index.setdefault(attempt, []).append(seen)
    return index


def attempt_of(seen: SeenServer) -> str | None:
    """The attempt that made it, as its own tag says."""
    prefix = f"{ATTEMPT_TAG}="
    return next((tag[len(prefix) :] for tag in seen.tags if tag.startswith(prefix)), None)


def _attempt_of_kept(row: Resource, servers: Listing[SeenServer]) -> str | None:
    """Which attempt made the server in the ledger; None: its tags were taken away, and nothing else tells."""
    kept = None if row.provider_ref is None else servers.items.get(row.provider_ref)
    said = None if kept is None else attempt_of(kept)
    if said is not None:
        return said
    return row.attempts[-1] if row.origin is Origin.CREATED and row.attempts else None


def view_of(servers: Listing[SeenServer], *, now: datetime, now_s: float) -> ZoneView:
    """The listing began `now_s - started_s` seconds before `now`."""
    return ZoneView(servers=servers, listed_at=now - timedelta(seconds=now_s - servers.started_s))


def with_readiness(facts: InstanceFacts, *, ready: bool, asked: bool) -> InstanceFacts:
    return replace(facts, ready=ready, asked=asked)
