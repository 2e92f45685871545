"""Every kind of fault: what the client sees, and whether the call took effect."""

import asyncio
from typing import Any

import httpx
import pytest

from scaleway_simulator.faults import KINDS, FaultPlan
from scaleway_simulator.world import World
from simulator.api import ALPHA, INSTANCE, Api

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

CREATE = {"method": "POST", "path_regex": "/servers$"}
LIST = {"method": "GET", "path_regex": "/servers$"}


async def _create(api: Api, **more: Any) -> httpx.Response:
    body = {"name": "worker", "commercial_type": "DEV1-S", "image": "ubuntu_jammy"}
    return await api.call("POST", f"{INSTANCE}/servers", body, **more)


async def test_a_status_keeps_the_call_from_taking_effect(alpha: Api) -> None:
    await alpha.faults({"match": CREATE, "kind": "status", "status": 500})
    answer = await _create(alpha)
    assert (answer.status_code, answer.json()["type"]) == (500, "server_error")
    assert await alpha.servers() == []
    assert (await _create(alpha)).status_code == 201


async def test_a_500_after_a_create_left_a_server(alpha: Api) -> None:
    await alpha.faults({"match": CREATE, "kind": "status", "status": 500, "commit": True})
    assert (await _create(alpha)).status_code == 500
    assert len(await alpha.servers()) == 1


async def test_429_has_neither_body_nor_content_type(alpha: Api) -> None:
    await alpha.faults({"match": LIST, "kind": "status", "status": 429})
    answer = await alpha.get(f"{INSTANCE}/servers")
    assert (answer.status_code, answer.content) == (429, b"")
    assert "content-type" not in answer.headers
    assert answer.headers["x-envoy-ratelimited"] == "true"


async def test_a_body_of_ones_own(alpha: Api) -> None:
    body = {"type": "out_of_stock", "resource": "DEV1-S", "message": "none left"}
    await alpha.faults({"match": CREATE, "kind": "status", "status": 503, "body": body})
    answer = await _create(alpha)
    assert (answer.status_code, answer.json()) == (503, body)


async def test_an_empty_body_and_a_page_of_html_and_half_a_json(alpha: Api) -> None:
    await alpha.faults(*({"match": LIST, "kind": kind} for kind in ("empty_body", "html", "truncated")))
    empty, html, half = [await alpha.get(f"{INSTANCE}/servers") for _ in range(3)]
    assert (empty.status_code, empty.content) == (200, b"")
    assert (html.status_code, html.headers["content-type"]) == (200, "text/html")
    assert half.status_code == 200
    with pytest.raises(ValueError, match=r"JSON|Expecting|delimiter|Unterminated"):
        half.json()


async def test_a_partial_page_says_nothing_about_it(alpha: Api) -> None:
    for _ in range(4):
        await _create(alpha)
    await alpha.faults({"match": LIST, "kind": "partial_page"})
    answer = await alpha.get(f"{INSTANCE}/servers")
    assert (answer.status_code, len(answer.json()["servers"])) == (200, 2)
    assert answer.headers["x-total-count"] == "4"


async def test_a_dropped_connection_before_and_after_the_commit(alpha: Api) -> None:
    await alpha.faults(
        {"match": CREATE, "kind": "drop_before"}, {"match": CREATE, "kind": "drop_after_commit"}
    )
    for left in (0, 1):
        with pytest.raises(httpx.RemoteProtocolError):
            await _create(alpha)
        assert len(await alpha.servers()) == left


async def test_a_delayed_answer_times_out_though_the_server_is_there(alpha: Api) -> None:
    await alpha.faults({"match": CREATE, "kind": "delay", "seconds": 30})
    with pytest.raises(httpx.ReadTimeout):
        await _create(alpha, timeout=10)
    assert len(await alpha.servers()) == 1


async def test_a_call_that_takes_effect_after_its_client_has_left(alpha: Api) -> None:
    await alpha.faults({"match": CREATE, "kind": "delay_before", "seconds": 30})
    with pytest.raises(httpx.ReadTimeout):
        await _create(alpha, timeout=10)
    assert await alpha.servers() == []
    await asyncio.sleep(25)
    assert len(await alpha.servers()) == 1


async def test_what_appears_late_is_billed_but_neither_listed_nor_readable(alpha: Api) -> None:
    await alpha.faults({"match": CREATE, "kind": "late_appearance", "seconds": 20})
    with pytest.raises(httpx.RemoteProtocolError):
        await _create(alpha)
    (billed,) = (await alpha.billed())["servers"]
    assert await alpha.servers() == []
    assert (await alpha.get(f"{INSTANCE}/servers/{billed['id']}")).status_code == 404
    await asyncio.sleep(21)
    assert [s["id"] for s in await alpha.servers()] == [billed["id"]]


async def test_nth_after_times_and_for_a_while(alpha: Api) -> None:
    async def statuses(count: int) -> list[int]:
        return [(await alpha.get(f"{INSTANCE}/servers")).status_code for _ in range(count)]

    await alpha.faults({"match": {**LIST, "nth": 2}, "kind": "status", "status": 500})
    assert await statuses(3) == [200, 500, 200]
    await alpha.control("faults", method="DELETE")
    await alpha.faults({"match": {**LIST, "after": 1}, "kind": "status", "status": 500, "times": 2})
    assert await statuses(4) == [200, 500, 500, 200]
    await alpha.control("faults", method="DELETE")
    await alpha.faults({"match": LIST, "kind": "status", "status": 403, "for_s": 60})
    assert await statuses(3) == [403, 403, 403]
    await asyncio.sleep(61)
    assert await statuses(1) == [200]


async def test_a_fault_is_aimed_at_one_tenant(alpha: Api, beta: Api) -> None:
    match = {"access_key": ALPHA.access_key}
    await alpha.faults({"match": match, "kind": "status", "status": 401, "times": None})
    assert (await beta.get(f"{INSTANCE}/servers")).status_code == 200
    assert (await alpha.get(f"{INSTANCE}/servers")).status_code == 401


async def test_the_call_log_names_key_status_and_fault(alpha: Api, world: World) -> None:
    await alpha.faults({"match": CREATE, "kind": "drop_after_commit"})
    with pytest.raises(httpx.RemoteProtocolError):
        await _create(alpha)
    await alpha.servers(tags="a,b")
    log = (await alpha.client.get("/_simulator/calls")).json()
    first, second = log["calls"]
    assert (first["status"], first["fault"], first["access_key"]) == (
        None,
        "drop_after_commit",
        ALPHA.access_key,
    )
    assert (second["status"], second["query"], second["project"]) == (200, "tags=a%2Cb", ALPHA.project_id)
    since = (await alpha.client.get("/_simulator/calls", params={"since": first["n"]})).json()
    assert [c["n"] for c in since["calls"]] == [second["n"]]
    assert {c["count"] for c in log["counts"]} == {1}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "nonsense"}, id="no-such-kind"),
        pytest.param({"kind": "status"}, id="no-status"),
        pytest.param({"kind": "html", "match": {"pathregex": "x"}}, id="no-such-field"),
        pytest.param({"kind": "html", "match": {"path_regex": "("}}, id="no-expression"),
        pytest.param("html", id="no-object"),
    ],
)
async def test_a_malformed_fault_is_refused(alpha: Api, fault: Any) -> None:
    answer = await alpha.control("faults", [fault])
    assert (answer.status_code, "fault" in answer.json()["error"]) == (400, True)


async def test_every_kind_is_tried_here() -> None:
    with open(__file__, encoding="utf-8") as source:  # noqa: ASYNC230, PTH123  # a test about this very file
        text = source.read()
    assert [kind for kind in KINDS if f'"{kind}"' not in text] == []
    assert FaultPlan.parse([{"kind": "html"}])[0].times == 1
