"""One listing for all who ask: its age, its flights, and what a writer sees of its writes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from inventiv_operator.domain.cloud import NewServer, VolumeApi
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.scaleway import sharing
from inventiv_operator.scaleway.client import ScalewayClient
from inventiv_operator.scaleway.errors import Ambiguous, NotFound, Precondition, RateLimited, Unavailable
from inventiv_operator.scaleway.listings import SERVERS
from inventiv_operator.scaleway.wire import Interrupted, NotSent, WireAnswer
from provider_parts.clients import OTHER_PROJECT, PROJECT, ZONE, client_of
from provider_parts.scripted_wire import Asked, ScriptedWire, answer, not_found
from runtime.virtual_time import LoopClock

pytestmark = pytest.mark.looptime

LATENCY_S = 0.5
NEW = NewServer(
    name="new",
    commercial_type="L4-1-24G",
    image_ref="i-1",
    tags=(),
    security_group_ref=ProviderRef("g-1"),
    dynamic_ip=True,
    root_size_bytes=None,
    root_volume_type="sbs_volume",
)


def now_s() -> float:
    return asyncio.get_running_loop().time()


def server(ref: str, *, state: str = "running", project: str = PROJECT) -> dict[str, Any]:
    return {
        "id": ref,
        "name": ref,
        "zone": str(ZONE),
        "state": state,
        "commercial_type": "L4-1-24G",
        "project": project,
        "tags": [],
        "creation_date": "2026-07-30T12:53:15+00:00",
        "volumes": {"0": {"id": f"v-{ref}", "volume_type": "sbs_volume"}},
        "public_ips": [],
        "security_group": None,
    }


class Provider:
    """Servers in a dict, each call half a second, the effect and the look in its middle."""

    def __init__(self) -> None:
        self.servers = {ref: server(ref) for ref in ("s-1", "s-2")}
        self.wire = ScriptedWire(self.reply)
        self.lists = 0
        self.gets = 0

    async def reply(self, asked: Asked) -> WireAnswer:
        await asyncio.sleep(LATENCY_S / 2)
        found = self.act(asked)
        await asyncio.sleep(LATENCY_S / 2)
        return found

    def act(self, asked: Asked) -> WireAnswer:  # noqa: PLR0911 - a line per endpoint
        ref = asked.path.split("/servers/")[-1].split("/")[0] if "/servers/" in asked.path else ""
        if asked.method == "GET" and not ref:
            self.lists += 1
            shown = [dict(each) for each in self.servers.values()]
            return answer(200, {"servers": shown}, total=len(shown))
        if asked.method == "POST" and not ref:
            self.servers["s-new"] = server("s-new", state="stopped")
            return answer(201, {"server": self.servers["s-new"]})
        if ref not in self.servers:
            return not_found("instance_server", ref)
        if asked.method == "GET":
            self.gets += 1
            return answer(200, {"server": self.servers[ref]})
        if asked.method == "DELETE":
            del self.servers[ref]
            return answer(204)
        action = asked.content.get("action")
        if action is None:
            self.servers[ref]["tags"] = asked.content["tags"]
            return answer(200, {"server": self.servers[ref]})
        self.servers[ref]["state"] = {"poweron": "starting", "terminate": "stopping"}[action]
        return answer(202, {"task": {}})


@asynccontextmanager
async def made() -> AsyncIterator[tuple[Provider, ScalewayClient]]:
    provider = Provider()
    async with client_of(provider.wire, LoopClock()) as found:
        yield provider, found.client


async def refs(client: ScalewayClient, *, max_age_s: float) -> set[str]:
    return set((await client.servers(ZONE, max_age_s=max_age_s)).items)


# -- age and flights ----------------------------------------------------------------------------------------


async def test_many_who_ask_at_once_cost_one_call() -> None:
    async with made() as (provider, client):
        found = await asyncio.gather(*(client.servers(ZONE, max_age_s=2.0) for _ in range(50)))
        assert provider.lists == 1
        assert all(listing is found[0] for listing in found)


async def test_a_listing_serves_until_it_is_too_old_for_who_asks() -> None:
    async with made() as (provider, client):
        await client.servers(ZONE, max_age_s=60.0)
        await asyncio.sleep(10.0)
        await client.servers(ZONE, max_age_s=60.0)
        assert provider.lists == 1
        await client.servers(ZONE, max_age_s=5.0)
        assert provider.lists == 2


async def test_its_age_counts_from_when_its_first_request_left() -> None:
    async with made() as (_, client):
        await asyncio.sleep(3.0)
        listing = await client.servers(ZONE, max_age_s=0.0)
        assert (listing.started_s, now_s()) == (3.0, 3.0 + LATENCY_S)


async def test_who_wants_a_listing_from_now_on_does_not_get_the_one_under_way() -> None:
    async with made() as (provider, client):
        first = asyncio.create_task(client.servers(ZONE, max_age_s=0.0))
        await asyncio.sleep(LATENCY_S * 0.4)
        asked_s = now_s()
        others = [asyncio.create_task(client.servers(ZONE, max_age_s=0.0)) for _ in range(20)]
        assert (await first).started_s < asked_s
        for listing in await asyncio.gather(*others):
            assert listing.started_s >= asked_s
        assert provider.lists == 2  # one under way, one for all who came too late


async def test_who_can_live_with_its_age_joins_the_one_under_way() -> None:
    async with made() as (provider, client):
        first = asyncio.create_task(client.servers(ZONE, max_age_s=0.0))
        await asyncio.sleep(LATENCY_S * 0.4)
        assert await client.servers(ZONE, max_age_s=2.0) is await first
        assert provider.lists == 1


async def test_a_waiter_that_is_cancelled_takes_the_flight_of_the_others_not_down() -> None:
    async with made() as (provider, client):
        first, second = (asyncio.create_task(client.servers(ZONE, max_age_s=2.0)) for _ in range(2))
        await asyncio.sleep(LATENCY_S / 2)
        first.cancel()
        assert set((await second).items) == {"s-1", "s-2"}
        assert first.cancelled()
        assert provider.lists == 1


async def test_a_flight_that_everybody_left_is_there_for_the_next_who_asks() -> None:
    async with made() as (provider, client):
        for _ in range(3):
            waiter = asyncio.create_task(client.servers(ZONE, max_age_s=2.0))
            await asyncio.sleep(LATENCY_S / 10)
            waiter.cancel()
        await client.servers(ZONE, max_age_s=2.0)
        assert provider.lists == 1


async def test_kinds_and_zones_have_listings_of_their_own() -> None:
    wire = ScriptedWire(
        lambda asked: answer(200, {asked.path.rsplit("/", 1)[1]: [], "total_count": 0}, total=0)
    )
    async with client_of(wire, LoopClock()) as found:
        client = found.client
        other = type(ZONE)("nl-ams-1")
        for _ in range(2):
            await asyncio.gather(
                client.servers(ZONE, max_age_s=5.0),
                client.servers(other, max_age_s=5.0),
                client.volumes(ZONE, max_age_s=5.0),
                client.local_volumes(ZONE, max_age_s=5.0),
                client.security_groups(ZONE, max_age_s=5.0),
                client.addresses(ZONE, max_age_s=5.0),
            )
        assert len(wire.asked) == 6
        assert len({asked.path for asked in wire.asked}) == 6


# -- failures -----------------------------------------------------------------------------------------------

FAILURES: dict[str, Callable[[Asked], WireAnswer]] = {
    "401": lambda _: answer(401, {"type": "denied_authentication"}),
    "403": lambda _: answer(403, {"type": "permissions_denied"}),
    "404": lambda _: not_found("zone", "fr-par-2"),
    "429": lambda _: answer(429),
    "500": lambda _: answer(500, {"type": "server_error"}),
    "empty": lambda _: answer(200),
    "another-shape": lambda _: answer(200, {"servers": [{"id": "s-1"}]}, total=1),
    "lacks-one": lambda _: answer(200, {"servers": [server("s-1")]}, total=2),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
async def test_L1_a_listing_that_fails_is_no_listing_and_no_absence(
    failure: Callable[[Asked], WireAnswer],
) -> None:
    async with made() as (provider, client):
        await client.servers(ZONE, max_age_s=2.0)
        await asyncio.sleep(10.0)
        provider.wire.reply = failure
        waiters = [client.servers(ZONE, max_age_s=2.0) for _ in range(3)]
        for result in await asyncio.gather(*waiters, return_exceptions=True):
            assert isinstance(result, Exception)
            assert not isinstance(result, NotFound)
        provider.wire.reply = provider.reply
        assert await refs(client, max_age_s=2.0) == {"s-1", "s-2"}


async def test_L1_a_second_page_that_fails_leaves_no_half_a_listing() -> None:
    things = [server(f"s-{n}") for n in range(150)]

    def reply(asked: Asked) -> WireAnswer:
        if asked.query["page"] == "1":
            return answer(200, {"servers": things[:100]}, total=150)
        return answer(503)

    async with client_of(ScriptedWire(reply), LoopClock()) as found:
        with pytest.raises(Unavailable):
            await found.client.servers(ZONE, max_age_s=0.0)


async def test_a_list_that_shrank_to_a_page_is_read_though_its_last_page_is_refused_now() -> None:
    things = [server(f"s-{n:03}") for n in range(150)]

    def reply(asked: Asked) -> WireAnswer:
        number = int(asked.query["page"])
        page = things[(number - 1) * 100 : number * 100]
        if number > 1 and not page:
            return answer(400, {"type": "invalid_arguments"})
        return answer(200, {"servers": page}, total=len(things))

    async with client_of(ScriptedWire(reply), LoopClock()) as found:
        assert len(await refs(found.client, max_age_s=0.0)) == 150
        del things[50:]
        await asyncio.sleep(1.0)
        await asyncio.gather(found.client.servers(ZONE, max_age_s=0.0), return_exceptions=True)
        assert len(await refs(found.client, max_age_s=0.0)) == 50


async def test_every_list_names_the_project_and_foreign_things_are_dropped_all_the_same() -> None:
    async with made() as (provider, client):
        provider.servers["theirs"] = server("theirs", project=OTHER_PROJECT)
        provider.servers["ours"] = server("ours", project=PROJECT.upper())
        assert await refs(client, max_age_s=0.0) == {"s-1", "s-2", "ours"}
        assert provider.wire.asked[0].query["project"] == PROJECT


async def test_closing_ends_a_flight_under_way() -> None:
    async with made() as (_, client):
        waiter = asyncio.create_task(client.servers(ZONE, max_age_s=2.0))
        await asyncio.sleep(LATENCY_S / 10)
    with pytest.raises(Unavailable, match="shutting down"):
        await waiter


# -- a writer and its own writes ----------------------------------------------------------------------------


async def test_a_listing_that_began_before_a_create_shows_what_was_made() -> None:
    async with made() as (provider, client):
        await refs(client, max_age_s=2.0)
        made_server = await client.create_server(
            ZONE, NEW, send_before=LoopClock().now() + timedelta(seconds=10)
        )
        listing = await client.servers(ZONE, max_age_s=60.0)
        assert listing.items[ProviderRef("s-new")] == made_server
        assert listing.started_s == 0.0  # and does not claim to be younger than it is
        assert provider.lists == 1


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        pytest.param(lambda c: c.power_on(ZONE, ProviderRef("s-1")), "starting", id="power-on"),
        pytest.param(lambda c: c.terminate(ZONE, ProviderRef("s-1")), "stopping", id="terminate"),
        pytest.param(lambda c: c.delete_server(ZONE, ProviderRef("s-1")), None, id="delete"),
    ],
)
async def test_after_a_write_an_older_listing_does_not_show_the_state_from_before(
    write: Callable[[ScalewayClient], Awaitable[None]], expected: str | None
) -> None:
    async with made() as (provider, client):
        await refs(client, max_age_s=2.0)
        await write(client)
        seen = (await client.servers(ZONE, max_age_s=60.0)).items.get(ProviderRef("s-1"))
        assert (None if seen is None else seen.state) == expected
        assert provider.lists == 1
        other = (await client.servers(ZONE, max_age_s=60.0)).items[ProviderRef("s-2")]
        assert other.state == "running"


async def test_a_listing_that_was_under_way_during_a_write_does_not_bring_the_state_from_before_back() -> (
    None
):
    async with made() as (provider, client):
        reading = asyncio.create_task(client.servers(ZONE, max_age_s=2.0))
        await asyncio.sleep(LATENCY_S * 0.9)  # it has seen s-1, and is on its way back
        writing = asyncio.create_task(client.delete_server(ZONE, ProviderRef("s-1")))
        assert ProviderRef("s-1") in (await reading).items
        await writing
        assert await refs(client, max_age_s=60.0) == {"s-2"}
        assert provider.lists == 1


async def test_a_write_whose_outcome_is_unknown_hides_the_thing_until_a_newer_listing_shows_it() -> None:
    async with made() as (provider, client):
        await refs(client, max_age_s=2.0)

        def broken(_: Asked) -> WireAnswer:
            raise Interrupted("reset")

        provider.wire.reply = broken
        with pytest.raises(Ambiguous):
            await client.terminate(ZONE, ProviderRef("s-1"))
        provider.wire.reply = provider.reply
        assert await refs(client, max_age_s=60.0) == {"s-2"}
        assert await refs(client, max_age_s=0.0) == {"s-1", "s-2"}


async def test_a_refused_write_hides_the_thing_too_for_it_was_not_as_it_was_thought_to_be() -> None:
    async with made() as (provider, client):
        await refs(client, max_age_s=2.0)
        provider.wire.reply = lambda _: answer(400, {"type": "precondition_failed"})
        with pytest.raises(Precondition):
            await client.power_on(ZONE, ProviderRef("s-1"))
        assert await refs(client, max_age_s=60.0) == {"s-2"}


@pytest.mark.parametrize("status", [429, None], ids=["429", "not-sent"])
async def test_a_write_that_did_nothing_changes_nothing(status: int | None) -> None:
    async with made() as (provider, client):
        await refs(client, max_age_s=2.0)

        def reply(_: Asked) -> WireAnswer:
            if status is None:
                raise NotSent("refused")
            return answer(status)

        provider.wire.reply = reply
        with pytest.raises((RateLimited, Unavailable)):
            await client.power_on(ZONE, ProviderRef("s-1"))
        assert await refs(client, max_age_s=60.0) == {"s-1", "s-2"}


async def test_a_newer_listing_wins_over_what_was_remembered() -> None:
    async with made() as (provider, client):
        await refs(client, max_age_s=2.0)
        await client.power_on(ZONE, ProviderRef("s-1"))
        provider.servers["s-1"]["state"] = "running"
        await asyncio.sleep(2.0)
        listing = await client.servers(ZONE, max_age_s=1.0)
        assert listing.items[ProviderRef("s-1")].state == "running"


async def test_what_was_read_by_id_is_shown_in_an_older_listing() -> None:
    async with made() as (provider, client):
        await refs(client, max_age_s=2.0)
        provider.servers["s-1"]["state"] = "stopped"
        await asyncio.sleep(1.0)
        await client.get_server(ZONE, ProviderRef("s-1"))
        listing = await client.servers(ZONE, max_age_s=60.0)
        assert listing.items[ProviderRef("s-1")].state == "stopped"


async def test_what_is_remembered_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "SINCE_MAX", 10)
    async with made() as (provider, client):
        await refs(client, max_age_s=2.0)
        for n in range(30):
            ref = ProviderRef(f"s-{n}")
            provider.servers[ref] = server(ref)
            await client.set_server_tags(ZONE, ref, ["a"])
        assert len(client._listings.of(SERVERS, ZONE)._since) <= 10
        assert len(await refs(client, max_age_s=600.0)) == 30  # it reads anew rather than show a half
        assert provider.lists == 2


async def test_volumes_are_remembered_by_the_api_they_belong_to() -> None:
    volume = {
        "id": "v-1",
        "name": "v",
        "status": "available",
        "size": 1,
        "project_id": PROJECT,
        "created_at": "2026-07-30T12:54:30Z",
        "tags": [],
        "specs": {},
        "references": [],
    }
    deleted = []

    def reply(asked: Asked) -> WireAnswer:
        if asked.method == "DELETE":
            deleted.append(asked.path)
            return answer(204)
        return answer(200, {"volumes": [volume], "total_count": 1})

    async with client_of(ScriptedWire(reply), LoopClock()) as found:
        client = found.client
        assert set((await client.volumes(ZONE, max_age_s=60.0)).items) == {"v-1"}
        await asyncio.sleep(0.1)
        await client.delete_volume(ZONE, ProviderRef("v-1"), api=VolumeApi.BLOCK)
        assert set((await client.volumes(ZONE, max_age_s=60.0)).items) == set()
        assert deleted == [f"/block/v1/zones/{ZONE}/volumes/v-1"]
