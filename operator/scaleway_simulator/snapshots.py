"""Snapshots, and the images people make of them: only as much as servers and volumes need."""

from typing import Any, Literal

from scaleway_simulator.errors import PreconditionFailed
from scaleway_simulator.records import BlockVolume, Image, LocalVolume, Server, Snapshot
from scaleway_simulator.world import World


def take(
    world: World,
    volume: BlockVolume | LocalVolume,
    *,
    project_id: str,
    name: str,
    tags: list[str] | None = None,
) -> Snapshot:
    """A snapshot that becomes `available` after a while."""
    is_block = isinstance(volume, BlockVolume)
    snapshot = _new(
        world,
        zone=volume.zone,
        project_id=project_id,
        api="block" if is_block else "instance",
        name=name,
        kind="sbs_snapshot" if isinstance(volume, BlockVolume) else volume.kind,
        size_bytes=volume.size_bytes,
        parent=volume,
        tags=tags,
    )
    if isinstance(volume, LocalVolume):
        volume.state = "snapshotting"
    return snapshot


def import_(
    world: World, *, zone: str, project_id: str, api: Literal["block", "instance"], name: str
) -> Snapshot:
    """From an object storage bucket that nobody looks into."""
    kind = "sbs_snapshot" if api == "block" else "l_ssd"
    return _new(
        world,
        zone=zone,
        project_id=project_id,
        api=api,
        name=name,
        kind=kind,
        size_bytes=10**10,
        parent=None,
        tags=None,
    )


def _new(
    world: World,
    *,
    zone: str,
    project_id: str,
    api: Literal["block", "instance"],
    name: str,
    kind: str,
    size_bytes: int,
    parent: BlockVolume | LocalVolume | None,
    tags: list[str] | None,
) -> Snapshot:
    now = world.now
    snapshot = Snapshot(
        id=world.new_id(),
        zone=zone,
        project_id=project_id,
        api=api,
        name=name,
        size_bytes=size_bytes,
        kind=kind,
        parent_id=None if parent is None else parent.id,
        parent_name="" if parent is None else parent.name,
        status="creating" if api == "block" else "snapshotting",
        created_at=now,
        updated_at=now,
        tags=list(tags or ()),
    )
    (world.block_snapshots if api == "block" else world.local_snapshots).add(snapshot)

    def done() -> None:
        snapshot.status = "available"
        snapshot.updated_at = world.now
        if isinstance(parent, LocalVolume) and parent.state == "snapshotting":
            parent.state = "available"

    world.later(world.settings.snapshot_s, done)
    return snapshot


def delete(world: World, snapshot: Snapshot) -> None:
    """Raises:
    PreconditionFailed: still being made.
    """
    if snapshot.status == "creating":
        raise PreconditionFailed(
            precondition="protected_resource",
            help_message="Snapshot is currently in use, deletion is not permitted.",
            status=412,
        )
    (world.block_snapshots if snapshot.api == "block" else world.local_snapshots).remove(snapshot)


def new_image(
    world: World,
    *,
    zone: str,
    project_id: str,
    name: str,
    arch: str,
    root: Snapshot,
    extra: dict[str, Snapshot],
    public: bool,
) -> Image:
    """An image of one's own snapshots."""
    is_block = root.api == "block"
    return world.images.add(
        Image(
            id=world.new_id(),
            zone=zone,
            arch=arch,
            label="",
            storage="instance_sbs" if is_block else "instance_local",
            name=name,
            root_volume_type="sbs_snapshot" if is_block else root.kind,
            root_volume_id=root.id,
            root_size_bytes=root.size_bytes,
            created_at=world.now,
            organization_id=world.organization_of(project_id),
            project_id=project_id,
            public=public,
            extra_volumes={key: describe(snapshot) for key, snapshot in extra.items()},
        )
    )


def describe(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as an image lists its extra volumes."""
    if snapshot.api == "block":
        return {"volume_type": "sbs_snapshot", "id": snapshot.id, "size": 0, "name": ""}
    return {
        "volume_type": snapshot.kind,
        "id": snapshot.id,
        "size": snapshot.size_bytes,
        "name": snapshot.name,
    }


def back_up(world: World, server: Server, *, name: str | None) -> Image:
    """An image of a server: a snapshot of each volume (api.md 3.3)."""
    made: dict[str, Snapshot] = {}
    for key, slot in sorted(server.volumes.items()):
        volume = world.block_volumes.find(slot.volume_id) or world.local_volumes.find(slot.volume_id)
        if volume is not None and slot.kind != "scratch":
            label = f"{name or server.name}_snap_{key}"
            made[key] = take(world, volume, project_id=server.project_id, name=label)
    if "0" not in made:
        raise PreconditionFailed(precondition="resource_not_usable", help_message="server has no root volume")
    image = new_image(
        world,
        zone=server.zone,
        project_id=server.project_id,
        name=name or f"{server.name}_image",
        arch=server.arch,
        root=made.pop("0"),
        extra=made,
        public=False,
    )
    image.from_server = server.id
    return image
