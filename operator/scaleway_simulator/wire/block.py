"""Block v1: volumes and snapshots (api.md 4.3). Bare objects, 200 on create, `...Z`."""

from typing import Any

from scaleway_simulator import disks, snapshots
from scaleway_simulator.errors import invalid, missing, strings
from scaleway_simulator.records import BlockVolume, Snapshot
from scaleway_simulator.wire import render_storage
from scaleway_simulator.wire.call import Answer, Call
from scaleway_simulator.wire.paging import counted, tags_of


def _volume(call: Call) -> BlockVolume:
    return call.world.block_volumes.get(call.id, zone=call.block_zone, may_see=call.may_see)


def _shown(volume: BlockVolume) -> Answer:
    return Answer(body=render_storage.block_volume(volume), compact=True)


def create(call: Call) -> Answer:
    body = call.body()
    project_id = call.project(body.get("project_id"), resource="volume")
    size, parent = _origin(call, body)
    iops = body.get("perf_iops") or disks.IOPS[0]
    if iops not in disks.IOPS:
        raise invalid("perf_iops", "not a valid value")
    volume = disks.new_block(
        call.world,
        zone=call.block_zone,
        project_id=project_id,
        name=body.get("name") or "volume",
        size_bytes=size,
        perf_iops=iops,
        parent_snapshot_id=parent,
        tags=list(strings(body.get("tags"), "tags")),
        status="creating",
    )
    answer = _shown(volume)  # `creating`, even in a world where that takes no time
    disks.settle_block(call.world, volume, after_s=call.world.settings.volume_create_s)
    return answer


def _origin(call: Call, body: dict[str, Any]) -> tuple[int, str | None]:
    """Size and parent, from `from_empty` or `from_snapshot`."""
    empty, source = body.get("from_empty"), body.get("from_snapshot")
    if isinstance(empty, dict) and isinstance(empty.get("size"), int):
        return empty["size"], None
    if isinstance(source, dict) and isinstance(source.get("snapshot_id"), str):
        snapshot_id = source["snapshot_id"]
        found = call.world.block_snapshots.get(snapshot_id, zone=call.block_zone, may_see=call.may_see)
        return source.get("size") or found.size_bytes, found.id
    raise missing("from_empty")


def read(call: Call) -> Answer:
    return _shown(_volume(call))


def listing(call: Call) -> Answer:
    """`tags` is a disjunction here, unlike in instance v1 (api.md 12)."""
    projects = call.projects(parameter="project_id", resource="volume")
    query = call.query
    tags = set(tags_of(query))
    wanted = set(query["volume_ids"].split(",")) if query.get("volume_ids") else None
    found = [
        v
        for v in call.world.block_volumes.of(call.zone, projects)
        if query.get("name", "") in v.name
        and (not tags or tags & set(v.tags))
        and (wanted is None or v.id in wanted)
        and ("product_resource_id" not in query or _serves(v, query["product_resource_id"]))
    ]
    if query.get("order_by", "created_at_asc") == "created_at_asc":
        found.reverse()
    return counted(call, "volumes", [render_storage.block_volume(v) for v in found])


def _serves(volume: BlockVolume, server_id: str) -> bool:
    return volume.reference is not None and volume.reference.server_id == server_id


def change(call: Call) -> Answer:
    volume = _volume(call)
    body = call.body()
    volume.name = body.get("name") or volume.name
    if body.get("tags") is not None:
        volume.tags = list(strings(body["tags"], "tags"))
    size, iops = body.get("size"), body.get("perf_iops")
    if size is not None or iops is not None:
        disks.change_block(call.world, volume, size_bytes=size, perf_iops=iops)
    volume.updated_at = call.world.now
    return _shown(volume)


def delete(call: Call) -> Answer:
    disks.delete_block(call.world, _volume(call))
    return Answer(status=204)


# snapshots


def _snapshot(call: Call) -> Snapshot:
    return call.world.block_snapshots.get(call.id, zone=call.block_zone, may_see=call.may_see)


def _shown_snapshot(call: Call, snapshot: Snapshot) -> Answer:
    return Answer(body=render_storage.block_snapshot(call.world, snapshot), compact=True)


def create_snapshot(call: Call) -> Answer:
    body = call.body()
    project_id = call.project(body.get("project_id"), resource="snapshot")
    volume_id = str(body.get("volume_id"))
    volume = call.world.block_volumes.get(volume_id, zone=call.block_zone, may_see=call.may_see)
    tags = list(strings(body.get("tags"), "tags"))
    name = body.get("name") or "snapshot"
    return _shown_snapshot(
        call, snapshots.take(call.world, volume, project_id=project_id, name=name, tags=tags)
    )


def import_snapshot(call: Call) -> Answer:
    body = call.body()
    project_id = call.project(body.get("project_id"), resource="snapshot")
    name = body.get("name") or "snapshot"
    return _shown_snapshot(
        call,
        snapshots.import_(call.world, zone=call.block_zone, project_id=project_id, api="block", name=name),
    )


def read_snapshot(call: Call) -> Answer:
    return _shown_snapshot(call, _snapshot(call))


def list_snapshots(call: Call) -> Answer:
    projects = call.projects(parameter="project_id", resource="snapshot")
    query = call.query
    tags = set(tags_of(query))
    found = [
        s
        for s in call.world.block_snapshots.of(call.zone, projects)
        if query.get("name", "") in s.name
        and (not tags or tags & set(s.tags))
        and query.get("volume_id", s.parent_id) == s.parent_id
    ]
    return counted(call, "snapshots", [render_storage.block_snapshot(call.world, s) for s in found])


def delete_snapshot(call: Call) -> Answer:
    snapshots.delete(call.world, _snapshot(call))
    return Answer(status=204)
