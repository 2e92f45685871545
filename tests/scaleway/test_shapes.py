"""The recorded answers, and anything else that JSON can say."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventiv_operator.domain.cloud import RUNNING, VolumeApi
from inventiv_operator.scaleway import shapes
from inventiv_operator.scaleway.shapes import BadShape
from provider_parts.recordings import Exchange, recorded

ZONAL = "/instance/v1/zones/{zone}"

ONE_OBJECT = [
    pytest.param("/servers/{id}", "server", shapes.server, 1747, id="server"),
    pytest.param("/servers", "server", shapes.server, 200, id="new-server"),
    pytest.param("/servers/{id}/attach-volume", "server", shapes.server, 7, id="server-attach"),
    pytest.param("/servers/{id}/detach-volume", "server", shapes.server, 10, id="server-detach"),
    pytest.param("/volumes/{id}", "volume", shapes.local_volume, 230, id="local-volume"),
    pytest.param("/volumes", "volume", shapes.local_volume, 15, id="new-local-volume"),
    pytest.param("/security_groups/{id}", "security_group", shapes.security_group, 130, id="group"),
    pytest.param("/security_groups", "security_group", shapes.security_group, 20, id="new-group"),
    pytest.param("/ips/{id}", "ip", shapes.address, 100, id="address"),
    pytest.param("/ips/{ip-or-id}", "ip", shapes.address, 10, id="address-by-address"),
    pytest.param("/ips", "ip", shapes.address, 70, id="new-address"),
]
LISTS = [
    pytest.param(f"{ZONAL}/servers", "servers", shapes.server, 50, id="servers"),
    pytest.param(f"{ZONAL}/volumes", "volumes", shapes.local_volume, 3, id="local-volumes"),
    pytest.param(f"{ZONAL}/security_groups", "security_groups", shapes.security_group, 9, id="groups"),
    pytest.param(f"{ZONAL}/ips", "ips", shapes.address, 2, id="addresses"),
    pytest.param("/block/v1/zones/{zone}/volumes", "volumes", shapes.block_volume, 360, id="block-volumes"),
]


def answered(template: str) -> list[Exchange]:
    """Answers of 2xx with a body, to reads and writes."""
    return [e for e in recorded(template=template) if e.status < 300 and e.content is not None]


@pytest.mark.parametrize(("path", "envelope", "parse", "at_least"), ONE_OBJECT)
def test_every_recorded_answer_about_one_thing_is_understood(
    path: str, envelope: str, parse: Callable[[Any], Any], at_least: int
) -> None:
    found = [e for e in answered(ZONAL + path) if envelope in e.content]
    for exchange in found:
        seen = parse(exchange.content[envelope])
        assert seen.ref == exchange.content[envelope]["id"], exchange.id
        assert seen.project_id == exchange.content[envelope]["project"], exchange.id
    assert len(found) >= at_least


def test_every_recorded_block_volume_is_understood() -> None:
    found = answered("/block/v1/zones/{zone}/volumes/{id}")
    found += [e for e in answered("/block/v1/zones/{zone}/volumes") if e.method == "POST"]
    for exchange in found:
        seen = shapes.block_volume(exchange.content)
        assert (seen.ref, seen.project_id) == (exchange.content["id"], exchange.content["project_id"])
        assert seen.size_bytes == exchange.content["size"], exchange.id
        assert len(seen.attached_to) == len(exchange.content["references"]), exchange.id
    assert len(found) >= 640


@pytest.mark.parametrize(("template", "name", "parse", "at_least"), LISTS)
def test_every_recorded_list_is_understood(
    template: str, name: str, parse: Callable[[Any], Any], at_least: int
) -> None:
    found = [e for e in answered(template) if name in e.content]
    for exchange in found:
        seen = [parse(raw) for raw in shapes.list_of(exchange.content, name)]
        assert [each.ref for each in seen] == [raw["id"] for raw in exchange.content[name]], exchange.id
    assert len(found) >= at_least


def test_every_recorded_page_of_server_types_is_understood_without_a_type_left_out() -> None:
    found = answered(f"{ZONAL}/products/servers")
    for exchange in found:
        page = shapes.server_types(exchange.content)
        assert page.names == page.types.keys() == exchange.content["servers"].keys(), exchange.id
    prices = {
        name: seen.price_eur_per_hour
        for exchange in found
        for name, seen in shapes.server_types(exchange.content).types.items()
    }
    assert prices["L40S-1-48G"] == Decimal("1.469916")
    assert len(found) >= 600


def test_every_recorded_list_of_images_is_understood() -> None:
    found = answered("/marketplace/v2/local-images")
    for exchange in found:
        images = shapes.local_images(exchange.content)
        assert [image.ref for image in images] == [r["id"] for r in exchange.content["local_images"]]
        assert all(image.commercial_types for image in images), exchange.id
    assert len(found) >= 200


def test_every_recorded_api_key_is_understood() -> None:
    found = [e for e in answered("/iam/v1alpha1/api-keys/{access_key}") if e.method == "GET"]
    for exchange in found:
        key = shapes.api_key(exchange.content)
        assert (key.expires_at is None) == (exchange.content["expires_at"] is None), exchange.id
    assert len(found) >= 80


SERVER: dict[str, Any] = {
    "id": "s-1",
    "name": "web-0",
    "zone": "fr-par-2",
    "state": "running",
    "state_detail": "booting kernel",
    "commercial_type": "L4-1-24G",
    "project": "p-1",
    "tags": ["a=b"],
    "creation_date": "2026-07-30T12:53:15.567675+00:00",
    "volumes": {
        "0": {"id": "v-0", "volume_type": "sbs_volume", "boot": False, "state": "available"},
        "1": {"id": "v-1", "volume_type": "scratch", "size": 3 * 10**12, "state": "available"},
    },
    "public_ip": {"id": "i-0", "address": "51.15.0.1", "dynamic": True},
    "public_ips": [
        {"id": "i-0", "address": "51.15.0.1", "dynamic": True},
        {"id": "i-1", "address": "2001:db8::1", "dynamic": False},
    ],
    "security_group": {"id": "g-1", "name": "web"},
    "protected": False,
}


def test_a_server_is_read_as_it_is() -> None:
    seen = shapes.server(SERVER)
    assert (seen.state, seen.state_detail, seen.tags) == (RUNNING, "booting kernel", ("a=b",))
    assert seen.created_at == datetime(2026, 7, 30, 12, 53, 15, 567675, tzinfo=UTC)
    assert [(v.slot, v.ref, v.size_bytes) for v in seen.volumes] == [
        ("0", "v-0", None),
        ("1", "v-1", 3 * 10**12),
    ]
    assert [(a.address, a.dynamic) for a in seen.addresses] == [("51.15.0.1", True), ("2001:db8::1", False)]
    assert seen.security_group_ref == "g-1"


def test_a_state_that_nobody_has_heard_of_is_a_state() -> None:
    assert shapes.server({**SERVER, "state": "levitating"}).state == "levitating"


def test_a_server_without_a_map_of_volumes_makes_no_sense_rather_than_having_none() -> None:
    without = {name: value for name, value in SERVER.items() if name != "volumes"}
    with pytest.raises(BadShape, match="volumes"):
        shapes.server(without)


def test_an_old_endpoint_that_knows_one_address_only_is_understood() -> None:
    old = {name: value for name, value in SERVER.items() if name != "public_ips"}
    assert [a.address for a in shapes.server(old).addresses] == ["51.15.0.1"]


def test_a_volume_referenced_by_anything_counts_as_attached() -> None:
    raw = {
        "id": "v",
        "name": "v",
        "status": "in_use",
        "size": 1,
        "project_id": "p",
        "created_at": "2026-07-30T12:54:30Z",
        "tags": [],
        "specs": {"perf_iops": 5000},
        "references": [
            {"product_resource_id": "x", "product_resource_type": "future", "status": "detaching"}
        ],
    }
    seen = shapes.block_volume(raw)
    assert (seen.attached_to, seen.api) == (("x",), VolumeApi.BLOCK)


def test_a_type_that_makes_no_sense_hides_no_other() -> None:
    good = {
        "arch": "x86_64",
        "ncpus": 8,
        "ram": 1,
        "gpu": 1,
        "hourly_price": 0.7875,
        "volumes_constraint": {"max_size": 0},
        "capabilities": {"block_storage": True},
    }
    page = shapes.server_types({"servers": {"GOOD": good, "BAD": {**good, "hourly_price": None}}})
    assert page.names == {"GOOD", "BAD"}
    assert page.types.keys() == {"GOOD"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
THING: dict[str, Any] = {
    "id": "t-1",
    "name": "thing",
    "project": "p-1",
    "project_id": "p-1",
    "size": 10**10,
    "state": "available",
    "status": "available",
    "tags": [],
    "server": None,
    "specs": {"perf_iops": 5000},
    "references": [],
    "created_at": "2026-07-30T12:54:30Z",
    "creation_date": "2026-07-30T12:54:30+00:00",
    "project_default": False,
    "address": "51.15.0.1",
}
KEY = {"access_key": "SCWABCDEFGHIJKLMNOPQ", "default_project_id": "p-1", "expires_at": None}
IMAGE = {"id": "i-1", "label": "ubuntu", "zone": "fr-par-2", "compatible_commercial_types": ["L4-1-24G"]}
PARSERS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "server": (shapes.server, SERVER),
    "block-volume": (shapes.block_volume, THING),
    "local-volume": (shapes.local_volume, THING),
    "security-group": (shapes.security_group, THING),
    "address": (shapes.address, THING),
    "api-key": (shapes.api_key, KEY),
    "image": (lambda raw: shapes.local_images({"local_images": [raw]}), IMAGE),
}


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_whatever_json_says_it_is_a_value_or_makes_no_sense(name: str, data: st.DataObject) -> None:
    parse, sample = PARSERS[name]
    parse(sample)
    spoiled = data.draw(st.dictionaries(st.sampled_from(sorted(sample)), JSON, min_size=1, max_size=3))
    try:
        parse({**sample, **spoiled})
    except BadShape as error:
        said = str(error)
    else:
        return
    assert len(said) < 80  # names a field, repeats no content


@given(content=JSON)
@settings(max_examples=40, deadline=None)
def test_whatever_a_list_answer_says_it_is_a_value_or_makes_no_sense(content: Any) -> None:
    wrappings = [content, {"servers": content}, {"local_images": content}, {"local_images": [content]}]
    for parse in (shapes.server_types, shapes.local_images, lambda c: shapes.list_of(c, "servers")):
        for wrapped in wrappings:
            try:
                parse(wrapped)
            except BadShape:
                continue
