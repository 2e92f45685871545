"""Things other people do, behind the back of whoever holds an API key: in the console, or in the office."""

from collections.abc import Callable, Mapping
from typing import Any

from scaleway_simulator import disks, server_life
from scaleway_simulator.catalog import GB
from scaleway_simulator.identity import ApiKey
from scaleway_simulator.records import BlockVolume, Server
from scaleway_simulator.world import World

Details = Mapping[str, Any]


class NoSuchThing(LookupError):
    """There is nothing under that id."""


def _server(world: World, server_id: str) -> Server:
    found = world.servers.find(server_id)
    if found is None:
        raise NoSuchThing(f"server {server_id}")
    return found


def stop(world: World, server_id: str, _: Details) -> None:
    """At once, whatever state it was in."""
    server = _server(world, server_id)
    server.run += 1
    server_life.stopped(world, server)


def lock(world: World, server_id: str, _: Details) -> None:
    """By the provider, for abuse."""
    server = _server(world, server_id)
    server.run += 1
    server.state, server.state_detail = "locked", ""
    server.guest_booted = False
    world.touch(server)


def delete(world: World, server_id: str, details: Details) -> None:
    """Its disks stay, unless `volumes` says that they go too."""
    server = _server(world, server_id)
    held = [slot.volume_id for slot in server.volumes.values()]
    server_life.disappear(world, server)
    if details.get("volumes"):
        for volume_id in held:
            block, local = world.block_volumes.find(volume_id), world.local_volumes.find(volume_id)
            if block is not None:
                world.block_volumes.remove(block)
            if local is not None:
                world.local_volumes.remove(local)


def rename(world: World, server_id: str, details: Details) -> None:
    _server(world, server_id).name = str(details["name"])


def edit_tags(world: World, server_id: str, details: Details) -> None:
    _server(world, server_id).tags = list(details["tags"])


def protect(world: World, server_id: str, details: Details) -> None:
    _server(world, server_id).protected = bool(details.get("protected", True))


def silence(world: World, server_id: str, details: Details) -> None:
    """The guest never answers, or does again: a bad image, a crashed service."""
    server = _server(world, server_id)
    server.guest_silent = bool(details.get("silent", True))
    server.guest_booted = not server.guest_silent and server.state == "running"
    world.touch(server)


def attach_disk(world: World, server_id: str, details: Details) -> dict[str, str]:
    """A disk made and attached by hand; answers its id."""
    server = _server(world, server_id)
    volume = disks.new_block(
        world,
        zone=server.zone,
        project_id=server.project_id,
        name=str(details.get("name", "by-hand")),
        size_bytes=int(details.get("size", 10 * GB)),
        tags=list(details.get("tags", ())),
    )
    volume.by_hand = True
    disks.attach_block(world, server, volume, slot=disks.free_slot(server), boot=False)
    return {"id": volume.id}


def _volume(world: World, volume_id: str) -> BlockVolume:
    found = world.block_volumes.find(volume_id)
    if found is None:
        raise NoSuchThing(f"volume {volume_id}")
    return found


def edit_volume_tags(world: World, volume_id: str, details: Details) -> None:
    _volume(world, volume_id).tags = list(details["tags"])


def rename_volume(world: World, volume_id: str, details: Details) -> None:
    _volume(world, volume_id).name = str(details["name"])


def delete_volume(world: World, volume_id: str, _: Details) -> None:
    volume = _volume(world, volume_id)
    for server in world.servers:
        server.volumes = {k: s for k, s in server.volumes.items() if s.volume_id != volume_id}
    world.block_volumes.remove(volume)


def delete_security_group(world: World, group_id: str, _: Details) -> None:
    group = world.security_groups.find(group_id)
    if group is None:
        raise NoSuchThing(f"security group {group_id}")
    world.security_groups.remove(group)


def _key(world: World, access_key: str) -> ApiKey:
    found = world.identity.find_key(access_key)
    if found is None:
        raise NoSuchThing(f"key {access_key}")
    return found


def revoke(world: World, access_key: str, _: Details) -> None:
    _key(world, access_key).revoked = True


def restore(world: World, access_key: str, _: Details) -> None:
    key = _key(world, access_key)
    key.revoked = False
    key.denied_until_s = 0.0


def deny(world: World, access_key: str, details: Details) -> None:
    """403 for `for_s` seconds."""
    _key(world, access_key).denied_until_s = world.seconds + float(details["for_s"])


def move(world: World, access_key: str, details: Details) -> None:
    """To another project: what the key made before is somebody else's from here on."""
    _key(world, access_key).project_id = world.identity.project(str(details["project_id"]), now=world.now).id


def set_rights(world: World, access_key: str, details: Details) -> None:
    _key(world, access_key).rights = frozenset(details["rights"])


Deed = Callable[[World, str, Details], object]
DEEDS: Mapping[tuple[str, str], Deed] = {
    ("servers", "stop"): stop,
    ("servers", "lock"): lock,
    ("servers", "delete"): delete,
    ("servers", "rename"): rename,
    ("servers", "tags"): edit_tags,
    ("servers", "protect"): protect,
    ("servers", "silence"): silence,
    ("servers", "attach-disk"): attach_disk,
    ("volumes", "tags"): edit_volume_tags,
    ("volumes", "rename"): rename_volume,
    ("volumes", "delete"): delete_volume,
    ("security-groups", "delete"): delete_security_group,
    ("keys", "revoke"): revoke,
    ("keys", "restore"): restore,
    ("keys", "deny"): deny,
    ("keys", "move"): move,
    ("keys", "rights"): set_rights,
}
