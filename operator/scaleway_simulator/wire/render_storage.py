"""Volumes and snapshots as instance v1 and block v1 write them."""

from datetime import datetime
from typing import Any

from scaleway_simulator.records import BlockVolume, LocalVolume, Reference, Snapshot
from scaleway_simulator.world import World


def stamp(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")


def zulu(at: datetime) -> str:
    return stamp(at).replace("+00:00", "Z")


def local_volume(world: World, thing: LocalVolume) -> dict[str, Any]:
    server = None if thing.server_id is None else world.servers.find(thing.server_id)
    return {
        "id": thing.id,
        "name": thing.name,
        "volume_type": thing.kind,
        "export_uri": None,
        "organization": world.organization_of(thing.project_id),
        "project": thing.project_id,
        "server": None if server is None else {"id": server.id, "name": server.name},
        "size": thing.size_bytes,
        "state": thing.state,
        "creation_date": stamp(thing.created_at),
        "modification_date": stamp(thing.modified_at),
        "tags": list(thing.tags),
        "zone": thing.zone,
    }


def block_volume(thing: BlockVolume) -> dict[str, Any]:
    last = thing.last_detached_at
    return {
        "id": thing.id,
        "name": thing.name,
        "type": block_type(thing),
        "size": thing.size_bytes,
        "project_id": thing.project_id,
        "created_at": zulu(thing.created_at),
        "updated_at": zulu(thing.updated_at),
        "references": [] if thing.reference is None else [_reference(thing.reference)],
        "parent_snapshot_id": thing.parent_snapshot_id,
        "status": thing.status,
        "tags": list(thing.tags),
        "specs": {"perf_iops": thing.perf_iops, "class": "sbs"},
        "last_detached_at": None if last is None else zulu(last),
        "kms_key_id": None,
        "zone": thing.zone,
    }


def block_type(thing: BlockVolume) -> str:
    return "sbs_15k" if thing.perf_iops > 5000 else "sbs_5k"  # noqa: PLR2004  # the lower of the two


def _reference(thing: Reference) -> dict[str, Any]:
    return {
        "id": thing.id,
        "product_resource_type": "instance_server",
        "product_resource_id": thing.server_id,
        "created_at": zulu(thing.created_at),
        "type": "exclusive",
        "status": thing.status,
    }


def block_snapshot(world: World, thing: Snapshot) -> dict[str, Any]:
    parent = None if thing.parent_id is None else world.block_volumes.find(thing.parent_id)
    return {
        "id": thing.id,
        "name": thing.name,
        "parent_volume": None
        if parent is None
        else {
            "id": parent.id,
            "name": parent.name,
            "type": block_type(parent),
            "status": parent.status,
        },
        "size": thing.size_bytes,
        "project_id": thing.project_id,
        "created_at": zulu(thing.created_at),
        "updated_at": zulu(thing.updated_at),
        "references": [],
        "status": thing.status,
        "tags": list(thing.tags),
        "class": "sbs",
        "zone": thing.zone,
        "public": False,
    }


def local_snapshot(world: World, thing: Snapshot) -> dict[str, Any]:
    parent = None if thing.parent_id is None else world.local_volumes.find(thing.parent_id)
    return {
        "id": thing.id,
        "name": thing.name,
        "volume_type": thing.kind,
        "creation_date": stamp(thing.created_at),
        "modification_date": stamp(thing.updated_at),
        "organization": world.organization_of(thing.project_id),
        "project": thing.project_id,
        "size": thing.size_bytes,
        "state": thing.status,
        "base_volume": None if parent is None else {"id": parent.id, "name": parent.name},
        "tags": list(thing.tags),
        "zone": thing.zone,
        "error_details": None,
    }
