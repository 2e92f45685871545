"""What is not zonal: marketplace, IAM api-keys, account projects (api.md 9, 10)."""

from typing import Any

from scaleway_simulator.catalog import ZONES
from scaleway_simulator.errors import NotFound
from scaleway_simulator.identity import ApiKey
from scaleway_simulator.images import images_of, local_images
from scaleway_simulator.records import Image, Project
from scaleway_simulator.wire.call import Answer, Call
from scaleway_simulator.wire.paging import counted
from scaleway_simulator.wire.render_storage import zulu


def list_local_images(call: Call) -> Answer:
    query = call.query
    found = local_images(
        label=query.get("image_label"),
        zone=query.get("zone"),
        storage=query.get("type"),
        arch=query.get("arch"),
    )
    return counted(call, "local_images", [_local_image(image) for image in found])


def read_local_image(call: Call) -> Answer:
    for zone in ZONES:
        image = images_of(zone).get(call.id)
        if image is not None:
            return Answer(body=_local_image(image), compact=True)
    raise NotFound("local_image", call.id)


def _local_image(image: Image) -> dict[str, Any]:
    return {
        "id": image.id,
        "arch": image.arch,
        "zone": image.zone,
        "compatible_commercial_types": list(image.compatible_types),
        "label": image.label,
        "type": image.storage,
    }


def read_api_key(call: Call) -> Answer:
    """Of one's own, or of another key of a project one may see."""
    key = call.world.identity.find_key(call.params["access_key"])
    if key is None or not call.may_see(key.project_id):
        raise NotFound("access_key", call.params["access_key"])
    return Answer(body=_api_key(key), compact=True)


def list_api_keys(call: Call) -> Answer:
    keys = [k for k in call.world.identity.keys if call.may_see(k.project_id)]
    return counted(call, "api_keys", [_api_key(k) for k in keys])


def _api_key(key: ApiKey) -> dict[str, Any]:
    """One of `application_id` and `user_id` is absent; the secret is null on every read."""
    return {
        "access_key": key.access_key,
        "secret_key": None,
        "description": key.description,
        "created_at": zulu(key.created_at),
        "updated_at": zulu(key.created_at),
        "expires_at": None if key.expires_at is None else zulu(key.expires_at),
        "default_project_id": key.project_id,
        "editable": True,
        "deletable": True,
        "managed": False,
        "creation_ip": "51.159.46.153",
        "user_id" if key.bearer_is_user else "application_id": key.bearer_id,
    }


def list_projects(call: Call) -> Answer:
    wanted = call.query.get("organization_id")
    projects = [
        call.world.identity.projects[p]
        for p in call.world.projects_seen(call.may_see)
        if wanted in {None, call.world.organization_of(p)}
    ]
    return counted(call, "projects", [_project(p) for p in projects])


def read_project(call: Call) -> Answer:
    project = call.world.identity.projects.get(call.id)
    if project is None or not call.may_see(project.id):
        raise NotFound("project", call.id)
    return Answer(body=_project(project), compact=True)


def _project(project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "organization_id": project.organization_id,
        "created_at": zulu(project.created_at),
        "updated_at": zulu(project.created_at),
        "description": "",
        "qualification": None,
    }
