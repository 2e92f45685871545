"""Runs in an environment of its own that holds the official SDK; see `test_official_sdk`.

Everything it needs to know comes from SCW_* variables, as with any program that uses the SDK.
"""
# mypy: disable-error-code="import-not-found, attr-defined"

import json
import sys
import time
from collections.abc import Callable

from scaleway.block.v1 import BlockV1API
from scaleway.instance.v1 import ServerAction
from scaleway.instance.v1.custom_api import InstanceUtilsV1API
from scaleway.marketplace.v2 import MarketplaceV2API

from scaleway import Client, ScalewayException

LABEL = "ubuntu_jammy"
TYPE = "DEV1-S"
CLOUD_INIT = b"#cloud-config\npackage_update: true\n"
DEADLINE_S = 30.0


def wait_for(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.02)


def is_gone(instances: InstanceUtilsV1API, server_id: str) -> bool:
    try:
        instances.get_server(server_id=server_id)
    except ScalewayException as exc:
        return bool(exc.status_code == 404)
    return False


def all_types(instances: InstanceUtilsV1API) -> list[str]:
    names: list[str] = []
    page = 1
    while found := instances.list_servers_types(page=page, per_page=50).servers:
        names.extend(found)
        page += 1
    return names


def main() -> None:
    client = Client.from_env()
    instances, blocks, market = InstanceUtilsV1API(client), BlockV1API(client), MarketplaceV2API(client)
    types = all_types(instances)
    images = market.list_local_images_all(image_label=LABEL, zone=client.default_zone, type_="instance_sbs")
    image = next(each for each in images if TYPE in each.compatible_commercial_types)
    created = instances.create_server(commercial_type=TYPE, name="official", image=image.id, tags=["sdk"])
    server_id = created.server.id
    volumes = [volume.id for volume in created.server.volumes.values()]
    instances.set_server_user_data(server_id, "cloud-init", CLOUD_INIT)
    instances.server_action(server_id=server_id, action=ServerAction.POWERON)
    wait_for("running", lambda: instances.get_server(server_id=server_id).server.state == "running")
    listed = instances.list_servers_all(tags=["sdk"])
    instances.server_action(server_id=server_id, action=ServerAction.TERMINATE)
    wait_for("gone", lambda: is_gone(instances, server_id))
    for volume_id in volumes:
        blocks.wait_for_volume(volume_id=volume_id)
        blocks.delete_volume(volume_id=volume_id)
    left = blocks.list_volumes_all(include_deleted=False)
    report = {"types": len(types), "listed": [s.id for s in listed], "server": server_id, "left": len(left)}
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
