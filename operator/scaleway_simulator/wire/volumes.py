"""`/volumes`, `/snapshots` and `/images` of instance v1."""

from scaleway_simulator import disks, snapshots
from scaleway_simulator.errors import WireError, invalid, is_uuid, missing, strings
from scaleway_simulator.images import images_of
from scaleway_simulator.records import LOCAL_KINDS, Image, LocalVolume, Snapshot
from scaleway_simulator.wire import render_server, render_storage
from scaleway_simulator.wire.call import Answer, Call
from scaleway_simulator.wire.paging import numbered, tags_of
from scaleway_simulator.wire.servers import created

VOLUMES_PER_PAGE = 100


def _volume(call: Call) -> LocalVolume:
    return call.world.local_volumes.get(call.id, zone=call.zone, may_see=call.may_see)


def create(call: Call) -> Answer:
    """A foreign project is a 400 here, not a 403 as elsewhere (api.md 10)."""
    body = call.body()
    kind = body.get("volume_type") or "l_ssd"
    if kind not in LOCAL_KINDS:
        raise invalid("volume_type", "not a valid value")
    project_id = body.get("project") or call.caller.project_id
    if not call.may_see(project_id):
        raise invalid("project", "not a valid value")
    size = body.get("size")
    if body.get("base_snapshot"):
        snapshot = call.world.local_snapshots.get(body["base_snapshot"], zone=call.zone, may_see=call.may_see)
        size = size or snapshot.size_bytes
    if not isinstance(size, int):
        raise missing("size")
    name = body.get("name") or "volume"
    tags = list(strings(body.get("tags"), "tags"))
    volume = disks.new_local(
        call.world, zone=call.zone, project_id=project_id, name=name, kind=kind, size_bytes=size, tags=tags
    )
    return created(call, "volume", render_storage.local_volume(call.world, volume), path="volumes")


def read(call: Call) -> Answer:
    return Answer(body={"volume": render_storage.local_volume(call.world, _volume(call))})


def listing(call: Call) -> Answer:
    projects = call.projects(parameter="project", resource="volumes")
    query = call.query
    volumes = [
        v
        for v in call.world.local_volumes.of(call.zone, projects)
        if query.get("name", "") in v.name
        and query.get("volume_type", v.kind) == v.kind
        and set(tags_of(query)) <= set(v.tags)
    ]
    page, headers = numbered(call, volumes, path="/volumes", default_size=VOLUMES_PER_PAGE)
    shown = [render_storage.local_volume(call.world, v) for v in page]
    return Answer(body={"volumes": shown}, headers=headers, items="volumes")


def change(call: Call) -> Answer:
    volume = _volume(call)
    body = call.body()
    volume.name = body.get("name") or volume.name
    if body.get("tags") is not None:
        volume.tags = list(strings(body["tags"], "tags"))
    if isinstance(body.get("size"), int):
        volume.size_bytes = body["size"]
    volume.modified_at = call.world.now
    return Answer(body={"volume": render_storage.local_volume(call.world, volume)})


def delete(call: Call) -> Answer:
    disks.delete_local(call.world, _volume(call))
    return Answer(status=204)


# snapshots


def _snapshot(call: Call) -> Snapshot:
    return call.world.local_snapshots.get(call.id, zone=call.zone, may_see=call.may_see)


def create_snapshot(call: Call) -> Answer:
    body = call.body()
    project_id = call.project(body.get("project"), resource="snapshots")
    name = body.get("name") or "snapshot"
    if body.get("bucket"):
        snapshot = snapshots.import_(
            call.world, zone=call.zone, project_id=project_id, api="instance", name=name
        )
    else:
        volume = call.world.local_volumes.get(
            str(body.get("volume_id")), zone=call.zone, may_see=call.may_see
        )
        tags = list(strings(body.get("tags"), "tags"))
        snapshot = snapshots.take(call.world, volume, project_id=project_id, name=name, tags=tags)
    result = f"snapshots/{snapshot.id}"
    task = render_server.task(call.world, zone=call.zone, href_from="/snapshots", href_result=result)
    shown = render_storage.local_snapshot(call.world, snapshot)
    return Answer(status=201, body={"snapshot": shown, "task": task})


def read_snapshot(call: Call) -> Answer:
    return Answer(body={"snapshot": render_storage.local_snapshot(call.world, _snapshot(call))})


def list_snapshots(call: Call) -> Answer:
    projects = call.projects(parameter="project", resource="snapshots")
    query = call.query
    found = [
        s
        for s in call.world.local_snapshots.of(call.zone, projects)
        if query.get("name", "") in s.name and query.get("base_volume_id", s.parent_id) == s.parent_id
    ]
    page, headers = numbered(call, found, path="/snapshots")
    shown = [render_storage.local_snapshot(call.world, s) for s in page]
    return Answer(body={"snapshots": shown}, headers=headers, items="snapshots")


def change_snapshot(call: Call) -> Answer:
    snapshot = _snapshot(call)
    body = call.body()
    snapshot.name = body.get("name") or snapshot.name
    if body.get("tags") is not None:
        snapshot.tags = list(strings(body["tags"], "tags"))
    return Answer(body={"snapshot": render_storage.local_snapshot(call.world, snapshot)})


def delete_snapshot(call: Call) -> Answer:
    snapshots.delete(call.world, _snapshot(call))
    return Answer(status=204)


# images


def _image(call: Call) -> Image:
    public = images_of(call.zone).get(call.id)
    own = call.world.images.find(call.id)
    if public is not None:
        return public
    if own is not None and own.public and own.zone == call.zone:
        return own
    return call.world.images.get(call.id, zone=call.zone, may_see=call.may_see)


def create_image(call: Call) -> Answer:
    body = call.body()
    project_id = call.project(body.get("project"), resource="images")
    root = _any_snapshot(call, body.get("root_volume"))
    extra = {
        key: _any_snapshot(call, each.get("id")) for key, each in (body.get("extra_volumes") or {}).items()
    }
    image = snapshots.new_image(
        call.world,
        zone=call.zone,
        project_id=project_id,
        name=body.get("name") or "image",
        arch=body.get("arch") or "x86_64",
        root=root,
        extra=extra,
        public=bool(body.get("public", False)),
    )
    image.tags = list(strings(body.get("tags"), "tags"))
    return created(call, "image", render_server.image(image), path="images")


def _any_snapshot(call: Call, snapshot_id: object) -> Snapshot:
    if not is_uuid(snapshot_id):
        raise missing("root_volume")
    try:
        return call.world.block_snapshots.get(str(snapshot_id), zone=call.zone, may_see=call.may_see)
    except WireError:
        return call.world.local_snapshots.get(str(snapshot_id), zone=call.zone, may_see=call.may_see)


def read_image(call: Call) -> Answer:
    return Answer(body={"image": render_server.image(_image(call))})


def list_images(call: Call) -> Answer:
    projects = call.projects(parameter="project", resource="images")
    own = call.world.images.of(call.zone, projects)
    public = [] if call.query.get("public") == "false" else list(images_of(call.zone).values())
    name = call.query.get("name", "")
    found = [i for i in (*own, *public) if name in i.name]
    page, headers = numbered(call, found, path="/images")
    return Answer(body={"images": [render_server.image(i) for i in page]}, headers=headers, items="images")


def change_image(call: Call) -> Answer:
    image = call.world.images.get(call.id, zone=call.zone, may_see=call.may_see)
    body = call.body()
    image.name = body.get("name") or image.name
    image.arch = body.get("arch") or image.arch
    image.public = bool(body.get("public", image.public))
    if body.get("tags") is not None:
        image.tags = list(strings(body["tags"], "tags"))
    extra = body.get("extra_volumes")
    if extra is not None:
        image.extra_volumes = {
            key: snapshots.describe(_any_snapshot(call, each.get("id"))) for key, each in extra.items()
        }
    return Answer(body={"image": render_server.image(image)})


def delete_image(call: Call) -> Answer:
    call.world.images.remove(call.world.images.get(call.id, zone=call.zone, may_see=call.may_see))
    return Answer(status=204)
