"""What stops creates, what stops everything, and what goes on all the same."""

from typing import Any
from uuid import uuid4

import pytest

from controllers.deployment.conftest import NAME, Rig
from inventiv_operator.store import credentials
from scaleway_simulator import outside


async def set_ready(rig: Rig, *, ready: bool) -> None:
    async with rig.process.services.writing(rig.tenant.organization_id) as conn:
        if not ready:
            await credentials.set_not_ready(conn, rig.tenant.credential_id, reason="CredentialRejected")
            return
        await credentials.set_validated(
            conn,
            rig.tenant.credential_id,
            ready=True,
            reason="Ready",
            validated_at=rig.around.clock.now(),
            expires_at=None,
            key_fingerprint="3f9a1c2b",
            access_key=rig.tenant.access_key,
            encryption_key_id="k1",
        )


async def test_a_namespace_without_an_organization_costs_no_call(rig: Rig) -> None:
    rig.kube.make_namespace("nobodys")
    rig.kube.apply("nobodys", NAME, {"placement": [{"zone": "fr-par-2", "instanceType": "x"}], "image": "y"})
    await rig.process.reconcile("nobodys", NAME)
    ready = rig.kube.condition("nobodys", NAME)
    assert (ready["status"], ready["reason"]) == ("False", "OrganizationMissing")
    assert list(rig.world.calls.since(0)) == []


async def test_T1_a_namespace_that_was_made_anew_inherits_nothing(rig: Rig) -> None:
    rig.kube.make_namespace(rig.tenant.namespace)
    rig.apply()
    await rig.step()
    assert rig.ready["reason"] == "OrganizationMissing"
    assert list(rig.world.calls.since(0)) == []


async def test_T1_a_lost_deployment_is_not_found_again_by_a_namespace_that_was_made_anew(rig: Rig) -> None:
    rig.apply()
    await rig.until_ready()
    rig.kube.vanish(rig.tenant.namespace, NAME)
    await rig.step()
    rig.kube.make_namespace(rig.tenant.namespace)
    rig.apply(replicas=0)
    await rig.rest(300)
    assert rig.ready["reason"] == "OrganizationMissing"
    assert len(rig.servers) == 1


async def test_paused_touches_nothing_and_goes_on_afterwards(rig: Rig) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    servers = {s["id"] for s in rig.servers}
    rig.apply(replicas=1, paused=True, tags=["a=b"])
    await rig.until_reason("Paused")
    gone, stopped = sorted(servers)
    outside.delete(rig.world, gone, {})
    outside.stop(rig.world, stopped, {})
    await rig.rest(900)
    assert [(s["id"], s["powered_on_count"]) for s in rig.servers] == [(stopped, 1)]
    assert len(rig.billed()["volumes"]) == 2
    rig.apply(replicas=1)
    await rig.until_ready()
    await rig.until(lambda: len(rig.billed()["volumes"]) == 1)


async def test_paused_before_the_first_server_makes_none(rig: Rig) -> None:
    rig.apply(replicas=2, paused=True)
    await rig.until_reason("Paused")
    await rig.rest(600)
    assert rig.servers == []
    rig.apply(replicas=2)
    await rig.until_ready()


async def test_T4_a_credential_that_is_not_ready_stops_creates_and_lets_deletions_go_on(rig: Rig) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    await set_ready(rig, ready=False)
    rig.apply(replicas=3)
    await rig.until_reason("CredentialNotReady")
    await rig.rest(300)
    assert len(rig.servers) == 2
    rig.apply(replicas=1)
    await rig.until(lambda: len(rig.servers) == 1)
    await rig.until_ready()
    assert rig.kube.condition(rig.tenant.namespace, NAME, "CredentialReady")["status"] == "False"
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_a_deployment_waits_for_its_credential_and_then_starts(rig: Rig) -> None:
    await set_ready(rig, ready=False)
    rig.apply()
    await rig.until_reason("CredentialNotReady")
    assert list(rig.world.calls.since(0)) == []
    await set_ready(rig, ready=True)
    await rig.until_ready()


async def test_T8_a_frozen_credential_creates_deletes_and_concludes_nothing(rig: Rig) -> None:
    rig.apply(replicas=2)
    await rig.until_ready()
    async with rig.process.services.writing(rig.tenant.organization_id) as conn:
        await credentials.freeze(conn, rig.tenant.credential_id, reason="its control is gone")
    rig.apply(replicas=3)
    await rig.until_reason("Frozen")
    since = max(c.n for c in rig.world.calls.since(0))
    outside.delete(rig.world, rig.servers[0]["id"], {})
    await rig.rest(600)
    rig.delete()
    await rig.rest(600)
    assert list(rig.world.calls.since(since)) == []
    assert len(rig.servers) == 1
    async with rig.process.services.writing(rig.tenant.organization_id) as conn:
        await credentials.unfreeze(conn, rig.tenant.credential_id)
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_T8_an_answer_from_another_project_freezes_the_credential(rig: Rig) -> None:
    rig.apply(replicas=1)
    await rig.until_ready()
    (server,) = rig.servers
    answer = await rig.ask("GET", f"/instance/v1/zones/{server['zone']}/servers/{server['id']}")
    answer["server"]["project"] = str(uuid4())
    rig.fault("status", "GET", r"/servers\?", status=200, body={"servers": []}, times=None)
    rig.fault("status", "GET", "/servers/", status=200, body=answer, times=None)
    await rig.around.clock.sleep(10)  # the last listing, which showed it, is too old by now
    rig.delete()
    await rig.rest(300)
    frozen = rig.kube.condition(rig.tenant.namespace, NAME, "CredentialReady")
    assert frozen["reason"] == "Frozen"
    assert [s["id"] for s in rig.servers] == [server["id"]]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"volumes": [{"name": "data", "sizeGB": 50}]}, "spec.volumes"),
        ({"ttlSeconds": 3600}, "spec.ttlSeconds"),
        ({"annotations": {"inventiv.io/restart-at": "now"}}, "inventiv.io/restart-at"),
    ],
)
async def test_what_is_not_supported_yet_is_refused_and_touches_nothing(
    rig: Rig, change: dict[str, Any], field: str
) -> None:
    rig.apply(**change)
    await rig.until_reason("NotSupported")
    assert field in rig.ready["message"]
    assert list(rig.world.calls.since(0)) == []


async def test_a_restart_that_is_asked_for_is_refused_and_touches_no_server(rig: Rig) -> None:
    rig.apply()
    await rig.until_ready()
    (before,) = rig.servers
    since = max(call.n for call in rig.world.calls.since(0))
    rig.apply(annotations={"inventiv.io/restart-at": "2026-07-01T12:00:00Z"})
    await rig.until_reason("NotSupported")
    assert "inventiv.io/restart-at" in rig.ready["message"]
    await rig.rest(300)
    (after,) = rig.servers
    assert (after["id"], after["state"], after["powered_on_count"]) == (before["id"], "running", 1)
    assert {call.method for call in rig.world.calls.since(since)} == {"GET"}
    rig.apply(annotations={"inventiv.io/restart-at": ""})
    await rig.until_ready()


async def test_a_spec_that_cannot_be_read_is_said_and_can_still_be_deleted(rig: Rig) -> None:
    rig.apply()
    await rig.until_ready()
    rig.kube.apply(rig.tenant.namespace, NAME, {"replicas": "many"})
    await rig.until_reason("InvalidSpec")
    await rig.rest(120)
    assert len(rig.servers) == 1
    assert rig.status["instances"][0]["state"] == "running"
    rig.delete()
    await rig.until_gone()
    rig.assert_nothing_left()


async def test_a_new_generation_is_unknown_at_once(rig: Rig) -> None:
    rig.apply()
    await rig.until_ready()
    rig.apply(replicas=2)
    seen = []
    real = rig.kube.apply_status

    async def spy(*args: object, **options: object) -> dict[str, object]:
        after = await real(*args, **options)  # type: ignore[arg-type]
        ready = next(c for c in after["status"]["conditions"] if c["type"] == "Ready")
        seen.append((after["status"]["observedGeneration"], ready["status"], after["status"]["ready"]))
        return after

    rig.kube.apply_status = spy  # type: ignore[method-assign]
    await rig.step()
    assert seen[0] == (2, "Unknown", "1/1")


async def test_a_status_at_rest_is_not_written_again(rig: Rig) -> None:
    rig.apply(replicas=3)
    await rig.until_ready()
    await rig.rest(70)
    before = rig.kube.status_writes
    await rig.rest(1000)
    assert rig.kube.status_writes == before
