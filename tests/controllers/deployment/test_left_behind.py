"""Volumes that no answer named in time, and those of another API than the create asked for (L4, L5)."""

import json
from dataclasses import replace
from typing import Any

import pytest

from controllers.deployment.conftest import Rig
from inventiv_operator.domain.cloud import VolumeApi
from inventiv_operator.domain.ledger import Resource, ResourceKind
from rig.tenant import ZONE
from scaleway_simulator import disks, images, outside

SERVERS = "/servers$"
WITH_SCRATCH = [{"zone": ZONE, "instanceType": "H100-1-80G"}]


def show_only(rig: Rig, slots: set[str]) -> None:
    """The first answer to a create names no other volumes than these."""
    send = rig.wire.send
    left = 1

    async def edited(method: str, target: str, **more: Any) -> Any:
        nonlocal left
        answer = await send(method, target, **more)
        if method == "POST" and target.endswith("/servers") and answer.status == 201 and left:
            left -= 1
            said = json.loads(answer.body)
            volumes = said["server"]["volumes"]
            said["server"]["volumes"] = {slot: volumes[slot] for slot in volumes if slot in slots}
            return replace(answer, body=json.dumps(said).encode())
        return answer

    rig.wire.send = edited  # type: ignore[method-assign]


def local_image() -> str:
    """Its root is local, on a type that has both storages."""
    return next(
        image.id
        for image in images.images_of("fr-par-1").values()
        if image.storage == "instance_local" and "DEV1-S" in image.compatible_types
    )


async def volume_rows(rig: Rig) -> list[Resource]:
    return [row for row in (await rig.ledger()).resources if row.kind is ResourceKind.VOLUME]


async def made_and_deleted_by_hand(rig: Rig) -> None:
    await rig.until(lambda: len(rig.servers) == 1, within_s=400)
    outside.delete(rig.world, rig.servers[0]["id"], {})


async def test_L4_a_local_root_that_only_the_image_asked_for_goes(rig: Rig) -> None:
    out = {"type": "out_of_stock", "resource": "DEV1-S", "message": "resource is out of stock"}
    rig.fault("status", "POST", "/action$", status=412, body=out, times=None)
    rig.apply(replicas=1, placement=[{"zone": "fr-par-1", "instanceType": "DEV1-S"}], image=local_image())
    await rig.until(lambda: rig.calls("POST", "/action") > 0, within_s=400)
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


@pytest.mark.parametrize("fault", [None, "drop_after_commit"])
async def test_L5_the_ledger_holds_the_api_that_the_volume_was_seen_in(rig: Rig, fault: str | None) -> None:
    if fault is not None:
        rig.fault(fault, "POST", SERVERS)
    rig.apply(replicas=1, placement=[{"zone": "fr-par-1", "instanceType": "DEV1-S"}], image=local_image())
    await rig.until_ready(within_s=400)
    (root,) = await volume_rows(rig)
    assert root.volume_api is VolumeApi.INSTANCE
    assert rig.calls("PATCH", "/block/") == 0


async def test_L4_scratch_that_the_answer_did_not_name_goes_with_the_rest(rig: Rig) -> None:
    show_only(rig, {"0"})
    rig.apply(replicas=1, placement=WITH_SCRATCH)
    await rig.until_ready(within_s=400)
    assert {row.role for row in await volume_rows(rig)} == {"root", "extra-1"}
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_L4_scratch_that_shows_right_before_the_end_goes_with_the_rest(rig: Rig) -> None:
    show_only(rig, {"0"})
    rig.fault("status", "PATCH", "cloud-init$", status=503, times=None)
    rig.apply(replicas=1, placement=WITH_SCRATCH)
    await rig.until(lambda: len(rig.servers) == 1, within_s=400)
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_L4_a_root_that_was_never_seen_goes_after_its_server_was_deleted_by_hand(rig: Rig) -> None:
    show_only(rig, set())
    rig.fault("status", "PATCH", "cloud-init$", status=503, times=None)
    rig.apply(replicas=1)
    await made_and_deleted_by_hand(rig)
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


@pytest.mark.parametrize("placement", [None, WITH_SCRATCH])
async def test_L4_what_a_server_that_was_never_seen_left_behind_goes(rig: Rig, placement: Any) -> None:
    rig.fault("drop_after_commit", "POST", SERVERS)
    rig.apply(replicas=1, **({} if placement is None else {"placement": placement}))
    await made_and_deleted_by_hand(rig)
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_L4_what_an_unseen_server_left_behind_goes_while_another_is_made(rig: Rig) -> None:
    rig.fault("drop_after_commit", "POST", SERVERS)
    rig.apply(replicas=1)
    await made_and_deleted_by_hand(rig)
    await rig.until_ready(within_s=600)
    assert (len(rig.servers), len(rig.billed()["volumes"])) == (1, 1)


async def test_L5_leftovers_that_cannot_be_told_apart_are_named_until_somebody_settles_it(rig: Rig) -> None:
    rig.fault("drop_after_commit", "POST", SERVERS)
    rig.apply(replicas=1)
    await made_and_deleted_by_hand(rig)
    (ours,) = rig.billed()["volumes"]
    theirs = disks.new_block(
        rig.world, zone=ZONE, project_id=rig.tenant.project_id, name=ours["name"], size_bytes=ours["size"]
    )
    rig.delete()
    await rig.rest(1800)
    assert rig.ready["reason"] == "DeletionStuck"
    assert ours["id"] in rig.ready["message"]
    assert theirs.id in rig.ready["message"]
    assert len(rig.billed()["volumes"]) == 2
    theirs.tags.append("mine")
    await rig.until_gone()
    assert [volume["id"] for volume in rig.billed()["volumes"]] == [theirs.id]
