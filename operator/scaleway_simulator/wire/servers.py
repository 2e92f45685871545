"""`/servers` of instance v1: create, read, list, change, delete, act, attach and detach."""

from collections.abc import Callable, Mapping

from scaleway_simulator import disks, server_life
from scaleway_simulator.errors import missing
from scaleway_simulator.records import Server
from scaleway_simulator.server_create import create_server
from scaleway_simulator.server_update import attach_volume, update_server
from scaleway_simulator.snapshots import back_up
from scaleway_simulator.wire import render_server
from scaleway_simulator.wire.call import Answer, Call
from scaleway_simulator.wire.paging import numbered, tags_of

API_HOST = "https://api.scaleway.com"


def created(call: Call, name: str, rendered: dict[str, object], *, path: str) -> Answer:
    """201 with the absolute URL of what was made."""
    location = f"{API_HOST}/instance/v1/zones/{call.zone}/{path}/{rendered['id']}"
    return Answer(status=201, body={name: rendered}, headers={"Location": location})


def found(call: Call) -> Server:
    return call.world.servers.get(call.id, zone=call.zone, may_see=call.may_see)


def create(call: Call) -> Answer:
    server = create_server(
        call.world, call.body(), zone=call.zone, caller_may_see=call.may_see, home=call.caller.project_id
    )
    return created(call, "server", render_server.server(call.world, server), path="servers")


def read(call: Call) -> Answer:
    return Answer(body={"server": render_server.server(call.world, found(call))})


def listing(call: Call) -> Answer:
    projects = call.projects(parameter="project", resource="servers")
    servers = [s for s in call.world.servers.of(call.zone, projects) if _matches(call, s)]
    servers.sort(key=ORDERS.get(call.query.get("order", ""), ORDERS["creation_date_desc"]))
    page, headers = numbered(call, servers, path="/servers")
    shown = [render_server.server(call.world, s) for s in page]
    return Answer(body={"servers": shown}, headers=headers, items="servers")


ORDERS: Mapping[str, Callable[[Server], float]] = {
    "creation_date_desc": lambda s: -s.created_at.timestamp(),
    "creation_date_asc": lambda s: s.created_at.timestamp(),
    "modification_date_desc": lambda s: -s.modified_at.timestamp(),
    "modification_date_asc": lambda s: s.modified_at.timestamp(),
}


FILTERS = frozenset(
    {
        "name",
        "tags",
        "state",
        "commercial_type",
        "servers",
        "private_network",
        "organization",
        "with_ip",
        "without_ip",
    }
)


def _matches(call: Call, server: Server) -> bool:
    """`name` is a part of the name, `tags` is a conjunction (api.md 12)."""
    query = call.query
    if not FILTERS & query.keys():
        return True
    tests: tuple[tuple[str, Callable[[str], bool]], ...] = (
        ("name", lambda v: v in server.name),
        ("state", lambda v: v == server.state),
        ("commercial_type", lambda v: v == server.commercial_type),
        ("servers", lambda v: server.id in v.split(",")),
        ("private_network", lambda v: v in {n.private_network_id for n in server.nics}),
        ("organization", lambda v: v == call.world.organization_of(server.project_id)),
        ("with_ip", lambda v: v in _addresses(call, server)),
        ("without_ip", lambda v: v != "true" or not _addresses(call, server)),
    )
    if not set(tags_of(query)) <= set(server.tags):
        return False
    return all(test(query[name]) for name, test in tests if name in query)


def _addresses(call: Call, server: Server) -> list[str]:
    dynamic = [] if server.dynamic_address is None else [server.dynamic_address.address]
    ips = (call.world.ips.find(ip_id) for ip_id in server.ip_ids)
    return dynamic + [ip.address for ip in ips if ip is not None and ip.address is not None]


def change(call: Call) -> Answer:
    server = found(call)
    update_server(call.world, server, call.body(), may_see=call.may_see)
    return Answer(body={"server": render_server.server(call.world, server)})


def delete(call: Call) -> Answer:
    server_life.delete_server(call.world, found(call))
    return Answer(status=204)


def actions(call: Call) -> Answer:
    return Answer(body={"actions": server_life.allowed_actions(call.world, found(call))})


def act(call: Call) -> Answer:
    server = found(call)
    body = call.body()
    if not isinstance(body.get("action"), str):
        raise missing("action")
    server_life.act(call.world, server, body["action"])
    href = f"/servers/{server.id}"
    result = href
    if body["action"] == "backup":
        result = f"/images/{back_up(call.world, server, name=body.get('name')).id}"
    task = render_server.task(call.world, zone=server.zone, href_from=f"{href}/action", href_result=result)
    return Answer(status=202, body={"task": task})


def attach(call: Call) -> Answer:
    server = found(call)
    body = call.body()
    if not isinstance(body.get("volume_id"), str):
        raise missing("volume_id")
    boot = bool(body.get("boot", False))
    attach_volume(call.world, server, body["volume_id"], slot=None, boot=boot, may_see=call.may_see)
    return Answer(body={"server": render_server.server(call.world, server)})


def detach(call: Call) -> Answer:
    server = found(call)
    body = call.body()
    if not isinstance(body.get("volume_id"), str):
        raise missing("volume_id")
    disks.detach(call.world, server, body["volume_id"])
    return Answer(body={"server": render_server.server(call.world, server)})
