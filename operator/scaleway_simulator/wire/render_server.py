"""Servers, images and tasks as instance v1 writes them."""

import re
from datetime import datetime
from typing import Any

from scaleway_simulator import ips
from scaleway_simulator.records import FlexibleIp, Image, Nic, PlacementGroup, Server, Slot
from scaleway_simulator.server_life import allowed_actions
from scaleway_simulator.wire.render_storage import local_volume
from scaleway_simulator.world import World

NO_TASK = "00000000-0000-0000-0000-000000000000"
"""Actions answer a fake task since 2026-06-24 (api.md 2)."""
NULL_SHARE = 0.2
IPV4_GATEWAY = "62.210.0.1"


def stamp(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")


def server(world: World, thing: Server) -> dict[str, Any]:
    group = world.security_groups.find(thing.security_group_id)
    addresses = _addresses(world, thing)
    organization = world.organization_of(thing.project_id)
    rendered = {
        "id": thing.id,
        "name": thing.name,
        "arch": thing.arch,
        "commercial_type": thing.commercial_type,
        "boot_type": thing.boot_type,
        "organization": organization,
        "project": thing.project_id,
        "hostname": hostname(thing.name),
        "image": None if thing.image is None else image(thing.image),
        "volumes": {key: _slot(world, thing, slot) for key, slot in sorted(thing.volumes.items())},
        "tags": list(thing.tags),
        "state": thing.state,
        "protected": thing.protected,
        "state_detail": thing.state_detail,
        "public_ip": addresses[0] if addresses else None,
        "public_ips": addresses,
        "mac_address": thing.mac_address,
        "routed_ip_enabled": True,
        "ipv6": None,
        "extra_networks": [],
        "dynamic_ip_required": thing.dynamic_ip_required,
        "enable_ipv6": False,
        "private_ip": None,
        "creation_date": stamp(thing.created_at),
        "modification_date": stamp(thing.modified_at),
        "bootscript": None,
        "security_group": {"id": thing.security_group_id, "name": "" if group is None else group.name},
        "location": None if thing.node is None else dict(thing.node),
        "maintenances": [],
        "allowed_actions": allowed_actions(world, thing),
        "placement_group": _placement(world, thing.placement_group_id),
        "private_nics": [nic(world, each) for each in thing.nics],
        "zone": thing.zone,
        "filesystems": [{"filesystem_id": each, "state": "available"} for each in thing.filesystems],
        "end_of_service": False,
        "dns": f"{thing.id}.pub.instances.scw.cloud",
    }
    return rendered | _password_key(world, thing)


def _placement(world: World, group_id: str | None) -> dict[str, Any] | None:
    group = None if group_id is None else world.placement_groups.find(group_id)
    return None if group is None else placement_group(world, group)


def _password_key(world: World, thing: Server) -> dict[str, Any]:
    """Without a key, `null` or nothing at all: of two reads within a second one was recorded with each."""
    if thing.password_key_id is not None:
        return {"admin_password_encryption_ssh_key_id": thing.password_key_id}
    how = world.settings.null_password_key
    is_null = how == "always" or (how == "mixed" and world.random.random() < NULL_SHARE)
    return {"admin_password_encryption_ssh_key_id": None} if is_null else {}


def hostname(name: str) -> str:
    return re.sub(r"[^a-z0-9-]", "-", name.lower())


def _slot(world: World, owner: Server, slot: Slot) -> dict[str, Any]:
    """A block entry has neither size nor name; a local one is the whole volume (api.md 3.2)."""
    local = world.local_volumes.find(slot.volume_id)
    if local is None:
        return {
            "boot": slot.boot,
            "volume_type": slot.kind,
            "id": slot.volume_id,
            "state": "attaching" if slot.attaching else "available",
            "zone": owner.zone,
        }
    return {"boot": slot.boot} | local_volume(world, local)


def _addresses(world: World, thing: Server) -> list[dict[str, Any]]:
    shown = [_flexible(thing, ip) for ip in ips.of_server(world, thing)]
    dynamic = thing.dynamic_address
    if dynamic is not None:
        shown.append(_address(thing, dynamic.id, dynamic.address, is_dynamic=True, tags=[]))
    return shown


def _flexible(thing: Server, ip: FlexibleIp) -> dict[str, Any]:
    if ip.address is not None:
        return _address(thing, ip.id, ip.address, is_dynamic=False, tags=ip.tags)
    first = (ip.prefix or "::/64").split("/")[0] + "1"
    rendered = _address(thing, ip.id, first, is_dynamic=False, tags=ip.tags)
    return rendered | {
        "gateway": "fe80::dc00:ff:fe11:4a3d",
        "netmask": "64",
        "family": "inet6",
        "provisioning_mode": "slaac",
    }


def _address(thing: Server, ip_id: str, address: str, *, is_dynamic: bool, tags: list[str]) -> dict[str, Any]:
    return {
        "id": ip_id,
        "address": address,
        "dynamic": is_dynamic,
        "gateway": IPV4_GATEWAY,
        "netmask": "32",
        "family": "inet",
        "provisioning_mode": "dhcp",
        "tags": list(tags),
        "state": "pending" if ip_id in thing.pending_ips else "attached",
        "ipam_id": ip_id,
    }


def image(thing: Image) -> dict[str, Any]:
    is_block = thing.root_volume_type == "sbs_snapshot"
    return {
        "id": thing.id,
        "name": thing.name,
        "organization": thing.organization_id,
        "project": thing.project_id,
        "root_volume": {
            "volume_type": thing.root_volume_type,
            "id": thing.root_volume_id,
            "size": 0 if is_block else thing.root_size_bytes,
            "name": "" if is_block else thing.name,
        },
        "extra_volumes": {key: dict(value) for key, value in thing.extra_volumes.items()},
        "public": thing.public,
        "arch": thing.arch,
        "creation_date": stamp(thing.created_at),
        "modification_date": stamp(thing.created_at),
        "default_bootscript": None,
        "from_server": thing.from_server,
        "state": "available",
        "tags": list(thing.tags),
        "zone": thing.zone,
    }


def task(world: World, *, zone: str, href_from: str, href_result: str) -> dict[str, Any]:
    return {
        "id": NO_TASK,
        "description": "fake task",
        "status": "pending",
        "href_from": href_from,
        "href_result": href_result,
        "started_at": stamp(world.now),
        "terminated_at": None,
        "progress": 0,
        "zone": zone,
    }


def nic(world: World, thing: Nic) -> dict[str, Any]:
    server = world.servers.find(thing.server_id)
    return {
        "id": thing.id,
        "private_network_id": thing.private_network_id,
        "server_id": thing.server_id,
        "mac_address": thing.mac_address,
        "state": "available",
        "creation_date": stamp(thing.created_at),
        "modification_date": stamp(thing.created_at),
        "zone": "" if server is None else server.zone,
        "tags": list(thing.tags),
        "ipam_ip_ids": list(thing.ipam_ip_ids),
    }


def placement_group(world: World, thing: PlacementGroup) -> dict[str, Any]:
    return {
        "id": thing.id,
        "name": thing.name,
        "organization": world.organization_of(thing.project_id),
        "project": thing.project_id,
        "policy_mode": thing.policy_mode,
        "policy_type": thing.policy_type,
        "policy_respected": True,
        "tags": list(thing.tags),
        "zone": thing.zone,
    }
