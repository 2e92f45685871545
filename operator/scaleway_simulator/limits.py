"""Quotas of a project and stock of a zone."""

from scaleway_simulator.errors import OutOfStock, QuotasExceeded
from scaleway_simulator.records import Server
from scaleway_simulator.settings import Stock
from scaleway_simulator.world import World


def check_quota(world: World, resource: str, *, project_id: str) -> None:
    """Refuse one more of `volumes`, `ips`, `security_groups`, `servers` or `servers:TYPE`.

    Raises:
        QuotasExceeded: the project has as many as the world's settings allow each project.
    """
    quota = world.settings.quotas.get(resource)
    if quota is None:
        return
    current = sum(1 for owner in _owners(world, resource) if owner == project_id)
    if current >= quota:
        raise QuotasExceeded(resource=_wire_name(resource), quota=quota, current=current)


def _owners(world: World, resource: str) -> list[str]:
    kind, _, commercial_type = resource.partition(":")
    if kind == "servers":
        return [s.project_id for s in world.servers if commercial_type in {"", s.commercial_type}]
    if kind == "volumes":
        return [v.project_id for v in world.block_volumes]
    if kind == "ips":
        return [ip.project_id for ip in world.ips]
    return [g.project_id for g in world.security_groups if not g.project_default]


def _wire_name(resource: str) -> str:
    kind, _, commercial_type = resource.partition(":")
    return f"cp_servers_type_{commercial_type.replace('-', '_')}" if commercial_type else f"instances_{kind}"


def stock_of(world: World, *, zone: str, commercial_type: str) -> Stock | None:
    return next((s for s in world.settings.stock if s.zone == zone and s.type == commercial_type), None)


def left_in_stock(world: World, stock: Stock) -> int:
    """Servers that are there count against `create`; for the others those that hold a node do."""
    same = [s for s in world.servers if s.zone == stock.zone and s.commercial_type == stock.type]
    taken = [s for s in same if stock.at == "create" or _holds_node(s)]
    return stock.capacity - len(taken)


def check_stock(world: World, *, zone: str, commercial_type: str, at: str) -> None:
    """Raises:
    OutOfStock: that zone's stock of the type shows at this call, and is used up.
    """
    stock = stock_of(world, zone=zone, commercial_type=commercial_type)
    if stock is not None and stock.at == at and left_in_stock(world, stock) <= 0:
        raise OutOfStock(commercial_type)


def is_silently_out_of_stock(world: World, server: Server) -> bool:
    """The power-on will be accepted, and nothing will come of it."""
    stock = stock_of(world, zone=server.zone, commercial_type=server.commercial_type)
    return stock is not None and stock.at == "silent" and left_in_stock(world, stock) <= 0


def availability(world: World, *, zone: str, commercial_type: str) -> str:
    """A hint only (api.md 8)."""
    stock = stock_of(world, zone=zone, commercial_type=commercial_type)
    if stock is None:
        return "available"
    left = left_in_stock(world, stock)
    return "shortage" if left <= 0 else "scarce" if left == 1 else "available"


def _holds_node(server: Server) -> bool:
    return server.state != "stopped"
