"""The ledger on a real PostgreSQL: what goes in comes out, and every change repeats its guard."""

import itertools
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors as pg

from inventiv_operator.domain.cloud import VolumeApi
from inventiv_operator.domain.ids import DeploymentId, ProviderRef, ResourceId, Zone
from inventiv_operator.domain.ledger import (
    OPEN_STATES,
    TRANSITIONS,
    DeploymentState,
    InstanceState,
    NewInstance,
    NewResource,
    Origin,
    Resource,
    ResourceKind,
    ResourceState,
)
from inventiv_operator.store import ledger
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import Conflict, StoreDefect
from inventiv_operator.store.ledger_reads import OPEN
from store.conftest import FENCE, NAMESPACE_UID, NOW, SetClock, Tenant, is_alone
from store.postgres_server import Place

ALL_STATES = frozenset(ResourceState)


def root_of(server: NewResource) -> NewResource:
    return replace(
        server,
        id=ResourceId(uuid4()),
        kind=ResourceKind.VOLUME,
        role="root",
        volume_api=VolumeApi.BLOCK,
        size_gb=120,
    )


def in_state(new: NewResource, state: ResourceState) -> NewResource:
    if state is ResourceState.INTENDED:
        return new
    return replace(new, state=state, provider_ref=ProviderRef(str(uuid4())), origin=Origin.CREATED)


async def insert(db: Database, tenant: Tenant, *resources: NewResource) -> None:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.insert_resources(conn, resources)


async def insert_instance(db: Database, tenant: Tenant, ordinal: int = 0) -> NewInstance:
    instance = tenant.instance(ordinal)
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.insert_instances(conn, [instance])
    return instance


async def one(db: Database, tenant: Tenant, id: ResourceId) -> Resource:  # noqa: A002
    async with db.reading(tenant.organization_id) as conn:
        rows = await ledger.credential_resources(conn, tenant.credential_id)
    return next(row for row in rows if row.id == id)


async def test_what_is_written_is_read_back_in_one_piece(place: Place, tenant: Tenant) -> None:
    instance = tenant.instance()
    server, group = tenant.server(instance), tenant.group()
    root = root_of(server)
    control = replace(group, id=ResourceId(uuid4()), deployment_id=None, role="control")
    adopted = in_state(replace(root, id=ResourceId(uuid4()), role="extra-1"), ResourceState.PRESENT)
    async with Database(place.operator, clock=SetClock()) as db:
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await ledger.insert_instances(conn, [instance])
            await ledger.insert_resources(conn, [server, root, group, control, adopted])
        async with db.reading(tenant.organization_id) as conn:
            found = await ledger.read_ledger(conn, tenant.deployment_id)
            of_credential = await ledger.credential_resources(conn, tenant.credential_id)
            [by_name] = await ledger.get_deployment(conn, namespace=tenant.namespace, name="llama")
    assert found.deployment == by_name
    assert found.deployment.state is DeploymentState.OPEN
    assert found.instances == (instance.as_row(now=NOW),)
    assert set(found.resources) == {row.as_row(now=NOW) for row in (server, root, group, adopted)}
    assert set(of_credential) == {*found.resources, control.as_row(now=NOW)}


async def test_what_is_over_is_left_out(db: Database, tenant: Tenant) -> None:
    instance = await insert_instance(db, tenant)
    states = {state: in_state(replace(tenant.server(), role=state), state) for state in ResourceState}
    await insert(db, tenant, *states.values())
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.set_instance(conn, instance.id, state=InstanceState.GONE)
    async with db.reading(tenant.organization_id) as conn:
        found = await ledger.read_ledger(conn, tenant.deployment_id)
    assert found.instances == ()
    assert {row.state for row in found.resources} == OPEN_STATES


def test_the_open_states_of_the_queries_are_those_of_the_domain() -> None:
    assert {state.strip(" '") for state in OPEN.strip("()").split(",")} == {str(s) for s in OPEN_STATES}


async def test_a_deployment_of_somebody_else_is_none(db: Database, tenant: Tenant, other: Tenant) -> None:
    async with db.reading(tenant.organization_id) as conn:
        with pytest.raises(Conflict):
            await ledger.read_ledger(conn, other.deployment_id)


# -- states of resources -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "to"),
    [
        pytest.param(state, to, id=f"{state}-{to}")
        for state, to in itertools.product(ResourceState, ResourceState)
        # An intent becomes present with its id: record_present, below.
        if (state, to) != (ResourceState.INTENDED, ResourceState.PRESENT)
    ],
)
async def test_a_resource_moves_as_the_table_of_transitions_says(
    db: Database, tenant: Tenant, state: ResourceState, to: ResourceState
) -> None:
    row = in_state(tenant.server(), state)
    await insert(db, tenant, row)
    is_legal = to in TRANSITIONS[state]
    try:
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await ledger.advance(conn, [row.id], to=to, allowed=ALL_STATES)
    except Conflict:
        assert not is_legal
    else:
        assert is_legal


async def test_only_the_allowed_states_are_left(db: Database, tenant: Tenant) -> None:
    row = in_state(tenant.server(), ResourceState.DELETING)
    await insert(db, tenant, row)
    with pytest.raises(Conflict):
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await ledger.advance(conn, [row.id], to=ResourceState.ABSENT, allowed={ResourceState.PRESENT})
    assert (await one(db, tenant, row.id)).state is ResourceState.DELETING


async def test_a_batch_moves_as_a_whole_or_not_at_all(db: Database, tenant: Tenant) -> None:
    present, absent = (
        in_state(tenant.server(), state) for state in (ResourceState.PRESENT, ResourceState.ABSENT)
    )
    await insert(db, tenant, present, absent)
    with pytest.raises(Conflict):
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await ledger.advance(
                conn, [present.id, absent.id], to=ResourceState.DELETING, allowed=OPEN_STATES
            )
    assert (await one(db, tenant, present.id)).state is ResourceState.PRESENT


async def test_a_change_of_state_is_dated(place: Place, tenant: Tenant) -> None:
    clock, row = SetClock(), in_state(tenant.server(), ResourceState.PRESENT)
    async with Database(place.operator, clock=clock) as db:
        await insert(db, tenant, row)
        clock.advance(60)
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await ledger.mark_prepared(conn, [row.id], prepared_hash="h")
            await ledger.mark_started(conn, [row.id])
            await ledger.record_error(conn, row.id, message="what it said\x00" + "x" * 1000)
        clock.advance(60)
        seen = await one(db, tenant, row.id)
        assert seen.changed_at == seen.created_at == NOW
        assert seen.prepared_at == seen.started_at == NOW + timedelta(seconds=60)
        assert (seen.prepared_hash, seen.last_error[:14], len(seen.last_error)) == (
            "h",
            "what it saidxx",
            500,
        )
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await ledger.mark_prepared(conn, [row.id])
            await ledger.advance(conn, [row.id], to=ResourceState.DELETING, allowed=OPEN_STATES)
        seen = await one(db, tenant, row.id)
        assert seen.prepared_hash == "h"
        assert seen.changed_at == NOW + timedelta(seconds=120)


# -- sending -----------------------------------------------------------------------------------------------


async def send(db: Database, tenant: Tenant, id: ResourceId, attempt: str) -> None:  # noqa: A002
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.mark_sending(conn, id, attempt=attempt, send_before=NOW)


async def clear(db: Database, tenant: Tenant, id: ResourceId) -> None:  # noqa: A002
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.clear_send(conn, id)


async def record(db: Database, tenant: Tenant, id: ResourceId, ref: str) -> None:  # noqa: A002
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.record_present(conn, id, provider_ref=ProviderRef(ref), origin=Origin.CREATED)


async def test_L3_no_second_create_is_sent_while_the_first_is_open(db: Database, tenant: Tenant) -> None:
    row = tenant.server()
    await insert(db, tenant, row)
    await send(db, tenant, row.id, "one")
    with pytest.raises(Conflict):
        await send(db, tenant, row.id, "two")
    await clear(db, tenant, row.id)
    await send(db, tenant, row.id, "three")
    seen = await one(db, tenant, row.id)
    assert seen.attempts == ("one", "three")  # a late appearance of the first is still known as ours
    assert seen.send_before == NOW


@pytest.mark.parametrize("state", [s for s in ResourceState if s is not ResourceState.INTENDED])
async def test_nothing_is_sent_for_what_is_no_intent(
    db: Database, tenant: Tenant, state: ResourceState
) -> None:
    row = in_state(tenant.server(), state)
    await insert(db, tenant, row)
    for attempt in (send(db, tenant, row.id, "one"), clear(db, tenant, row.id)):
        with pytest.raises(Conflict):
            await attempt


async def test_the_id_of_what_an_intent_made_is_recorded_once(db: Database, tenant: Tenant) -> None:
    row, ref = tenant.server(), str(uuid4())
    await insert(db, tenant, row)
    await record(db, tenant, row.id, ref)
    seen = await one(db, tenant, row.id)
    assert (seen.state, seen.provider_ref, seen.origin) == (ResourceState.PRESENT, ref, Origin.CREATED)
    with pytest.raises(Conflict):
        await record(db, tenant, row.id, str(uuid4()))


async def test_L5_a_volume_is_recorded_with_the_api_that_it_was_seen_in(db: Database, tenant: Tenant) -> None:
    row = replace(tenant.server(), kind=ResourceKind.VOLUME, role="root", volume_api=VolumeApi.BLOCK)
    await insert(db, tenant, row)
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.record_present(
            conn,
            row.id,
            provider_ref=ProviderRef(str(uuid4())),
            origin=Origin.ANSWER,
            volume_api=VolumeApi.INSTANCE,
        )
    assert (await one(db, tenant, row.id)).volume_api is VolumeApi.INSTANCE


async def test_L4_an_intent_that_is_no_longer_wanted_keeps_going_with_the_id_that_was_found(
    db: Database, tenant: Tenant
) -> None:
    row = tenant.server()
    await insert(db, tenant, row)
    await send(db, tenant, row.id, "one")
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.advance(conn, [row.id], to=ResourceState.DELETING, allowed=OPEN_STATES)
    await record(db, tenant, row.id, "late")
    seen = await one(db, tenant, row.id)
    assert (seen.state, seen.provider_ref) == (ResourceState.DELETING, "late")


async def test_one_thing_at_the_provider_has_one_open_row(
    db: Database, tenant: Tenant, other: Tenant
) -> None:
    ref = str(uuid4())
    first, second = tenant.server(), other.server()
    await insert(db, tenant, first)
    await insert(db, other, second)
    await record(db, tenant, first.id, ref)
    with pytest.raises(Conflict) as caught:
        await record(db, other, second.id, ref)
    assert caught.value.constraint == "cloud_resources_ref"
    assert ref not in str(caught.value)
    assert is_alone(caught.value)  # PostgreSQL's own text quotes it


async def test_L2_an_ordinal_has_one_living_instance(db: Database, tenant: Tenant) -> None:
    instance = await insert_instance(db, tenant, 3)
    with pytest.raises(Conflict) as caught:
        await insert_instance(db, tenant, 3)
    assert caught.value.constraint == "instances_ordinal"
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.set_instance(conn, instance.id, state=InstanceState.DELETING)
    await insert_instance(db, tenant, 3)


async def test_L2_an_instance_has_one_open_server(db: Database, tenant: Tenant) -> None:
    instance = await insert_instance(db, tenant)
    await insert(db, tenant, tenant.server(instance))
    with pytest.raises(Conflict):
        await insert(db, tenant, tenant.server(instance))


async def test_a_deployment_has_one_group_in_a_zone(db: Database, tenant: Tenant) -> None:
    first = tenant.group()
    await insert(db, tenant, first, replace(tenant.group(), zone=Zone("nl-ams-1")))
    with pytest.raises(Conflict):
        await insert(db, tenant, tenant.group())
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.advance(conn, [first.id], to=ResourceState.DELETING, allowed=OPEN_STATES)
    await insert(db, tenant, tenant.group())


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"state": ResourceState.PRESENT}, id="present-without-id"),
        pytest.param({"provider_ref": ProviderRef("x")}, id="id-without-origin"),
        pytest.param({"provider_ref": ProviderRef("x"), "origin": Origin.CREATED}, id="intent-with-id"),
        pytest.param({"volume_api": VolumeApi.BLOCK}, id="server-with-volume-api"),
        pytest.param({"kind": ResourceKind.VOLUME}, id="volume-without-api"),
        pytest.param({"zone": Zone("")}, id="no-zone"),
    ],
)
async def test_rows_that_contradict_themselves_are_refused(
    db: Database, tenant: Tenant, broken: dict[str, object]
) -> None:
    with pytest.raises(StoreDefect) as caught:
        await insert(db, tenant, replace(tenant.server(), **broken))  # type: ignore[arg-type]
    assert caught.value.sqlstate == pg.CheckViolation.sqlstate


# -- deployments and instances -----------------------------------------------------------------------------


LEGAL_FOR_DEPLOYMENTS = {
    DeploymentState.OPEN: {DeploymentState.LOST, DeploymentState.CLOSING},
    DeploymentState.LOST: {DeploymentState.OPEN, DeploymentState.CLOSING},
    DeploymentState.CLOSING: {DeploymentState.CLOSED},
    DeploymentState.CLOSED: set[DeploymentState](),
}


@pytest.mark.parametrize(
    ("state", "to"),
    [pytest.param(a, b, id=f"{a}-{b}") for a, b in itertools.product(DeploymentState, DeploymentState)],
)
async def test_a_deployment_moves_one_way(
    place: Place, db: Database, tenant: Tenant, state: DeploymentState, to: DeploymentState
) -> None:
    with psycopg.connect(place.superuser, autocommit=True) as conn:
        conn.execute(
            "UPDATE deployments SET state = %(s)s, closed_at = CASE WHEN %(s)s = 'closed' THEN now() END"
            " WHERE id = %(id)s",
            {"s": state.value, "id": tenant.deployment_id},
        )
    try:
        async with db.writing(tenant.organization_id, FENCE) as writing:
            await ledger.set_deployment_state(writing, tenant.deployment_id, to=to)
    except Conflict:
        assert to not in LEGAL_FOR_DEPLOYMENTS[state]
    else:
        assert to in LEGAL_FOR_DEPLOYMENTS[state]


LEGAL_FOR_INSTANCES = {
    InstanceState.ACTIVE: {InstanceState.FAILED, InstanceState.DELETING, InstanceState.GONE},
    InstanceState.FAILED: {InstanceState.DELETING, InstanceState.GONE},
    InstanceState.DELETING: {InstanceState.DELETING, InstanceState.GONE},
    InstanceState.GONE: set[InstanceState](),
}


@pytest.mark.parametrize(
    ("state", "to"),
    [pytest.param(a, b, id=f"{a}-{b}") for a, b in itertools.product(InstanceState, InstanceState)],
)
async def test_an_instance_moves_one_way(
    place: Place, db: Database, tenant: Tenant, state: InstanceState, to: InstanceState
) -> None:
    instance = await insert_instance(db, tenant)
    with psycopg.connect(place.superuser, autocommit=True) as conn:
        conn.execute(
            "UPDATE instances SET state = %(s)s, gone_at = CASE WHEN %(s)s = 'gone' THEN now() END"
            " WHERE id = %(id)s",
            {"s": state.value, "id": instance.id},
        )
    try:
        async with db.writing(tenant.organization_id, FENCE) as writing:
            await ledger.set_instance(writing, instance.id, state=to)
    except Conflict:
        assert to not in LEGAL_FOR_INSTANCES[state]
    else:
        assert to in LEGAL_FOR_INSTANCES[state]


@pytest.mark.parametrize("state", ResourceState)
async def test_L5_nothing_is_closed_or_gone_while_something_of_it_may_be_billed(
    db: Database, tenant: Tenant, state: ResourceState
) -> None:
    instance = await insert_instance(db, tenant)
    await insert(db, tenant, in_state(tenant.server(instance), state))

    async def end() -> None:
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await ledger.set_instance(conn, instance.id, state=InstanceState.GONE)
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await ledger.set_deployment_state(conn, tenant.deployment_id, to=DeploymentState.CLOSED)

    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.set_deployment_state(conn, tenant.deployment_id, to=DeploymentState.CLOSING)
    if state in OPEN_STATES:
        with pytest.raises(Conflict):
            await end()
        async with db.writing(tenant.organization_id, FENCE) as conn:
            with pytest.raises(Conflict):
                await ledger.set_deployment_state(conn, tenant.deployment_id, to=DeploymentState.CLOSED)
    else:
        await end()


async def test_the_story_of_an_instance_is_kept(db: Database, tenant: Tenant) -> None:
    instance = await insert_instance(db, tenant)
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.mark_instance_ready(conn, instance.id, ready_at=NOW)
        await ledger.set_instance(
            conn, instance.id, state=InstanceState.FAILED, reason="StartupTimeout", message="m", failed_at=NOW
        )
        await ledger.set_instance(conn, instance.id, state=InstanceState.DELETING, reason="ScaleDown")
    async with db.reading(tenant.organization_id) as conn:
        [seen] = (await ledger.read_ledger(conn, tenant.deployment_id)).instances
    assert (seen.state, seen.reason, seen.message) == (InstanceState.DELETING, "ScaleDown", "")
    assert (seen.ready_at, seen.failed_at) == (NOW, NOW)
    with pytest.raises(Conflict):
        async with db.writing(tenant.organization_id, FENCE) as conn:
            await ledger.mark_instance_ready(conn, instance.id, ready_at=NOW)


async def test_template_and_back_off_are_kept(db: Database, tenant: Tenant) -> None:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.set_template(conn, tenant.deployment_id, template_hash="t2")
        await ledger.set_backoff(
            conn,
            tenant.deployment_id,
            start_failures=2,
            next_start_at=NOW,
            reset_token="3/x",
            start_reason="StartupTimeout",
            start_message="llama-0: not ready",
        )
    async with db.reading(tenant.organization_id) as conn:
        [row] = await ledger.get_deployment(conn, namespace=tenant.namespace, name="llama")
    assert (row.template_hash, row.start_failures, row.next_start_at) == ("t2", 2, NOW)
    assert (row.reset_token, row.start_reason, row.start_message) == (
        "3/x",
        "StartupTimeout",
        "llama-0: not ready",
    )


async def open_again(db: Database, tenant: Tenant) -> DeploymentId:
    new_id = DeploymentId(uuid4())
    async with db.writing(tenant.organization_id, FENCE) as conn:
        row = await ledger.open_deployment(
            conn,
            id=new_id,
            organization_id=tenant.organization_id,
            credential_id=tenant.credential_id,
            namespace=tenant.namespace,
            namespace_uid=NAMESPACE_UID,
            name="llama",
            uid=str(uuid4()),
            reset_token="1",
        )
    assert row.id == new_id
    return new_id


async def test_a_name_made_anew_is_another_deployment_once_the_old_one_is_leaving(
    db: Database, tenant: Tenant
) -> None:
    with pytest.raises(Conflict) as caught:
        await open_again(db, tenant)
    assert caught.value.constraint == "deployments_name"
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.set_deployment_state(conn, tenant.deployment_id, to=DeploymentState.CLOSING)
        with pytest.raises(Conflict):
            await ledger.rebind_deployment(conn, tenant.deployment_id, uid="x")
    newer = await open_again(db, tenant)
    async with db.reading(tenant.organization_id) as conn:
        rows = await ledger.get_deployment(conn, namespace=tenant.namespace, name="llama")
    assert [(row.id, row.state) for row in rows] == [
        (tenant.deployment_id, DeploymentState.CLOSING),
        (newer, DeploymentState.OPEN),
    ]
    async with db.platform() as conn:
        pending = await ledger.pending_deployments(conn)
        owners = await ledger.owners_of_deployment(conn, namespace=tenant.namespace, name="llama")
    mine = [p for p in pending if p.organization_id == tenant.organization_id]
    assert [(p.namespace, p.name, p.state) for p in mine] == [
        (tenant.namespace, "llama", "closing"),
        (tenant.namespace, "llama", "open"),
    ]
    assert owners == (tenant.organization_id,)


async def test_L9_a_lost_deployment_is_found_again(db: Database, tenant: Tenant) -> None:
    async with db.writing(tenant.organization_id, FENCE) as conn:
        await ledger.set_deployment_state(conn, tenant.deployment_id, to=DeploymentState.LOST)
        await ledger.rebind_deployment(conn, tenant.deployment_id, uid="new")
    async with db.reading(tenant.organization_id) as conn:
        [row] = await ledger.get_deployment(conn, namespace=tenant.namespace, name="llama")
    assert (row.uid, row.state) == ("new", DeploymentState.OPEN)
