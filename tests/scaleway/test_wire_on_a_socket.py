"""Everything that a real socket can bring lands in the error tree, once sent and never sent again."""

import asyncio
import gzip
import logging
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from inventiv_operator.domain.cloud import NewServer, VolumeApi
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.runtime.clock import SystemClock
from inventiv_operator.scaleway import wire as wire_module
from inventiv_operator.scaleway.client import ScalewayClient
from inventiv_operator.scaleway.errors import (
    Ambiguous,
    NotFound,
    RateLimited,
    Rejected,
    ScalewayError,
    Unavailable,
)
from inventiv_operator.scaleway.factory import ClientFactory
from provider_parts import another_tenant
from provider_parts.clients import ACCESS_KEY, ORGANIZATION, PROJECT, SECRET, ZONE, client_of
from provider_parts.socket_server import Script, http, says, says_nothing, socket_server

REF = ProviderRef("cb63eaec-e7c5-4c1a-b3da-04a7c4bd51cd")
NEW = NewServer(
    name="web-0",
    commercial_type="L4-1-24G",
    image_ref="72bda464-b1f6-4b87-ab1c-025265f435bf",
    tags=("inventiv-attempt=1",),
    security_group_ref=ProviderRef("g-1"),
    dynamic_ip=True,
    root_size_bytes=None,
    root_volume_type="sbs_volume",
)
TIMEOUT_S = 30.0  # never reached: the machine may be busy
IMPATIENT_S = 0.3  # for a server that hangs

Call = Callable[[ScalewayClient], Awaitable[object]]


async def create(client: ScalewayClient) -> object:
    soon = SystemClock().now() + timedelta(seconds=30)
    return await client.create_server(ZONE, NEW, send_before=soon)


async def create_group(client: ScalewayClient) -> object:
    soon = SystemClock().now() + timedelta(seconds=30)
    return await client.create_security_group(ZONE, name="g", tags=(), send_before=soon)


READS: dict[str, Call] = {
    "get-server": lambda c: c.get_server(ZONE, REF),
    "get-volume": lambda c: c.get_volume(ZONE, REF, api=VolumeApi.BLOCK),
    "list-servers": lambda c: c.servers(ZONE, max_age_s=0.0),
    "types": lambda c: c.server_types(ZONE),
}
WRITES: dict[str, Call] = {
    "create-server": create,
    "create-group": create_group,
    "set-cloud-init": lambda c: c.set_cloud_init(ZONE, REF, "#cloud-config"),
    "tag-volume": lambda c: c.tag_volume(ZONE, REF, api=VolumeApi.BLOCK, tags=["a"]),
    "set-rules": lambda c: c.set_security_group_rules(ZONE, REF, []),
    "power-on": lambda c: c.power_on(ZONE, REF),
    "terminate": lambda c: c.terminate(ZONE, REF),
    "delete-server": lambda c: c.delete_server(ZONE, REF),
    "delete-volume": lambda c: c.delete_volume(ZONE, REF, api=VolumeApi.INSTANCE),
}
HTML = b"<html><body>Welcome to the hotel network</body></html>"

NO_ANSWER: dict[str, Script] = {
    "html-200": says(http("200 OK", HTML, headers="Content-Type: text/html\r\n")),
    "empty-200": says(http("200 OK")),
    "empty-202": says(http("202 Accepted")),
    "truncated-json": says(http("200 OK", b'{"server": {"id": "cb63')),
    "less-than-announced": says(http("200 OK", b'{"server"', length=500), then_close=True),
    "reset-mid-body": says(http("200 OK", b'{"server"', length=500), then_reset=True),
    "reset-at-once": says(then_reset=True),
    "closed-at-once": says(then_close=True),
    "closed-mid-head": says(b"HTTP/1.1 200 OK\r\nContent-Le", then_close=True),
    "no-http": says(b"SSH-2.0-OpenSSH_9.2\r\n", then_close=True),
    "bad-chunks": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", then_close=True),
    "500": says(http("500 Internal Server Error", b'{"type": "server_error", "message": "sorry"}')),
    "502-html": says(http("502 Bad Gateway", HTML)),
    "503-empty": says(http("503 Service Unavailable")),
    "404-html": says(http("404 Not Found", HTML)),
    "404-empty": says(http("404 Not Found")),
    "redirect": says(http("302 Found", headers="Location: http://127.0.0.1:1/elsewhere\r\n")),
    "bad-utf8": says(http("200 OK", b'{"server": "\xff\xfe"}')),
    "bad-gzip": says(http("200 OK", b"no gzip", headers="Content-Encoding: gzip\r\n")),
}

HANGS: dict[str, Script] = {
    "silence": says_nothing,
    "stuck-mid-head": says(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "stuck-mid-body": says(http("200 OK", b'{"server"', length=500)),
}


async def outcome(script: Script, call: Call, *, timeout_s: float = TIMEOUT_S) -> tuple[ScalewayError, int]:
    """The error, and how many requests reached the server."""
    async with (
        socket_server(script) as server,
        client_of(None, SystemClock(), api_url=server.url, timeout_s=timeout_s) as made,
    ):
        with pytest.raises(ScalewayError) as caught:
            await call(made.client)
        return caught.value, len(server.requests)


@pytest.mark.parametrize("script", NO_ANSWER.values(), ids=NO_ANSWER.keys())
@pytest.mark.parametrize("call", READS.values(), ids=READS.keys())
async def test_L1_a_read_without_a_clear_answer_is_unavailable_and_sent_once(
    script: Script, call: Call
) -> None:
    error, requests = await outcome(script, call)
    assert type(error) is Unavailable
    assert error.reason == "ProviderUnreachable"
    assert requests == 1


@pytest.mark.parametrize("script", NO_ANSWER.values(), ids=NO_ANSWER.keys())
@pytest.mark.parametrize("call", WRITES.values(), ids=WRITES.keys())
async def test_a_write_without_a_clear_answer_is_ambiguous_and_never_sent_twice(
    script: Script, call: Call
) -> None:
    error, requests = await outcome(script, call)
    assert type(error) is Ambiguous
    assert requests == 1


@pytest.mark.parametrize("script", HANGS.values(), ids=HANGS.keys())
async def test_a_server_that_hangs_is_left_after_the_time_that_one_exchange_has(script: Script) -> None:
    for call, expected in ((READS["get-server"], Unavailable), (WRITES["create-server"], Ambiguous)):
        error, requests = await outcome(script, call, timeout_s=IMPATIENT_S)
        assert type(error) is expected
        assert requests <= 1  # none, when the machine was too busy to send it in time


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"server": null}', b'{"server": {"id": 7}}'])
async def test_an_answer_that_makes_no_sense_is_no_answer(body: bytes) -> None:
    for call, expected in ((READS["get-server"], Unavailable), (WRITES["create-server"], Ambiguous)):
        error, requests = await outcome(says(http("200 OK", body)), call)
        assert (type(error), requests) == (expected, 1)


async def test_an_empty_429_is_a_definite_refusal() -> None:
    script = says(http("429 Too Many Requests", headers="X-Envoy-Ratelimited: true\r\n"))
    for call in (READS["get-server"], WRITES["create-server"]):
        error, requests = await outcome(script, call)
        assert (type(error), requests) == (RateLimited, 1)


async def test_a_connection_that_is_refused_means_that_nothing_was_sent() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # bound and not listening: refused
        url = f"http://127.0.0.1:{holder.getsockname()[1]}"
        async with client_of(None, SystemClock(), api_url=url) as made:
            for call in (READS["get-server"], WRITES["create-server"]):
                with pytest.raises(Unavailable, match="nothing was sent"):
                    await call(made.client)


async def test_a_name_that_does_not_resolve_means_that_nothing_was_sent() -> None:
    async with client_of(None, SystemClock(), api_url="http://no-such-host.invalid") as made:
        with pytest.raises(Unavailable, match="nothing was sent"):
            await create(made.client)


async def test_neither_read_nor_write_is_repeated_on_a_kept_connection_that_is_being_closed() -> None:
    """A server that answers once and hangs up on the second request, after it has read it."""
    group = b'{"security_group": {"id": "%s", "name": "g", "project": "%s"}}' % (
        REF.encode(),
        PROJECT.encode(),
    )
    for call, expected in (
        (lambda c: c.get_security_group(ZONE, REF), Unavailable),
        (WRITES["delete-server"], Ambiguous),
        (WRITES["set-rules"], Ambiguous),
        (WRITES["create-server"], Ambiguous),
    ):
        answered = asyncio.Event()

        async def script(writer: asyncio.StreamWriter, answered: asyncio.Event = answered) -> None:
            if answered.is_set():
                writer.transport.abort()
            answered.set()
            writer.write(http("200 OK", group))

        async with (
            socket_server(script) as server,
            client_of(None, SystemClock(), api_url=server.url) as made,
        ):
            await made.client.get_security_group(ZONE, REF)
            with pytest.raises(expected):
                await call(made.client)
            assert len(server.requests) == 2
            assert server.connections == 1


async def test_connections_are_kept_and_shared() -> None:
    group = b'{"security_group": {"id": "%s", "name": "g", "project": "%s"}}' % (
        REF.encode(),
        PROJECT.encode(),
    )
    async with (
        socket_server(says(http("200 OK", group))) as server,
        client_of(None, SystemClock(), api_url=server.url) as made,
    ):
        for _ in range(5):
            await made.client.get_security_group(ZONE, REF)
        assert server.connections == 1


async def test_T6_a_cookie_of_one_answer_is_not_carried_to_the_next() -> None:
    group = b'{"security_group": {"id": "%s", "name": "g", "project": "%s"}}' % (
        REF.encode(),
        PROJECT.encode(),
    )
    script = says(http("200 OK", group, headers="Set-Cookie: who=tenant-a\r\n"))
    async with (
        socket_server(script) as server,
        client_of(None, SystemClock(), api_url=server.url) as made,
    ):
        await made.client.get_security_group(ZONE, REF)
        await made.client.get_security_group(ZONE, REF)
        assert not any("cookie" in request.lower() for request in server.requests)


async def test_T3_nothing_in_the_environment_changes_where_a_call_goes_or_what_it_carries(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login eve password hunter2\n")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(netrc))
    another_tenant.put_everywhere(monkeypatch, tmp_path)
    group = b'{"security_group": {"id": "%s", "name": "g", "project": "%s"}}' % (
        REF.encode(),
        PROJECT.encode(),
    )
    async with (
        socket_server(says(http("200 OK", group))) as server,
        client_of(None, SystemClock(), api_url=server.url) as made,
    ):
        await made.client.get_security_group(ZONE, REF)
        request = server.requests[0]
    assert f"X-Auth-Token: {SECRET}" in request
    assert "Authorization" not in request
    for text in (another_tenant.SECRET, another_tenant.ACCESS_KEY, another_tenant.PROJECT):
        assert text not in request


async def test_a_proxy_is_used_when_it_is_configured_and_its_password_is_not_told() -> None:
    group = b'{"security_group": {"id": "%s", "name": "g", "project": "%s"}}' % (
        REF.encode(),
        PROJECT.encode(),
    )
    async with socket_server(says(http("200 OK", group))) as proxy:
        for port, expected in ((proxy.port, None), (1, Unavailable)):
            async with ClientFactory(
                api_url="http://api.scaleway.test",
                timeout_s=2.0,
                clock=SystemClock(),
                registry=CollectorRegistry(),
                proxy_url=SecretStr(f"http://user:hunter2@127.0.0.1:{port}"),
            ) as factory:
                client = factory.client(
                    organization_id=ORGANIZATION,
                    project_id=PROJECT,
                    access_key=ACCESS_KEY,
                    secret_key=SecretStr(SECRET),
                )
                if expected is None:
                    await client.get_security_group(ZONE, REF)
                    continue
                with pytest.raises(expected) as caught:
                    await client.get_security_group(ZONE, REF)
                assert "hunter2" not in _whole(caught.value)
        assert proxy.requests[0].startswith("GET http://api.scaleway.test/instance/v1/")
        assert "Proxy-Authorization: Basic" in proxy.requests[0]


def _whole(error: BaseException) -> str:
    """Its text and those of all it came from."""
    texts = []
    current: BaseException | None = error
    while current is not None:
        texts.append(f"{current!r} {current}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n".join(texts)


@pytest.mark.parametrize("secret", ["hunter2\r\nX-Evil: 1", "hunter2 ", "hünter2", ""])
async def test_T7_a_secret_that_no_header_can_carry_is_refused_without_being_repeated(
    secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        socket_server(says(http())) as server,
        client_of(None, SystemClock(), api_url=server.url, secret=secret) as made,
    ):
        with pytest.raises(Rejected) as caught:
            await made.client.get_server(ZONE, REF)
        assert server.requests == []
    assert "nter2" not in _whole(caught.value) + caplog.text


async def test_T7_no_log_and_no_text_carries_the_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts = []
    for script in NO_ANSWER.values():
        async with (
            socket_server(script) as server,
            client_of(None, SystemClock(), api_url=server.url, timeout_s=TIMEOUT_S) as made,
        ):
            with pytest.raises(ScalewayError) as caught:
                await create(made.client)
            texts += [_whole(caught.value), repr(made.client), repr(vars(made.client))]
    assert SECRET not in "\n".join(texts) + caplog.text


async def test_a_path_that_would_lead_elsewhere_is_not_sent() -> None:
    async with (
        socket_server(says(http())) as server,
        client_of(None, SystemClock(), api_url=server.url) as made,
    ):
        for ref in ("../../iam", "a/b", "a?b", "", ".", "a%2f"):
            with pytest.raises(ScalewayError):
                await made.client.terminate(ZONE, ProviderRef(ref or "/"))
        assert server.requests == []


async def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "BODY_MAX_BYTES", 10_000)
    error, _ = await outcome(says(http("200 OK", b" " * 200_000)), READS["get-server"])
    assert type(error) is Unavailable


async def test_a_compressed_answer_is_understood_though_none_is_asked_for() -> None:
    content = b'{"type": "not_found", "resource": "instance_server"}'
    script = says(http("404 Not Found", gzip.compress(content), headers="Content-Encoding: gzip\r\n"))
    error, _ = await outcome(script, READS["get-server"])
    assert type(error) is NotFound


async def test_a_ca_file_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate")
    factory = ClientFactory(
        api_url="https://127.0.0.1:1",
        timeout_s=1.0,
        clock=SystemClock(),
        registry=CollectorRegistry(),
        ca_file=bad,
    )
    with pytest.raises(ValueError, match=r"ca\.pem cannot be used"):
        await factory.__aenter__()
