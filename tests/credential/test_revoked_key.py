"""A key that Scaleway refuses while things exist: noticed at once, asked about slowly, never hammered with.
A key of the same project finishes the job.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from credential.process import Deployments, deployments_of
from inventiv_operator.controllers.credential.schedule import REFUSED_CAP_S
from inventiv_operator.kube.kinds import CREDENTIAL, DEPLOYMENT, SECRET
from scaleway_simulator.billing import billed
from tenant_rig.bench import Bench, TestKey

HOUR_S = 3600.0
RECONCILE_AT = "inventiv.io/reconcile-at"


def left(bench: Bench) -> dict[str, list[Mapping[str, Any]]]:
    bench.world.settle()
    found = billed(bench.world)
    return {kind: found[kind] for kind in ("servers", "volumes", "ips", "security_groups")}


def revoke(bench: Bench, key: TestKey) -> None:
    bench.world.identity.remove_key(key.access_key)


def said_of(bench: Bench, name: str = "llama") -> tuple[str, str]:
    condition = bench.cluster.condition(DEPLOYMENT, bench.name, name)
    return condition["reason"], condition["message"]


async def with_servers(bench: Bench, *, replicas: int = 2) -> tuple[TestKey, Deployments]:
    key, made = await bench.made(), deployments_of(bench)
    made.apply("llama", replicas=replicas)
    await made.until_ready("llama")
    return key, made


async def drive(bench: Bench, made: Deployments, seconds: float) -> None:
    """Both controllers, each when it asked for the next pass."""
    clock = bench.clock
    end_s = clock.monotonic() + seconds
    next_s = {"credential": 0.0, "deployment": 0.0}
    while clock.monotonic() < end_s:
        if next_s["credential"] <= clock.monotonic():
            result = await bench.settle_credential()
            next_s["credential"] = clock.monotonic() + (result.requeue_after_s or seconds)
        if next_s["deployment"] <= clock.monotonic():
            next_s["deployment"] = clock.monotonic() + await made.step("llama")
        if bench.queued:  # as the queue would
            next_s = dict.fromkeys(next_s, clock.monotonic())
            bench.queued.clear()
        await clock.sleep(max(0.1, min(*next_s.values(), end_s) - clock.monotonic()))


@pytest.mark.parametrize("what", ["living", "deleting"])
async def test_a_401_in_a_deployment_has_the_key_validated_at_once(bench: Bench, what: str) -> None:
    key, made = await with_servers(bench)
    await bench.clock.sleep(60.0)
    revoke(bench, key)
    bench.queued.clear()
    if what == "deleting":
        made.delete("llama")
    await made.step("llama")
    assert bench.key() in bench.queued
    await bench.settle_credential()
    assert bench.said()[:2] == ("False", "CredentialRejected")
    row = await bench.row()
    assert (row.ready, row.rejected_at is not None) == (False, True)


async def test_a_401_that_was_a_whim_changes_nothing_and_is_not_asked_about_without_end(bench: Bench) -> None:
    _, made = await with_servers(bench)
    await bench.clock.sleep(60.0)
    refused = {"type": "denied_authentication", "method": "api_key", "reason": "not_found"}
    bench.fault("status", "servers", status=401, body=refused, times=None)
    before = bench.calls()
    for _ in range(40):
        await made.step("llama")
        await bench.settle_credential()
        await bench.clock.sleep(0.5)
    assert bench.said()[:2] == ("True", "Ready")
    assert (await bench.row()).rejected_at is None
    asked = [c for c in bench.world.calls.since(before) if "security_groups" in c.template]
    assert 1 <= len(asked) <= 4
    bench.world.faults.clear()
    await made.until_ready("llama", within_s=120.0)


async def test_for_a_refused_key_only_validations_leave_and_those_ever_less_often(bench: Bench) -> None:
    key, made = await with_servers(bench)
    await bench.clock.sleep(60.0)
    revoke(bench, key)
    await drive(bench, made, 30.0)
    before = bench.calls()
    await drive(bench, made, 2 * HOUR_S)
    calls = list(bench.world.calls.since(before))
    assert {c.template.partition("{zone}/")[2] for c in calls} <= {"security_groups", "security_groups/{id}"}
    assert all(c.method == "GET" for c in calls)
    waits = [round((b.at - a.at).total_seconds()) for a, b in itertools.pairwise(calls)]
    assert waits[:3] == sorted(waits[:3])
    assert all(wait <= REFUSED_CAP_S * 1.1 + 30.0 for wait in waits)
    assert 5 <= len(calls) <= 7  # 2, 4, 8, 16, 30, 30 ... minutes
    reason, message = said_of(bench)
    assert reason == "CredentialNotReady"
    assert "refused by Scaleway (401)" in message
    assert "put a valid key of the same project into its Secret" in message


@pytest.mark.parametrize("change", ["secret", "spec", "annotation"])
async def test_a_change_by_people_has_it_asked_about_at_once(bench: Bench, change: str) -> None:
    key, made = await with_servers(bench, replicas=1)
    revoke(bench, key)
    await drive(bench, made, 500.0)  # the next one is due after 14 minutes
    assert bench.said()[1] == "CredentialRejected"
    before = bench.calls()
    await bench.settle_credential()
    assert bench.calls() == before, "nothing is due"
    match change:
        case "secret":
            bench.put_secret(TestKey())
        case "spec":
            bench.put_credential(default=False)
        case _:
            bench.cluster.put(
                CREDENTIAL, bench.name, "scaleway", metadata={"annotations": {RECONCILE_AT: "now"}}
            )
    await bench.settle_credential()
    assert bench.calls() > before
    after = bench.calls()
    await bench.settle_credential()
    assert bench.calls() == after


async def test_deletion_waits_names_what_is_billed_and_a_key_of_the_same_project_finishes_it(
    bench: Bench,
) -> None:
    key, made = await with_servers(bench)
    revoke(bench, key)
    made.delete("llama")
    bench.cluster.delete(CREDENTIAL, bench.name, "scaleway")
    await drive(bench, made, 300.0)
    things = left(bench)
    assert (len(things["servers"]), len(things["volumes"])) == (2, 2)
    _, message = said_of(bench)
    for kind, noun in (("servers", "server"), ("volumes", "volume"), ("security_groups", "security_group")):
        for thing in things[kind]:
            assert f"{noun} {thing['id']} in fr-par-2" in message
    assert "refused by Scaleway (401)" in message
    assert "put a valid key of the same project into its Secret" in message
    assert "inventiv.io/abandon" in message
    assert "refused" in bench.said()[2]
    new = TestKey()
    bench.admit(new)
    bench.put_secret(new)
    await drive(bench, made, 60.0)
    assert not made.is_there("llama")
    assert bench.cluster.read(CREDENTIAL, bench.name, "scaleway") is None
    assert left(bench) == {"servers": [], "volumes": [], "ips": [], "security_groups": []}


async def test_a_replacement_key_goes_on_with_what_runs(bench: Bench) -> None:
    key, made = await with_servers(bench)
    revoke(bench, key)
    await drive(bench, made, 300.0)
    assert said_of(bench)[0] == "CredentialNotReady"
    new = TestKey()
    bench.admit(new)
    bench.put_secret(new)
    made.apply("llama", replicas=3)
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")
    assert (await bench.row()).rejected_at is None
    await made.until_ready("llama", within_s=120.0)
    assert len(left(bench)["servers"]) == 3


async def test_a_key_of_another_project_does_not_finish_anything(bench: Bench) -> None:
    key, made = await with_servers(bench)
    revoke(bench, key)
    made.delete("llama")
    await drive(bench, made, 60.0)
    other = TestKey()
    bench.admit(other, project_id="99999999-9999-4999-8999-999999999999")
    bench.put_secret(other)
    before = bench.calls()
    await drive(bench, made, 600.0)
    assert all(c.method == "GET" or c.status == 403 for c in bench.world.calls.since(before))
    assert len(left(bench)["servers"]) == 2
    status, reason, message = bench.said()
    assert (status, reason) == ("False", "CredentialRejected")
    assert "the key that is offered now is no replacement" in message
    assert "99999999-9999-4999-8999-999999999999" in message
    assert await bench.stored_access_key() == key.access_key


async def test_T4_without_its_secret_what_exists_is_deleted_with_the_stored_copy(bench: Bench) -> None:
    _, made = await with_servers(bench)
    bench.cluster.vanish(SECRET, bench.name, "scaleway")
    await drive(bench, made, 60.0)
    assert bench.said()[:2] == ("False", "SecretMissing")
    before = bench.calls()
    made.apply("llama", replicas=5)
    await drive(bench, made, 120.0)
    assert len(left(bench)["servers"]) == 2
    assert all(c.method == "GET" for c in bench.world.calls.since(before))
    assert any(c.template.endswith("/servers") for c in bench.world.calls.since(before)), "it is watched"
    made.delete("llama")
    bench.cluster.delete(CREDENTIAL, bench.name, "scaleway")
    await drive(bench, made, 120.0)
    assert not made.is_there("llama")
    assert bench.cluster.read(CREDENTIAL, bench.name, "scaleway") is None
    assert left(bench) == {"servers": [], "volumes": [], "ips": [], "security_groups": []}
