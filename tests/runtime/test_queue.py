"""The queue in virtual time: `clock.monotonic()` is the loop's time and costs nothing to wait for."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from inventiv_operator.runtime.queue import (
    BACKOFF_CAP_S,
    DONE,
    HARD_STEP_S,
    STEP_S,
    Key,
    Lane,
    QueueKey,
    Result,
    SweepKey,
    WorkQueue,
)
from inventiv_operator.runtime.queue_metrics import QueueMetrics
from runtime.virtual_time import LoopClock

pytestmark = pytest.mark.looptime


def key(name: str, namespace: str = "acme") -> Key:
    return Key("Deployment", namespace, name)


@dataclass
class Bench:
    """A queue whose steps do what `step` says; `started` tells when each began."""

    queue: WorkQueue
    registry: CollectorRegistry
    clock: LoopClock
    started: list[tuple[float, QueueKey]] = field(default_factory=list)
    running: Counter[str] = field(default_factory=Counter)
    most_running: Counter[str] = field(default_factory=Counter)
    step: Callable[[QueueKey], Awaitable[Result]] | None = None

    async def process(self, key: QueueKey, *, deadline_s: float) -> Result:
        self.started.append((self.clock.monotonic(), key))
        assert deadline_s == self.clock.monotonic() + STEP_S
        self.running[key.namespace] += 1
        self.most_running[key.namespace] = max(self.most_running[key.namespace], self.running[key.namespace])
        try:
            return DONE if self.step is None else await self.step(key)
        finally:
            self.running[key.namespace] -= 1

    @property
    def order(self) -> list[str]:
        return [key.name for _, key in self.started]

    @property
    def times(self) -> list[float]:
        return [round(at, 3) for at, _ in self.started]

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.queue.run(self.process))
        try:
            yield
        finally:
            await self.queue.drain(timeout_s=0)
            await task

    def sample(self, metric: str, /, **labels: str) -> float | None:
        return self.registry.get_sample_value(metric, labels)


def bench(*, workers: int = 4) -> Bench:
    clock, registry = LoopClock(), CollectorRegistry()
    metrics = QueueMetrics(registry)
    return Bench(
        queue=WorkQueue(clock=clock, metrics=metrics, workers=workers, jitter=lambda: 0.9999999999),
        registry=registry,
        clock=clock,
    )


def lasting(seconds: float, result: Result = DONE) -> Callable[[QueueKey], Awaitable[Result]]:
    async def step(_: QueueKey) -> Result:
        await asyncio.sleep(seconds)
        return result

    return step


async def test_a_key_added_often_runs_once() -> None:
    b = bench()
    for _ in range(5):
        b.queue.add(key("a"))
    async with b.at_work():
        await asyncio.sleep(1)
    assert b.order == ["a"]


async def test_a_key_never_runs_twice_at_once_and_runs_again_when_added_meanwhile() -> None:
    b = bench(workers=8)
    b.step = lasting(3)
    async with b.at_work():
        b.queue.add(key("a"))
        await asyncio.sleep(1)
        b.queue.add(key("a"))
        b.queue.add(key("a"))
        await asyncio.sleep(9)
    assert b.times == [0, 3]
    assert b.most_running["acme"] == 1


async def test_the_earlier_time_wins_in_both_orders() -> None:
    b = bench()
    async with b.at_work():
        b.queue.add(key("a"), after_s=50)
        b.queue.add(key("a"), after_s=5)
        b.queue.add(key("b"), after_s=6)
        b.queue.add(key("b"), after_s=60)
        await asyncio.sleep(100)
    assert b.started == [(5, key("a")), (6, key("b"))]


async def test_a_delay_that_was_overtaken_does_not_fire_a_second_time() -> None:
    b = bench()
    async with b.at_work():
        b.queue.add(key("a"), after_s=50)
        await asyncio.sleep(1)
        b.queue.add(key("a"))
        await asyncio.sleep(100)
    assert b.times == [1]


async def test_a_result_can_ask_to_come_back_and_an_event_comes_earlier() -> None:
    b = bench()
    b.step = lasting(0, Result(requeue_after_s=10))
    async with b.at_work():
        b.queue.add(key("a"))
        await asyncio.sleep(14)
        b.queue.add(key("a"))
        await asyncio.sleep(11)
    assert b.times == [0, 10, 14, 24]


async def test_lanes_go_delete_create_refresh_inside_one_organization() -> None:
    b = bench(workers=1)
    b.queue.add(key("refresh"), lane=Lane.REFRESH)
    b.queue.add(key("create"), lane=Lane.CREATE)
    b.queue.add(key("delete"), lane=Lane.DELETE)
    b.queue.add(key("hastened"), lane=Lane.REFRESH)
    b.queue.add(key("hastened"), lane=Lane.DELETE)
    async with b.at_work():
        await asyncio.sleep(1)
    assert b.order == ["delete", "hastened", "create", "refresh"]


async def test_organizations_take_turns_before_lanes_count() -> None:
    b = bench(workers=1)
    for n in range(3):
        b.queue.add(key(f"loud{n}", "loud"), lane=Lane.DELETE)
    b.queue.add(key("quiet", "quiet"), lane=Lane.REFRESH)
    async with b.at_work():
        await asyncio.sleep(1)
    assert b.order == ["loud0", "quiet", "loud1", "loud2"]


@pytest.mark.parametrize("workers", [1, 4, 16])
async def test_T6_a_flood_changes_nobodys_place_by_more_than_one_item_per_worker(workers: int) -> None:
    """Nine quiet tenants, with and without a tenant that floods: how many steps start before each one's."""

    async def places(*, flood: int) -> dict[str, int]:
        b = bench(workers=workers)
        b.step = lasting(1)
        for n in range(flood):
            b.queue.add(key(f"flood{n}", "loud"), lane=Lane.DELETE)
        async with b.at_work():
            await asyncio.sleep(0.5)  # the flood is at work already when the others come
            came = b.clock.monotonic()
            for round_ in range(3):
                for tenant in range(9):
                    b.queue.add(key(f"{tenant}-{round_}", f"quiet{tenant}"))
            await asyncio.sleep(200)
        since = [of.name for at, of in b.started if at >= came]  # what ran when they came changed no place
        return {name: place for place, name in enumerate(since) if not name.startswith("flood")}

    calm, flooded = await places(flood=0), await places(flood=1000)
    assert set(calm) == set(flooded)
    for round_ in range(3):
        for tenant in range(9):
            name = f"{tenant}-{round_}"
            turns = round_ + 1  # the ring goes round once per item of the tenant itself
            assert flooded[name] - calm[name] <= turns


async def test_T6_an_organization_holds_a_quarter_of_the_workers_however_long_it_hangs() -> None:
    b = bench(workers=8)
    b.step = lasting(30)
    for n in range(100):
        b.queue.add(key(f"n{n}", "loud"))
    async with b.at_work():
        await asyncio.sleep(10)
        b.queue.add(key("quick", "quiet"))
        await asyncio.sleep(1)
    assert b.most_running["loud"] == 2
    assert b.started[-1] == (10, key("quick", "quiet"))


async def test_T6_namespaces_of_one_organization_share_its_turn_once_that_is_known() -> None:
    b = bench(workers=8)
    b.step = lasting(1, Result(organization="one", requeue_after_s=1))
    for n in range(8):
        b.queue.add(key(f"n{n}", f"namespace{n}"))
    async with b.at_work():
        await asyncio.sleep(0.5)
        assert sum(b.running.values()) == 8  # nobody knows whose they are
        await asyncio.sleep(2)
        assert sum(b.running.values()) == 2


async def test_T6_the_platforms_word_does_not_wait_in_the_line_of_the_tenant_that_it_is_about() -> None:
    """Ten thousand keys of the tenant are due; the platform changes its Organization."""
    b = bench(workers=64)
    b.step = lasting(2, Result(organization="one"))
    organization = Key("Organization", "", "acme")
    async with b.at_work():
        b.queue.add(organization, organization="one")
        await asyncio.sleep(10)
        for n in range(10_000):
            b.queue.add(key(f"n{n}"), organization="one", lane=Lane.DELETE)
        await asyncio.sleep(1)
        b.started.clear()
        b.queue.add(organization, lane=Lane.CREATE)
        await asyncio.sleep(5)
    assert b.started[0] == (11, organization)


async def test_T6_the_platforms_word_comes_before_the_turns_of_a_thousand_busy_tenants() -> None:
    b = bench(workers=4)
    b.step = lasting(2)
    for n in range(1000):
        b.queue.add(key(f"n{n}", f"tenant{n}"), lane=Lane.DELETE)
    async with b.at_work():
        await asyncio.sleep(1)
        b.queue.add(Key("Organization", "", "acme"))
        await asyncio.sleep(1.5)
    assert (2, Key("Organization", "", "acme")) in b.started


@pytest.mark.parametrize("workers", [4, 16])
async def test_T6_changes_of_every_organization_leave_the_tenants_three_quarters_of_the_workers(
    workers: int,
) -> None:
    """A thousand Organizations come at once, as at start: nobody waits longer than for their workers."""

    async def starts(*, organizations: int) -> dict[str, float]:
        b = bench(workers=workers)
        b.step = lasting(1)
        for n in range(organizations):
            b.queue.add(Key("Organization", "", f"o{n}"), lane=Lane.DELETE)
        began = b.clock.monotonic()
        async with b.at_work():
            for tenant in range(3 * workers // 4):
                for n in range(3):
                    b.queue.add(key(f"{tenant}-{n}", f"tenant{tenant}"))
            await asyncio.sleep(50)
        return {of.name: at - began for at, of in b.started if of.namespace}

    calm, busy = await starts(organizations=0), await starts(organizations=1000)
    assert len(calm) == len(busy) == 9 * workers // 4
    assert {name: (calm[name], busy[name]) for name in calm if busy[name] > calm[name] + 1} == {}


async def test_T6_namespaces_by_the_thousand_take_one_place() -> None:
    """They are trivial to look at; each with a place of its own would be a round of thousands for tenants."""
    b = bench(workers=8)
    b.step = lasting(1)
    for n in range(1000):
        b.queue.add(Key("Namespace", "", f"n{n}"))
    b.queue.add(key("web"))
    async with b.at_work():
        await asyncio.sleep(0.5)
    assert (0, key("web")) in b.started


async def test_sweeps_stand_in_the_line_of_their_organization() -> None:
    b = bench(workers=8)
    b.step = lasting(1)
    for n in range(8):
        b.queue.add(SweepKey("watchdog", "one", f"credential{n}"))
        b.queue.add(key(f"n{n}"), organization="one")
    async with b.at_work():
        await asyncio.sleep(0.5)
        assert len(b.started) == 2


async def test_back_off_doubles_to_its_cap_and_starts_anew_after_success(
    caplog: pytest.LogCaptureFixture,
) -> None:
    b = bench()
    failing = True

    async def step(_: QueueKey) -> Result:
        if failing:
            raise RuntimeError("no")
        return DONE

    b.step = step
    caplog.set_level(logging.CRITICAL)
    async with b.at_work():
        b.queue.add(key("a"))
        await asyncio.sleep(2000)
        gaps = [round(later - sooner) for sooner, later in zip(b.times, b.times[1:], strict=False)]
        assert gaps[:9] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
        assert set(gaps[9:]) == {BACKOFF_CAP_S}
        failing = False
        b.queue.add(key("a"))
        await asyncio.sleep(400)
        failing = True
        b.started.clear()
        b.queue.add(key("a"))
        await asyncio.sleep(1.5)
        assert b.times[1] - b.times[0] == pytest.approx(1, abs=0.01)


async def test_a_result_can_back_off_without_an_error() -> None:
    b = bench()
    b.step = lasting(0, Result(back_off=True))
    async with b.at_work():
        b.queue.add(key("a"))
        await asyncio.sleep(7.5)
    assert b.times == pytest.approx([0, 1, 3, 7], abs=0.01)
    assert b.sample("workqueue_retries_total", name="deployment") == 4


async def test_retry_called_by_the_step_itself_counts_once_and_is_not_forgotten() -> None:
    b = bench()

    async def step(of: QueueKey) -> Result:
        b.queue.retry(of)
        return DONE

    b.step = step
    async with b.at_work():
        b.queue.add(key("a"))
        await asyncio.sleep(7.5)
    assert b.times == pytest.approx([0, 1, 3, 7], abs=0.01)


async def test_one_broken_key_stops_nobody_and_is_logged_with_its_names(
    caplog: pytest.LogCaptureFixture,
) -> None:
    b = bench(workers=1)

    async def step(of: QueueKey) -> Result:
        if of.name == "broken":
            raise ValueError("boom")
        return DONE

    b.step = step
    b.queue.add(key("broken"))
    b.queue.add(key("fine"))
    async with b.at_work():
        await asyncio.sleep(0.2)
    assert b.order == ["broken", "fine"]
    assert "boom" in caplog.text
    assert b.sample("controller_runtime_reconcile_total", controller="deployment", result="error") == 1
    assert b.sample("controller_runtime_reconcile_total", controller="deployment", result="success") == 1


async def test_a_step_that_ignores_its_deadline_is_cancelled_and_comes_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    b = bench()
    b.step = lasting(10_000)
    async with b.at_work():
        b.queue.add(key("a"))
        await asyncio.sleep(HARD_STEP_S + 5)
    assert b.times == pytest.approx([0, HARD_STEP_S + 1], abs=0.01)
    assert "step cancelled" in caplog.text


async def test_drain_lets_running_steps_finish_and_starts_nothing_more() -> None:
    b = bench(workers=4)
    b.step = lasting(5)
    task = asyncio.create_task(b.queue.run(b.process))
    for n in range(4):
        b.queue.add(key(f"n{n}"))
    await asyncio.sleep(1)
    assert await b.queue.drain(timeout_s=30)
    await task
    assert b.clock.monotonic() == pytest.approx(5, abs=0.01)
    b.queue.add(key("late"))
    assert b.order == ["n0"]


async def test_drain_cancels_what_does_not_finish_in_time() -> None:
    b = bench()
    b.step = lasting(500)
    task = asyncio.create_task(b.queue.run(b.process))
    b.queue.add(key("a"))
    await asyncio.sleep(1)
    assert not await b.queue.drain(timeout_s=10)
    await task
    assert b.clock.monotonic() == pytest.approx(11, abs=0.01)


async def test_a_second_burst_after_an_idle_time_is_still_waited_for_by_drain() -> None:
    b = bench()
    b.step = lasting(5)
    task = asyncio.create_task(b.queue.run(b.process))
    b.queue.add(key("a"))
    await asyncio.sleep(20)
    b.queue.add(key("b"))
    await asyncio.sleep(1)
    assert await b.queue.drain(timeout_s=30)
    await task
    assert b.clock.monotonic() == pytest.approx(25, abs=0.01)


async def test_cancelling_the_run_cancels_the_steps() -> None:
    b = bench()
    b.step = lasting(500)
    task = asyncio.create_task(b.queue.run(b.process))
    b.queue.add(key("a"))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sum(b.running.values()) == 0


async def test_thousands_of_keys_leave_nothing_behind() -> None:
    b = bench(workers=16)
    async with b.at_work():
        for n in range(3000):
            b.queue.add(key(f"n{n % 1000}", f"tenant{n % 50}"), after_s=n % 7)
            b.queue.add(key(f"n{n % 1000}", f"tenant{n % 50}"), after_s=n % 3)
        await asyncio.sleep(60)
        assert len(b.queue) == 0
        assert not b.queue._heap
        assert not b.queue._homes
        assert not b.queue._ring
    assert b.sample("workqueue_depth", name="deployment") == 0


async def test_hastening_again_and_again_does_not_grow_the_heap() -> None:
    b = bench()
    async with b.at_work():
        for n in range(5000):
            b.queue.add(key("a"), after_s=10_000 - n)
        assert len(b.queue._heap) < 100
