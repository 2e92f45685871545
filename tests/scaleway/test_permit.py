"""A client that was taken back: nothing of it leaves any more, and whoever tries is told so."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from inventiv_operator.domain.cloud import NewServer
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.scaleway.breaker import THRESHOLD
from inventiv_operator.scaleway.client import ScalewayClient
from inventiv_operator.scaleway.errors import Ambiguous, Rejected, Withdrawn
from inventiv_operator.scaleway.gate import GateLimits
from inventiv_operator.scaleway.pace import PaceLimits
from inventiv_operator.scaleway.permit import Permit
from inventiv_operator.scaleway.wire import WireAnswer
from provider_parts.clients import ORGANIZATION, ZONE, client_of
from provider_parts.scripted_wire import Asked, ScriptedWire, answer
from runtime.virtual_time import LoopClock

pytestmark = pytest.mark.looptime

REF = ProviderRef("cb63eaec-e7c5-4c1a-b3da-04a7c4bd51cd")
NEW = NewServer(
    name="web-0",
    commercial_type="L4-1-24G",
    image_ref="i-1",
    tags=(),
    security_group_ref=ProviderRef("g-1"),
    dynamic_ip=True,
    root_size_bytes=None,
    root_volume_type="sbs_volume",
)
Use = Callable[[ScalewayClient], Awaitable[object]]


def create(client: ScalewayClient) -> Awaitable[object]:
    return client.create_server(ZONE, NEW, send_before=LoopClock().now() + timedelta(seconds=3600))


USES: dict[str, Use] = {
    "read": lambda client: client.get_server(ZONE, REF),
    "list": lambda client: client.servers(ZONE, max_age_s=0.0),
    "create": create,
    "action": lambda client: client.power_on(ZONE, REF),
    "delete": lambda client: client.delete_server(ZONE, REF),
}


def withdrawn(permit: Permit) -> None:
    permit.withdraw("its key was replaced", reason="Progressing")


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
async def test_T8_nothing_leaves_by_a_client_that_was_taken_back(use: Use) -> None:
    wire, permit = ScriptedWire(lambda _: answer(204)), Permit()
    async with client_of(wire, LoopClock(), permit=permit) as made:
        withdrawn(permit)
        with pytest.raises(Withdrawn, match="nothing was sent") as refused:
            await use(made.client)
    assert wire.asked == []
    assert not isinstance(refused.value, Ambiguous)
    assert refused.value.reason == "Progressing"


async def test_a_call_that_waits_for_its_turn_is_stopped_too() -> None:
    one = GateLimits(key=PaceLimits(rate_per_s=1000.0, burst=10.0, concurrency=1))

    async def slow(_: Asked) -> WireAnswer:
        await asyncio.sleep(5.0)
        return answer(204)

    wire, permit = ScriptedWire(slow), Permit()
    async with client_of(wire, LoopClock(), limits=one, permit=permit) as made:
        deletes = [asyncio.create_task(made.client.delete_server(ZONE, REF)) for _ in range(3)]
        await asyncio.sleep(1.0)
        withdrawn(permit)
        ended = await asyncio.gather(*deletes, return_exceptions=True)
    assert [type(each) for each in ended] == [type(None), Withdrawn, Withdrawn]
    assert len(wire.asked) == 1


async def test_a_shared_listing_under_way_asks_for_no_other_page() -> None:
    def page(_: Asked) -> WireAnswer:
        withdrawn(permit)  # while the first page is on its way back
        return answer(200, {"servers": []}, total=250)

    wire, permit = ScriptedWire(page), Permit()
    async with client_of(wire, LoopClock(), permit=permit) as made:
        with pytest.raises(Withdrawn):
            await made.client.servers(ZONE, max_age_s=0.0)
    assert len(wire.asked) == 1


async def test_what_was_never_sent_says_nothing_about_the_way_to_the_provider() -> None:
    """Old and new client may share a gate: a key that was frozen and thaws."""
    wire, permit = ScriptedWire(lambda _: answer(204)), Permit()
    async with client_of(wire, LoopClock(), permit=permit) as made:
        other = made.factory.client(
            organization_id=ORGANIZATION, project_id="p", access_key="a", secret_key=made.secret
        )
        withdrawn(permit)
        for _ in range(2 * THRESHOLD):
            with pytest.raises(Withdrawn):
                await made.client.delete_server(ZONE, REF)
        await other.delete_server(ZONE, REF)
    assert len(wire.asked) == 1


async def test_what_is_on_its_way_is_waited_for_and_no_longer_than_a_connection_takes() -> None:
    async def slow(_: Asked) -> WireAnswer:
        await asyncio.sleep(latency_s)
        return answer(204)

    permit, latency_s = Permit(), 0.0
    clock = LoopClock()
    async with client_of(ScriptedWire(slow), clock, permit=permit) as made:
        for latency_s, expected_s in ((2.0, 2.0), (20.0, 5.0)):  # noqa: B007 (`slow` reads it)
            delete = asyncio.create_task(made.client.delete_server(ZONE, REF))
            await asyncio.sleep(0)
            began_s = clock.monotonic()
            await permit.drained(within_s=5.0)
            assert clock.monotonic() - began_s == pytest.approx(expected_s)
            await delete
        await permit.drained(within_s=5.0)


async def test_a_401_is_told_as_long_as_the_client_is_in_use() -> None:
    told: list[int] = []
    permit = Permit(on_rejected=lambda: told.append(1))
    wire = ScriptedWire(lambda _: answer(401, {"type": "denied_authentication"}))
    async with client_of(wire, LoopClock(), permit=permit) as made:
        with pytest.raises(Rejected):
            await made.client.get_server(ZONE, REF)
        wire.reply = lambda _: answer(403, {"type": "permissions_denied"})
        with pytest.raises(Exception, match="403"):
            await made.client.get_server(ZONE, REF)
    assert told == [1]
