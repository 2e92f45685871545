"""What is billed right now, and for whom: what leak tests assert on."""

from typing import Any

from scaleway_simulator.catalog import GB, all_types
from scaleway_simulator.records import Server
from scaleway_simulator.world import World

BLOCK_EUR_PER_GB_HOUR = 0.000118
IP_EUR_PER_HOUR = 0.004


def billed(world: World) -> dict[str, Any]:
    """Every server, volume, flexible address and own group that exists, visible or not, in every project."""
    servers = [_server(world, s) for s in world.servers]
    volumes = [
        {
            "id": v.id,
            "api": "block",
            "zone": v.zone,
            "project": v.project_id,
            "name": v.name,
            "tags": list(v.tags),
            "size": v.size_bytes,
            "status": v.status,
            "by_hand": v.by_hand,
            "server": None if v.reference is None else v.reference.server_id,
        }
        for v in world.block_volumes
    ] + [
        {
            "id": v.id,
            "api": "instance",
            "zone": v.zone,
            "project": v.project_id,
            "name": v.name,
            "tags": list(v.tags),
            "size": v.size_bytes,
            "status": v.state,
            "by_hand": False,
            "server": v.server_id,
        }
        for v in world.local_volumes
    ]
    ips = [
        {
            "id": ip.id,
            "zone": ip.zone,
            "project": ip.project_id,
            "address": ip.address,
            "server": ip.server_id,
            "tags": list(ip.tags),
        }
        for ip in world.ips
    ]
    own_groups = [
        {"id": g.id, "zone": g.zone, "project": g.project_id, "name": g.name, "tags": list(g.tags)}
        for g in world.security_groups
        if not g.project_default
    ]
    return {
        "servers": servers,
        "volumes": volumes,
        "ips": ips,
        "security_groups": own_groups,
        "hourly_cost": round(_cost(world), 6),
    }


def _server(world: World, server: Server) -> dict[str, Any]:
    return {
        "id": server.id,
        "zone": server.zone,
        "project": server.project_id,
        "name": server.name,
        "tags": list(server.tags),
        "state": server.state,
        "commercial_type": server.commercial_type,
        "visible": server.visible_at_s <= world.seconds,
        "volumes": {key: slot.volume_id for key, slot in server.volumes.items()},
        "security_group": server.security_group_id,
        "cloud_init": server.user_data.get("cloud-init", b"").decode("utf-8", "replace") or None,
        "cloud_init_before_first_power_on": server.cloud_init_before_first_power_on,
        "powered_on_count": server.powered_on_count,
    }


def _cost(world: World) -> float:
    """EUR an hour; a stopped server costs only its volumes and addresses."""
    types = all_types()
    running = sum(types[s.commercial_type].price_eur_per_hour for s in world.servers if s.state != "stopped")
    blocks = sum(v.size_bytes for v in world.block_volumes) / GB * BLOCK_EUR_PER_GB_HOUR
    return running + blocks + len(world.ips) * IP_EUR_PER_HOUR
