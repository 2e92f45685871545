"""The positive control: asked seldom, shared by all who wait, and never taken for granted (L1, T8)."""

import asyncio

import pytest

from controllers.deployment.conftest import Rig
from inventiv_operator.controllers.control import CONTROL_VALID_S, PositiveControl, Verdict
from inventiv_operator.domain.ids import Zone
from inventiv_operator.domain.ledger import Resource
from inventiv_operator.store import credentials, ledger
from rig.tenant import ZONE
from scaleway_simulator import outside

HERE = Zone(ZONE)
GROUPS = "/security_groups"
NONE_LISTED = {"status": 200, "body": {"security_groups": []}, "times": None}


async def control_of(rig: Rig) -> PositiveControl:
    cloud = await rig.process.access.provider_for(rig.tenant.organization_id, rig.tenant.credential_id)
    return cloud.control


def asked(rig: Rig) -> int:
    return rig.calls("GET", GROUPS)


async def own_groups(rig: Rig) -> tuple[Resource, ...]:
    async with rig.around.database.reading(rig.tenant.organization_id) as conn:
        return await ledger.credential_resources(conn, rig.tenant.credential_id)


async def is_frozen(rig: Rig) -> bool:
    async with rig.around.database.reading(rig.tenant.organization_id) as conn:
        row = await credentials.get(conn, rig.tenant.credential_id)
    assert row is not None
    return bool(row.frozen_reason)


async def test_two_hundred_that_wait_for_it_share_one_answer(rig: Rig) -> None:
    control = await control_of(rig)
    results = await asyncio.gather(*(control.check(HERE) for _ in range(200)))
    assert {result.verdict for result in results} == {Verdict.HELD}
    first = asked(rig)
    await rig.around.clock.sleep(CONTROL_VALID_S + 1)
    await asyncio.gather(*(control.check(HERE) for _ in range(200)))
    assert asked(rig) == first + 1


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_L1_an_answer_that_says_nothing_holds_nothing(rig: Rig, status: int) -> None:
    control = await control_of(rig)
    await control.check(HERE)
    await rig.around.clock.sleep(60)
    rig.fault("status", "GET", GROUPS, status=status, times=None)
    before = asked(rig)
    results = await asyncio.gather(*(control.check(HERE) for _ in range(50)))
    assert {result.verdict for result in results} == {Verdict.UNKNOWN}
    assert asked(rig) == before + 1, "a cannot-tell is shared, too"
    assert not await is_frozen(rig)
    rig.world.faults.clear()
    await rig.around.clock.sleep(120)
    assert (await control.check(HERE)).verdict is Verdict.HELD


async def test_T8_a_key_that_sees_another_project_now_is_frozen(rig: Rig) -> None:
    control = await control_of(rig)
    assert (await control.check(HERE)).verdict is Verdict.HELD
    await rig.around.clock.sleep(60)
    outside.move(rig.world, rig.tenant.access_key, {"project_id": "9f3b9dfd-0000-4000-8000-000000000000"})
    assert (await control.check(HERE)).verdict is Verdict.BROKEN
    assert await is_frozen(rig)
    before = len(list(rig.world.calls.since(0)))
    assert (await control.check(HERE)).verdict is Verdict.BROKEN
    assert len(list(rig.world.calls.since(0))) == before


async def test_without_a_default_group_one_of_ours_is_made_and_stands_in_the_ledger(rig: Rig) -> None:
    rig.fault("status", "GET", rf"{GROUPS}\?", **NONE_LISTED)
    control = await control_of(rig)
    assert (await control.check(HERE)).verdict is Verdict.HELD
    (row,) = await own_groups(rig)
    (group,) = rig.billed()["security_groups"]
    assert (row.role, row.provider_ref) == ("control", group["id"])
    await rig.around.clock.sleep(60)
    assert (await control.check(HERE)).verdict is Verdict.HELD
    assert rig.calls("POST", GROUPS) == 1


async def test_a_control_group_that_was_made_without_an_answer_is_adopted(rig: Rig) -> None:
    rig.fault("status", "GET", rf"{GROUPS}\?", status=200, body={"security_groups": []})
    rig.fault("drop_after_commit", "POST", GROUPS)
    control = await control_of(rig)
    assert (await control.check(HERE)).verdict is Verdict.UNKNOWN
    default = [g for g in rig.world.security_groups if g.project_default]
    for group in default:
        rig.world.security_groups.remove(group)
    await rig.around.clock.sleep(60)
    found = await control.check(HERE)
    assert found.verdict is Verdict.HELD
    assert rig.calls("POST", GROUPS) == 1


async def test_a_control_group_that_was_refused_for_now_is_sent_again_soon(rig: Rig) -> None:
    rig.fault("status", "GET", rf"{GROUPS}\?", **NONE_LISTED)
    rig.fault("status", "POST", GROUPS, status=429)
    control = await control_of(rig)
    assert (await control.check(HERE)).verdict is Verdict.UNKNOWN
    await rig.around.clock.sleep(30)
    assert (await control.check(HERE)).verdict is Verdict.HELD


async def test_T8_a_control_group_that_may_not_be_made_freezes(rig: Rig) -> None:
    rig.fault("status", "GET", rf"{GROUPS}\?", **NONE_LISTED)
    rig.fault("status", "POST", GROUPS, status=403, times=None)
    control = await control_of(rig)
    assert (await control.check(HERE)).verdict is Verdict.BROKEN
    assert await is_frozen(rig)
