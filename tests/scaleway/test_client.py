"""What is sent, what is believed, and when nothing is sent at all."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from inventiv_operator.domain.cloud import GB, IngressRule, NewServer, VolumeApi
from inventiv_operator.domain.ids import ProviderRef, Zone
from inventiv_operator.scaleway.client import ScalewayClient
from inventiv_operator.scaleway.errors import (
    Ambiguous,
    ForeignProject,
    ImageNotFound,
    InvalidArguments,
    NotFound,
    OutOfStock,
    QuotaExceeded,
    SendWindowClosed,
    Unavailable,
)
from inventiv_operator.scaleway.gate import GateLimits
from inventiv_operator.scaleway.pace import PaceLimits
from inventiv_operator.scaleway.permit import Permit
from inventiv_operator.scaleway.wire import Interrupted, WireAnswer
from provider_parts.clients import (
    ACCESS_KEY,
    ORGANIZATION,
    OTHER_ORGANIZATION,
    OTHER_PROJECT,
    PROJECT,
    SECRET,
    ZONE,
    client_of,
)
from provider_parts.recordings import recorded
from provider_parts.scripted_wire import Asked, ScriptedWire, answer, not_found
from runtime.virtual_time import LoopClock

pytestmark = pytest.mark.looptime

REF = ProviderRef("cb63eaec-e7c5-4c1a-b3da-04a7c4bd51cd")
OTHER_REF = ProviderRef("5a90a249-4707-4bb9-8b86-bc23339c2b14")
NEW = NewServer(
    name="web-0",
    commercial_type="L4-1-24G",
    image_ref="72bda464-b1f6-4b87-ab1c-025265f435bf",
    tags=("inventiv-instance=1", "inventiv-attempt=2"),
    security_group_ref=ProviderRef("g-1"),
    dynamic_ip=True,
    root_size_bytes=120 * GB,
    root_volume_type="sbs_volume",
)


def server(*, ref: str = REF, project: str = PROJECT) -> dict[str, Any]:
    return {
        "id": ref,
        "name": "web-0",
        "zone": str(ZONE),
        "state": "stopped",
        "commercial_type": "L4-1-24G",
        "project": project,
        "tags": [],
        "creation_date": "2026-07-30T12:53:15+00:00",
        "volumes": {"0": {"id": "v-1", "volume_type": "sbs_volume"}},
        "public_ips": [],
        "security_group": {"id": "g-1", "name": "g"},
    }


def group(*, ref: str = REF, project: str = PROJECT, default: bool = False) -> dict[str, Any]:
    return {"id": ref, "name": "g", "project": project, "tags": [], "project_default": default}


def block_volume(*, project: str = PROJECT) -> dict[str, Any]:
    return {
        "id": REF,
        "name": "v",
        "status": "available",
        "size": 1,
        "project_id": project,
        "created_at": "2026-07-30T12:54:30Z",
        "tags": [],
        "specs": {"perf_iops": 5000},
        "references": [],
    }


def local_volume(*, project: str = PROJECT) -> dict[str, Any]:
    return {
        "id": REF,
        "name": "v",
        "state": "available",
        "size": 1,
        "project": project,
        "creation_date": "2026-07-30T12:54:30+00:00",
        "tags": [],
        "server": None,
    }


def soon(after_s: float = 10.0) -> datetime:
    return LoopClock().now() + timedelta(seconds=after_s)


async def ask(reply: WireAnswer, call: Callable[[ScalewayClient], Awaitable[Any]]) -> tuple[Any, Asked]:
    """What the call gave, and the one request that it cost."""
    wire = ScriptedWire(lambda _: reply)
    async with client_of(wire, LoopClock()) as made:
        found = await call(made.client)
    assert len(wire.asked) == 1
    return found, wire.asked[0]


# -- what is sent -------------------------------------------------------------------------------------------


async def test_a_create_asks_for_everything_in_one_call() -> None:
    seen, asked = await ask(
        answer(201, {"server": server()}), lambda c: c.create_server(ZONE, NEW, send_before=soon())
    )
    assert (asked.method, asked.path) == ("POST", f"/instance/v1/zones/{ZONE}/servers")
    assert asked.content == {
        "name": "web-0",
        "commercial_type": "L4-1-24G",
        "project": PROJECT,
        "image": "72bda464-b1f6-4b87-ab1c-025265f435bf",
        "boot_type": "local",
        "dynamic_ip_required": True,
        "security_group": "g-1",
        "tags": ["inventiv-instance=1", "inventiv-attempt=2"],
        "volumes": {"0": {"volume_type": "sbs_volume", "size": 120 * GB}},
    }
    assert asked.headers["X-Auth-Token"] == SECRET
    assert [volume.ref for volume in seen.volumes] == ["v-1"]


async def test_a_root_without_a_size_is_left_to_the_image_in_the_form_that_was_recorded() -> None:
    new = replace(NEW, root_size_bytes=None)
    _, asked = await ask(
        answer(201, {"server": server()}), lambda c: c.create_server(ZONE, new, send_before=soon())
    )
    assert asked.content["volumes"] == {"0": {"boot": False}}
    creates = recorded("POST", "/instance/v1/zones/{zone}/servers")
    assert any((e.raw["req_body"] or {}).get("volumes") == {"0": {"boot": False}} for e in creates)


async def test_no_create_sends_a_field_that_was_never_recorded() -> None:
    _, asked = await ask(
        answer(201, {"server": server()}), lambda c: c.create_server(ZONE, NEW, send_before=soon())
    )
    known = {
        name
        for exchange in recorded("POST", "/instance/v1/zones/{zone}/servers")
        if exchange.status == 201
        for name in exchange.raw["req_body"] or ()
    }
    assert set(asked.content) <= known


async def test_a_cloud_init_is_sent_as_it_is() -> None:
    text = "#cloud-config\nwrite_files: [{content: 'é'}]\n"
    _, asked = await ask(answer(204), lambda c: c.set_cloud_init(ZONE, REF, text))
    assert asked.method == "PATCH"
    assert asked.path == f"/instance/v1/zones/{ZONE}/servers/{REF}/user_data/cloud-init"
    assert asked.headers["Content-Type"] == "text/plain"
    assert asked.body == text.encode()


@pytest.mark.parametrize(
    ("call", "reply", "method", "path", "content"),
    [
        pytest.param(
            lambda c: c.power_on(ZONE, REF),
            answer(202, {"task": {}}),
            "POST",
            f"/instance/v1/zones/{ZONE}/servers/{REF}/action",
            {"action": "poweron"},
            id="power-on",
        ),
        pytest.param(
            lambda c: c.terminate(ZONE, REF),
            answer(202, {"task": {}}),
            "POST",
            f"/instance/v1/zones/{ZONE}/servers/{REF}/action",
            {"action": "terminate"},
            id="terminate",
        ),
        pytest.param(
            lambda c: c.delete_server(ZONE, REF),
            answer(204),
            "DELETE",
            f"/instance/v1/zones/{ZONE}/servers/{REF}",
            None,
            id="delete-server",
        ),
        pytest.param(
            lambda c: c.detach_volume(ZONE, REF, OTHER_REF),
            answer(200, {"server": server()}),
            "POST",
            f"/instance/v1/zones/{ZONE}/servers/{REF}/detach-volume",
            {"volume_id": OTHER_REF},
            id="detach-volume",
        ),
        pytest.param(
            lambda c: c.set_server_tags(ZONE, REF, ("a", "b")),
            answer(200, {"server": server()}),
            "PATCH",
            f"/instance/v1/zones/{ZONE}/servers/{REF}",
            {"tags": ["a", "b"]},
            id="tag-server",
        ),
        pytest.param(
            lambda c: c.tag_volume(ZONE, REF, api=VolumeApi.BLOCK, tags=("a",)),
            answer(200, block_volume()),
            "PATCH",
            f"/block/v1/zones/{ZONE}/volumes/{REF}",
            {"tags": ["a"]},
            id="tag-block-volume",
        ),
        pytest.param(
            lambda c: c.tag_volume(ZONE, REF, api=VolumeApi.INSTANCE, tags=("a",)),
            answer(200, {"volume": local_volume()}),
            "PATCH",
            f"/instance/v1/zones/{ZONE}/volumes/{REF}",
            {"tags": ["a"]},
            id="tag-local-volume",
        ),
        pytest.param(
            lambda c: c.set_volume_iops(ZONE, REF, 15000),
            answer(200, block_volume()),
            "PATCH",
            f"/block/v1/zones/{ZONE}/volumes/{REF}",
            {"perf_iops": 15000},
            id="iops",
        ),
        pytest.param(
            lambda c: c.resize_volume(ZONE, REF, size_bytes=2 * GB),
            answer(200, block_volume()),
            "PATCH",
            f"/block/v1/zones/{ZONE}/volumes/{REF}",
            {"size": 2 * GB},
            id="resize",
        ),
        pytest.param(
            lambda c: c.delete_volume(ZONE, REF, api=VolumeApi.BLOCK),
            answer(204),
            "DELETE",
            f"/block/v1/zones/{ZONE}/volumes/{REF}",
            None,
            id="delete-block-volume",
        ),
        pytest.param(
            lambda c: c.delete_volume(ZONE, REF, api=VolumeApi.INSTANCE),
            answer(204),
            "DELETE",
            f"/instance/v1/zones/{ZONE}/volumes/{REF}",
            None,
            id="delete-local-volume",
        ),
        pytest.param(
            lambda c: c.delete_security_group(ZONE, REF),
            answer(204),
            "DELETE",
            f"/instance/v1/zones/{ZONE}/security_groups/{REF}",
            None,
            id="delete-group",
        ),
    ],
)
async def test_every_write_is_one_call(
    call: Callable[[ScalewayClient], Awaitable[Any]],
    reply: WireAnswer,
    method: str,
    path: str,
    content: object,
) -> None:
    _, asked = await ask(reply, call)
    assert (asked.method, asked.path, asked.content) == (method, path, content)


async def test_a_group_is_made_closed_and_its_rules_open_what_is_asked_for() -> None:
    _, asked = await ask(
        answer(201, {"security_group": group()}),
        lambda c: c.create_security_group(ZONE, name="g", tags=("a",), send_before=soon()),
    )
    assert asked.content["inbound_default_policy"] == "drop"
    assert asked.content["stateful"] is True
    assert asked.content["project"] == PROJECT
    rule = IngressRule(protocol="TCP", port=8000, cidr="203.0.113.0/24")
    _, asked = await ask(answer(200, {"rules": []}), lambda c: c.set_security_group_rules(ZONE, REF, [rule]))
    (sent,) = asked.content["rules"]
    assert (sent["direction"], sent["action"], sent["protocol"]) == ("inbound", "accept", "TCP")
    assert (sent["ip_range"], sent["dest_port_from"], sent["dest_port_to"]) == ("203.0.113.0/24", 8000, None)
    put = recorded("PUT", "/instance/v1/zones/{zone}/security_groups/{id}/rules")
    assert any(set(sent) <= set(r) for e in put for r in (e.raw["req_body"] or {}).get("rules", ()))


# -- when nothing is sent -----------------------------------------------------------------------------------


async def test_a_create_whose_turn_comes_too_late_is_not_sent() -> None:
    slow = GateLimits(key=PaceLimits(rate_per_s=1.0, burst=1.0), max_wait_s=100.0)
    wire = ScriptedWire(lambda _: answer(201, {"server": server()}))
    async with client_of(wire, LoopClock(), limits=slow) as made:
        results = await asyncio.gather(
            *(made.client.create_server(ZONE, NEW, send_before=soon(2.5)) for _ in range(5)),
            return_exceptions=True,
        )
    assert [type(result) for result in results[3:]] == [SendWindowClosed] * 2
    assert len(wire.asked) == 3


async def test_send_before_is_checked_after_everything_that_may_take_time() -> None:
    class Stalls:
        async def before(self, method: str, template: str) -> None:
            await asyncio.sleep(11.0)

        async def after(self, method: str, template: str) -> None:
            raise AssertionError("nothing left")

    wire = ScriptedWire(lambda _: answer(201, {"server": server()}))
    async with client_of(wire, LoopClock(), observer=Stalls()) as made:
        with pytest.raises(SendWindowClosed):
            await made.client.create_server(ZONE, NEW, send_before=soon(10.0))
        with pytest.raises(SendWindowClosed):
            await made.client.create_security_group(ZONE, name="g", tags=(), send_before=soon(10.0))
    assert wire.asked == []


async def test_B7_who_does_not_lead_any_more_changes_nothing_and_still_reads() -> None:
    class LostError(Exception):
        pass

    leads = True

    def may_write() -> None:
        if not leads:
            raise LostError

    class TakesOver:
        """While the call waits for its turn another process takes over."""

        async def before(self, method: str, template: str) -> None:
            nonlocal leads
            leads = False

        async def after(self, method: str, template: str) -> None:
            pass

    wire = ScriptedWire(lambda _: answer(200, {"server": server()}))
    one = GateLimits(key=PaceLimits(rate_per_s=100.0, burst=10.0, concurrency=1))
    permit = Permit(may_write=may_write)
    async with client_of(wire, LoopClock(), observer=TakesOver(), limits=one, permit=permit) as made:
        for write in (
            lambda: made.client.create_server(ZONE, NEW, send_before=soon()),
            lambda: made.client.power_on(ZONE, REF),
            lambda: made.client.set_server_tags(ZONE, REF, ()),
            lambda: made.client.delete_server(ZONE, REF),
        ):
            leads = True
            with pytest.raises(LostError):
                await write()
        await made.client.get_server(ZONE, REF)
    assert [asked.method for asked in wire.asked] == ["GET"]


async def test_a_closed_window_frees_its_turn() -> None:
    one = GateLimits(key=PaceLimits(rate_per_s=100.0, burst=10.0, concurrency=1))
    wire = ScriptedWire(lambda _: answer(201, {"server": server()}))
    async with client_of(wire, LoopClock(), limits=one) as made:
        for _ in range(20):
            with pytest.raises(SendWindowClosed):
                await made.client.create_server(ZONE, NEW, send_before=soon(-1.0))
        await made.client.create_server(ZONE, NEW, send_before=soon())


async def test_an_exchange_ends_after_its_time_however_the_answer_dribbles() -> None:
    async def forever(_: Asked) -> WireAnswer:
        await asyncio.sleep(3600.0)
        raise AssertionError

    async with client_of(ScriptedWire(forever), LoopClock(), timeout_s=30.0) as made:
        began_s = LoopClock().monotonic()
        with pytest.raises(Ambiguous):
            await made.client.create_server(ZONE, NEW, send_before=soon())
        assert LoopClock().monotonic() - began_s == pytest.approx(30.0)


# -- what is believed ---------------------------------------------------------------------------------------

FOREIGN = [
    pytest.param(
        lambda c: c.get_server(ZONE, REF), {"server": server(project=OTHER_PROJECT)}, id="get-server"
    ),
    pytest.param(
        lambda c: c.create_server(ZONE, NEW, send_before=soon()),
        {"server": server(project=OTHER_PROJECT)},
        id="create-server",
    ),
    pytest.param(
        lambda c: c.get_security_group(ZONE, REF),
        {"security_group": group(project=OTHER_PROJECT)},
        id="get-group",
    ),
    pytest.param(
        lambda c: c.create_security_group(ZONE, name="g", tags=(), send_before=soon()),
        {"security_group": group(project=OTHER_PROJECT)},
        id="create-group",
    ),
    pytest.param(
        lambda c: c.get_volume(ZONE, REF, api=VolumeApi.BLOCK),
        block_volume(project=OTHER_PROJECT),
        id="get-block-volume",
    ),
    pytest.param(
        lambda c: c.get_volume(ZONE, REF, api=VolumeApi.INSTANCE),
        {"volume": local_volume(project=OTHER_PROJECT)},
        id="get-local-volume",
    ),
    pytest.param(
        lambda c: c.tag_volume(ZONE, REF, api=VolumeApi.BLOCK, tags=()),
        block_volume(project=OTHER_PROJECT),
        id="tag-volume",
    ),
]


@pytest.mark.parametrize(("call", "content"), FOREIGN)
async def test_T8_an_answer_about_another_project_is_never_believed(
    call: Callable[[ScalewayClient], Awaitable[Any]], content: object
) -> None:
    with pytest.raises(ForeignProject):
        await ask(answer(200, content), call)


async def test_an_answer_about_another_id_is_no_answer() -> None:
    with pytest.raises(Unavailable, match="another id"):
        await ask(answer(200, {"server": server(ref=OTHER_REF)}), lambda c: c.get_server(ZONE, REF))


async def test_the_project_is_compared_whatever_the_case_of_its_letters() -> None:
    seen, _ = await ask(
        answer(200, {"server": server(project=PROJECT.upper())}), lambda c: c.get_server(ZONE, REF)
    )
    assert seen.ref == REF


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(answer(401, {"type": "denied_authentication"}), id="401"),
        pytest.param(answer(403, {"type": "permissions_denied"}), id="403"),
        pytest.param(answer(429), id="429"),
        pytest.param(answer(500, {"type": "server_error"}), id="500"),
        pytest.param(answer(503), id="503"),
        pytest.param(answer(404), id="404-empty"),
        pytest.param(answer(404, body=b"<html></html>"), id="404-html"),
        pytest.param(not_found("instance_server", OTHER_REF), id="404-about-another"),
        pytest.param(answer(200), id="200-empty"),
    ],
)
async def test_L1_nothing_but_the_404_for_this_very_id_is_not_found(reply: WireAnswer) -> None:
    for call in (
        lambda c: c.get_server(ZONE, REF),
        lambda c: c.get_volume(ZONE, REF, api=VolumeApi.BLOCK),
        lambda c: c.get_security_group(ZONE, REF),
        lambda c: c.get_address(ZONE, REF),
    ):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what this is about
            await ask(reply, call)
        assert not isinstance(caught.value, NotFound)


async def test_L1_a_timeout_is_not_found_missing() -> None:
    def broken(_: Asked) -> WireAnswer:
        raise Interrupted("reset")

    async with client_of(ScriptedWire(broken), LoopClock()) as made:
        with pytest.raises(Unavailable):
            await made.client.get_server(ZONE, REF)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(not_found("instance_image", "i-1"), ImageNotFound, id="image"),
        pytest.param(not_found("instance_security_group", "g-1"), NotFound, id="group"),
        pytest.param(answer(412, {"type": "out_of_stock", "resource": "L4-1-24G"}), OutOfStock, id="stock"),
        pytest.param(answer(403, {"type": "quotas_exceeded", "details": []}), QuotaExceeded, id="quota"),
        pytest.param(answer(400, {"type": "invalid_arguments"}), InvalidArguments, id="arguments"),
        pytest.param(answer(500, {"type": "server_error"}), Ambiguous, id="500-that-may-have-created"),
    ],
)
async def test_what_a_refused_create_means(reply: WireAnswer, expected: type[Exception]) -> None:
    with pytest.raises(expected) as caught:
        await ask(reply, lambda c: c.create_server(ZONE, NEW, send_before=soon()))
    assert type(caught.value) is expected


# -- groups -------------------------------------------------------------------------------------------------


async def test_the_default_group_is_the_projects_own() -> None:
    groups = [
        group(ref="theirs", project=OTHER_PROJECT, default=True),
        group(ref="plain"),
        group(ref="default", default=True),
    ]
    seen, _ = await ask(
        answer(200, {"security_groups": groups}, total=3), lambda c: c.default_security_group(ZONE)
    )
    assert seen.ref == "default"
    seen, _ = await ask(
        answer(200, {"security_groups": groups[:2]}, total=2), lambda c: c.default_security_group(ZONE)
    )
    assert seen is None


# -- the catalog --------------------------------------------------------------------------------------------


def kind_of_server(price: float = 0.7875) -> dict[str, Any]:
    return {
        "arch": "x86_64",
        "ncpus": 8,
        "ram": 48 * 2**30,
        "gpu": 1,
        "hourly_price": price,
        "volumes_constraint": {"min_size": 0, "max_size": 0},
        "capabilities": {"block_storage": True},
    }


def catalog(names: list[str], *, size: int) -> Callable[[Asked], WireAnswer]:
    def reply(asked: Asked) -> WireAnswer:
        number = int(asked.query["page"])
        page = names[(number - 1) * size : number * size]
        return answer(200, {"servers": {name: kind_of_server() for name in page}}, total=len(names))

    return reply


@pytest.mark.parametrize("size", [50, 100, 7])
async def test_types_of_all_pages_are_found_whatever_their_size(size: int) -> None:
    names = [f"T-{n:03}" for n in range(136)]
    async with client_of(ScriptedWire(catalog(names, size=size)), LoopClock()) as made:
        types = await made.client.server_types(ZONE)
    assert set(types) == set(names)
    assert types["T-135"].price_eur_per_hour == Decimal("0.7875")


async def test_the_catalog_is_read_once_an_hour_by_however_many_ask() -> None:
    wire = ScriptedWire(catalog(["L4-1-24G"], size=100))
    async with client_of(wire, LoopClock()) as made:
        await asyncio.gather(*(made.client.server_types(ZONE) for _ in range(10)))
        await asyncio.sleep(3599.0)
        await made.client.server_types(ZONE)
        assert len(wire.asked) == 1
        await asyncio.sleep(2.0)
        await made.client.server_types(ZONE)
        assert len(wire.asked) == 2


async def test_a_catalog_that_ends_early_is_none() -> None:
    def reply(asked: Asked) -> WireAnswer:
        return answer(
            200, {"servers": {"A": kind_of_server()} if asked.query["page"] == "1" else {}}, total=9
        )

    async with client_of(ScriptedWire(reply), LoopClock()) as made:
        with pytest.raises(Unavailable, match="partial"):
            await made.client.server_types(ZONE)


async def test_a_zone_that_is_none_is_not_found() -> None:
    with pytest.raises(NotFound):
        await ask(not_found("zone", "xx-yyy-1"), lambda c: c.server_types(Zone("xx-yyy-1")))


def image(ref: str, *types: str, label: str = "ubuntu", zone: str = str(ZONE)) -> dict[str, Any]:
    return {"id": ref, "label": label, "zone": zone, "compatible_commercial_types": list(types)}


async def find(client: ScalewayClient, *, commercial_type: str, label: str = "ubuntu") -> str:
    return await client.local_image(
        ZONE, label=label, commercial_type=commercial_type, storage="instance_sbs"
    )


async def test_an_image_is_the_one_for_the_type() -> None:
    images = [
        image("elsewhere", "L4-1-24G", zone="nl-ams-1"),
        image("other-label", "L4-1-24G", label="debian"),
        image("arm", "COPARM1-2C-8G"),
        image("right", "GP1-S", "L4-1-24G"),
    ]
    wire = ScriptedWire(lambda _: answer(200, {"local_images": images, "total_count": 4}))
    async with client_of(wire, LoopClock()) as made:
        assert await find(made.client, commercial_type="L4-1-24G") == "right"
        assert await find(made.client, commercial_type="COPARM1-2C-8G") == "arm"
        with pytest.raises(ImageNotFound, match="L40S-1-48G"):
            await find(made.client, commercial_type="L40S-1-48G")
        assert len(wire.asked) == 1
    query = wire.asked[0].query
    assert (query["image_label"], query["zone"], query["type"]) == ("ubuntu", str(ZONE), "instance_sbs")


async def test_a_label_that_does_not_exist_is_no_image() -> None:
    with pytest.raises(ImageNotFound, match="macos"):
        await ask(
            not_found("MarketplaceImage", "macos"),
            lambda c: find(c, commercial_type="L4-1-24G", label="macos"),
        )


async def test_a_missing_label_is_asked_for_once_a_minute_and_found_when_it_appears() -> None:
    wire, clock = ScriptedWire(lambda _: not_found("MarketplaceImage", "ubuntu")), LoopClock()
    async with client_of(wire, clock) as made:
        for _ in range(6):
            with pytest.raises(ImageNotFound, match="no image with label 'ubuntu'"):
                await find(made.client, commercial_type="T")
            await clock.sleep(9.0)
        assert len(wire.asked) == 1
        wire.reply = lambda _: answer(200, {"local_images": [image("new", "T")], "total_count": 1})
        await clock.sleep(7.0)
        assert await find(made.client, commercial_type="T") == "new"
        await clock.sleep(3000.0)
        assert await find(made.client, commercial_type="T") == "new"
        assert len(wire.asked) == 2


async def test_an_image_without_the_type_is_looked_at_again_after_a_minute() -> None:
    images = [image("old", "GP1-S")]
    wire, clock = ScriptedWire(lambda _: answer(200, {"local_images": images, "total_count": 1})), LoopClock()
    async with client_of(wire, clock) as made:
        assert await find(made.client, commercial_type="GP1-S") == "old"
        with pytest.raises(ImageNotFound, match="no version for type T"):
            await find(made.client, commercial_type="T")
        assert len(wire.asked) == 1
        images.append(image("new", "T"))
        await clock.sleep(61.0)
        assert await find(made.client, commercial_type="GP1-S") == "old"
        assert len(wire.asked) == 1
        assert await find(made.client, commercial_type="T") == "new"


async def test_a_label_is_encoded_and_leads_nowhere_else() -> None:
    _, asked = await ask(
        answer(200, {"local_images": [image("i", "T", label="a&zone=b c")], "total_count": 1}),
        lambda c: find(c, commercial_type="T", label="a&zone=b c"),
    )
    assert asked.query["image_label"] == "a&zone=b c"
    assert asked.query["zone"] == str(ZONE)


# -- what a key says about itself ---------------------------------------------------------------------------


async def test_a_key_tells_its_end_and_its_project() -> None:
    content = {
        "access_key": ACCESS_KEY,
        "default_project_id": PROJECT.upper(),
        "expires_at": "2027-01-01T00:00:00Z",
    }
    facts, asked = await ask(answer(200, content), lambda c: c.key_facts())
    assert asked.path == f"/iam/v1alpha1/api-keys/{ACCESS_KEY}"
    assert facts.known
    assert (facts.expires_at, facts.default_project_id) == (datetime(2027, 1, 1, tzinfo=UTC), PROJECT)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(answer(401, {"type": "denied_authentication"}), id="401"),
        pytest.param(answer(403, {"type": "permissions_denied"}), id="403-no-right-on-iam"),
        pytest.param(not_found("access_key", ACCESS_KEY), id="404"),
        pytest.param(answer(404, body=b"404 page not found"), id="no-iam-there"),
        pytest.param(answer(429), id="429"),
        pytest.param(answer(500), id="500"),
        pytest.param(answer(200), id="200-empty"),
        pytest.param(answer(200, {"access_key": ACCESS_KEY, "expires_at": 7}), id="another-shape"),
        pytest.param(answer(200, {"access_key": "SCWSOMEBODYELSESXXXX"}), id="another-key"),
    ],
)
async def test_any_answer_but_a_clear_one_leaves_the_facts_unknown(reply: WireAnswer) -> None:
    facts, _ = await ask(reply, lambda c: c.key_facts())
    assert (facts.known, facts.expires_at, facts.default_project_id) == (False, None, None)


# -- what others see of it ----------------------------------------------------------------------------------


async def test_an_observer_stands_on_both_sides_of_every_call() -> None:
    seen: list[str] = []

    class Observer:
        async def before(self, method: str, template: str) -> None:
            seen.append(f"before {method} {template}")

        async def after(self, method: str, template: str) -> None:
            seen.append(f"after {method} {template}")

    def reply(asked: Asked) -> WireAnswer:
        seen.append("sent")
        if asked.method == "POST":
            raise Interrupted("reset")
        return answer(200, {"server": server()})

    async with client_of(ScriptedWire(reply), LoopClock(), observer=Observer()) as made:
        await made.client.get_server(ZONE, REF)
        with pytest.raises(Ambiguous):
            await made.client.power_on(ZONE, REF)
    one = "/instance/v1/zones/{zone}/servers/{id}"
    assert seen == [
        f"before GET {one}",
        "sent",
        f"after GET {one}",
        f"before POST {one}/action",
        "sent",
        f"after POST {one}/action",
    ]


async def test_calls_are_counted_by_endpoint_and_class_of_answer_and_by_nobody() -> None:
    def reply(asked: Asked) -> WireAnswer:
        if asked.method == "DELETE":
            raise Interrupted("reset")
        return answer(200, {"server": server()}) if REF in asked.path else answer(429)

    async with client_of(ScriptedWire(reply), LoopClock()) as made:
        await made.client.get_server(ZONE, REF)
        with pytest.raises(Ambiguous):
            await made.client.delete_server(ZONE, REF)
    names = {
        (sample.name, *sorted(sample.labels.items()))
        for metric in made.registry.collect()
        for sample in metric.samples
        if sample.name == "inventiv_provider_calls_total"
    }
    template = ("endpoint", "/instance/v1/zones/{zone}/servers/{id}")
    assert names == {
        ("inventiv_provider_calls_total", template, ("method", "GET"), ("status", "2xx")),
        ("inventiv_provider_calls_total", template, ("method", "DELETE"), ("status", "none")),
    }


async def test_T6_two_credentials_with_one_access_key_but_other_secrets_share_no_gate() -> None:
    """The access key is public: a stranger's credential with it must not close its owner's gate."""
    calls = 0

    async def reply(asked: Asked) -> WireAnswer:
        nonlocal calls
        if asked.headers["X-Auth-Token"] != SECRET:
            return answer(429)
        calls += 1
        return answer(200, {"server": server()})

    limits = GateLimits(key=PaceLimits(rate_per_s=10.0, burst=1.0))
    async with client_of(ScriptedWire(reply), LoopClock(), limits=limits) as made:
        stranger = made.factory.client(
            organization_id=ORGANIZATION,
            project_id=OTHER_PROJECT,
            access_key=ACCESS_KEY,
            secret_key=SecretStr("not-the-secret"),
        )
        for _ in range(20):
            await asyncio.gather(stranger.get_server(ZONE, REF), return_exceptions=True)
        began_s = LoopClock().monotonic()
        await made.client.get_server(ZONE, REF)
        assert LoopClock().monotonic() == began_s
    assert calls == 1


@pytest.mark.parametrize("status", [429, 500])
async def test_T6_a_stolen_key_in_another_organization_closes_no_gate_of_its_owner(status: int) -> None:
    """Same project, same access key, same secret key; whatever the thief makes the provider answer."""
    is_thiefs_turn = True

    async def reply(_: Asked) -> WireAnswer:
        return answer(status) if is_thiefs_turn else answer(200, {"server": server()})

    limits = GateLimits(key=PaceLimits(rate_per_s=10.0, burst=1.0))
    async with client_of(ScriptedWire(reply), LoopClock(), limits=limits) as made:
        thief = made.factory.client(
            organization_id=OTHER_ORGANIZATION,
            project_id=PROJECT,
            access_key=ACCESS_KEY,
            secret_key=SecretStr(SECRET),
        )
        for _ in range(20):
            await asyncio.gather(thief.get_server(ZONE, REF), return_exceptions=True)
        is_thiefs_turn = False
        began_s = LoopClock().monotonic()
        await made.client.get_server(ZONE, REF)
        assert LoopClock().monotonic() == began_s
