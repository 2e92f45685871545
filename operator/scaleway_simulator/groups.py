"""Security groups and their rules (api.md 7)."""

import ipaddress
from collections.abc import Sequence
from typing import Any

from scaleway_simulator.errors import NotFound, PreconditionFailed, invalid
from scaleway_simulator.records import Rule, SecurityGroup, Server
from scaleway_simulator.world import World

PROTOCOLS = frozenset({"TCP", "UDP", "ICMP", "ANY"})
POLICIES = frozenset({"accept", "drop"})
MAX_PORT = 65535

DEFAULT_SECURITY = tuple(
    Rule(
        id=f"11111111-2222-4333-8444-00000000000{number}",
        protocol="TCP",
        direction="outbound",
        ip_range=ip_range,
        dest_port_from=port,
        dest_port_to=None,
        position=number,
        action="drop",
    )
    for number, (ip_range, port) in enumerate(
        ((net, port) for net in ("0.0.0.0/0", "::/0") for port in (25, 465, 587)), start=1
    )
)
"""Six rules that nobody can edit, with the same ids in every group."""


def new_group(world: World, *, zone: str, project_id: str, name: str, **fields: Any) -> SecurityGroup:
    now = world.now
    return world.security_groups.add(
        SecurityGroup(
            id=world.new_id(),
            zone=zone,
            project_id=project_id,
            name=name,
            description=fields.get("description"),
            stateful=fields.get("stateful", True),
            inbound_default_policy=fields.get("inbound_default_policy", "accept"),
            outbound_default_policy=fields.get("outbound_default_policy", "accept"),
            enable_default_security=fields.get("enable_default_security", True),
            project_default=fields.get("project_default", False),
            created_at=now,
            modified_at=now,
            tags=list(fields.get("tags", ())),
        )
    )


def default_group(world: World, *, zone: str, project_id: str) -> SecurityGroup:
    """The project's default group in a zone, made when it is first needed."""
    for group in world.security_groups.of(zone, [project_id]):
        if group.project_default:
            return group
    return new_group(
        world,
        zone=zone,
        project_id=project_id,
        name="Default security group",
        description="Auto generated security group.",
        project_default=True,
    )


def servers_of(world: World, group: SecurityGroup) -> list[Server]:
    return [s for s in world.servers.of(group.zone, [group.project_id]) if s.security_group_id == group.id]


def delete_group(world: World, group: SecurityGroup) -> None:
    """Raises:
    PreconditionFailed: servers use it. (The project's default one can be deleted; it comes again.)
    """
    if servers_of(world, group):
        raise PreconditionFailed(
            precondition="resource_still_in_use", help_message="group is in use. you cannot delete it."
        )
    world.security_groups.remove(group)


def all_rules(group: SecurityGroup) -> list[tuple[Rule, bool]]:
    """Every rule as the wire lists it, and whether it can be edited."""
    fixed = [(rule, False) for rule in DEFAULT_SECURITY] if group.enable_default_security else []
    return [*fixed, *((rule, True) for rule in group.rules)]


def set_rules(world: World, group: SecurityGroup, descriptions: Any) -> None:
    """Replace the editable rules; fixed ones that are sent back are left alone.

    Raises:
        InvalidArguments: no list, or a rule that is none.
    """
    if not isinstance(descriptions, list):
        raise invalid("rules", "not a valid value")
    wanted = [item for item in descriptions if isinstance(item, dict) and item.get("editable") is not False]
    if len(wanted) != len([item for item in descriptions if _is_editable(item)]):
        raise invalid("rules", "not a valid value")
    group.rules = [
        read_rule(item, rule_id=item.get("id") or world.new_id(), position=position)
        for position, item in enumerate(wanted, start=1)
    ]
    group_changed(world, group)


def group_changed(world: World, group: SecurityGroup) -> None:
    """Other ports may be open now."""
    group.modified_at = world.now
    for server in servers_of(world, group):
        world.touch(server)


def _is_editable(item: Any) -> bool:
    return not isinstance(item, dict) or item.get("editable") is not False


def read_rule(item: dict[str, Any], *, rule_id: str, position: int) -> Rule:
    """A rule as the wire describes it.

    Raises:
        InvalidArguments: names what is wrong with it.
    """
    protocol = item.get("protocol", "TCP")
    if protocol not in PROTOCOLS:
        raise invalid("protocol", "not a valid value")
    if item.get("direction") not in {"inbound", "outbound"}:
        raise invalid("direction", "not a valid value")
    if item.get("action") not in POLICIES:
        raise invalid("action", "not a valid value")
    return Rule(
        id=rule_id,
        protocol=protocol,
        direction=item["direction"],
        ip_range=_ip_range(item.get("ip_range")),
        dest_port_from=_port(item, "dest_port_from"),
        dest_port_to=_port(item, "dest_port_to"),
        position=position,
        action=item["action"],
    )


def _ip_range(value: Any) -> str:
    try:
        network = ipaddress.ip_network(value or "0.0.0.0/0", strict=False)
    except ValueError as exc:
        raise invalid("ip_range", "not a valid value") from exc
    # recorded: "8.8.8.8/32" comes back as "8.8.8.8"
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _port(item: dict[str, Any], name: str) -> int | None:
    value = item.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_PORT:
        raise invalid(name, "not a valid value")
    return value


def find_rule(group: SecurityGroup, rule_id: str) -> Rule:
    """Raises:
    NotFound: no rule of this group has that id.
    """
    for rule, _ in all_rules(group):
        if rule.id == rule_id:
            return rule
    raise NotFound("instance_security_group_rule", rule_id)


def open_ports(group: SecurityGroup, candidates: Sequence[int]) -> frozenset[int]:
    """Which TCP ports the outside reaches: those of the candidates and of the single-port rules."""
    named = {
        r.dest_port_from
        for r in group.rules
        if r.dest_port_from is not None and r.dest_port_to in {None, r.dest_port_from}
    }
    return frozenset(port for port in {*candidates, *named} if _lets_in(group, port))


def _lets_in(group: SecurityGroup, port: int) -> bool:
    for rule in group.rules:
        if rule.direction != "inbound" or rule.protocol not in {"TCP", "ANY"}:
            continue
        first = rule.dest_port_from
        last = rule.dest_port_to if rule.dest_port_to is not None else first
        if first is None or last is None or first <= port <= last:
            return rule.action == "accept"
    return group.inbound_default_policy == "accept"
