"""PATCH of a server: what is named replaces what was (api.md 3.5)."""

from collections.abc import Callable
from typing import Any

from scaleway_simulator import disks, ips
from scaleway_simulator.catalog import types_of
from scaleway_simulator.errors import PreconditionFailed, invalid, strings
from scaleway_simulator.records import BlockVolume, Server
from scaleway_simulator.server_create import find_group, find_ips, find_placement, find_volume
from scaleway_simulator.world import World

MaySee = Callable[[str], bool]


def update_server(world: World, server: Server, body: dict[str, Any], *, may_see: MaySee) -> None:
    """Raises:
    InvalidArguments, NotFound, PreconditionFailed: as the API would; what came before the fault stays.
    """
    _set_links(world, server, body, may_see=may_see)
    _set_fields(server, body)
    server.modified_at = world.now
    world.touch(server)


def _set_links(world: World, server: Server, body: dict[str, Any], *, may_see: MaySee) -> None:
    """Group, placement, type, addresses and disks."""
    group = find_group(world, body.get("security_group"), zone=server.zone, may_see=may_see)
    if group is not None:
        server.security_group_id = group.id
    if "placement_group" in body:
        wanted = body["placement_group"]
        server.placement_group_id = find_placement(world, wanted, zone=server.zone, may_see=may_see)
    if body.get("commercial_type"):
        _retype(world, server, body["commercial_type"])
    if "public_ips" in body:
        found = find_ips(world, body, zone=server.zone, may_see=may_see)
        ips.set_ips(world, server, list(found))
    if body.get("volumes") is not None:
        _set_volumes(world, server, body["volumes"], may_see=may_see)


def _set_fields(server: Server, body: dict[str, Any]) -> None:
    if body.get("name"):
        server.name = body["name"]
    if body.get("tags") is not None:
        server.tags = list(strings(body["tags"], "tags"))
    for name in ("protected", "dynamic_ip_required"):
        if body.get(name) is not None:
            setattr(server, name, bool(body[name]))
    if body.get("boot_type"):
        server.boot_type = body["boot_type"]
    if "admin_password_encryption_ssh_key_id" in body:
        server.password_key_id = body["admin_password_encryption_ssh_key_id"] or None


def _retype(world: World, server: Server, name: str) -> None:
    if name == server.commercial_type:
        return
    if server.state != "stopped":
        raise PreconditionFailed(precondition="resource_not_usable", help_message="server should be stopped")
    kind = types_of(server.zone, few=world.settings.minimal).get(name)
    if kind is None or kind.arch != server.arch:
        raise invalid("commercial_type", "not a valid value")
    server.commercial_type = name


def _set_volumes(world: World, server: Server, entries: Any, *, may_see: MaySee) -> None:
    """The map is replaced: whoever is not in it any more is detached."""
    if not isinstance(entries, dict):
        raise invalid("volumes", "not a valid value")
    wanted: dict[str, tuple[str, bool]] = {}
    for slot, entry in entries.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
            raise invalid("volumes", "not a valid value")
        wanted[slot] = (entry["id"], bool(entry.get("boot", False)))
    kept = {volume_id for volume_id, _ in wanted.values()}
    for held in [s.volume_id for s in server.volumes.values()]:
        if held not in kept:
            disks.detach(world, server, held)
    attached = {s.volume_id for s in server.volumes.values()}
    for slot, (volume_id, boot) in wanted.items():
        if volume_id not in attached:
            attach_volume(world, server, volume_id, slot=slot, boot=boot, may_see=may_see)


def attach_volume(
    world: World, server: Server, volume_id: str, *, slot: str | None, boot: bool, may_see: MaySee
) -> None:
    """Put an existing volume of either kind into a slot, the first free one by default.

    Raises:
        NotFound, PreconditionFailed: no such volume, or it is not free.
    """
    volume = find_volume(world, volume_id, zone=server.zone, may_see=may_see)
    where = slot if slot is not None else disks.free_slot(server)
    if isinstance(volume, BlockVolume):
        disks.attach_block(world, server, volume, slot=where, boot=boot)
    elif volume is not None:
        disks.attach_local(server, volume, slot=where, boot=boot)
    server.modified_at = world.now
