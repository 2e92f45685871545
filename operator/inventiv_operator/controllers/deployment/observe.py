"""From the ledger and the shared listing to facts. The cloud is listed before the ledger is read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from inventiv_operator.domain.cloud import Listing, SeenServer
from inventiv_operator.domain.ids import InstanceId, ProviderRef, Zone
from inventiv_operator.domain.instance_plan import InstanceFacts, ServerSight
from inventiv_operator.domain.intents import INSTANCE_TAG, born_after_intent, carries_attempt
from inventiv_operator.domain.ledger import DeploymentLedger, Instance, Resource, ResourceKind, ResourceState
from inventiv_operator.domain.sight import Listed, NotListed, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneView:
    """One zone as listed at `listed_at` (wall clock, when its first page was asked for), or why it is not known."""

    servers: Listing[SeenServer] | None
    listed_at: datetime | None
    unknown: Unknown | None = None


def instance_facts(
    instance: Instance,
    ledger: DeploymentLedger,
    *,
    views: Mapping[Zone, ZoneView],
    group_refs: Mapping[Zone, ProviderRef],
    ready: frozenset[InstanceId],
) -> InstanceFacts:
    """Everything known of one instance."""
    rows = [row for row in ledger.resources if row.instance_id == instance.id]
    server = next((row for row in rows if row.kind is ResourceKind.SERVER), None)
    view = views.get(instance.zone)
    return InstanceFacts(
        instance=instance,
        server=server,
        volumes=tuple(row for row in rows if row.kind is ResourceKind.VOLUME),
        sight=_sight(server, view),
        candidate=None if server is None else _candidate(instance, server, view, group_refs),
        listed_at=None if view is None else view.listed_at,
        group_ref=group_refs.get(instance.zone),
        ready=instance.id in ready,
    )


def _sight(server: Resource | None, view: ZoneView | None) -> ServerSight:
    if view is None or view.servers is None:
        if view is not None and view.unknown is not None:
            return view.unknown
        return Unknown(reason="NotObserved")
    if server is None or server.provider_ref is None:
        return NotListed()
    seen = view.servers.items.get(server.provider_ref)
    return NotListed() if seen is None else Listed(seen)


def _candidate(
    instance: Instance,
    server: Resource,
    view: ZoneView | None,
    group_refs: Mapping[Zone, ProviderRef],
) -> SeenServer | None:
    """The server that the open intent made, if it shows.

    Our own attempt tag is the proof; where a tenant took the tags away, name, type, our own group and the time of
    birth together are (L7).
    """
    if view is None or view.servers is None or server.provider_ref is not None or server.send_before is None:
        return None
    group = group_refs.get(instance.zone)
    for seen in view.servers.items.values():
        if seen.name != instance.name or seen.commercial_type != instance.instance_type:
            continue
        if not born_after_intent(seen, server):
            continue
        if carries_attempt(seen, server):
            return seen
        tagged = any(tag.startswith(f"{INSTANCE_TAG}=") for tag in seen.tags)
        if not tagged and group is not None and seen.security_group_ref == group:
            return seen
    return None


def duplicates(
    servers: Iterable[SeenServer], rows: Iterable[Resource]
) -> tuple[tuple[SeenServer, Resource], ...]:
    """Servers that one of our own attempts made besides the one in the ledger: provably ours, and billed (L3)."""
    by_attempt = {
        attempt: row for row in rows if row.kind is ResourceKind.SERVER for attempt in row.attempts
    }
    known = {row.provider_ref for row in rows if row.provider_ref is not None}
    found = []
    for seen in servers:
        if seen.ref in known:
            continue
        for tag in seen.tags:
            key, _, value = tag.partition("=")
            row = by_attempt.get(value) if key == "inventiv-attempt" else None
            if row is None or not born_after_intent(seen, row):
                continue
            open_intent = row.provider_ref is None and row.state is ResourceState.INTENDED
            if not open_intent:
                found.append((seen, row))
    return tuple(found)
