"""What is deleted, what survives, and when the finalizer leaves (L1, L4, L5, L7)."""

from uuid import uuid4

import pytest

from controllers.deployment.conftest import NAME, Rig
from inventiv_operator.domain.ledger import ResourceKind
from rig.tenant import ZONE
from scaleway_simulator import disks, outside

BLOCK_VOLUME = "/block/v1/.*/volumes/"


def server_id(rig: Rig) -> str:
    return str(rig.servers[0]["id"])


async def test_scale_down_takes_the_highest_ordinals_and_leaves_the_others_alone(rig: Rig) -> None:
    rig.apply(replicas=3)
    await rig.until_ready()
    kept = {s["id"] for s in rig.servers if not s["name"].endswith("-2")}
    rig.apply(replicas=2)
    await rig.until_ready()
    assert {s["id"] for s in rig.servers} == kept
    assert len(rig.billed()["volumes"]) == 2


async def test_L7_a_disk_attached_by_hand_is_detached_first_and_survives(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    disk = outside.attach_disk(rig.world, server_id(rig), {})["id"]
    await rig.rest(120)
    rig.delete()
    await rig.until_gone()
    left = rig.billed()
    assert [v["id"] for v in left["volumes"]] == [disk]
    assert (left["servers"], left["security_groups"]) == ([], [])
    assert rig.calls("POST", "/detach-volume") == 1


async def test_L7_a_local_disk_attached_by_hand_is_not_destroyed_with_its_server(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    (server,) = rig.world.servers
    disk = disks.new_local(
        rig.world,
        zone=ZONE,
        project_id=rig.tenant.project_id,
        name="by-hand",
        kind="l_ssd",
        size_bytes=10**10,
    )
    disks.attach_local(server, disk, slot="1", boot=False)
    rig.delete()
    await rig.until_gone()
    assert [v["id"] for v in rig.billed()["volumes"]] == [disk.id], "terminate takes local disks with it"


async def test_L7_a_disk_of_a_type_nobody_knows_survives_too(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    disk = outside.attach_disk(rig.world, server_id(rig), {})["id"]
    slot = next(s for s in next(iter(rig.world.servers)).volumes.values() if s.volume_id == disk)
    slot.kind = "quantum_ssd"
    rig.delete()
    await rig.until_gone()
    assert [v["id"] for v in rig.billed()["volumes"]] == [disk]


async def test_L4_the_volumes_of_a_server_that_somebody_deleted_go_and_it_is_replaced(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    old = server_id(rig)
    outside.delete(rig.world, old, {})
    assert len(rig.billed()["volumes"]) == 1
    await rig.until(lambda: len(rig.servers) == 1 and server_id(rig) != old)
    await rig.until_ready()
    await rig.until(lambda: len(rig.billed()["volumes"]) == 1)


async def test_L4_a_deployment_whose_server_disappeared_leaves_no_volume(rig: Rig) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    outside.delete(rig.world, server_id(rig), {})
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


@pytest.mark.parametrize("after_passes", range(1, 6))
async def test_L4_deletion_while_creating_leaves_nothing(rig: Rig, after_passes: int) -> None:
    rig.apply(replicas=3)
    for _ in range(after_passes):
        await rig.step()
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


NO_PROOF = [
    pytest.param("status", {"status": 401}, id="401"),
    pytest.param("status", {"status": 403}, id="403"),
    pytest.param("status", {"status": 429}, id="429"),
    pytest.param("status", {"status": 500}, id="500"),
    pytest.param("status", {"status": 503}, id="503"),
    pytest.param("empty_body", {}, id="empty-body"),
    pytest.param("html", {}, id="html"),
    pytest.param("truncated", {}, id="truncated"),
    pytest.param("partial_page", {}, id="partial-page"),
    pytest.param("drop_before", {}, id="dropped"),
    pytest.param("delay", {"seconds": 60}, id="time-out"),
]


@pytest.mark.parametrize(("kind", "more"), NO_PROOF)
async def test_L1_a_listing_or_answer_that_is_no_proof_changes_nothing(
    rig: Rig, kind: str, more: dict[str, object]
) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    before = {s["id"] for s in rig.servers}
    rig.fault(kind, "GET", "/servers", for_s=600, times=None, **more)
    await rig.rest(500)
    assert {s["id"] for s in rig.servers} == before
    rig.world.faults.clear()
    await rig.rest(200)
    assert {s["id"] for s in rig.servers} == before
    assert rig.is_ready


async def test_L1_a_404_without_a_positive_control_is_no_proof(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    await rig.rest(70)
    not_found = {"type": "not_found", "resource": "instance_server", "message": "no"}
    rig.fault("status", "GET", r"/servers\?", status=200, body={"servers": []}, times=None)
    rig.fault("status", "GET", "/servers/", status=404, body=not_found, times=None)
    rig.fault("status", "GET", "/security_groups", status=500, times=None)
    await rig.rest(300)
    assert len(rig.servers) == 1
    assert rig.calls("POST", "/action") == 1, "no replacement was started"
    assert [r for r in (await rig.ledger()).resources if r.kind is ResourceKind.SERVER]


async def test_T8_a_control_that_is_gone_freezes_the_credential(rig: Rig) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    outside.delete(rig.world, server_id(rig), {})
    await rig.until(
        lambda: rig.calls("POST", "/action") == 3
    )  # its absence was proven: the zone has a control
    await rig.until_ready()
    other = str(uuid4())
    outside.move(rig.world, rig.tenant.access_key, {"project_id": other})
    rig.delete()
    await rig.rest(1200)
    assert len(rig.servers) == 2, "another project's 404s prove nothing"
    assert rig.kube.condition(rig.tenant.namespace, NAME, "CredentialReady")["reason"] == "Frozen"
    assert rig.kube.read(rig.tenant.namespace, NAME) is not None


async def test_L5_a_volume_that_cannot_be_deleted_holds_the_finalizer_and_is_named(rig: Rig) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    stuck = rig.billed()["volumes"][0]["id"]
    body = {"type": "precondition_failed", "precondition": "protected_resource", "message": "in use"}
    rig.fault("status", "DELETE", f"{BLOCK_VOLUME}{stuck}", status=412, body=body, times=None)
    rig.delete()
    await rig.rest(3600)
    assert [v["id"] for v in rig.billed()["volumes"]] == [stuck], "the other one is not held up by it"
    assert stuck in rig.ready["message"]
    assert rig.ready["reason"] == "DeletionStuck"
    rig.world.faults.clear()
    await rig.until_gone()
    rig.assert_nothing_left()


@pytest.mark.world(delete_detach_s=30.0)
async def test_a_volume_that_is_still_detaching_is_waited_for(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until(lambda: len(rig.servers) == 1)
    rig.apply(replicas=0)
    await rig.until_ready()
    assert rig.billed()["volumes"] == []


@pytest.mark.world(terminate_s=20.0, terminate_via_stopped_s=10.0)
async def test_a_terminate_that_passes_through_stopped_is_left_alone(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()
    assert rig.calls("DELETE", "/instance/v1/zones/{zone}/servers/{id}") == 0
    assert rig.calls("POST", "/action") == 2


async def test_the_group_is_kept_while_somebody_elses_server_is_in_it(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    (group,) = rig.billed()["security_groups"]
    body = {"type": "precondition_failed", "precondition": "resource_still_in_use", "message": "in use"}
    rig.fault("status", "DELETE", "/security_groups/", status=400, body=body, times=None)
    rig.delete()
    await rig.rest(3600)
    assert group["id"] in rig.ready["message"]
    assert rig.calls("DELETE", "/security_groups") < 100
    rig.world.faults.clear()
    await rig.until_gone()


async def test_a_security_group_that_somebody_deleted_is_made_again(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    rig.apply(replicas=0)
    await rig.until_ready()
    (group,) = rig.billed()["security_groups"]
    outside.delete_security_group(rig.world, group["id"], {})
    rig.apply(replicas=1)
    await rig.until_ready(within_s=120)
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_a_protected_server_is_said_and_deleted_once_it_is_not(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    server = server_id(rig)
    outside.protect(rig.world, server, {})
    rig.delete()
    await rig.rest(1200)
    assert [s["id"] for s in rig.servers] == [server]
    outside.protect(rig.world, server, {"protected": False})
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_L9_an_object_that_vanished_unseen_leaves_its_servers_and_finds_them_again(rig: Rig) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    before = {s["id"] for s in rig.servers}
    body = rig.kube.read(rig.tenant.namespace, NAME)
    assert body is not None
    rig.kube.vanish(rig.tenant.namespace, NAME)
    await rig.step()
    assert (await rig.ledger()).deployment.state == "lost"
    assert {s["id"] for s in rig.servers} == before
    rig.apply(replicas=2)  # made anew, with another uid
    await rig.until_ready()
    assert {s["id"] for s in rig.servers} == before
    assert (await rig.ledger()).deployment.state == "open"


async def test_a_deletion_that_was_seen_goes_on_without_its_object(rig: Rig) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    rig.delete()
    await rig.step()
    rig.kube.vanish(rig.tenant.namespace, NAME)
    await rig.until(lambda: rig.servers == [] and rig.billed()["security_groups"] == [])
    rig.assert_nothing_left()


@pytest.mark.parametrize("begun", ["stopping", "gone"])
async def test_L9_a_scale_down_that_had_begun_ends_though_the_object_vanished(rig: Rig, begun: str) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    rig.apply(replicas=1)
    await rig.until(
        lambda: (
            len(rig.servers) == 1 if begun == "gone" else any(s["state"] == "stopping" for s in rig.servers)
        )
    )
    calls = len(list(rig.world.calls.since(0)))
    rig.kube.vanish(rig.tenant.namespace, NAME)
    await rig.rest(600)
    (kept,) = rig.servers
    assert kept["state"] == "running"
    assert len(rig.billed()["volumes"]) == 1
    assert len(rig.billed()["security_groups"]) == 1
    made = [c for c in rig.world.calls.since(calls) if c.method in {"POST", "PUT", "PATCH"}]
    assert [c for c in made if "action" not in c.template] == [], "only the deletion goes on"
    assert (await rig.ledger()).deployment.state == "lost"
    at_rest = len(list(rig.world.calls.since(0)))
    await rig.rest(600)
    assert len(list(rig.world.calls.since(0))) == at_rest, "and then nothing is asked any more"


async def test_L9_a_create_that_was_open_when_the_object_vanished_is_adopted_and_not_started(
    rig: Rig,
) -> None:
    rig.fault("drop_after_commit", "POST", "/servers$")
    rig.apply(replicas=1)
    await rig.until(lambda: len(rig.servers) == 1, within_s=100)
    rig.kube.vanish(rig.tenant.namespace, NAME)
    await rig.rest(600)
    (server,) = rig.servers
    assert server["powered_on_count"] == 0
    (row,) = [r for r in (await rig.ledger()).resources if r.kind is ResourceKind.SERVER]
    assert row.provider_ref == server["id"]
    rig.apply(replicas=1)
    await rig.until_ready()
    assert [s["id"] for s in rig.servers] == [server["id"]]


async def test_L9_a_create_that_came_to_nothing_is_not_sent_again_for_a_lost_object(rig: Rig) -> None:
    rig.fault("drop_before", "POST", "/servers$")
    rig.apply(replicas=1)
    await rig.until(lambda: rig.calls("POST", "/servers") > 0, within_s=100)
    rig.kube.vanish(rig.tenant.namespace, NAME)
    await rig.rest(600)
    assert rig.servers == []
    (row,) = [r for r in (await rig.ledger()).resources if r.kind is ResourceKind.SERVER]
    assert row.send_before is None


async def test_a_volume_whose_deletion_is_accepted_without_effect_is_not_asked_for_at_once(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    rig.fault("status", "DELETE", "/block/", status=204, body=None, times=None)
    rig.delete()
    await rig.rest(60)
    assert 1 <= rig.calls("DELETE", "block") <= 30
    rig.world.faults.clear()
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_an_old_deployment_that_cannot_go_does_not_silence_a_new_one_of_its_name(rig: Rig) -> None:
    rig.fault(
        "status",
        "DELETE",
        "/block/",
        status=412,
        body={"type": "precondition_failed", "precondition": "resource_still_in_use"},
        times=None,
    )
    rig.apply(replicas=1)
    await rig.until_ready()
    rig.delete()
    await rig.until(lambda: rig.servers == [])
    rig.kube.vanish(rig.tenant.namespace, NAME)
    readiness = {"tcpSocket": {"port": 9}, "periodSeconds": 10, "timeoutSeconds": 3, "failureThreshold": 3}
    rig.apply(replicas=1, readiness=readiness, startupTimeoutSeconds=60, failedRetentionSeconds=0)
    await rig.until_reason("StartupTimeout", within_s=600)
