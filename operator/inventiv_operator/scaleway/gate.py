"""Who may call now: a gate per API key, and above the gates one bucket for the installation.

    call -> Gate.admit -> [breaker] -> [queue of this key] -> Turnstile -> Slot -> the call -> Slot.leave

Nothing shows that the provider counts per key (architecture.md 3), so the installation has a bucket of its
own. It is served round-robin over the organizations that wait, and within each over its keys: one with a
thousand calls waiting, or with a thousand keys, costs another one a single turn. A key whose calls hang holds
its own slots and nobody else's. A 429 slows the key that got it and no other (T6): should the provider count
all keys together, all of them are answered 429 and slow down by themselves.

Everything runs in one event loop and no method but `admit` waits, so there are no locks.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from weakref import WeakValueDictionary

from inventiv_operator.runtime.clock import Clock
from inventiv_operator.scaleway.breaker import Breaker
from inventiv_operator.scaleway.errors import RateLimited, Unavailable
from inventiv_operator.scaleway.metrics import ProviderMetrics
from inventiv_operator.scaleway.pace import Bucket, Pace, PaceLimits

MAX_WAIT_S: Final = 15.0
"""How long a call waits for its turn before it fails as `RateLimited`: a step has 20 s."""
_NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """Of every key, and of the installation. Seconds and calls per second.

    About 150 requests in one second provoked a 429 (api.md 1): rate and burst of the installation stay below.
    """

    key: PaceLimits = field(default_factory=PaceLimits)
    installation_rate_per_s: float = 100.0
    installation_burst: float = 20.0
    max_wait_s: float = MAX_WAIT_S


class Outcome(Enum):
    """What a call says about the way to the provider."""

    ANSWERED = "answered"  # also a definite refusal
    THROTTLED = "throttled"
    FAILED = "failed"  # nothing came, or nothing that makes sense
    ABANDONED = "abandoned"  # cancelled, or never sent


@dataclass(slots=True, eq=False)
class Slot:
    """The right to one call; `leave` exactly once."""

    gate: "Gate"
    started_s: float
    is_probe: bool

    def leave(self, outcome: Outcome, *, retry_after_s: float | None = None, said: str = "") -> None:
        self.gate.left(self, outcome, retry_after_s=retry_after_s, said=said)


@dataclass(slots=True, eq=False)
class _Waiter:
    future: asyncio.Future[Slot]
    since_s: float
    is_probe: bool


class Gate:
    """One API key's way to the provider, as one organization's."""

    def __init__(
        self, turnstile: "Turnstile", *, organization: Hashable, limits: GateLimits, now_s: float
    ) -> None:
        self.organization = organization
        self.is_in_line = False
        """Of its organization: with the turnstile, which alone sets it."""
        self._turnstile = turnstile
        self._limits = limits
        self._pace = Pace(limits.key, now_s=now_s)
        self._breaker = Breaker()
        self._last_failure = ""
        self._in_flight = 0
        self._waiters: deque[_Waiter] = deque()

    @property
    def is_waited_for(self) -> bool:
        return bool(self._waiters)

    @property
    def rate_per_s(self) -> float:
        return self._pace.rate_per_s

    async def admit(self, *, first: bool = False) -> Slot:
        """Wait for a turn; `first` goes before the others of this key: a read that many wait for.

        Raises:
            Unavailable: the breaker is open; nothing was sent.
            RateLimited: no turn within `max_wait_s`, or none to be expected; nothing was sent.
        """
        now_s = self._turnstile.clock.monotonic()
        self._check(now_s)
        is_probe = self._breaker.enter()
        if not self._waiters and self._turnstile.may_pass(self, now_s):
            return self.start(now_s, is_probe=is_probe)
        waiter = _Waiter(future=asyncio.get_running_loop().create_future(), since_s=now_s, is_probe=is_probe)
        if first:
            self._waiters.appendleft(waiter)
        else:
            self._waiters.append(waiter)
        self._turnstile.enqueue(self)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            self._give_up(waiter)
            raise

    def _check(self, now_s: float) -> None:
        rest_s = self._breaker.refused_for_s(now_s)
        if rest_s is not None:
            raise self._is_open(rest_s)
        ahead_s = self._pace.pause_left_s(now_s) + len(self._waiters) / self._pace.rate_per_s
        if ahead_s > self._limits.max_wait_s:
            raise RateLimited(
                f"Scaleway throttles this key; the next turn is {ahead_s:.0f} s away", retry_after_s=ahead_s
            )

    def _is_open(self, rest_s: float) -> Unavailable:
        return Unavailable(
            f"no call with this key came through of late ({self._last_failure}); next try in {rest_s:.1f} s",
            retry_after_s=rest_s,
        )

    def _give_up(self, waiter: _Waiter) -> None:
        """The caller was cancelled, perhaps in the very moment in which its turn came."""
        if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
            waiter.future.result().leave(Outcome.ABANDONED)
            return
        self._breaker.abandoned(is_probe=waiter.is_probe)
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    # -- the turnstile's side --------------------------------------------------------------------------------

    def ready_in_s(self, now_s: float) -> float:
        """0: this key may start a call now; infinity: not before one of its calls ends."""
        if self._in_flight >= self._pace.concurrency:
            return _NEVER
        return self._pace.ready_in_s(now_s)

    def start(self, now_s: float, *, is_probe: bool) -> Slot:
        self._pace.take()
        self._turnstile.take()
        self._in_flight += 1
        return Slot(gate=self, started_s=now_s, is_probe=is_probe)

    def start_next(self, now_s: float) -> None:
        """Give the first waiter its turn."""
        waiter = self._waiters.popleft()
        self._turnstile.metrics.waited.observe(now_s - waiter.since_s)
        waiter.future.set_result(self.start(now_s, is_probe=waiter.is_probe))

    def expire(self, now_s: float) -> float:
        """Drop who is gone, refuse who has waited too long; when the next one will have."""
        while self._waiters:
            first = self._waiters[0]
            due_s = first.since_s + self._limits.max_wait_s
            if first.future.done():
                self._waiters.popleft()
            elif due_s <= now_s:
                self._waiters.popleft()
                self._breaker.abandoned(is_probe=first.is_probe)
                first.future.set_exception(
                    RateLimited(
                        f"no turn within {self._limits.max_wait_s:.0f} s: too many calls with this key"
                    )
                )
            else:
                return due_s
        return _NEVER

    # -- the end of a call -----------------------------------------------------------------------------------

    def left(self, slot: Slot, outcome: Outcome, *, retry_after_s: float | None, said: str) -> None:
        self._in_flight -= 1
        now_s = self._turnstile.clock.monotonic()
        jitter = self._turnstile.jitter()
        match outcome:
            case Outcome.ANSWERED:
                self._breaker.succeeded()
                self._pace.succeeded(started_s=slot.started_s, now_s=now_s)
            case Outcome.THROTTLED:
                self._breaker.succeeded()
                self._pace.throttled(
                    started_s=slot.started_s, now_s=now_s, retry_after_s=retry_after_s, jitter=jitter
                )
                self._turnstile.metrics.throttled.inc()
            case Outcome.FAILED:
                self._last_failure = said
                if self._breaker.failed(is_probe=slot.is_probe, now_s=now_s, jitter=jitter):
                    self._turnstile.metrics.breaker_opened.inc()
                    self._refuse_all(now_s)
            case Outcome.ABANDONED:
                self._breaker.abandoned(is_probe=slot.is_probe)
        self._turnstile.changed(self)

    def _refuse_all(self, now_s: float) -> None:
        rest_s = self._breaker.refused_for_s(now_s) or 0.0
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.future.done():
                waiter.future.set_exception(self._is_open(rest_s))

    def close(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.future.done():
                waiter.future.set_exception(Unavailable("the operator is shutting down"))


class _Party:
    """The gates of one organization that are waited for, in the order of their turns."""

    def __init__(self) -> None:
        self.line: deque[Gate] = deque()
        self.rests_until_s = 0.0
        """None of them has anything to do before; an event of one of them ends the rest."""

    def next(self, now_s: float) -> Gate | None:
        """Whose turn it is of those that may start a call now. Who has waited too long is refused."""
        if now_s < self.rests_until_s:
            return None
        wake_s = _NEVER
        for _ in range(len(self.line)):
            gate = self.line.popleft()
            due_s = gate.expire(now_s)
            if not gate.is_waited_for:
                gate.is_in_line = False
                continue
            self.line.append(gate)
            wait_s = gate.ready_in_s(now_s)
            if wait_s <= 0:
                return gate
            wake_s = min(wake_s, due_s, now_s + wait_s)
        self.rests_until_s = wake_s
        return None


class Turnstile:
    """The installation's bucket, and the round of the organizations whose gates wait."""

    def __init__(
        self,
        *,
        clock: Clock,
        metrics: ProviderMetrics,
        limits: GateLimits,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter` returns numbers in [0, 1)."""
        self.clock = clock
        self.metrics = metrics
        self.jitter = jitter
        self._limits = limits
        self._bucket = Bucket(
            rate_per_s=limits.installation_rate_per_s,
            burst=limits.installation_burst,
            now_s=clock.monotonic(),
        )
        self._gates: WeakValueDictionary[tuple[Hashable, str], Gate] = WeakValueDictionary()
        self._parties: dict[Hashable, _Party] = {}  # only of organizations that wait
        self._round: deque[Hashable] = deque()  # the same organizations, in the order of their turns
        self._timer: asyncio.TimerHandle | None = None

    def gate(self, key: str, *, organization: Hashable) -> Gate:
        """The one gate of this key of this organization; it lives as long as somebody holds it.

        A key that two organizations hold (one of them stole it, or was handed it) has a gate with each: with
        one in common, one would call out of the other's share, and whoever makes its calls fail would close
        it for both. It costs that the provider may see a key at twice its rate; then it answers 429 to both.
        """
        place = (organization, key)
        found = self._gates.get(place)
        if found is None:
            now_s = self.clock.monotonic()
            found = Gate(self, organization=organization, limits=self._limits, now_s=now_s)
            self._gates[place] = found
        return found

    def close(self) -> None:
        """Whoever waits is refused."""
        if self._timer is not None:
            self._timer.cancel()
        self._round.clear()
        self._parties.clear()
        for gate in tuple(self._gates.values()):
            gate.is_in_line = False
            gate.close()

    def may_pass(self, gate: Gate, now_s: float) -> bool:
        """Whether a call of this gate may start without overtaking anybody."""
        return not self._round and self._bucket.ready_in_s(now_s) <= 0 and gate.ready_in_s(now_s) <= 0

    def take(self) -> None:
        self._bucket.take()

    def enqueue(self, gate: Gate) -> None:
        """Somebody waits for it."""
        party = self._parties.get(gate.organization)
        if party is None:
            party = self._parties[gate.organization] = _Party()
            self._round.append(gate.organization)
        if not gate.is_in_line:
            gate.is_in_line = True
            party.line.append(gate)
        self.changed(gate)

    def changed(self, gate: Gate) -> None:
        """One of its calls came or ended."""
        party = self._parties.get(gate.organization)
        if party is not None:
            party.rests_until_s = 0.0
        self.dispatch()

    def dispatch(self) -> None:
        """Start what may start, in turn, and come back when the next one may."""
        if not self._round:
            return
        now_s = self.clock.monotonic()
        wake_s = _NEVER
        resting = 0
        while resting < len(self._round):
            bucket_s = self._bucket.ready_in_s(now_s)
            if bucket_s > 0:
                wake_s = now_s + bucket_s  # nobody's turn is taken, and nobody's line walked through, before
                break
            organization = self._round.popleft()
            party = self._parties[organization]
            gate = party.next(now_s)
            if not party.line:
                del self._parties[organization]
                continue
            self._round.append(organization)
            if gate is not None:
                gate.start_next(now_s)
                resting, wake_s = 0, _NEVER
            else:
                resting += 1
                wake_s = min(wake_s, party.rests_until_s)
        self._arm(now_s, wake_s)

    def _arm(self, now_s: float, wake_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._round and wake_s < _NEVER:
            delay_s = max(0.0, wake_s - now_s)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.dispatch)
