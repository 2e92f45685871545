"""Every call that left and is no read is told, once, with how it ended; and nothing of what it carried."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from inventiv_operator.domain.cloud import IngressRule, VolumeApi
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.scaleway.client import ScalewayClient
from inventiv_operator.scaleway.errors import ScalewayError, SendWindowClosed, Unavailable
from inventiv_operator.scaleway.gate import GateLimits
from inventiv_operator.scaleway.observer import SentWrite
from inventiv_operator.scaleway.pace import PaceLimits
from inventiv_operator.scaleway.permit import Permit
from inventiv_operator.scaleway.wire import Interrupted, NotSent, WireAnswer
from provider_parts.clients import OTHER_PROJECT, SECRET, ZONE, client_of
from provider_parts.scripted_wire import Asked, ScriptedWire, answer, not_found
from runtime.virtual_time import LoopClock
from scaleway.test_client import (
    NEW,
    OTHER_REF,
    REF,
    block_volume,
    group,
    local_volume,
    server,
    soon,
)

pytestmark = pytest.mark.looptime

CANARY = "canary-4f1d-that-is-nowhere"
SERVERS = "/instance/v1/zones/{zone}/servers"
Call = Callable[[ScalewayClient], Awaitable[Any]]


class Told:
    def __init__(self) -> None:
        self.writes: list[SentWrite] = []

    def wrote(self, write: SentWrite) -> None:
        self.writes.append(write)


async def told_of(
    reply: Callable[[Asked], WireAnswer | Awaitable[WireAnswer]], call: Call, **options: Any
) -> list[SentWrite]:
    """Whatever the call raises."""
    told = Told()
    async with client_of(ScriptedWire(reply), LoopClock(), write_sink=told, **options) as made:
        await asyncio.gather(call(made.client), return_exceptions=True)
    return told.writes


@pytest.mark.parametrize(
    ("call", "reply", "verb", "kind", "template"),
    [
        pytest.param(
            lambda c: c.create_server(ZONE, NEW, send_before=soon()),
            answer(201, {"server": server()}),
            "create",
            "server",
            SERVERS,
            id="create-server",
        ),
        pytest.param(
            lambda c: c.create_security_group(ZONE, name="g", tags=("a",), send_before=soon()),
            answer(201, {"security_group": group()}),
            "create",
            "security_group",
            "/instance/v1/zones/{zone}/security_groups",
            id="create-group",
        ),
        pytest.param(
            lambda c: c.set_cloud_init(ZONE, REF, CANARY),
            answer(204),
            "set-cloud-init",
            "server",
            f"{SERVERS}/{{id}}/user_data/cloud-init",
            id="cloud-init",
        ),
        pytest.param(
            lambda c: c.power_on(ZONE, REF),
            answer(202, {"task": {}}),
            "poweron",
            "server",
            f"{SERVERS}/{{id}}/action",
            id="power-on",
        ),
        pytest.param(
            lambda c: c.terminate(ZONE, REF),
            answer(202, {"task": {}}),
            "terminate",
            "server",
            f"{SERVERS}/{{id}}/action",
            id="terminate",
        ),
        pytest.param(
            lambda c: c.delete_server(ZONE, REF),
            answer(204),
            "delete",
            "server",
            f"{SERVERS}/{{id}}",
            id="delete-server",
        ),
        pytest.param(
            lambda c: c.set_server_tags(ZONE, REF, (CANARY,)),
            answer(200, {"server": server()}),
            "update",
            "server",
            f"{SERVERS}/{{id}}",
            id="tag-server",
        ),
        pytest.param(
            lambda c: c.detach_volume(ZONE, REF, OTHER_REF),
            answer(200, {"server": server()}),
            "detach-volume",
            "server",
            f"{SERVERS}/{{id}}/detach-volume",
            id="detach-volume",
        ),
        pytest.param(
            lambda c: c.tag_volume(ZONE, REF, api=VolumeApi.BLOCK, tags=("a",)),
            answer(200, block_volume()),
            "update",
            "volume",
            "/block/v1/zones/{zone}/volumes/{id}",
            id="tag-block-volume",
        ),
        pytest.param(
            lambda c: c.tag_volume(ZONE, REF, api=VolumeApi.INSTANCE, tags=("a",)),
            answer(200, {"volume": local_volume()}),
            "update",
            "volume",
            "/instance/v1/zones/{zone}/volumes/{id}",
            id="tag-local-volume",
        ),
        pytest.param(
            lambda c: c.set_security_group_rules(
                ZONE, REF, [IngressRule(protocol="TCP", port=22, cidr="203.0.113.0/24")]
            ),
            answer(200, {"rules": []}),
            "set-rules",
            "security_group",
            "/instance/v1/zones/{zone}/security_groups/{id}/rules",
            id="rules",
        ),
        pytest.param(
            lambda c: c.delete_security_group(ZONE, REF),
            answer(204),
            "delete",
            "security_group",
            "/instance/v1/zones/{zone}/security_groups/{id}",
            id="delete-group",
        ),
    ],
)
async def test_a_write_is_told_with_what_it_did_to_which_thing(
    call: Call, reply: WireAnswer, verb: str, kind: str, template: str
) -> None:
    (write,) = await told_of(lambda _: reply, call)
    assert (write.verb, write.kind, write.template) == (verb, kind, template)
    assert (write.zone, write.ref) == (str(ZONE), REF)
    assert (write.outcome, write.request_id) == (str(reply.status), "request-1")
    said = [str(getattr(write, field.name)) for field in fields(write)]
    assert not [text for text in said if CANARY in text or SECRET in text]


async def test_a_create_is_told_with_its_attempt_and_the_name() -> None:
    (write,) = await told_of(
        lambda _: answer(201, {"server": server()}),
        lambda c: c.create_server(ZONE, NEW, send_before=soon()),
    )
    assert (write.name, write.attempt, write.volume_ref) == ("web-0", "2", "")


async def test_a_detached_volume_is_named() -> None:
    (write,) = await told_of(
        lambda _: answer(200, {"server": server()}), lambda c: c.detach_volume(ZONE, REF, OTHER_REF)
    )
    assert write.volume_ref == OTHER_REF


async def test_the_instant_is_the_one_at_which_it_left() -> None:
    async def slowly(_: Asked) -> WireAnswer:
        await asyncio.sleep(3.0)
        return answer(204)

    before = LoopClock().now()
    (write,) = await told_of(slowly, lambda c: c.delete_server(ZONE, REF))
    assert write.at - before < timedelta(seconds=1.0)


# -- how it ended -------------------------------------------------------------------------------------------


def raises(error: Exception) -> Callable[[Asked], WireAnswer]:
    def reply(_: Asked) -> WireAnswer:
        raise error

    return reply


async def never(_: Asked) -> WireAnswer:
    await asyncio.sleep(3600.0)
    raise AssertionError


FOREIGN = answer(201, {"server": server(project=OTHER_PROJECT)})


@pytest.mark.parametrize(
    ("reply", "outcome", "request_id"),
    [
        pytest.param(lambda _: answer(403), "403", "request-1", id="refused"),
        pytest.param(lambda _: answer(429), "429", "request-1", id="throttled"),
        pytest.param(lambda _: answer(500), "500", "request-1", id="broken"),
        pytest.param(lambda _: not_found("security_group", "g-1"), "404", "request-1", id="not-found"),
        pytest.param(lambda _: answer(201, body=b"<html>"), "201", "request-1", id="no-json"),
        pytest.param(lambda _: answer(201, []), "201", "request-1", id="no-object"),
        pytest.param(lambda _: FOREIGN, "201", "request-1", id="another-project"),
        pytest.param(raises(Interrupted("cut")), "unknown", "", id="cut-off"),
        pytest.param(never, "unknown", "", id="no-answer-in-time"),
        pytest.param(raises(NotSent("refused")), "not-sent", "", id="no-connection"),
        pytest.param(lambda _: replace(answer(204), request_id="a\nb"), "204", "", id="odd-request-id"),
    ],
)
async def test_a_write_that_failed_is_told_with_how_it_ended(
    reply: Callable[[Asked], WireAnswer | Awaitable[WireAnswer]], outcome: str, request_id: str
) -> None:
    (write,) = await told_of(reply, lambda c: c.create_server(ZONE, NEW, send_before=soon()))
    assert (write.outcome, write.request_id, write.attempt) == (outcome, request_id, "2")


@pytest.mark.parametrize("made", ["../x", "a b", "", 7, None, {"id": REF}], ids=repr)
async def test_what_does_not_look_like_an_id_is_not_told_as_one(made: object) -> None:
    (write,) = await told_of(
        lambda _: answer(201, {"server": {**server(), "id": made}}),
        lambda c: c.create_server(ZONE, NEW, send_before=soon()),
    )
    assert write.ref == ""


async def test_a_write_that_is_given_up_on_its_way_has_left_and_is_told() -> None:
    told, left = Told(), asyncio.Event()

    async def hang(_: Asked) -> WireAnswer:
        left.set()
        return await never(_)

    async with client_of(ScriptedWire(hang), LoopClock(), write_sink=told) as made:
        call = asyncio.create_task(made.client.terminate(ZONE, REF))
        await left.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    assert [(write.verb, write.outcome) for write in told.writes] == [("terminate", "unknown")]


# -- what is not told ---------------------------------------------------------------------------------------


async def test_reads_are_not_told() -> None:
    assert await told_of(lambda _: answer(200, {"server": server()}), lambda c: c.get_server(ZONE, REF)) == []


async def raised(call: Awaitable[Any]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (looked at by the caller)
        await call
    return caught.value


@pytest.mark.parametrize(
    "send_before", [pytest.param(lambda: soon(-1.0), id="past"), pytest.param(lambda: soon(0.0), id="now")]
)
async def test_a_write_whose_window_has_closed_is_not_told(send_before: Callable[[], datetime]) -> None:
    told = Told()
    async with client_of(ScriptedWire(never), LoopClock(), write_sink=told) as made:
        error = await raised(made.client.create_server(ZONE, NEW, send_before=send_before()))
    assert isinstance(error, SendWindowClosed)
    assert told.writes == []


async def test_a_write_that_finds_the_gate_closed_is_not_told() -> None:
    told = Told()
    once = GateLimits(key=PaceLimits(rate_per_s=0.001, burst=1.0), max_wait_s=1.0)
    wire = ScriptedWire(lambda _: answer(204))
    async with client_of(wire, LoopClock(), limits=once, write_sink=told) as made:
        await made.client.delete_server(ZONE, REF)
        error = await raised(made.client.delete_server(ZONE, OTHER_REF))
    assert isinstance(error, ScalewayError)
    assert [write.ref for write in told.writes] == [REF]
    assert len(wire.asked) == 1


async def test_B7_what_is_held_back_is_not_told() -> None:
    class LostError(Exception):
        pass

    def may_write() -> None:
        raise LostError

    told, wire = Told(), ScriptedWire(lambda _: answer(204))
    permit = Permit(may_write=may_write)
    async with client_of(wire, LoopClock(), write_sink=told, permit=permit) as made:
        assert isinstance(await raised(made.client.terminate(ZONE, REF)), LostError)
    permit = Permit()
    permit.withdraw("its key was replaced", reason="Progressing")
    async with client_of(wire, LoopClock(), write_sink=told, permit=permit) as made:
        await raised(made.client.terminate(ZONE, REF))
    assert (told.writes, wire.asked) == ([], [])


async def test_every_call_of_a_breaker_that_opens_is_told_and_none_after() -> None:
    told, wire = Told(), ScriptedWire(raises(NotSent("refused")))
    async with client_of(wire, LoopClock(), write_sink=told) as made:
        errors = [await raised(made.client.terminate(ZONE, ProviderRef(f"s-{n}"))) for n in range(50)]
    assert all(isinstance(error, Unavailable) for error in errors)
    assert 0 < len(told.writes) == len(wire.asked) < 50
