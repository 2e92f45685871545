"""What POST servers does (api.md 3.2): all is checked first, then server and disks exist at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scaleway_simulator import disks, groups, ips
from scaleway_simulator.catalog import GB, ServerType, types_of
from scaleway_simulator.errors import (
    NotFound,
    PermissionsDenied,
    PreconditionFailed,
    WireError,
    invalid,
    is_uuid,
    missing,
    strings,
)
from scaleway_simulator.images import Storage, by_label, images_of
from scaleway_simulator.limits import check_quota, check_stock
from scaleway_simulator.records import (
    BlockVolume,
    FlexibleIp,
    Image,
    LocalVolume,
    SecurityGroup,
    Server,
    Snapshot,
)
from scaleway_simulator.world import World

SCRATCH_BYTES = 3000 * GB
"""The scratch volume that comes with an H100 without being asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedVolume:
    """One entry of `volumes` in a create call."""

    slot: str
    boot: bool
    name: str | None
    kind: str | None
    size_bytes: int | None
    existing: BlockVolume | LocalVolume | None
    snapshot: Snapshot | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    zone: str
    project_id: str
    kind: ServerType
    image: Image | None
    group: SecurityGroup | None
    ips: tuple[FlexibleIp, ...]
    volumes: tuple[WantedVolume, ...]
    placement_group_id: str | None


def create_server(
    world: World, body: dict[str, Any], *, zone: str, caller_may_see: Callable[[str], bool], home: str
) -> Server:
    """Make a stopped server. `home` is the project when the request names none.

    Raises:
        InvalidArguments, NotFound, PermissionsDenied, QuotasExceeded, OutOfStock: nothing was made.
    """
    plan = _plan(world, body, zone=zone, may_see=caller_may_see, home=home)
    check_quota(world, "servers", project_id=plan.project_id)
    check_quota(world, f"servers:{plan.kind.name}", project_id=plan.project_id)
    check_stock(world, zone=zone, commercial_type=plan.kind.name, at="create")
    group = plan.group or groups.default_group(world, zone=zone, project_id=plan.project_id)
    now = world.now
    server_id = world.new_id()
    server = Server(
        id=server_id,
        zone=zone,
        project_id=plan.project_id,
        name=body.get("name") or f"srv-{server_id[:8]}",
        commercial_type=plan.kind.name,
        arch=plan.kind.arch,
        boot_type=body.get("boot_type") or "local",
        image=plan.image,
        security_group_id=group.id,
        dynamic_ip_required=body.get("dynamic_ip_required") is not False,
        mac_address=world.new_mac(prefix="de:00:01"),
        created_at=now,
        modified_at=now,
        tags=list(strings(body.get("tags"), "tags")),
        protected=bool(body.get("protected", False)),
        placement_group_id=plan.placement_group_id,
        password_key_id=body.get("admin_password_encryption_ssh_key_id"),
    )
    try:
        _fill_slots(world, server, plan)
    except WireError:
        _undo(world, server, plan)
        raise
    for ip in plan.ips:
        ips.attach(world, ip, server)
    return world.servers.add(server)


def _plan(
    world: World, body: dict[str, Any], *, zone: str, may_see: Callable[[str], bool], home: str
) -> Plan:
    required = [n for n in ("commercial_type", "image", "volumes") if not body.get(n)]
    if "commercial_type" in required or {"image", "volumes"} <= set(required):
        raise missing(*required)
    kind = types_of(zone, few=world.settings.minimal).get(body["commercial_type"])
    if kind is None:
        raise invalid("commercial_type", "not a valid value")
    project_id = body.get("project") or home
    if not may_see(project_id):
        raise PermissionsDenied(resource="servers", action="write")
    world.identity.project(project_id, now=world.now)
    addresses = find_ips(world, body, zone=zone, may_see=may_see)
    if any(ip.server_id is not None for ip in addresses):
        raise PreconditionFailed(precondition="resource_not_usable", help_message="IP is already attached")
    volumes = _read_volumes(world, body.get("volumes") or {}, zone=zone, may_see=may_see)
    return Plan(
        zone=zone,
        project_id=project_id,
        kind=kind,
        image=_image(world, body.get("image"), zone=zone, kind=kind, volumes=volumes, may_see=may_see),
        group=find_group(world, body.get("security_group"), zone=zone, may_see=may_see),
        ips=addresses,
        volumes=volumes,
        placement_group_id=find_placement(world, body.get("placement_group"), zone=zone, may_see=may_see),
    )


def find_group(
    world: World, wanted: Any, *, zone: str, may_see: Callable[[str], bool]
) -> SecurityGroup | None:
    """Named by id, or by an object with an id as PATCH sends it."""
    group_id = wanted.get("id") if isinstance(wanted, dict) else wanted
    return None if group_id is None else world.security_groups.get(group_id, zone=zone, may_see=may_see)


def find_ips(
    world: World, body: dict[str, Any], *, zone: str, may_see: Callable[[str], bool]
) -> tuple[FlexibleIp, ...]:
    names = list(strings(body.get("public_ips"), "public_ips"))
    if body.get("public_ip"):
        names.append(body["public_ip"])
    found: list[FlexibleIp] = []
    for name in names:
        ip = ips.find_ip(world, name)
        if ip.zone != zone or not may_see(ip.project_id):
            raise NotFound("instance_ip", name)
        found.append(ip)
    return tuple(found)


def find_placement(world: World, wanted: Any, *, zone: str, may_see: Callable[[str], bool]) -> str | None:
    if wanted is None:
        return None
    if not is_uuid(wanted):
        raise invalid("placement_group", "not a valid value")
    return world.placement_groups.get(wanted, zone=zone, may_see=may_see).id


def _read_volumes(
    world: World, entries: Any, *, zone: str, may_see: Callable[[str], bool]
) -> tuple[WantedVolume, ...]:
    if not isinstance(entries, dict):
        raise invalid("volumes", "not a valid value")
    wanted: list[WantedVolume] = []
    for slot, entry in sorted(entries.items()):
        if not isinstance(entry, dict) or not slot.isdecimal():
            raise invalid("volumes", "not a valid value")
        size = entry.get("size")
        if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < GB):
            raise invalid(f"volumes.{slot}.size", "not a valid value")
        wanted.append(
            WantedVolume(
                slot=slot,
                boot=bool(entry.get("boot", False)),
                name=entry.get("name"),
                kind=entry.get("volume_type"),
                size_bytes=size,
                existing=find_volume(world, entry.get("id"), zone=zone, may_see=may_see),
                snapshot=_find_snapshot(world, entry.get("base_snapshot"), zone=zone, may_see=may_see),
            )
        )
    return tuple(wanted)


def find_volume(
    world: World, volume_id: str | None, *, zone: str, may_see: Callable[[str], bool]
) -> BlockVolume | LocalVolume | None:
    """Of either API.

    Raises:
        NotFound: `instance_volume`, whichever kind was meant.
    """
    if volume_id is None:
        return None
    block = world.block_volumes.find(volume_id)
    if block is not None and block.zone == zone and may_see(block.project_id):
        return block
    return world.local_volumes.get(volume_id, zone=zone, may_see=may_see)


def _find_snapshot(
    world: World, snapshot_id: str | None, *, zone: str, may_see: Callable[[str], bool]
) -> Snapshot | None:
    if snapshot_id is None:
        return None
    block = world.block_snapshots.find(snapshot_id)
    if block is not None and block.zone == zone and may_see(block.project_id):
        return block
    return world.local_snapshots.get(snapshot_id, zone=zone, may_see=may_see)


def _image(
    world: World,
    wanted: Any,
    *,
    zone: str,
    kind: ServerType,
    volumes: tuple[WantedVolume, ...],
    may_see: Callable[[str], bool],
) -> Image | None:
    if wanted is None:
        return None
    if not isinstance(wanted, str):
        raise invalid("image", "not a valid value")
    if is_uuid(wanted):
        return images_of(zone).get(wanted) or _own_image(world, wanted, zone=zone, may_see=may_see)
    root = next((v for v in volumes if v.slot == "0"), None)
    storage: Storage = "instance_local" if root is not None and root.kind == "l_ssd" else "instance_sbs"
    found = by_label(wanted, zone=zone, commercial_type=kind, storage=storage)
    if found is None:
        raise NotFound("instance_image", wanted)
    return found


def _own_image(world: World, image_id: str, *, zone: str, may_see: Callable[[str], bool]) -> Image:
    own = world.images.find(image_id)
    if own is not None and own.public and own.zone == zone:
        return own
    return world.images.get(image_id, zone=zone, may_see=may_see)


# disks of a new server


def _undo(world: World, server: Server, plan: Plan) -> None:
    """Refused half way: what was there before is free again, what was made is gone."""
    existing = {volume.existing.id for volume in plan.volumes if volume.existing is not None}
    for slot in server.volumes.values():
        block, local = world.block_volumes.find(slot.volume_id), world.local_volumes.find(slot.volume_id)
        if block is not None:
            block.reference, block.status = None, "available"
        if local is not None:
            local.server_id = None
        if block is not None and block.id not in existing:
            world.block_volumes.remove(block)
        if local is not None and local.id not in existing:
            world.local_volumes.remove(local)


def _fill_slots(world: World, server: Server, plan: Plan) -> None:
    wanted = {volume.slot: volume for volume in plan.volumes}
    if plan.image is not None and (wanted.get("0") is None or wanted["0"].existing is None):
        _make_root(world, server, plan.image, plan.kind, wanted.pop("0", None))
    for number, description in (plan.image.extra_volumes if plan.image else {}).items():
        if number not in wanted:
            _from_description(world, server, number, description)
    for volume in wanted.values():
        _add(world, server, volume)
    has_scratch = any(slot.kind == "scratch" for slot in server.volumes.values())
    if plan.kind.has_automatic_scratch and not has_scratch:
        name = "autogenerated scratch volume"
        _new_local(
            world, server, disks.free_slot(server), name=name, kind="scratch", size_bytes=SCRATCH_BYTES
        )


def _make_root(
    world: World, server: Server, image: Image, kind: ServerType, wanted: WantedVolume | None
) -> None:
    is_local = image.root_volume_type != "sbs_snapshot"
    size = wanted.size_bytes if wanted is not None else None
    boot = wanted.boot if wanted is not None else False
    if is_local:
        if kind.local_max_bytes == 0:
            raise invalid("volumes", f"{kind.name} has no local storage")
        whole = size or kind.local_max_bytes
        _new_local(world, server, "0", name=image.name, kind="l_ssd", size_bytes=whole, boot=boot)
        return
    volume = disks.new_block(
        world,
        zone=server.zone,
        project_id=server.project_id,
        name=(wanted.name if wanted is not None else None) or f"{image.name}_sbs_volume_0",
        size_bytes=size or image.root_size_bytes,
        parent_snapshot_id=image.root_volume_id,
    )
    disks.attach_block(world, server, volume, slot="0", boot=boot)


def _add(world: World, server: Server, wanted: WantedVolume) -> None:
    existing = wanted.existing
    if isinstance(existing, BlockVolume):
        disks.attach_block(world, server, existing, slot=wanted.slot, boot=wanted.boot)
    elif existing is not None:
        disks.attach_local(server, existing, slot=wanted.slot, boot=wanted.boot)
    elif wanted.snapshot is not None:
        snapshot = wanted.snapshot
        kind = snapshot.kind if snapshot.api == "instance" else "sbs_volume"
        _new(
            world,
            server,
            wanted,
            kind=kind,
            size_bytes=wanted.size_bytes or snapshot.size_bytes,
            parent=snapshot.id,
        )
    elif wanted.kind is not None and wanted.size_bytes is not None:
        _new(world, server, wanted, kind=wanted.kind, size_bytes=wanted.size_bytes, parent=None)
    else:
        raise invalid("volumes", "a new volume needs a volume_type and a size")


def _new(
    world: World, server: Server, wanted: WantedVolume, *, kind: str, size_bytes: int, parent: str | None
) -> None:
    name = wanted.name or f"{server.name}-{wanted.slot}"
    if kind in {"l_ssd", "scratch"}:
        _new_local(world, server, wanted.slot, name=name, kind=kind, size_bytes=size_bytes, boot=wanted.boot)
        return
    volume = disks.new_block(
        world,
        zone=server.zone,
        project_id=server.project_id,
        name=name,
        size_bytes=size_bytes,
        parent_snapshot_id=parent,
    )
    disks.attach_block(world, server, volume, slot=wanted.slot, boot=wanted.boot)


def _from_description(world: World, server: Server, slot: str, description: dict[str, Any]) -> None:
    """An extra volume of an image somebody made of snapshots."""
    wanted = WantedVolume(
        slot=slot,
        boot=False,
        name=description.get("name"),
        kind=None,
        size_bytes=None,
        existing=None,
        snapshot=None,
    )
    is_block = description.get("volume_type") == "sbs_snapshot"
    snapshot = (world.block_snapshots if is_block else world.local_snapshots).find(description["id"])
    size = snapshot.size_bytes if snapshot is not None else description.get("size") or GB
    kind = "sbs_volume" if is_block else description.get("volume_type", "l_ssd")
    _new(world, server, wanted, kind=kind, size_bytes=size, parent=description["id"])


def _new_local(
    world: World, server: Server, slot: str, *, name: str, kind: str, size_bytes: int, boot: bool = False
) -> None:
    volume = disks.new_local(
        world, zone=server.zone, project_id=server.project_id, name=name, kind=kind, size_bytes=size_bytes
    )
    disks.attach_local(server, volume, slot=slot, boot=boot)
