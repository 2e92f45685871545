"""The end of a credential: while it waits it names what is left, and what is destroyed is destroyed (T5)."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import psycopg

from credential.process import Deployments, deployments_of
from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.kube.kinds import CREDENTIAL, ORGANIZATION
from inventiv_operator.store import ledger
from rig.fixtures import Premises
from tenant_rig.bench import Bench

DAY_S = 24 * 3600.0
WITH_KEYS = ("provider_settings", "organization_keys")


async def made_with(bench: Bench, *names: str, replicas: int = 1) -> Deployments:
    """A tenant with deployments that run."""
    await bench.made()
    made = deployments_of(bench)
    for name in names:
        made.apply(name, replicas=replicas)
        await made.until_ready(name)
    return made


def delete(bench: Bench) -> None:
    bench.cluster.delete(CREDENTIAL, bench.name, "scaleway")


async def ids_of(bench: Bench) -> set[str]:
    row = await bench.row()
    async with bench.services.db.reading(row.organization_id) as conn:
        return {str(one.provider_ref) for one in await ledger.credential_resources(conn, row.id)}


async def audit_of(bench: Bench, organization_id: OrganizationId, *actions: str) -> list[tuple[Any, ...]]:
    async with bench.services.db.reading(organization_id) as conn:
        cursor = await conn.execute(
            "SELECT action, object_kind, object_name, detail FROM action_logs"
            " WHERE organization_id = %s AND action = ANY(%s) ORDER BY id",
            (organization_id, list(actions)),
        )
        return await cursor.fetchall()


# -- what it says while it waits -----------------------------------------------------------------------------


async def test_numbers_names_and_ids_of_what_is_left_are_said(bench: Bench) -> None:
    made = await made_with(bench, "llama", "mistral")
    made.delete("mistral")
    made_step = await made.step("mistral")
    assert made_step > 0.0
    delete(bench)
    await bench.settle_credential()
    status, reason, message = bench.said()
    assert (status, reason) == ("False", "Deleting")
    assert "2 deployments, 2 servers, 2 volumes, 2 security groups" in message
    assert "llama: not deleted: delete it; mistral: being deleted" in message
    assert "still there, and billed: server " in message
    ids = await ids_of(bench)
    assert all(ref in message for ref in ids)
    assert message.count("in fr-par-2") == len(ids)
    assert "refused" not in message


async def test_many_are_counted_and_the_first_are_named(bench: Bench) -> None:
    await made_with(bench, "llama", replicas=8)
    delete(bench)
    await bench.settle_credential()
    message = bench.said()[2]
    assert "8 servers, 8 volumes, 1 security group" in message
    assert message.count("server ") == 6
    assert message.endswith("and 11 more")
    assert len(message) <= 1024


async def test_a_refused_key_is_said_with_the_two_ways_on(bench: Bench) -> None:
    made = await made_with(bench, "llama")
    made.delete("llama")
    for key in list(bench.world.identity.keys):
        bench.world.identity.remove_key(key.access_key)
    await bench.pass_for(900.0)
    delete(bench)
    await bench.settle_credential()
    message = bench.said()[2]
    row = await bench.row()
    assert row.rejected_at is not None
    assert f"Scaleway has refused its key since {row.rejected_at:%Y-%m-%dT%H:%M:%SZ}" in message
    assert f"put a valid key of project {bench.project_id} into its Secret" in message
    assert f"on, give up what is left: annotate it with inventiv.io/abandon={row.id}" in message
    assert all(ref in message for ref in await ids_of(bench))
    await bench.clock.sleep(DAY_S)
    await bench.settle_credential()
    assert (
        f"into its Secret, or give up what is left: annotate it with inventiv.io/abandon={row.id}"
        in (bench.said()[2])
    )


async def test_an_answer_to_an_annotation_is_never_cut_off(bench: Bench) -> None:
    names = [letter * 63 for letter in "abcdef"]
    await made_with(bench, *names)
    for key in list(bench.world.identity.keys):
        bench.world.identity.remove_key(key.access_key)
    await bench.pass_for(900.0)
    delete(bench)
    other = str(uuid4())
    annotations = {"inventiv.io/abandon": other, "inventiv.io/release-freeze": other}
    bench.cluster.put(CREDENTIAL, bench.name, "scaleway", metadata={"annotations": annotations})
    await bench.settle_credential()
    message = bench.said()[2]
    assert len(message) == 1024
    assert "…; the annotation inventiv.io/release-freeze has no effect" in message
    assert message.endswith(f"found {other}")


# -- what is destroyed in the end ----------------------------------------------------------------------------


def rows_with_keys(premises: Premises, organization_id: OrganizationId) -> Mapping[str, int]:
    """As the database's own administrator sees them."""
    with psycopg.connect(premises.place.superuser) as conn:
        found = {}
        for table in WITH_KEYS:
            counted = conn.execute(
                f"SELECT count(*) FROM {table} WHERE organization_id = %s",
                (organization_id,),
            ).fetchone()
            assert counted is not None
            found[table] = counted[0]
        return found


async def test_T5_after_the_quarantine_of_the_last_credential_of_a_deleted_organization_no_key_is_left(
    bench: Bench, shared_premises: Premises
) -> None:
    await bench.made()
    mine, name = await bench.organization_id(), bench.name
    bench.name, bench.project_id = f"other-{uuid4().hex[:8]}", str(uuid4())
    other_key = await bench.made()
    other = await bench.organization_id()
    others = rows_with_keys(shared_premises, other)
    assert all(number > 0 for number in others.values())
    bench.name, other_name = name, bench.name

    bench.cluster.delete(ORGANIZATION, "", name)
    await bench.settle_organization()
    assert "credential" in bench.said_of_organization()[2]
    delete(bench)
    await bench.settle_credential()
    await bench.settle_organization()
    assert bench.cluster.read(ORGANIZATION, "", name) is None
    held = rows_with_keys(shared_premises, mine)
    assert all(number > 0 for number in held.values())  # the quarantine needs them
    row = await bench.row()
    await bench.clock.sleep(DAY_S - 60.0)
    await bench.sweep()
    assert rows_with_keys(shared_premises, mine) == held
    await bench.clock.sleep(120.0)
    await bench.sweep()
    assert rows_with_keys(shared_premises, mine) == dict.fromkeys(WITH_KEYS, 0)

    assert rows_with_keys(shared_premises, other) == others
    bench.name = other_name
    assert await bench.stored_access_key() == other_key.access_key
    lines = await audit_of(bench, mine, "credential-closing", "key-destroyed")
    assert [(action, kind) for action, kind, _, _ in lines] == [
        ("credential-closing", "credential"),
        ("key-destroyed", "data-key"),
        ("key-destroyed", "credential"),
    ]
    closing, data_key, destroyed = (detail for _, _, _, detail in lines)
    assert closing == destroyed
    assert destroyed["credentialID"] == str(row.id)
    assert destroyed["fingerprint"] == row.key_fingerprint
    assert data_key == {"version": 1}
    assert await audit_of(bench, other, "credential-closing", "key-destroyed") == []


async def test_T5_an_organization_that_outlives_its_credentials_takes_the_data_key_with_it(
    bench: Bench, shared_premises: Premises
) -> None:
    await bench.made()
    mine = await bench.organization_id()
    delete(bench)
    await bench.settle_credential()
    await bench.clock.sleep(DAY_S + 60.0)
    await bench.sweep()
    held = rows_with_keys(shared_premises, mine)
    assert held["organization_keys"] == 1  # a credential of tomorrow is encrypted with it
    bench.cluster.delete(ORGANIZATION, "", bench.name)
    await bench.settle_organization()
    assert bench.cluster.read(ORGANIZATION, "", bench.name) is None
    assert rows_with_keys(shared_premises, mine) == dict.fromkeys(WITH_KEYS, 0)
    lines = await audit_of(bench, mine, "key-destroyed")
    assert [kind for _, kind, _, _ in lines] == ["credential", "data-key"]


async def test_T5_defaults_of_the_organization_go_with_it(bench: Bench, shared_premises: Premises) -> None:
    await bench.made()
    mine = await bench.organization_id()
    async with bench.services.writing(mine) as conn:
        await conn.execute(
            "INSERT INTO provider_settings (organization_id, provider_id, key, value_int)"
            " VALUES (%s, NULL, 'WORKER_HEALTH_PORT', 9000) ON CONFLICT DO NOTHING",
            (mine,),
        )
    delete(bench)
    await bench.settle_credential()
    bench.cluster.delete(ORGANIZATION, "", bench.name)
    await bench.settle_organization()
    assert rows_with_keys(shared_premises, mine)["provider_settings"] > 1
    await bench.clock.sleep(DAY_S + 60.0)
    await bench.sweep()
    assert rows_with_keys(shared_premises, mine) == dict.fromkeys(WITH_KEYS, 0)
