"""The gates in virtual time: who may call, how fast, and what one key's trouble costs another."""

import asyncio
from collections.abc import Callable, Mapping
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry

from inventiv_operator.scaleway.breaker import FIRST_REST_S, REST_CAP_S, THRESHOLD
from inventiv_operator.scaleway.errors import RateLimited, Unavailable
from inventiv_operator.scaleway.gate import Gate, GateLimits, Outcome, Turnstile
from inventiv_operator.scaleway.metrics import ProviderMetrics
from inventiv_operator.scaleway.pace import FIRST_PAUSE_S, PaceLimits
from runtime.virtual_time import LoopClock

pytestmark = pytest.mark.looptime


def now_s() -> float:
    return asyncio.get_running_loop().time()


def turnstile(
    *,
    rate: float = 50.0,
    burst: float = 10.0,
    concurrency: int = 16,
    all_rate: float = 1000.0,
    all_burst: float = 1000.0,
    max_wait_s: float = 1000.0,
    registry: CollectorRegistry | None = None,
) -> Turnstile:
    return Turnstile(
        clock=LoopClock(),
        metrics=ProviderMetrics(registry or CollectorRegistry()),
        limits=GateLimits(
            key=PaceLimits(rate_per_s=rate, burst=burst, concurrency=concurrency),
            installation_rate_per_s=all_rate,
            installation_burst=all_burst,
            max_wait_s=max_wait_s,
        ),
        jitter=lambda: 1.0,
    )


async def call(gate: Gate, *, takes_s: float = 0.05, outcome: Outcome = Outcome.ANSWERED) -> float:
    """When it started."""
    slot = await gate.admit()
    started_s = now_s()
    await asyncio.sleep(takes_s)
    slot.leave(outcome, said="it broke")
    return started_s


async def times_of(calls: int, gate: Gate, *, takes_s: float = 0.05) -> list[float]:
    return sorted(await asyncio.gather(*(call(gate, takes_s=takes_s) for _ in range(calls))))


async def settled(condition: Callable[[], bool]) -> None:
    for _ in range(10):
        if condition():
            return
        await asyncio.sleep(0)
    assert condition()


async def test_calls_start_at_the_rate_of_the_key() -> None:
    gate = turnstile(rate=50.0, burst=10.0).gate("a", organization="a")
    times = await times_of(160, gate)
    assert times[:10] == [0.0] * 10
    assert times[-1] == pytest.approx(3.0, abs=0.05)
    for start in (0.5, 1.0, 2.0):
        assert sum(start <= t < start + 1.0 for t in times) in range(48, 53)


async def test_no_more_calls_are_under_way_than_allowed() -> None:
    gate = turnstile(rate=1000.0, burst=1000.0, concurrency=4).gate("a", organization="a")
    assert await times_of(12, gate, takes_s=1.0) == pytest.approx([0.0] * 4 + [1.0] * 4 + [2.0] * 4)


async def test_the_installation_has_a_rate_of_its_own() -> None:
    all_gates = turnstile(rate=50.0, burst=1.0, all_rate=60.0, all_burst=1.0)
    gates = [all_gates.gate(name, organization=name) for name in "abc"]
    await asyncio.gather(*(times_of(40, gate) for gate in gates))
    assert now_s() == pytest.approx(2.0, abs=0.1)  # 120 calls at 60 a second, not at 150


async def test_every_secret_key_of_an_organization_has_one_gate_as_long_as_it_is_used() -> None:
    all_gates = turnstile()
    kept = all_gates.gate("a", organization="one")
    assert all_gates.gate("a", organization="one") is kept
    assert all_gates.gate("b", organization="one") is not kept
    assert all_gates.gate("a", organization="other") is not kept


async def test_a_read_that_many_wait_for_goes_first() -> None:
    gate = turnstile(rate=10.0, burst=1.0).gate("a", organization="a")
    writes = [asyncio.create_task(call(gate)) for _ in range(20)]
    await asyncio.sleep(0)
    (await gate.admit(first=True)).leave(Outcome.ANSWERED)
    assert now_s() == pytest.approx(0.1)
    await asyncio.gather(*writes)


# -- one tenant and the others ----------------------------------------------------------------------------


async def test_T6_a_key_with_a_thousand_calls_waiting_costs_another_one_a_single_turn() -> None:
    all_gates = turnstile(rate=1000.0, burst=1.0, all_rate=10.0, all_burst=1.0)
    flood = [asyncio.create_task(call(all_gates.gate("noisy", organization="noisy"))) for _ in range(1000)]
    await asyncio.sleep(1.0)
    asked_s = now_s()
    quiet = all_gates.gate("quiet", organization="quiet")
    assert await call(quiet) - asked_s <= 0.2 + 1e-6
    assert await call(quiet) - asked_s <= 0.4 + 1e-6
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)


@pytest.mark.parametrize("broken", ["hangs", "fails", "throttled"])
async def test_T6_a_broken_key_does_not_slow_another(broken: str) -> None:
    """The healthy one's calls start exactly as they would alone."""

    async def healthy(all_gates: Turnstile) -> list[float]:
        began_s = now_s()
        return [t - began_s for t in await times_of(200, all_gates.gate("healthy", organization="healthy"))]

    async def keep_calling(gate: Gate) -> None:
        while True:
            try:
                match broken:
                    case "hangs":
                        await call(gate, takes_s=30.0, outcome=Outcome.FAILED)
                    case "fails":
                        await call(gate, outcome=Outcome.FAILED)
                    case _:
                        await call(gate, outcome=Outcome.THROTTLED)
            except (Unavailable, RateLimited):
                await asyncio.sleep(0.1)

    alone = await healthy(turnstile())
    shared = turnstile()
    trouble = [
        asyncio.create_task(keep_calling(shared.gate("broken", organization="broken"))) for _ in range(100)
    ]
    await asyncio.sleep(1.0)
    assert await healthy(shared) == pytest.approx(alone, abs=0.02)
    for task in trouble:
        task.cancel()
    await asyncio.gather(*trouble, return_exceptions=True)


async def test_T6_shares_are_equal_when_all_want_more_than_there_is() -> None:
    all_gates = turnstile(rate=50.0, burst=1.0, all_rate=30.0, all_burst=1.0)
    counts = dict.fromkeys("abc", 0)

    async def busy(name: str) -> None:
        while True:
            await call(all_gates.gate(name, organization=name))
            counts[name] += 1

    tasks = [asyncio.create_task(busy(name)) for name, number in zip("abc", (1, 10, 100), strict=True)
             for _ in range(number)]  # fmt: skip
    await asyncio.sleep(10.0)
    assert sum(counts.values()) == pytest.approx(300, abs=6)
    assert counts["b"] == pytest.approx(counts["c"], abs=3)
    assert counts["a"] >= 70  # one caller: 0.05 s for each call, and two turns of others before the next
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def shares(keys: Mapping[str, list[str]], *, callers: int = 16) -> dict[str, float]:
    """Calls per second of each organization with such keys, all callers always having one to make."""
    all_gates = turnstile(all_rate=100.0, all_burst=20.0, max_wait_s=15.0)
    counts = dict.fromkeys(keys, 0)
    kept = {who: [all_gates.gate(key, organization=who) for key in of] for who, of in keys.items()}

    async def busy(who: str, gate: Gate) -> None:
        while True:
            try:
                await call(gate)
            except RateLimited:
                await asyncio.sleep(0.5)
            else:
                counts[who] += 1

    tasks = [
        asyncio.create_task(busy(who, gate))
        for who, gates in kept.items()
        for gate in gates
        for _ in range(max(1, callers // len(gates)))
    ]
    await asyncio.sleep(30.0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {who: count / 30.0 for who, count in counts.items()}


@pytest.mark.parametrize("keys", [1, 16, 100])
async def test_T6_an_organization_with_many_keys_has_one_share(keys: int) -> None:
    got = await shares({"a": ["a"], "b": [f"b{n}" for n in range(keys)]})
    assert got["a"] == pytest.approx(50.0, rel=0.03)
    assert got["b"] == pytest.approx(50.0, rel=0.03)  # and what the others leave


async def test_the_keys_of_one_organization_share_what_is_its() -> None:
    got = await shares({"a": ["a"], "b": ["one", "two"], "c": ["c"]})
    assert list(got.values()) == pytest.approx([100.0 / 3.0] * 3, rel=0.05)
    alone = await shares({"b": ["one", "two", "three"]})
    assert alone["b"] == pytest.approx(100.0, rel=0.03)


async def test_T6_one_secret_key_in_two_organizations_is_in_the_share_of_each() -> None:
    """As when it was stolen: the thief's calls are not made out of its owner's share."""
    got = await shares({"owner": ["key"], "thief": ["key", *(f"t{n}" for n in range(30))], "third": ["x"]})
    assert list(got.values()) == pytest.approx([100.0 / 3.0] * 3, rel=0.05)


@pytest.mark.parametrize("broken", ["hang", "fail", "throttled"])
async def test_T6_a_thousand_broken_keys_of_one_organization_do_not_slow_another(broken: str) -> None:
    outcome = {"hang": Outcome.FAILED, "fail": Outcome.FAILED, "throttled": Outcome.THROTTLED}[broken]
    all_gates = turnstile(all_rate=100.0, all_burst=20.0, max_wait_s=15.0)

    async def keep_calling(gate: Gate) -> None:
        while True:
            try:
                await call(gate, takes_s=30.0 if broken == "hang" else 0.05, outcome=outcome)
            except (Unavailable, RateLimited) as error:
                await asyncio.sleep(error.retry_after_s or 0.5)

    gates = [all_gates.gate(f"b{n}", organization="b") for n in range(1000)]
    trouble = [asyncio.create_task(keep_calling(gate)) for gate in gates for _ in range(2)]
    await asyncio.sleep(5.0)
    began_s = now_s()
    await times_of(450, all_gates.gate("a", organization="a"))
    assert now_s() - began_s == pytest.approx(9.0, rel=0.03)  # half of what there is, which is its key's rate
    for task in trouble:
        task.cancel()
    await asyncio.gather(*trouble, return_exceptions=True)


# -- after a 429 --------------------------------------------------------------------------------------------


async def test_a_429_pauses_the_key_and_halves_its_rate() -> None:
    gate = turnstile(rate=40.0, burst=1.0).gate("a", organization="a")
    await call(gate, takes_s=0.0, outcome=Outcome.THROTTLED)
    assert gate.rate_per_s == 20.0
    assert await call(gate, takes_s=0.0) == pytest.approx(FIRST_PAUSE_S)


async def test_429s_of_calls_under_way_together_count_once() -> None:
    gate = turnstile(rate=40.0, burst=16.0).gate("a", organization="a")
    await asyncio.gather(*(call(gate, outcome=Outcome.THROTTLED) for _ in range(16)))
    assert gate.rate_per_s == 20.0


async def test_repeated_429s_pause_longer_and_longer_and_never_stop_for_good() -> None:
    gate = turnstile(rate=40.0, burst=1.0).gate("a", organization="a")
    times = [await call(gate, takes_s=0.0, outcome=Outcome.THROTTLED) for _ in range(12)]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[:4] == pytest.approx([0.5, 1.0, 2.0, 4.0], abs=0.05)
    assert max(pauses) <= 31.1
    assert gate.rate_per_s == 1.0


async def test_the_providers_own_word_on_how_long_to_wait_is_kept() -> None:
    gate = turnstile().gate("a", organization="a")
    (await gate.admit()).leave(Outcome.THROTTLED, retry_after_s=7.0)
    assert await call(gate) == pytest.approx(7.0)


async def test_without_a_further_429_the_rate_comes_back_within_half_a_minute() -> None:
    gate = turnstile(rate=40.0).gate("a", organization="a")
    for _ in range(6):
        await call(gate, outcome=Outcome.THROTTLED)
    assert gate.rate_per_s == 1.0
    began_s = now_s()
    while gate.rate_per_s < 40.0:
        await call(gate)
    assert 15.0 < now_s() - began_s < 62.0


async def test_a_429_is_counted(  # what an alert is made of
) -> None:
    registry = CollectorRegistry()
    gate = turnstile(registry=registry).gate("a", organization="a")
    await call(gate, outcome=Outcome.THROTTLED)
    assert registry.get_sample_value("inventiv_provider_throttled_total") == 1.0


# -- waiting too long ---------------------------------------------------------------------------------------


async def test_a_turn_that_is_too_far_away_is_refused_at_once() -> None:
    gate = turnstile(max_wait_s=15.0).gate("a", organization="a")
    (await gate.admit()).leave(Outcome.THROTTLED, retry_after_s=60.0)
    with pytest.raises(RateLimited) as caught:
        await gate.admit()
    assert now_s() == 0.0
    assert caught.value.retry_after_s == pytest.approx(60.0, abs=0.1)


async def test_a_call_that_waits_behind_hanging_ones_is_refused_in_time() -> None:
    gate = turnstile(concurrency=2, max_wait_s=15.0).gate("a", organization="a")
    hanging = [asyncio.create_task(call(gate, takes_s=100.0)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(RateLimited):
        await gate.admit()
    assert now_s() == pytest.approx(15.0)
    await asyncio.gather(*hanging)


async def test_a_cancelled_waiter_keeps_no_turn() -> None:
    gate = turnstile(concurrency=1).gate("a", organization="a")
    slot = await gate.admit()
    waiters = [asyncio.create_task(gate.admit()) for _ in range(3)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    await settled(waiters[0].cancelled)
    slot.leave(Outcome.ANSWERED)
    (await waiters[1]).leave(Outcome.ANSWERED)
    (await waiters[2]).leave(Outcome.ANSWERED)


async def test_a_waiter_cancelled_in_the_moment_of_its_turn_hands_it_on() -> None:
    gate = turnstile(concurrency=1).gate("a", organization="a")
    slot = await gate.admit()
    first, second = (asyncio.create_task(gate.admit()) for _ in range(2))
    await asyncio.sleep(0)
    slot.leave(Outcome.ANSWERED)  # its turn has come...
    first.cancel()  # ...and it never runs
    (await second).leave(Outcome.ANSWERED)
    (await gate.admit()).leave(Outcome.ANSWERED)
    assert now_s() == 0.0


async def test_closing_refuses_who_waits() -> None:
    all_gates = turnstile(concurrency=1)
    gate = all_gates.gate("a", organization="a")
    await gate.admit()
    waiter = asyncio.create_task(gate.admit())
    await asyncio.sleep(0)
    all_gates.close()
    with pytest.raises(Unavailable, match="shutting down"):
        await waiter


# -- the breaker --------------------------------------------------------------------------------------------


async def fail(gate: Gate, *, times: int = THRESHOLD) -> None:
    for _ in range(times):
        await call(gate, takes_s=0.0, outcome=Outcome.FAILED)


async def test_after_failures_in_a_row_calls_are_refused_without_being_sent() -> None:
    gate = turnstile().gate("a", organization="a")
    await fail(gate)
    with pytest.raises(Unavailable, match="it broke") as caught:
        await gate.admit()
    assert caught.value.reason == "ProviderUnreachable"
    assert caught.value.retry_after_s == pytest.approx(FIRST_REST_S)


@pytest.mark.parametrize("between", [Outcome.ANSWERED, Outcome.THROTTLED])
async def test_failures_that_are_not_in_a_row_open_nothing(between: Outcome) -> None:
    gate = turnstile().gate("a", organization="a")
    for _ in range(THRESHOLD * 3):
        await fail(gate, times=THRESHOLD - 1)
        await call(gate, outcome=between)


async def test_who_waits_when_it_opens_is_refused_too() -> None:
    gate = turnstile(concurrency=THRESHOLD).gate("a", organization="a")
    hanging = [
        asyncio.create_task(call(gate, takes_s=30.0, outcome=Outcome.FAILED)) for _ in range(THRESHOLD)
    ]
    waiting = [asyncio.create_task(call(gate)) for _ in range(50)]
    await asyncio.gather(*hanging)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [result for result in results if isinstance(result, Unavailable)]
    assert len(refused) >= 50 - THRESHOLD
    assert now_s() <= 31.0


async def test_after_its_rest_one_call_asks_and_the_others_wait_for_what_it_learns() -> None:
    gate = turnstile().gate("a", organization="a")
    await fail(gate)
    await asyncio.sleep(FIRST_REST_S)
    probe = await gate.admit()
    with pytest.raises(Unavailable):
        await gate.admit()
    probe.leave(Outcome.ANSWERED)
    assert len(await times_of(20, gate)) == 20


async def test_rests_grow_to_a_cap_so_that_work_resumes_soon_after_an_outage() -> None:
    gate = turnstile().gate("a", organization="a")
    await fail(gate)
    rests = []
    for _ in range(8):
        began_s = now_s()
        while True:
            try:
                probe = await gate.admit()
                break
            except Unavailable as error:
                await asyncio.sleep(error.retry_after_s or 0.0)
        rests.append(now_s() - began_s)
        probe.leave(Outcome.FAILED, said="it broke")
    assert rests == pytest.approx([1.0, 2.0, 4.0, 8.0] + [REST_CAP_S] * 4)


async def test_a_probe_that_is_cancelled_leaves_the_way_free_for_the_next() -> None:
    gate = turnstile().gate("a", organization="a")
    await fail(gate)
    await asyncio.sleep(FIRST_REST_S)
    (await gate.admit()).leave(Outcome.ABANDONED)
    (await gate.admit()).leave(Outcome.ANSWERED)


async def test_a_probe_cancelled_while_it_waits_for_its_turn_leaves_the_way_free() -> None:
    all_gates = turnstile(all_rate=0.1, all_burst=THRESHOLD)
    gate = all_gates.gate("a", organization="a")
    await fail(gate)
    await asyncio.sleep(FIRST_REST_S)
    probe = asyncio.create_task(gate.admit())
    await asyncio.sleep(0)
    probe.cancel()
    await settled(probe.cancelled)
    await asyncio.sleep(10.0)
    (await gate.admit()).leave(Outcome.ANSWERED)


async def test_failures_of_calls_that_left_before_it_opened_do_not_lengthen_the_rest() -> None:
    gate = turnstile(concurrency=16).gate("a", organization="a")
    results = await asyncio.gather(*(call(gate, outcome=Outcome.FAILED) for _ in range(10)))
    assert len(results) == 10
    with pytest.raises(Unavailable) as caught:
        await gate.admit()
    assert caught.value.retry_after_s is not None
    assert caught.value.retry_after_s <= FIRST_REST_S
