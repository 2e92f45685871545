"""Volumes (api.md 4): block ones (`sbs_volume`, block v1), local ones (`l_ssd`, `scratch`; instance v1)."""

from scaleway_simulator.errors import PreconditionFailed, invalid
from scaleway_simulator.limits import check_quota
from scaleway_simulator.records import BlockVolume, LocalVolume, Reference, Server, Slot
from scaleway_simulator.world import World

IOPS = (5000, 15000)
TRANSIENT = frozenset({"creating", "updating", "resizing", "snapshotting"})


def new_local(
    world: World,
    *,
    zone: str,
    project_id: str,
    name: str,
    kind: str,
    size_bytes: int,
    tags: list[str] | None = None,
) -> LocalVolume:
    """An `available` local volume, at once."""
    now = world.now
    return world.local_volumes.add(
        LocalVolume(
            id=world.new_id(),
            zone=zone,
            project_id=project_id,
            name=name,
            kind=kind,
            size_bytes=size_bytes,
            created_at=now,
            modified_at=now,
            tags=list(tags or ()),
        )
    )


def new_block(
    world: World,
    *,
    zone: str,
    project_id: str,
    name: str,
    size_bytes: int,
    perf_iops: int = 5000,
    parent_snapshot_id: str | None = None,
    tags: list[str] | None = None,
    status: str = "available",
) -> BlockVolume:
    """A block volume: `available` with a new server, `creating` by its own API (`settle_block` ends that).

    Raises:
        QuotasExceeded: the project has as many as it may.
    """
    check_quota(world, "volumes", project_id=project_id)
    now = world.now
    return world.block_volumes.add(
        BlockVolume(
            id=world.new_id(),
            zone=zone,
            project_id=project_id,
            name=name,
            size_bytes=size_bytes,
            perf_iops=perf_iops,
            created_at=now,
            updated_at=now,
            status=status,
            parent_snapshot_id=parent_snapshot_id,
            tags=list(tags or ()),
        )
    )


def settle_block(world: World, volume: BlockVolume, *, after_s: float) -> None:
    """Leave a transient status after a while: `in_use` when attached, else `available`."""

    def done() -> None:
        if volume.status in TRANSIENT:
            volume.status = "available" if volume.reference is None else "in_use"
            volume.updated_at = world.now

    world.later(after_s, done)


def change_block(world: World, volume: BlockVolume, *, size_bytes: int | None, perf_iops: int | None) -> None:
    """Grow a block volume, or give it other iops.

    Raises:
        InvalidArguments: transient (recorded for perf_iops), smaller than before, or no such iops.
    """
    if perf_iops is not None and perf_iops not in IOPS:
        raise invalid("perf_iops", f"perf_iops must be one of {IOPS}")
    if perf_iops is not None and volume.status in TRANSIENT:
        raise invalid("perf_iops", "can't update perf_iops when volume is not available")
    if size_bytes is not None and size_bytes < volume.size_bytes:
        raise invalid("size", "size must be greater than the current size")
    if size_bytes is not None:
        volume.size_bytes = size_bytes
        volume.status = "resizing"
    if perf_iops is not None and perf_iops != volume.perf_iops:
        volume.perf_iops = perf_iops
        volume.status = "updating"
    volume.updated_at = world.now
    settle_block(world, volume, after_s=world.settings.update_s)


def delete_block(world: World, volume: BlockVolume) -> None:
    """Gone at once: after the 204 the next read is a 404 (api.md 4.3).

    Raises:
        PreconditionFailed: attached, or on its way off.
    """
    if volume.reference is not None:
        raise PreconditionFailed(
            precondition="resource_still_in_use", help_message="volume is still attached", status=412
        )
    world.block_volumes.remove(volume)


def delete_local(world: World, volume: LocalVolume) -> None:
    """Gone at once.

    Raises:
        PreconditionFailed: attached to a server.
    """
    if volume.server_id is not None:
        raise PreconditionFailed(
            precondition="resource_still_in_use", help_message="a server is attached to this volume"
        )
    world.local_volumes.remove(volume)


# attachment


def free_slot(server: Server) -> str:
    number = 0
    while str(number) in server.volumes:
        number += 1
    return str(number)


def attach_block(world: World, server: Server, volume: BlockVolume, *, slot: str, boot: bool) -> None:
    """Put a block volume into a slot; it is `attaching` for a moment when the server runs.

    Raises:
        PreconditionFailed: it is still being created, or somewhere else.
    """
    if volume.status != "available" or volume.reference is not None:
        raise PreconditionFailed(precondition="resource_not_usable", help_message="volume is not available")
    at_once = server.state == "stopped"
    reference = Reference(
        id=world.new_id(),
        server_id=server.id,
        status="attached" if at_once else "attaching",
        created_at=world.now,
    )
    volume.reference = reference
    volume.status = "in_use"
    volume.updated_at = world.now
    server.volumes[slot] = Slot(volume_id=volume.id, kind="sbs_volume", boot=boot, attaching=not at_once)

    def attached() -> None:
        if volume.reference is reference and reference.status == "attaching":
            reference.status = "attached"
            if slot in server.volumes:
                server.volumes[slot].attaching = False

    world.later(0.0 if at_once else world.settings.attach_s, attached)


def attach_local(server: Server, volume: LocalVolume, *, slot: str, boot: bool) -> None:
    """Raises:
    PreconditionFailed: attached already.
    """
    if volume.server_id is not None:
        raise PreconditionFailed(
            precondition="resource_not_usable", help_message="volume is already attached"
        )
    volume.server_id = server.id
    server.volumes[slot] = Slot(volume_id=volume.id, kind=volume.kind, boot=boot)


def release_block(world: World, volume: BlockVolume, *, after_s: float) -> None:
    """Take a block volume off: `in_use`/`detaching` for a while, then `available`."""
    reference = volume.reference
    if reference is None:
        return
    reference.status = "detaching"

    def released() -> None:
        if volume.reference is reference:
            volume.reference = None
            volume.status = "available"
            volume.last_detached_at = volume.updated_at = world.now

    world.later(after_s, released)


def detach(world: World, server: Server, volume_id: str) -> None:
    """Take a volume off a server; the server shows it at once, the block API later (api.md 4.2).

    Raises:
        InvalidArguments: it is not attached to this server.
    """
    slot = next((key for key, held in server.volumes.items() if held.volume_id == volume_id), None)
    if slot is None:
        raise invalid("volume_id", f"Volume {volume_id} is not attached to this server")
    del server.volumes[slot]
    server.modified_at = world.now
    block = world.block_volumes.find(volume_id)
    if block is not None:
        release_block(world, block, after_s=_detach_s(world, server))
    local = world.local_volumes.find(volume_id)
    if local is not None:
        local.server_id = None


def _detach_s(world: World, server: Server) -> float:
    if server.state == "stopped":
        return min(1.0, world.settings.detach_s)
    if server.state == "running" and not server.guest_booted:
        return world.settings.detach_while_booting_s
    return world.settings.detach_s
