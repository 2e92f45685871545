"""Probes run beside the passes, and only a change of mind brings a pass."""

import asyncio
from dataclasses import replace
from typing import Self
from uuid import UUID

from domain.things import facts, instance, seen_server
from inventiv_operator.controllers.deployment.readiness import ReadinessMemory
from inventiv_operator.domain.cloud import STOPPED, AttachedAddress
from inventiv_operator.domain.ids import OrganizationId, ProviderRef
from inventiv_operator.domain.instance_facts import InstanceFacts
from inventiv_operator.domain.sight import Listed, Unknown
from inventiv_operator.domain.wanted import Readiness
from inventiv_operator.runtime.queue import Key
from rig.jumping_loop import LoopClock

KEY = Key("Deployment", "acme", "llama")
ORGANIZATION = OrganizationId(UUID(int=7))
READINESS = Readiness(port=8000, path="/health", period_s=10.0, timeout_s=3.0, failure_threshold=3)


class Guest:
    """Answers or not, and counts how often it was asked."""

    def __init__(self) -> None:
        self.answers = False
        self.hangs_s = 0.0
        self.asked: list[str] = []

    async def ask(self, address: str, readiness: Readiness) -> bool:
        self.asked.append(address)
        await asyncio.sleep(self.hangs_s)
        return self.answers


class Bell:
    def __init__(self) -> None:
        self.rung = 0

    def __call__(self, key: Key, *, after_s: float) -> None:
        assert after_s < 1
        self.rung += key == KEY


def running(address: str = "51.15.0.1", *, was_ready: bool = False) -> InstanceFacts:
    seen = seen_server(addresses=(AttachedAddress(ref=ProviderRef("ip"), address=address, dynamic=True),))
    given = facts(sight=Listed(seen))
    return replace(given, instance=instance(ready_at=given.listed_at if was_ready else None))


class Watch:
    """A memory with its loop running."""

    def __init__(self) -> None:
        self.guest, self.bell, self.clock = Guest(), Bell(), LoopClock()
        self.memory = ReadinessMemory(prober=self.guest, clock=self.clock, wake=self.bell, spread=lambda: 1.0)
        self.loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.loop = asyncio.create_task(self.memory.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.loop is not None
        self.loop.cancel()
        await asyncio.gather(self.loop, return_exceptions=True)

    def see(self, *given: InstanceFacts) -> None:
        self.memory.watch(KEY, ORGANIZATION, given, readiness=READINESS)

    def is_ready(self, given: InstanceFacts) -> bool:
        return self.memory.is_ready(given, readiness=READINESS)


async def test_an_instance_is_asked_every_period_until_it_answers_and_then_every_minute() -> None:
    one = running()
    async with Watch() as watch:
        watch.see(one)
        await asyncio.sleep(35)
        assert len(watch.guest.asked) == 4
        assert not watch.is_ready(one)
        watch.guest.answers = True
        await asyncio.sleep(10)
        assert watch.is_ready(one)
        asked = len(watch.guest.asked)
        await asyncio.sleep(600)
        assert len(watch.guest.asked) - asked in {9, 10}


async def test_only_a_change_of_mind_brings_a_pass() -> None:
    async with Watch() as watch:
        watch.see(running())
        await asyncio.sleep(35)
        assert watch.bell.rung == 1, "the first answer, though a no, is news"
        watch.guest.answers = True
        await asyncio.sleep(1000)
        assert watch.bell.rung == 2


async def test_a_ready_instance_is_not_ready_after_enough_failures_in_a_row() -> None:
    one = running(was_ready=True)
    async with Watch() as watch:
        watch.see(one)
        assert watch.is_ready(one), "a restart of the operator is no failure of the instance"
        await asyncio.sleep(15)
        assert watch.is_ready(one)
        await asyncio.sleep(15)
        assert not watch.is_ready(one)


async def test_a_server_that_was_stopped_must_answer_again() -> None:
    one = running(was_ready=True)
    async with Watch() as watch:
        watch.guest.answers = True
        watch.see(one)
        await asyncio.sleep(1)
        watch.see(replace(one, sight=Listed(seen_server(STOPPED))))
        watch.guest.answers = False
        watch.see(one)
        assert not watch.is_ready(one)
        assert not watch.memory.is_told(one, readiness=READINESS)


async def test_what_cannot_be_seen_at_the_provider_is_as_it_was() -> None:
    one = running()
    async with Watch() as watch:
        watch.guest.answers = True
        watch.see(one)
        await asyncio.sleep(1)
        blind = replace(one, sight=Unknown(reason="ProviderUnreachable"))
        watch.see(blind)
        assert watch.is_ready(blind)
        asked = len(watch.guest.asked)
        await asyncio.sleep(100)
        assert len(watch.guest.asked) > asked, "it goes on being asked"


async def test_two_hundred_that_hang_hold_up_no_other_tenant() -> None:
    async with Watch() as watch:
        watch.guest.hangs_s = 3.0
        watch.see(*(running(f"51.15.1.{n}") for n in range(200)))
        await asyncio.sleep(1)
        other = running("51.15.0.9")
        key = Key("Deployment", "other", "llama")
        watch.memory.watch(key, OrganizationId(UUID(int=8)), [other], readiness=READINESS)
        await asyncio.sleep(1)
        assert "51.15.0.9" in watch.guest.asked
        await asyncio.sleep(12)
        assert len(set(watch.guest.asked)) == 201, "all of them had their turn"


async def test_what_is_gone_is_forgotten_and_at_rest_nothing_runs() -> None:
    async with Watch() as watch:
        watch.see(running())
        await asyncio.sleep(1)
        watch.see()
        asked = len(watch.guest.asked)
        await asyncio.sleep(1000)
        assert len(watch.guest.asked) == asked
