"""`inventiv.io/abandon`: the way out of a project whose key is gone for good, and nothing sooner."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from credential.process import Deployments, deployments_of, restart
from inventiv_operator.api.credential import CredentialStatus
from inventiv_operator.domain.ids import (
    CredentialId,
    DeploymentId,
    InstanceId,
    ProviderRef,
    ResourceId,
    Zone,
)
from inventiv_operator.domain.ledger import (
    OPEN_STATES,
    TRANSITIONS,
    DeploymentState,
    NewInstance,
    NewResource,
    Origin,
    Resource,
    ResourceKind,
    ResourceState,
)
from inventiv_operator.kube.kinds import CREDENTIAL, DEPLOYMENT, ORGANIZATION, SECRET
from inventiv_operator.store import claims, credentials, ledger
from rig.log_lines import log_lines
from scaleway_simulator.billing import billed
from tenant_rig.bench import Bench, TestKey

ABANDON = "inventiv.io/abandon"
GROUPS = "/instance/v1/zones/{zone}/security_groups"
CONTROL = {("GET", GROUPS), ("GET", f"{GROUPS}/{{id}}")}
"""What a positive control asks, to see whether the key is still refused."""
DAY_S = 24 * 3600.0


def billed_ids(bench: Bench) -> set[str]:
    """Everything in the project that the simulator bills or keeps, the default group aside."""
    bench.world.settle()
    found = billed(bench.world)
    kinds = ("servers", "volumes", "ips", "security_groups")
    return {thing["id"] for kind in kinds for thing in found[kind]}


def annotate(bench: Bench, value: str | None = None) -> None:
    asked = bench.status()["credentialID"] if value is None else value
    bench.cluster.put(CREDENTIAL, bench.name, "scaleway", metadata={"annotations": {ABANDON: asked}})


def delete(bench: Bench) -> None:
    bench.cluster.delete(CREDENTIAL, bench.name, "scaleway")


def is_gone(bench: Bench) -> bool:
    return bench.cluster.read(CREDENTIAL, bench.name, "scaleway") is None


def events(bench: Bench, reason: str = "ResourcesAbandoned") -> list[Mapping[str, Any]]:
    return [event for event in bench.cluster.events if event["reason"] == reason]


def asked_since(bench: Bench, n: int) -> list[tuple[str, str]]:
    """Method and endpoint of every call after the first `n`."""
    return [(call.method, call.template) for call in bench.world.calls.since(n)]


async def audit_lines(bench: Bench) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Kind, id and detail of what the audit log says was given up."""
    organization_id = await bench.organization_id()
    async with bench.services.db.reading(organization_id) as conn:
        cursor = await conn.execute(
            "SELECT object_kind, object_ref, detail FROM action_logs"
            " WHERE organization_id = %s AND action = 'resources-abandoned' ORDER BY id",
            (organization_id,),
        )
        return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]


async def open_things(bench: Bench) -> tuple[Resource, ...]:
    row = await bench.row()
    async with bench.services.db.reading(row.organization_id) as conn:
        return await ledger.credential_resources(conn, row.id)


def revoke(bench: Bench) -> None:
    for key in list(bench.world.identity.keys):
        bench.world.identity.remove_key(key.access_key)


async def refused_with_servers(bench: Bench, *, replicas: int = 2) -> Deployments:
    """A tenant with a deployment that runs, whose key was revoked just now, and the refusal noted."""
    await bench.made()
    made = deployments_of(bench)
    made.apply("llama", replicas=replicas)
    await made.until_ready("llama")
    revoke(bench)
    await bench.pass_for(900.0)
    assert (await bench.row()).rejected_at is not None
    return made


async def test_L5_what_is_left_is_given_up_after_a_day_and_every_id_is_listed(bench: Bench) -> None:
    made = await refused_with_servers(bench)
    before = billed_ids(bench)
    assert len(before) == 5  # two servers, their volumes, and the group
    bench.cluster.delete(ORGANIZATION, "", bench.name)
    made.delete("llama")
    delete(bench)
    annotate(bench)
    await bench.settle_credential()
    assert "which is less than 24 hours; it becomes possible at" in bench.said()[2]
    await made.step("llama")
    assert made.is_there("llama")
    await bench.clock.sleep(DAY_S)
    calls = bench.calls()
    with log_lines() as lines:
        await bench.settle_credential()
    status = bench.status()
    assert status["abandonedCount"] == 5
    assert {thing["id"] for thing in status["abandoned"]} == before
    assert {thing["zone"] for thing in status["abandoned"]} == {"fr-par-2"}
    assert [thing["kind"] for thing in status["abandoned"]] == [
        "server",
        "server",
        "volume",
        "volume",
        "security_group",
    ]
    assert {thing["deployment"] for thing in status["abandoned"]} == {"llama"}
    read = CredentialStatus.model_validate(status).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert read["abandoned"] == status["abandoned"]  # the schema prunes nothing of it
    assert "gave up 5 things" in bench.said()[2]
    assert "llama: being deleted" in bench.said()[2]
    assert any(line["level"] == "warning" and "gave up" in line["message"] for line in lines)
    (event,) = events(bench)
    assert event["type"] == "Warning"
    assert all(ref in event["note"] for ref in before)
    assert {ref for _, ref, _ in await audit_lines(bench)} == before
    assert await open_things(bench) == ()
    await made.step("llama")
    assert not made.is_there("llama")
    await bench.settle_credential()
    assert is_gone(bench)
    await bench.settle_organization()
    assert bench.cluster.read(ORGANIZATION, "", bench.name) is None
    assert (await bench.row()).state == "closing"
    assert set(asked_since(bench, calls)) <= CONTROL
    assert not any(ref in call.path for call in bench.world.calls.since(calls) for ref in before)
    assert billed_ids(bench) == before  # and all of it is still on the bill
    await bench.clock.sleep(DAY_S + 60.0)
    await bench.sweep()
    async with bench.services.db.platform() as conn:
        left = await credentials.rows_to_sweep(conn)
    assert not [one for one in left if one.namespace == bench.name]
    assert set(asked_since(bench, calls)) <= CONTROL


async def test_the_list_is_on_the_object_before_it_goes(bench: Bench) -> None:
    made = await refused_with_servers(bench, replicas=1)
    made.delete("llama")
    await made.step("llama")
    row = await bench.row()
    delete(bench)
    annotate(bench)
    await bench.clock.sleep(DAY_S)
    bench.cluster.errors["apply_status"] = RuntimeError("the process dies here")
    with pytest.raises(RuntimeError):
        await bench.settle_credential()
    assert await open_things(bench) == ()
    assert len(await audit_lines(bench)) == 3
    restart(bench)
    async with bench.services.db.reading(row.organization_id) as conn:
        (llama,) = await ledger.get_deployment(conn, namespace=bench.name, name="llama")
    async with bench.services.writing(row.organization_id) as conn:
        await ledger.set_deployment_state(conn, llama.id, to=DeploymentState.CLOSED)
    statuses = bench.cluster.status_writes
    await bench.settle_credential()
    assert is_gone(bench)
    assert bench.cluster.status_writes == statuses + 1
    assert len(events(bench)) == 1
    assert len(await audit_lines(bench)) == 3  # nothing is given up twice


async def test_a_deployment_that_nobody_deleted_is_waited_for_by_name(bench: Bench) -> None:
    made = await refused_with_servers(bench, replicas=1)
    delete(bench)
    annotate(bench)
    await bench.clock.sleep(DAY_S)
    await bench.settle_credential()
    assert "1 deployment (llama: not deleted: delete it)" in bench.said()[2]
    assert await open_things(bench) == ()
    for _ in range(3):
        await made.step("llama")
    assert await open_things(bench) == ()  # it makes nothing in place of what was given up
    assert bench.status()["abandonedCount"] == 3
    restart(bench)
    await bench.settle_credential()
    assert not is_gone(bench)
    assert bench.status()["abandonedCount"] == 3
    assert len(events(bench)) == 1
    made.delete("llama")
    await made.step("llama")
    assert not made.is_there("llama")
    await bench.settle_credential()
    assert is_gone(bench)


async def test_L9_a_lost_deployment_is_given_up_with_the_rest(bench: Bench) -> None:
    made = await refused_with_servers(bench, replicas=1)
    bench.cluster.vanish(DEPLOYMENT, bench.name, "llama")
    await made.step("llama")
    delete(bench)
    await bench.settle_credential()
    assert "llama: lost" in bench.said()[2]
    annotate(bench)
    await bench.clock.sleep(DAY_S)
    await bench.settle_credential()
    await made.step("llama")  # the terminator has closing rows looked at
    await bench.settle_credential()
    assert is_gone(bench)


async def test_a_deployment_that_is_lost_afterwards_holds_nothing_up(bench: Bench) -> None:
    made = await refused_with_servers(bench, replicas=1)
    delete(bench)
    annotate(bench)
    await bench.clock.sleep(DAY_S)
    await bench.settle_credential()
    bench.cluster.vanish(DEPLOYMENT, bench.name, "llama")
    await made.step("llama")
    await bench.settle_credential()
    await made.step("llama")
    await bench.settle_credential()
    assert is_gone(bench)
    assert len(await audit_lines(bench)) == 3


async def test_intents_are_given_up_too_and_say_what_to_look_for(bench: Bench) -> None:
    await refused_with_servers(bench, replicas=1)
    row = await bench.row()
    (server,) = (one for one in await open_things(bench) if one.kind is ResourceKind.SERVER)
    sent, kept = (
        NewResource(
            id=ResourceId(uuid4()),
            organization_id=row.organization_id,
            credential_id=row.id,
            deployment_id=server.deployment_id,
            instance_id=server.instance_id,
            kind=ResourceKind.ADDRESS,
            role=role,
            zone=Zone("fr-par-2"),
            volume_api=None,
            size_gb=None,
        )
        for role in ("ip-sent", "ip-kept")
    )
    async with bench.services.writing(row.organization_id) as conn:
        await ledger.insert_resources(conn, [sent, kept])
        await ledger.mark_sending(conn, sent.id, attempt="a", send_before=bench.clock.now())
    delete(bench)
    annotate(bench)
    await bench.clock.sleep(DAY_S)
    await bench.settle_credential()
    (unknown,) = (thing for thing in bench.status()["abandoned"] if "id" not in thing)
    assert (unknown["kind"], unknown["instanceID"]) == ("ip", str(server.instance_id))
    (event,) = events(bench)
    assert f"id not known, tag inventiv-instance={server.instance_id}" in event["note"]
    details = [detail for kind, _, detail in await audit_lines(bench) if kind == "ip"]
    assert [detail["state"] for detail in details] == ["intended"] * 2
    assert {detail["resourceID"]: detail["mayExist"] for detail in details} == {
        str(sent.id): True,
        str(kept.id): False,
    }
    assert await open_things(bench) == ()


async def test_the_groups_of_controls_are_given_up_without_a_call(bench: Bench) -> None:
    bench.without_default_group()
    await bench.made()
    (group,) = bench.groups()
    revoke(bench)
    await bench.pass_for(900.0)
    delete(bench)
    annotate(bench)
    await bench.clock.sleep(DAY_S)
    calls = bench.calls()
    await bench.settle_credential()
    assert is_gone(bench)
    assert set(asked_since(bench, calls)) <= CONTROL
    assert [ref for _, ref, _ in await audit_lines(bench)] == [group["id"]]
    assert [one["id"] for one in bench.groups()] == [group["id"]]


async def test_a_frozen_credential_can_be_given_up_after_a_day(bench: Bench) -> None:
    await bench.made()
    made = deployments_of(bench)
    made.apply("llama", replicas=1)
    await made.until_ready("llama")
    before = billed_ids(bench)
    for key in bench.world.identity.keys:
        key.project_id = "99999999-9999-4999-8999-999999999999"
    await bench.pass_for(900.0)
    assert (await bench.row()).frozen_at is not None
    made.delete("llama")
    delete(bench)
    annotate(bench)
    await bench.settle_credential()
    assert "it has been frozen since" in bench.said()[2]
    await bench.clock.sleep(DAY_S)
    await bench.settle_credential()
    assert {thing["id"] for thing in bench.status()["abandoned"]} == before
    await made.step("llama")
    await bench.settle_credential()
    assert is_gone(bench)
    assert billed_ids(bench) == before


@pytest.mark.parametrize("has_secret", [True, False], ids=["secret-there", "secret-gone"])
async def test_a_key_that_is_revoked_during_the_deletion_counts_from_then_on(
    bench: Bench, *, has_secret: bool
) -> None:
    """As with `kubectl delete namespace`, where the Secret is among the first to go."""
    await bench.made()
    made = deployments_of(bench)
    made.apply("llama", replicas=1)
    await made.until_ready("llama")
    delete(bench)
    made.delete("llama")
    if not has_secret:
        bench.cluster.vanish(SECRET, bench.name, "scaleway")
    annotate(bench)
    await bench.settle_credential()
    revoke(bench)
    await made.step("llama")
    await bench.pass_for(60.0)
    assert "its key has been refused since" in bench.said()[2]
    restart(bench)
    await bench.clock.sleep(DAY_S)
    await bench.settle_credential()
    assert bench.status()["abandonedCount"] == 3
    await made.step("llama")
    await bench.settle_credential()
    assert is_gone(bench)


# -- not honoured ------------------------------------------------------------------------------------------


async def test_a_living_object_gives_nothing_up_and_says_so(bench: Bench) -> None:
    await refused_with_servers(bench, replicas=1)
    annotate(bench)
    await bench.clock.sleep(2 * DAY_S)
    await bench.settle_credential()
    assert f"the annotation {ABANDON} is not honoured: the ProviderCredential is not being" in bench.said()[2]
    assert len(await open_things(bench)) == 3


async def test_another_id_gives_nothing_up_and_both_are_named(bench: Bench) -> None:
    await refused_with_servers(bench, replicas=1)
    delete(bench)
    other = str(uuid4())
    annotate(bench, other)
    await bench.clock.sleep(2 * DAY_S)
    await bench.settle_credential()
    message = bench.said()[2]
    assert f"expected is the id in status.credentialID, {bench.status()['credentialID']}" in message
    assert message.endswith(f"found {other}")
    assert len(await open_things(bench)) == 3
    assert events(bench) == []


async def test_a_key_that_works_gives_nothing_up(bench: Bench) -> None:
    await bench.made()
    made = deployments_of(bench)
    made.apply("llama", replicas=1)
    await made.until_ready("llama")
    delete(bench)
    annotate(bench)
    await bench.pass_for(60.0)
    await bench.clock.sleep(2 * DAY_S)
    await bench.settle_credential()
    assert "the stored key is not refused by Scaleway and the credential is not frozen" in bench.said()[2]
    assert len(await open_things(bench)) == 3


async def test_a_second_before_the_day_is_over_nothing_is_given_up(bench: Bench) -> None:
    await refused_with_servers(bench, replicas=1)
    delete(bench)
    annotate(bench)
    rejected_at = (await bench.row()).rejected_at
    assert rejected_at is not None
    left_s = DAY_S - (bench.clock.now() - rejected_at).total_seconds()
    await bench.clock.sleep(left_s - 2.0)
    await bench.settle_credential()
    assert len(await open_things(bench)) == 3
    await bench.clock.sleep(2.0)
    await bench.settle_credential()
    assert await open_things(bench) == ()


async def test_a_valid_key_in_its_place_deletes_what_is_left_instead(bench: Bench) -> None:
    made = await refused_with_servers(bench, replicas=1)
    made.delete("llama")
    delete(bench)
    annotate(bench)
    new = TestKey()
    bench.admit(new)
    bench.put_secret(new)
    await bench.clock.sleep(DAY_S)
    await bench.settle_credential()
    assert events(bench) == []
    for _ in range(60):
        await bench.clock.sleep(await made.step("llama"))
        if not made.is_there("llama"):
            break
    await bench.settle_credential()
    assert is_gone(bench)
    assert billed_ids(bench) == set()
    assert await audit_lines(bench) == []


async def test_another_tenant_is_not_touched(bench: Bench) -> None:
    await refused_with_servers(bench, replicas=1)
    first, name, project = await open_things(bench), bench.name, bench.project_id
    bench.name, bench.project_id = f"other-{uuid4().hex[:8]}", str(uuid4())
    await refused_with_servers(bench, replicas=1)
    delete(bench)
    annotate(bench)
    await bench.clock.sleep(DAY_S)
    await bench.settle_credential()
    assert await open_things(bench) == ()
    bench.name, bench.project_id = name, project
    assert {(one.id, one.state) for one in await open_things(bench)} == {(one.id, one.state) for one in first}


async def test_another_credential_of_the_same_organization_is_not_touched(bench: Bench) -> None:
    await refused_with_servers(bench, replicas=1)
    row, other, deployment_id = await bench.row(), CredentialId(uuid4()), DeploymentId(uuid4())
    instance_id = InstanceId(uuid4())
    async with bench.services.writing(row.organization_id) as conn:
        await claims.claim(conn, organization_id=row.organization_id, namespace=f"{bench.name}-2", uid="u2")
        await credentials.open_credential(
            conn,
            id=other,
            organization_id=row.organization_id,
            namespace=f"{bench.name}-2",
            namespace_uid="u2",
            name="other",
            uid="u",
            project_id=str(uuid4()),
            is_default=True,
        )
        await ledger.open_deployment(
            conn,
            id=deployment_id,
            organization_id=row.organization_id,
            credential_id=other,
            namespace=f"{bench.name}-2",
            namespace_uid="u2",
            name="mistral",
            uid="m",
            reset_token="",
        )
        instance = NewInstance(
            id=instance_id,
            organization_id=row.organization_id,
            deployment_id=deployment_id,
            ordinal=0,
            name="mistral-0",
            zone=Zone("fr-par-2"),
            instance_type="L4-1-24G",
            image_ref=str(uuid4()),
            root_volume_type="sbs_volume",
            template_hash="t",
        )
        await ledger.insert_instances(conn, [instance])
        server = NewResource(
            id=ResourceId(uuid4()),
            organization_id=row.organization_id,
            credential_id=other,
            deployment_id=deployment_id,
            instance_id=instance_id,
            kind=ResourceKind.SERVER,
            role="server",
            zone=Zone("fr-par-2"),
            volume_api=None,
            size_gb=None,
        )
        await ledger.insert_resources(conn, [server])
        await ledger.set_deployment_state(conn, deployment_id, to=DeploymentState.LOST)
    async with bench.services.db.reading(row.organization_id) as conn:
        before = await ledger.read_ledger(conn, deployment_id)
    delete(bench)
    annotate(bench)
    await bench.clock.sleep(DAY_S)
    await bench.settle_credential()
    assert await open_things(bench) == ()
    async with bench.services.db.reading(row.organization_id) as conn:
        assert await ledger.read_ledger(conn, deployment_id) == before


async def test_the_status_lists_so_many_and_counts_all_and_the_audit_log_has_every_one(bench: Bench) -> None:
    await refused_with_servers(bench, replicas=1)
    row = await bench.row()
    (server,) = (one for one in await open_things(bench) if one.kind is ResourceKind.SERVER)
    many = [
        NewResource(
            id=ResourceId(uuid4()),
            organization_id=row.organization_id,
            credential_id=row.id,
            deployment_id=server.deployment_id,
            instance_id=InstanceId(server.instance_id) if server.instance_id else None,
            kind=ResourceKind.ADDRESS,
            role=f"ip-{number}",
            zone=Zone("fr-par-2"),
            volume_api=None,
            size_gb=None,
            state=ResourceState.PRESENT,
            provider_ref=ProviderRef(str(uuid4())),
            origin=Origin.CREATED,
        )
        for number in range(600)
    ]
    async with bench.services.writing(row.organization_id) as conn:
        await ledger.insert_resources(conn, many)
    delete(bench)
    annotate(bench)
    await bench.clock.sleep(DAY_S)
    await bench.settle_credential()
    status = bench.status()
    assert (status["abandonedCount"], len(status["abandoned"])) == (603, 500)
    assert len(bench.said()[2]) <= 1024
    assert len(await audit_lines(bench)) == 603
    assert all(len(event["note"]) <= 1024 for event in events(bench))
    notes = "".join(event["note"] for event in events(bench))
    assert all(str(one.provider_ref) in notes for one in many)


def test_the_states_that_are_given_up_are_those_that_may_be_billed() -> None:
    assert {state for state, to in TRANSITIONS.items() if ResourceState.ABANDONED in to} == OPEN_STATES
