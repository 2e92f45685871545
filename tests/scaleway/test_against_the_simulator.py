"""The client and the simulator in one process and virtual time: a whole life, and its faults."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from inventiv_operator.domain.cloud import GB, RUNNING, STARTING, STOPPED, IngressRule, NewServer, VolumeApi
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.scaleway.client import ScalewayClient
from inventiv_operator.scaleway.errors import (
    Ambiguous,
    Denied,
    NotFound,
    Precondition,
    RateLimited,
    Rejected,
    ScalewayError,
    Unavailable,
)
from provider_parts.clients import ACCESS_KEY, PROJECT, SECRET, ZONE, client_of
from provider_parts.wire_httpx import HttpxWire
from runtime.virtual_time import LoopClock
from scaleway_simulator.app import create_app
from scaleway_simulator.in_process import InProcessTransport
from scaleway_simulator.world import World

pytestmark = pytest.mark.looptime

TYPE = "PLAY2-NANO"


@asynccontextmanager
async def simulated() -> AsyncIterator[tuple[World, ScalewayClient]]:
    world = World(clock=LoopClock())
    world.reset(
        {
            "projects": [{"id": PROJECT, "organization_id": PROJECT}],
            "keys": [{"access_key": ACCESS_KEY, "secret_key": SECRET, "project_id": PROJECT}],
            "latency_ms": 50,
        }
    )
    async with (
        InProcessTransport(create_app(world)) as transport,
        client_of(HttpxWire(transport), LoopClock()) as made,
    ):
        yield world, made.client


def soon() -> Any:
    return LoopClock().now() + timedelta(seconds=10)


async def group_of(client: ScalewayClient) -> ProviderRef:
    seen = await client.create_security_group(ZONE, name="g", tags=("a=b",), send_before=soon())
    return seen.ref


async def new_server(client: ScalewayClient, group: ProviderRef, *, name: str = "web-0") -> NewServer:
    image = await client.local_image(ZONE, label="ubuntu_jammy", commercial_type=TYPE, storage="instance_sbs")
    return NewServer(
        name=name,
        commercial_type=TYPE,
        image_ref=image,
        tags=("inventiv-attempt=1",),
        security_group_ref=group,
        dynamic_ip=True,
        root_size_bytes=20 * GB,
        root_volume_type="sbs_volume",
    )


async def test_from_create_to_nothing_left() -> None:
    async with simulated() as (_, client):
        assert (await client.server_types(ZONE))[TYPE].block_storage
        group = await group_of(client)
        rule = IngressRule(protocol="TCP", port=80, cidr="0.0.0.0/0")
        await client.set_security_group_rules(ZONE, group, [rule])
        new = await new_server(client, group)
        server = await client.create_server(ZONE, new, send_before=soon())
        assert (server.state, server.tags, server.security_group_ref) == (STOPPED, new.tags, group)
        (root,) = server.volumes
        await client.set_cloud_init(ZONE, server.ref, "#cloud-config\n")
        await asyncio.sleep(5.0)
        tagged = await client.tag_volume(ZONE, root.ref, api=VolumeApi.BLOCK, tags=new.tags)
        assert (tagged.tags, tagged.attached_to, tagged.size_bytes) == (new.tags, (server.ref,), 20 * GB)
        await client.power_on(ZONE, server.ref)
        with pytest.raises(Precondition):
            await client.power_on(ZONE, server.ref)
        assert (await client.get_server(ZONE, server.ref)).state == STARTING
        await asyncio.sleep(10.0)
        running = (await client.servers(ZONE, max_age_s=1.0)).items[server.ref]
        assert running.state == RUNNING
        assert [address.dynamic for address in running.addresses] == [True]

        with pytest.raises(Precondition):
            await client.delete_volume(ZONE, root.ref, api=VolumeApi.BLOCK)
        await client.terminate(ZONE, server.ref)
        await asyncio.sleep(30.0)
        with pytest.raises(NotFound):
            await client.get_server(ZONE, server.ref)
        await client.delete_volume(ZONE, root.ref, api=VolumeApi.BLOCK)
        with pytest.raises(NotFound):
            await client.get_volume(ZONE, root.ref, api=VolumeApi.BLOCK)
        await client.delete_security_group(ZONE, group)
        with pytest.raises(NotFound):
            await client.get_security_group(ZONE, group)
        assert not (await client.servers(ZONE, max_age_s=0.0)).items
        assert not (await client.volumes(ZONE, max_age_s=0.0)).items
        assert not (await client.addresses(ZONE, max_age_s=0.0)).items


async def test_the_default_group_is_found_and_read() -> None:
    async with simulated() as (_, client):
        default = await client.default_security_group(ZONE)
        assert default is not None
        assert (await client.get_security_group(ZONE, default.ref)).project_default


async def test_a_key_says_who_it_is() -> None:
    async with simulated() as (_, client):
        facts = await client.key_facts()
        assert (facts.known, facts.default_project_id) == (True, PROJECT)


async def test_a_listing_of_several_pages_is_whole_while_servers_come_and_go() -> None:
    async with simulated() as (_, client):
        group = await group_of(client)
        new = await new_server(client, group)
        made = await asyncio.gather(
            *(client.create_server(ZONE, new, send_before=soon()) for _ in range(130))
        )
        kept = {seen.ref for seen in made[30:]}

        async def churn() -> None:
            for seen in made[:30]:
                await client.delete_server(ZONE, seen.ref)
                await client.create_server(ZONE, new, send_before=soon())

        churning = asyncio.create_task(churn())
        read = 0
        while not churning.done():
            listing = await client.servers(ZONE, max_age_s=0.0)
            assert kept <= set(listing.items)
            read += 1
        await churning
        assert read > 10
        assert len((await client.servers(ZONE, max_age_s=0.0)).items) == 130


FAULTS = [
    pytest.param({"kind": "drop_after_commit"}, Ambiguous, True, id="dropped-after"),
    pytest.param({"kind": "drop_before"}, Ambiguous, False, id="dropped-before"),
    pytest.param({"kind": "delay", "seconds": 60}, Ambiguous, True, id="too-late"),
    pytest.param({"kind": "html"}, Ambiguous, False, id="html"),
    pytest.param({"kind": "truncated"}, Ambiguous, True, id="truncated"),
    pytest.param({"kind": "empty_body"}, Ambiguous, True, id="empty"),
    pytest.param({"kind": "status", "status": 500, "commit": True}, Ambiguous, True, id="500-and-made"),
    pytest.param({"kind": "status", "status": 429}, RateLimited, False, id="429"),
    pytest.param({"kind": "status", "status": 401}, Rejected, False, id="401"),
    pytest.param({"kind": "status", "status": 403}, Denied, False, id="403"),
]


@pytest.mark.parametrize(("fault", "expected", "was_made"), FAULTS)
async def test_L3_only_an_ambiguous_create_may_have_made_something(
    *, fault: dict[str, Any], expected: type[ScalewayError], was_made: bool
) -> None:
    async with simulated() as (world, client):
        new = await new_server(client, await group_of(client))
        world.faults.add(
            world.faults.parse([{"match": {"method": "POST", "path_regex": "/servers$"}, **fault}]),
            seconds=world.time.seconds(),
        )
        with pytest.raises(ScalewayError) as caught:
            await client.create_server(ZONE, new, send_before=soon())
        assert type(caught.value) is expected
        await asyncio.sleep(2.0)
        listed = (await client.servers(ZONE, max_age_s=0.0)).items.values()
        assert [seen.tags for seen in listed] == ([new.tags] if was_made else [])


async def test_L1_a_listing_with_half_its_items_is_none() -> None:
    async with simulated() as (world, client):
        new = await new_server(client, await group_of(client))
        for _ in range(4):
            await client.create_server(ZONE, new, send_before=soon())
        world.faults.add(
            world.faults.parse(
                [{"match": {"path_regex": "/servers"}, "kind": "partial_page", "times": None}]
            ),
            seconds=world.time.seconds(),
        )
        with pytest.raises(Unavailable, match="partial listing"):
            await client.servers(ZONE, max_age_s=0.0)
        world.faults.clear()
        assert len((await client.servers(ZONE, max_age_s=0.0)).items) == 4
