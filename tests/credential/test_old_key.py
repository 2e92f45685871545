"""Once a key is replaced, frozen or destroyed, no call of it leaves: neither by a pass under way, nor by one
that had read the ledger before.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime

import pytest

from credential.process import Deployments, deployments_of
from inventiv_operator.controllers.access import CredentialFrozen, KeyChanging
from inventiv_operator.controllers.control import Verdict
from inventiv_operator.controllers.sweeps.closing import QUARANTINE
from inventiv_operator.domain.ids import Zone
from inventiv_operator.kube.kinds import CREDENTIAL
from inventiv_operator.scaleway.errors import Withdrawn
from inventiv_operator.scaleway.wire import WireAnswer
from inventiv_operator.store import credentials
from inventiv_operator.store.errors import DatabaseUnavailable
from provider_parts.wire_httpx import HttpxWire
from scaleway_simulator.billing import billed
from scaleway_simulator.calls import LoggedCall
from scaleway_simulator.faults import FaultPlan
from tenant_rig.bench import Bench, TestKey

HERE, ELSEWHERE = Zone("fr-par-2"), Zone("fr-par-1")
LATENCY_S = 3.0
REPLICAS = 40
"""More than may be on their way at once, so that some wait for their turn."""
Departure = tuple[datetime, str, str]


def slow(bench: Bench, key: TestKey) -> None:
    """Every answer to this key takes its time."""
    match = {"access_key": key.access_key}
    faults = FaultPlan.parse({"kind": "delay", "match": match, "seconds": LATENCY_S, "times": None})
    bench.world.faults.add(faults, seconds=bench.world.seconds)


@pytest.fixture
def departures(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[Departure]:
    """When each call left, and its endpoint: it arrives at the provider a moment later."""
    left: list[Departure] = []
    send = HttpxWire.send

    async def noted(
        wire: HttpxWire, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None
    ) -> WireAnswer:
        left.append((bench.clock.now(), method, target))
        return await send(wire, method, target, headers=headers, body=body)

    monkeypatch.setattr(HttpxWire, "send", noted)
    return left


def left_after(departures: list[Departure], at: datetime | None) -> list[Departure]:
    assert at is not None
    return [each for each in departures if each[0] > at]


def calls_after(bench: Bench, at: datetime | None, *, access_key: str | None = None) -> list[LoggedCall]:
    assert at is not None
    return [c for c in bench.world.calls.since(0) if c.at > at and access_key in {None, c.access_key}]


async def tenant(bench: Bench) -> tuple[TestKey, Deployments]:
    return await bench.made(), deployments_of(bench)


def servers(bench: Bench) -> int:
    bench.world.settle()
    return len(billed(bench.world)["servers"])


def _is_create(call: LoggedCall) -> bool:
    return call.method == "POST" and call.template.endswith("/servers")


async def under_way(bench: Bench, made: Deployments, *, posts: int) -> "asyncio.Task[float]":
    """A pass with that many creates sent, and others waiting."""
    step = asyncio.create_task(made.step("llama"))
    while sum(_is_create(call) for call in bench.world.calls.since(0)) < posts:
        await bench.clock.sleep(0.1)
        if step.done():
            await step
            step = asyncio.create_task(made.step("llama"))
    return step


async def test_the_old_key_is_never_used_after_the_swap_though_a_pass_is_under_way(bench: Bench) -> None:
    old, made = await tenant(bench)
    made.apply("llama", replicas=REPLICAS)
    slow(bench, old)
    step = await under_way(bench, made, posts=5)
    new = TestKey()
    bench.admit(new)
    bench.put_secret(new)
    await bench.settle_credential()
    row = await bench.row()
    assert row.access_key == new.access_key
    bench.world.identity.remove_key(old.access_key)
    await step
    assert servers(bench) < REPLICAS, "the pass had more to send"
    assert calls_after(bench, row.validated_at, access_key=old.access_key) == []
    bench.world.faults.clear()
    # What was not sent is no open question: no create waits for settling (120 s) before it is repeated.
    await made.until_ready("llama", within_s=100.0)
    assert servers(bench) == REPLICAS
    assert {c.access_key for c in calls_after(bench, row.validated_at)} == {new.access_key}
    assert all(c.status != 401 for c in bench.world.calls.since(0))


async def test_T8_a_freeze_by_one_zone_stops_a_pass_under_way_in_another(
    bench: Bench, departures: list[Departure]
) -> None:
    key, made = await tenant(bench)
    row = await bench.row()
    cloud = await bench.access.provider_for(row.organization_id, row.id)
    assert (await cloud.control.check(ELSEWHERE)).verdict is Verdict.HELD
    await bench.clock.sleep(60.0)
    made.apply("llama", replicas=REPLICAS)
    slow(bench, key)
    step = await under_way(bench, made, posts=5)
    for group in [g for g in bench.world.security_groups if g.zone == ELSEWHERE]:
        bench.world.security_groups.remove(group)
    assert (await cloud.control.check(ELSEWHERE)).verdict is Verdict.BROKEN
    frozen = await bench.row()
    await step
    assert servers(bench) < REPLICAS, "the pass had more to send"
    assert left_after(departures, frozen.frozen_at) == []
    with pytest.raises(CredentialFrozen):
        await bench.access.provider_for(row.organization_id, row.id)
    assert (await cloud.control.check(HERE)).verdict is Verdict.BROKEN  # and nothing is concluded here either
    assert bench.queued.count(bench.key()) >= 1, "and it is validated at once"
    bench.world.faults.clear()
    await bench.settle_credential()
    await made.until_ready("llama", within_s=100.0)
    assert servers(bench) == REPLICAS


async def test_T8_a_freeze_stops_deletions_under_way(bench: Bench, departures: list[Departure]) -> None:
    key, made = await tenant(bench)
    made.apply("llama", replicas=REPLICAS)
    await made.until_ready("llama")
    row = await bench.row()
    cloud = await bench.access.provider_for(row.organization_id, row.id)
    made.delete("llama")
    slow(bench, key)
    before = bench.calls()
    step = asyncio.create_task(made.step("llama"))
    while not any(call.template.endswith("/action") for call in bench.world.calls.since(before)):
        await bench.clock.sleep(0.1)
    await cloud.control.freeze("for a test")
    frozen = await bench.row()
    await step
    assert left_after(departures, frozen.frozen_at) == []
    await made.step("llama")
    assert left_after(departures, frozen.frozen_at) == []
    assert made.is_there("llama")


async def test_T8_a_freeze_that_cannot_be_written_down_holds_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.made()
    row = await bench.row()
    cloud = await bench.access.provider_for(row.organization_id, row.id)

    async def away(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("for a test")

    with monkeypatch.context() as patched:
        patched.setattr(credentials, "freeze", away)
        with pytest.raises(DatabaseUnavailable):
            await cloud.control.freeze("seen in a zone")
    assert (await bench.row()).frozen_reason == ""
    with pytest.raises(Withdrawn):
        await cloud.client.servers(HERE, max_age_s=0.0)
    with pytest.raises(CredentialFrozen, match="seen in a zone"):
        await bench.access.provider_for(row.organization_id, row.id)
    await bench.clock.sleep(10.0)
    await bench.settle_credential()  # a validation passes
    again = await bench.access.provider_for(row.organization_id, row.id)
    await again.client.servers(HERE, max_age_s=0.0)


async def test_of_a_destroyed_key_no_call_leaves(bench: Bench) -> None:
    await bench.made()
    row = await bench.row()
    bench.cluster.delete(CREDENTIAL, bench.name, "scaleway")
    await bench.settle_credential()
    cloud = await bench.access.provider_for(row.organization_id, row.id)
    proving = await bench.access.for_validation(row.organization_id, row.id, freezes=True)
    await bench.clock.sleep(QUARANTINE.total_seconds() + 60.0)
    await bench.sweep()
    calls = bench.calls()
    for each in (cloud, proving):
        with pytest.raises(Withdrawn):
            await each.client.servers(HERE, max_age_s=0.0)
    assert bench.calls() == calls


async def test_B7_who_does_not_lead_any_more_lets_go_of_every_key(bench: Bench) -> None:
    """Whoever leads now may replace one, and this process would not hear of it."""
    await bench.made()
    row = await bench.row()
    cloud = await bench.access.provider_for(row.organization_id, row.id)
    calls = bench.calls()
    bench.access.let_go()
    with pytest.raises(Withdrawn, match="does not lead any more"):
        await cloud.client.servers(HERE, max_age_s=0.0)
    assert bench.calls() == calls
    again = await bench.access.provider_for(row.organization_id, row.id)  # it leads again
    await again.client.servers(HERE, max_age_s=0.0)


async def test_who_read_the_ledger_before_the_swap_gets_no_client_after_it(bench: Bench) -> None:
    await bench.made()
    row = await bench.row()
    look = bench.access.look(row.id)
    async with bench.services.db.reading(row.organization_id) as conn:
        assert await bench.access.provider_of(conn, row, look=look)
        async with bench.access.replacing(row.id):
            with pytest.raises(KeyChanging):
                await bench.access.provider_for(row.organization_id, row.id)
        with pytest.raises(KeyChanging):
            await bench.access.provider_of(conn, row, look=look)
    assert await bench.access.provider_for(row.organization_id, row.id)


async def test_a_swap_that_fails_leaves_the_stored_key_in_use(bench: Bench) -> None:
    await bench.made()
    row = await bench.row()
    with pytest.raises(DatabaseUnavailable):
        async with bench.access.replacing(row.id):
            raise DatabaseUnavailable("for a test")
    cloud = await bench.access.provider_for(row.organization_id, row.id)
    await cloud.client.servers(HERE, max_age_s=0.0)


async def test_a_swap_waits_for_what_is_on_its_way(bench: Bench) -> None:
    """It may not have left yet: a connection can take a while."""
    key = await bench.made()
    row = await bench.row()
    cloud = await bench.access.provider_for(row.organization_id, row.id)
    slow(bench, key)
    listing = asyncio.create_task(cloud.client.servers(HERE, max_age_s=0.0))
    await bench.clock.sleep(LATENCY_S / 2)
    began_s = bench.clock.monotonic()
    async with bench.access.replacing(row.id):
        assert bench.clock.monotonic() - began_s >= LATENCY_S / 3
        assert all(call.status is not None for call in bench.world.calls.since(0))
    assert (await listing).items == {}


async def test_a_swap_that_is_cut_while_it_waits_leaves_no_client_that_nothing_leaves_with(
    bench: Bench,
) -> None:
    """The queue cuts a step that takes too long; afterwards the Secret may be as it was before."""
    key = await bench.made()
    row = await bench.row()
    cloud = await bench.access.provider_for(row.organization_id, row.id)
    slow(bench, key)
    hanging = asyncio.create_task(cloud.client.servers(HERE, max_age_s=0.0))
    await bench.clock.sleep(LATENCY_S / 4)

    async def swap() -> None:
        async with bench.access.replacing(row.id):
            raise AssertionError("it does not wait")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(LATENCY_S / 4):
            await swap()
    await hanging
    again = await bench.access.provider_for(row.organization_id, row.id)
    await again.client.servers(HERE, max_age_s=0.0)
