"""The simulator on a socket: its line, its guests, its connections, its end."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from simulator.api import ALPHA, INSTANCE, Api
from simulator.conftest import two_tenants
from simulator.process import simulator

DEADLINE_S = 20.0
PORT = 8000


async def _until(what: str, ask: Callable[[], Awaitable[Any]]) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while not (found := await ask()):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)
    return found


async def _answers(address: str, port: int) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"http://{address}:{port}/health")).status_code == 200
    except httpx.TransportError:
        return False


async def test_a_guest_answers_where_its_group_lets_it_once_it_has_booted() -> None:
    with simulator("--answer-for-instances", "--boot-s", "0.2", "--guest-s", "0.2") as running:
        async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
            alpha = Api(client, ALPHA)
            await alpha.control("reset", two_tenants(terminate_s=0.1, allocate_s=0.05))
            group = await alpha.call(
                "POST", f"{INSTANCE}/security_groups", {"name": "g", "inbound_default_policy": "drop"}
            )
            group_id = group.json()["security_group"]["id"]
            rule = {"protocol": "TCP", "direction": "inbound", "action": "accept", "dest_port_from": PORT}
            await alpha.call("PUT", f"{INSTANCE}/security_groups/{group_id}/rules", {"rules": [rule]})
            server_id = (await alpha.create(security_group=group_id))["id"]
            await alpha.act(server_id, "poweron")

            async def address() -> Any:
                shown = (await alpha.server(server_id))["public_ip"]
                return shown and shown["address"]

            host = await _until("an address", address)
            assert host.startswith("127.")
            assert not await _answers(host, PORT), "still booting"
            await _until("an answer", lambda: _answers(host, PORT))
            assert not await _answers(host, 8080), "the group does not let that in"
            await alpha.act(server_id, "terminate")

            async def is_silent() -> bool:
                return not await _answers(host, PORT)

            await _until("silence", is_silent)


async def test_a_silenced_guest_stops_answering() -> None:
    with simulator("--answer-for-instances", "--boot-s", "0.05", "--guest-s", "0.05") as running:
        async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
            alpha = Api(client, ALPHA)
            await alpha.control("reset", two_tenants(allocate_s=0.01))
            server_id = (await alpha.create())["id"]
            await alpha.act(server_id, "poweron")
            host = (await alpha.server(server_id))["public_ip"]["address"]
            await _until("an answer", lambda: _answers(host, PORT))
            await alpha.control(f"world/servers/{server_id}/silence", {})

            async def is_silent() -> bool:
                return not await _answers(host, PORT)

            await _until("silence", is_silent)


async def test_two_simulators_give_out_different_addresses() -> None:
    arguments = ("--answer-for-instances", "--open")
    hosts = []
    with simulator(*arguments) as one, simulator(*arguments) as two:
        for running in (one, two):
            async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
                alpha = Api(client, ALPHA)
                server_id = (await alpha.create())["id"]
                await alpha.act(server_id, "poweron")
                hosts.append((await alpha.server(server_id))["public_ip"]["address"])
    assert len(set(hosts)) == 2


@pytest.mark.parametrize("kind", ["drop_before", "drop_after_commit"])
async def test_a_dropped_connection_has_no_status_line(kind: str) -> None:
    with simulator("--open") as running:
        async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
            alpha = Api(client, ALPHA)
            await alpha.faults({"kind": kind, "match": {"method": "POST"}})
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                await alpha.create()
            assert len(await alpha.servers()) == (kind == "drop_after_commit")


async def test_headers_are_the_gateways_own() -> None:
    with simulator("--open") as running:
        async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
            answer = await Api(client, ALPHA).get(f"{INSTANCE}/servers")
    assert answer.headers["server"].startswith("Scaleway API Gateway")
    assert answer.headers.get_list("date") == [answer.headers["date"]]
    assert answer.headers["x-request-id"]


def test_a_port_in_use_is_one_line_and_exit_1(capfd: pytest.CaptureFixture[str]) -> None:
    from scaleway_simulator.cli import main

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        assert main(["--port", str(taken.getsockname()[1])]) == 1
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("scaleway-simulator: ")
