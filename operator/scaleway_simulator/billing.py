"""What is billed right now, and for whom: what leak tests assert on."""

from typing import Any

from scaleway_simulator.catalog import GB, all_types
from scaleway_simulator.records import BlockVolume, FlexibleIp, LocalVolume, SecurityGroup, Server
from scaleway_simulator.world import World

BLOCK_EUR_PER_GB_HOUR = 0.000118
IP_EUR_PER_HOUR = 0.004


def billed(world: World) -> dict[str, Any]:
    """Every server, volume, flexible address and own group that exists, visible or not, in every project."""
    return {
        "servers": [_server(world, s) for s in world.servers],
        "volumes": [*map(_block, world.block_volumes), *map(_local, world.local_volumes)],
        "ips": [_ip(ip) for ip in world.ips],
        "security_groups": [_group(g) for g in world.security_groups if not g.project_default],
        "hourly_cost": round(_cost(world), 6),
    }


def _block(volume: BlockVolume) -> dict[str, Any]:
    return {
        "id": volume.id,
        "api": "block",
        "zone": volume.zone,
        "project": volume.project_id,
        "name": volume.name,
        "tags": list(volume.tags),
        "size": volume.size_bytes,
        "status": volume.status,
        "by_hand": volume.by_hand,
        "server": None if volume.reference is None else volume.reference.server_id,
    }


def _local(volume: LocalVolume) -> dict[str, Any]:
    return {
        "id": volume.id,
        "api": "instance",
        "zone": volume.zone,
        "project": volume.project_id,
        "name": volume.name,
        "tags": list(volume.tags),
        "size": volume.size_bytes,
        "status": volume.state,
        "by_hand": False,
        "server": volume.server_id,
    }


def _ip(ip: FlexibleIp) -> dict[str, Any]:
    return {
        "id": ip.id,
        "zone": ip.zone,
        "project": ip.project_id,
        "address": ip.address,
        "server": ip.server_id,
        "tags": list(ip.tags),
    }


def _group(group: SecurityGroup) -> dict[str, Any]:
    return {
        "id": group.id,
        "zone": group.zone,
        "project": group.project_id,
        "name": group.name,
        "tags": list(group.tags),
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
