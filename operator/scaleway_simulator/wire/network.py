"""`/ips`, `/security_groups` and `/placement_groups` of instance v1."""

from typing import Any

from scaleway_simulator import groups, ips
from scaleway_simulator.errors import InvalidArguments, NotFound, invalid, missing, strings
from scaleway_simulator.limits import check_quota
from scaleway_simulator.placement import new_placement_group
from scaleway_simulator.records import FlexibleIp, PlacementGroup, SecurityGroup
from scaleway_simulator.wire import render_network, render_server
from scaleway_simulator.wire.call import Answer, Call
from scaleway_simulator.wire.paging import numbered, tags_of
from scaleway_simulator.wire.servers import created

# addresses


def _ip(call: Call) -> FlexibleIp:
    """By id or address; somebody else's is a 404."""
    ip = ips.find_ip(call.world, call.id)
    if ip.zone != call.zone or not call.may_see(ip.project_id):
        raise NotFound("instance_ip", call.id)
    return ip


def create_ip(call: Call) -> Answer:
    body = call.body()
    project_id = call.project(body.get("project"), resource="ips")
    kind = body.get("type") or "routed_ipv4"
    if kind not in ips.TYPES:
        raise invalid("type", "not a valid value")
    tags = list(strings(body.get("tags"), "tags"))
    ip = ips.new_ip(call.world, zone=call.zone, project_id=project_id, kind=kind, tags=tags)
    if body.get("server"):
        ips.attach(
            call.world, ip, call.world.servers.get(body["server"], zone=call.zone, may_see=call.may_see)
        )
    return created(call, "ip", render_network.flexible_ip(call.world, ip), path="ips")


def read_ip(call: Call) -> Answer:
    return Answer(body={"ip": render_network.flexible_ip(call.world, _ip(call))})


def list_ips(call: Call) -> Answer:
    projects = call.projects(parameter="project", resource="ips")
    query = call.query
    found = [
        ip
        for ip in call.world.ips.of(call.zone, projects)
        if set(tags_of(query)) <= set(ip.tags) and query.get("type", ip.type) == ip.type
    ]
    page, headers = numbered(call, found, path="/ips")
    shown = [render_network.flexible_ip(call.world, ip) for ip in page]
    return Answer(body={"ips": shown}, headers=headers, items="ips")


def change_ip(call: Call) -> Answer:
    ip = _ip(call)
    body = call.body()
    if body.get("reverse") is not None:
        ip.reverse = _resolving(call, str(body["reverse"]), ip)
    elif "reverse" in body:
        ip.reverse = None
    if body.get("tags") is not None:
        ip.tags = list(strings(body["tags"], "tags"))
    if body.get("server") is not None:
        server = call.world.servers.get(body["server"], zone=call.zone, may_see=call.may_see)
        ips.attach(call.world, ip, server)
    elif "server" in body:
        ips.detach(call.world, ip)
    return Answer(body={"ip": render_network.flexible_ip(call.world, ip)})


def _resolving(call: Call, name: str, ip: FlexibleIp) -> str:
    """A name that DNS knows, as far as the world's settings say.

    Raises:
        InvalidArguments: as recorded for a name that does not resolve.
    """
    if name.endswith(call.world.settings.resolving_names):
        return name
    raise invalid(
        "reverse",
        f"Your reverse must resolve. Ensure the command 'dig +short {name}' matches your IP address "
        f"'{ip.address}'. If it does, please contact our support.",
    )


def delete_ip(call: Call) -> Answer:
    ips.delete_ip(call.world, _ip(call))
    return Answer(status=204)


# security groups


def _group(call: Call) -> SecurityGroup:
    return call.world.security_groups.get(call.id, zone=call.zone, may_see=call.may_see)


def create_group(call: Call) -> Answer:
    body = call.body()
    if not body.get("name"):
        raise missing("name")
    project_id = call.project(body.get("project"), resource="security_groups")
    check_quota(call.world, "security_groups", project_id=project_id)
    fields = _group_fields(body)
    group = groups.new_group(call.world, zone=call.zone, project_id=project_id, name=body["name"], **fields)
    rendered = render_network.security_group(call.world, group)
    return created(call, "security_group", rendered, path="security_groups")


def _group_fields(body: dict[str, Any]) -> dict[str, Any]:
    """What a create or a change names.

    Raises:
        InvalidArguments: a policy that is none.
    """
    named = ("description", "stateful", "inbound_default_policy", "outbound_default_policy")
    fields = {k: body[k] for k in (*named, "enable_default_security") if body.get(k) is not None}
    for name in ("inbound_default_policy", "outbound_default_policy"):
        if name in fields and fields[name] not in groups.POLICIES:
            raise invalid(name, "not a valid value")
    if body.get("tags") is not None:
        fields["tags"] = list(strings(body["tags"], "tags"))
    return fields


def read_group(call: Call) -> Answer:
    return Answer(body={"security_group": render_network.security_group(call.world, _group(call))})


def list_groups(call: Call) -> Answer:
    """Asking for a project's groups makes its default one."""
    projects = call.projects(parameter="project", resource="security_groups")
    for project_id in projects if "project" in call.query else ():
        groups.default_group(call.world, zone=call.zone, project_id=project_id)
    query = call.query
    found = [
        g
        for g in call.world.security_groups.of(call.zone, projects)
        if query.get("name", "") in g.name
        and set(tags_of(query)) <= set(g.tags)
        and query.get("project_default", str(g.project_default).lower()) == str(g.project_default).lower()
    ]
    page, headers = numbered(call, found, path="/security_groups")
    shown = [render_network.security_group(call.world, g) for g in page]
    return Answer(body={"security_groups": shown}, headers=headers, items="security_groups")


def change_group(call: Call) -> Answer:
    group = _group(call)
    body = call.body()
    for name, value in _group_fields(body).items():
        setattr(group, name, value)
    group.name = body.get("name") or group.name
    groups.group_changed(call.world, group)
    return Answer(body={"security_group": render_network.security_group(call.world, group)})


def delete_group(call: Call) -> Answer:
    groups.delete_group(call.world, _group(call))
    return Answer(status=204)


def list_rules(call: Call) -> Answer:
    """No total in any header (api.md 1)."""
    rules = groups.all_rules(_group(call))
    page, _ = numbered(call, rules, path="/rules")
    shown = [render_network.rule(rule, zone=call.zone, editable=editable) for rule, editable in page]
    return Answer(body={"rules": shown}, items="rules")


def set_rules(call: Call) -> Answer:
    group = _group(call)
    groups.set_rules(call.world, group, call.body().get("rules"))
    shown = [render_network.rule(r, zone=call.zone, editable=e) for r, e in groups.all_rules(group)]
    return Answer(body={"rules": shown})


def add_rule(call: Call) -> Answer:
    group = _group(call)
    rule = groups.read_rule(call.body(), rule_id=call.world.new_id(), position=len(group.rules) + 1)
    group.rules.append(rule)
    groups.group_changed(call.world, group)
    return Answer(status=201, body={"rule": render_network.rule(rule, zone=call.zone, editable=True)})


def read_rule(call: Call) -> Answer:
    group = _group(call)
    rule = groups.find_rule(group, call.params["rule"])
    return Answer(body={"rule": render_network.rule(rule, zone=call.zone, editable=rule in group.rules)})


def delete_rule(call: Call) -> Answer:
    group = _group(call)
    rule = groups.find_rule(group, call.params["rule"])
    if rule not in group.rules:
        raise InvalidArguments
    group.rules.remove(rule)
    groups.group_changed(call.world, group)
    return Answer(status=204)


# placement groups


def _placement(call: Call) -> PlacementGroup:
    return call.world.placement_groups.get(call.id, zone=call.zone, may_see=call.may_see)


def create_placement(call: Call) -> Answer:
    body = call.body()
    project_id = call.project(body.get("project"), resource="placement_groups")
    group = new_placement_group(
        call.world,
        zone=call.zone,
        project_id=project_id,
        name=body.get("name") or "placement-group",
        policy_mode=body.get("policy_mode") or "optional",
        policy_type=body.get("policy_type") or "max_availability",
        tags=list(strings(body.get("tags"), "tags")),
    )
    rendered = render_server.placement_group(call.world, group)
    return created(call, "placement_group", rendered, path="placement_groups")


def read_placement(call: Call) -> Answer:
    return Answer(body={"placement_group": render_server.placement_group(call.world, _placement(call))})


def change_placement(call: Call) -> Answer:
    group = _placement(call)
    body = call.body()
    group.name = body.get("name") or group.name
    group.policy_mode = body.get("policy_mode") or group.policy_mode
    group.policy_type = body.get("policy_type") or group.policy_type
    return Answer(body={"placement_group": render_server.placement_group(call.world, group)})


def delete_placement(call: Call) -> Answer:
    call.world.placement_groups.remove(_placement(call))
    return Answer(status=204)
