"""Addresses, security groups and instance types as instance v1 writes them."""

from typing import Any

from scaleway_simulator import groups
from scaleway_simulator.catalog import ServerType
from scaleway_simulator.records import FlexibleIp, Rule, SecurityGroup
from scaleway_simulator.wire.render_storage import stamp
from scaleway_simulator.world import World

HOURS_PER_MONTH = 730


def flexible_ip(world: World, thing: FlexibleIp) -> dict[str, Any]:
    server = None if thing.server_id is None else world.servers.find(thing.server_id)
    is_pending = server is not None and thing.id in server.pending_ips
    return {
        "id": thing.id,
        "address": thing.address,
        "prefix": thing.prefix,
        "reverse": thing.reverse,
        "server": None if server is None else {"id": server.id, "name": server.name},
        "organization": world.organization_of(thing.project_id),
        "project": thing.project_id,
        "zone": thing.zone,
        "type": thing.type,
        "state": "detached" if server is None else "pending" if is_pending else "attached",
        "tags": list(thing.tags),
        "ipam_id": thing.id,
    }


def security_group(world: World, thing: SecurityGroup) -> dict[str, Any]:
    return {
        "id": thing.id,
        "creation_date": stamp(thing.created_at),
        "modification_date": stamp(thing.modified_at),
        "name": thing.name,
        "description": thing.description,
        "organization": world.organization_of(thing.project_id),
        "project": thing.project_id,
        "servers": [{"id": s.id, "name": s.name} for s in groups.servers_of(world, thing)],
        "stateful": thing.stateful,
        "inbound_default_policy": thing.inbound_default_policy,
        "outbound_default_policy": thing.outbound_default_policy,
        "organization_default": thing.project_default,
        "project_default": thing.project_default,
        "enable_default_security": thing.enable_default_security,
        "state": "available",
        "tags": list(thing.tags),
        "zone": thing.zone,
    }


def rule(thing: Rule, *, zone: str, editable: bool) -> dict[str, Any]:
    return {
        "id": thing.id,
        "protocol": thing.protocol,
        "direction": thing.direction,
        "ip_range": thing.ip_range,
        "dest_ip_range": None,
        "dest_port_from": thing.dest_port_from,
        "dest_port_to": thing.dest_port_to,
        "position": thing.position,
        "editable": editable,
        "action": thing.action,
        "zone": zone,
    }


def server_type(thing: ServerType) -> dict[str, Any]:
    local = {
        "min_size": 10**9 if thing.local_max_bytes else 0,
        "max_size": 800 * 10**9 if thing.local_max_bytes else 0,
    }
    gpu = None
    if thing.gpu is not None:
        gpu = {"gpu_manufacturer": "NVIDIA", "gpu_name": thing.gpu.name, "gpu_memory": thing.gpu.memory_bytes}
    speed = thing.bandwidth_bit_per_s
    return {
        "alt_names": list(thing.alternative_names),
        "arch": thing.arch,
        "ncpus": thing.ncpus,
        "ram": thing.ram_bytes,
        "gpu": thing.gpus,
        "gpu_info": gpu,
        "mig_profile": None,
        "volumes_constraint": {"min_size": 0, "max_size": thing.local_max_bytes},
        "per_volume_constraint": {"l_ssd": local},
        "scratch_storage_max_size": thing.scratch_max_bytes,
        "scratch_storage_max_volumes_count": thing.scratch_max_count,
        "monthly_price": round(thing.price_eur_per_hour * HOURS_PER_MONTH, 5),
        "hourly_price": float(thing.price_eur_per_hour),
        "capabilities": {
            "boot_types": ["local", "rescue"],
            "placement_groups": True,
            "block_storage": True,
            "hot_snapshots_local_volume": thing.local_max_bytes > 0,
            "private_network": 8,
            "max_file_systems": thing.file_systems,
        },
        "network": {
            "ipv6_support": True,
            "sum_internal_bandwidth": speed,
            "sum_internet_bandwidth": speed,
            "interfaces": [{"internal_bandwidth": speed, "internet_bandwidth": speed}],
        },
        "block_bandwidth": 1_048_576_000,
        "end_of_service": thing.is_at_end_of_service,
    }
