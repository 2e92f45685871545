"""Flexible addresses (`/ips`, api.md 5), and the dynamic one of a running server."""

from scaleway_simulator.errors import NotFound, PreconditionFailed
from scaleway_simulator.limits import check_quota
from scaleway_simulator.records import DynamicAddress, FlexibleIp, Server
from scaleway_simulator.world import World

TYPES = ("routed_ipv4", "routed_ipv6")


def new_ip(world: World, *, zone: str, project_id: str, kind: str, tags: list[str]) -> FlexibleIp:
    """Raises:
    QuotasExceeded: the project has as many as it may.
    """
    check_quota(world, "ips", project_id=project_id)
    is_v4 = kind == "routed_ipv4"
    return world.ips.add(
        FlexibleIp(
            id=world.new_id(),
            zone=zone,
            project_id=project_id,
            type=kind,
            address=world.addresses.take() if is_v4 else None,
            prefix=None
            if is_v4
            else f"2001:bc8:{world.random.randrange(65536):x}:{len(world.ips) + 1:x}::/64",
            tags=list(tags),
        )
    )


def of_server(world: World, server: Server) -> list[FlexibleIp]:
    """In the order they were attached."""
    found = (world.ips.find(ip_id) for ip_id in server.ip_ids)
    return [ip for ip in found if ip is not None]


def attach(world: World, ip: FlexibleIp, server: Server) -> None:
    """Moves it when it is elsewhere; `pending` until the guest of a running server has it."""
    if ip.server_id == server.id:
        return
    detach(world, ip)
    ip.server_id = server.id
    server.ip_ids.append(ip.id)
    world.touch(server)
    if server.state != "stopped":
        server.pending_ips.add(ip.id)
        world.later(world.settings.guest_s, lambda: server.pending_ips.discard(ip.id))


def detach(world: World, ip: FlexibleIp) -> None:
    server = None if ip.server_id is None else world.servers.find(ip.server_id)
    if server is not None and ip.id in server.ip_ids:
        server.ip_ids.remove(ip.id)
        server.pending_ips.discard(ip.id)
        world.touch(server)
    ip.server_id = None


def delete_ip(world: World, ip: FlexibleIp) -> None:
    """Also while it is attached (api.md 3.4)."""
    detach(world, ip)
    world.ips.remove(ip)
    if ip.address is not None:
        world.addresses.give_back(ip.address)


def set_ips(world: World, server: Server, wanted: list[FlexibleIp]) -> None:
    """`public_ips` of a server is replaced as a whole.

    Raises:
        PreconditionFailed: one of them serves another server.
    """
    for ip in wanted:
        if ip.server_id not in {None, server.id}:
            raise PreconditionFailed(
                precondition="resource_not_usable", help_message="IP is already attached"
            )
    for ip in of_server(world, server):
        if ip not in wanted:
            detach(world, ip)
    for ip in wanted:
        attach(world, ip, server)


def find_ip(world: World, ip_or_id: str) -> FlexibleIp:
    """By its id or its address.

    Raises:
        NotFound: neither; `resource_id` is the address as a network, as recorded.
    """
    found = world.ips.find(ip_or_id)
    if found is None:
        found = next((ip for ip in world.ips if ip.address == ip_or_id), None)
    if found is None:
        is_address = ip_or_id.count(".") == 3  # noqa: PLR2004  # four octets
        raise NotFound("instance_ip", f"{ip_or_id}/32" if is_address else ip_or_id)
    return found


# the dynamic address


def give_dynamic(world: World, server: Server) -> None:
    """Allocated during a start that asks for one and has no flexible address."""
    if server.dynamic_ip_required and server.dynamic_address is None and not server.ip_ids:
        address = DynamicAddress(id=world.new_id(), address=world.addresses.take())
        server.dynamic_address = address
        server.pending_ips.add(address.id)


def take_dynamic(world: World, server: Server) -> None:
    """Released when the server reaches `stopped` or is gone."""
    address = server.dynamic_address
    if address is not None:
        server.dynamic_address = None
        server.pending_ips.discard(address.id)
        world.addresses.give_back(address.address)
