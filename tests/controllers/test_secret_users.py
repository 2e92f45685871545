"""Which credentials a changed Secret wakes, and what that costs."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import kopf
import pytest
from prometheus_client import CollectorRegistry

from inventiv_operator.controllers.secret_users import SecretUsers
from inventiv_operator.controllers.waking import Waking
from inventiv_operator.handlers.registration import register
from inventiv_operator.kube.kinds import CREDENTIAL
from inventiv_operator.runtime.queue import DONE, QueueKey, Result, WorkQueue
from inventiv_operator.runtime.queue_metrics import QueueMetrics
from runtime.virtual_time import LoopClock
from tenant_rig.fake_cluster import Body, FakeCluster

pytestmark = pytest.mark.looptime


def naming(secret: str) -> Body:
    return {"spec": {"secretRef": {"name": secret}}}


@dataclass
class Counted(FakeCluster):
    """Counts what it is asked, and the objects that it hands out."""

    calls: Counter[str] = field(default_factory=Counter)
    objects: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    async def get(self, *place: Any) -> Any:
        self.calls["get"] += 1
        self.objects += 1
        return await super().get(*place)

    async def list(self, *kind: Any, **options: Any) -> Any:
        self.calls["list"] += 1
        listed = await super().list(*kind, **options)
        self.objects += len(listed.items)
        return listed


@dataclass
class Line:
    """From the watch's events over handlers and queue to the passes, each of which reads its object."""

    cluster: Counted = field(default_factory=Counted)
    users: SecretUsers = field(default_factory=SecretUsers)
    passes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        registry = kopf.OperatorRegistry()
        self.queue = WorkQueue(clock=LoopClock(), metrics=QueueMetrics(CollectorRegistry()))
        self.waking = Waking(self.cluster, secret_users=self.users, enqueue=self.queue.add)
        register(registry, enqueue=self.queue.add, saw_credential=self.users.saw)
        self._handlers: dict[str, Any] = {str(h.id): h.fn for h in registry._watching._handlers}

    async def event(self, plural: str, event_type: str | None, body: Body) -> None:
        await self._handlers[f"{plural}_seen"](event={"type": event_type, "object": body})

    async def process(self, key: QueueKey, *, deadline_s: float) -> Result:
        del deadline_s
        if key.kind == "Secret":
            self.waking.credentials_of(key.namespace, secret=key.name)
        else:
            self.passes[key.name] += 1
            body = await self.cluster.get(CREDENTIAL, key.namespace, key.name)
            self.users.saw(key.namespace, key.name, body)
        return DONE

    def forget_what_it_cost(self) -> None:
        self.passes.clear()
        self.cluster.calls.clear()
        self.cluster.objects = 0

    async def work(self) -> None:
        """Until nothing is left to do."""
        await asyncio.sleep(60.0)
        assert len(self.queue) == 0


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    made = Line()
    task = asyncio.create_task(made.queue.run(made.process))
    yield made
    await made.queue.drain(timeout_s=0)
    await task


@pytest.mark.parametrize("number", [10, 1000])
async def test_T6_a_bulk_of_secrets_beside_a_bulk_of_credentials_costs_one_read_for_each_event(
    line: Line, number: int
) -> None:
    """Each Secret wakes its one credential, and nothing else is asked for."""
    for n in range(number):
        body = line.cluster.put(CREDENTIAL, "acme", f"c{n}", **naming(f"s{n}"))
        await line.event("providercredentials", None, body)
    await line.work()
    line.forget_what_it_cost()
    for n in range(number):
        await line.event("secrets", "MODIFIED", {"metadata": {"namespace": "acme", "name": f"s{n}"}})
    await line.work()
    assert line.passes == {f"c{n}": 1 for n in range(number)}
    assert line.cluster.calls == {"get": number}
    assert line.cluster.objects == number


async def test_T6_at_start_too_when_all_come_at_once_in_any_order(line: Line) -> None:
    for n in range(1000):
        line.cluster.put(CREDENTIAL, "acme", f"c{n}", **naming(f"s{n}"))
        await line.event("secrets", None, {"metadata": {"namespace": "acme", "name": f"s{n}"}})
    for n in range(1000):
        body = line.cluster.read(CREDENTIAL, "acme", f"c{n}")
        assert body is not None
        await line.event("providercredentials", None, body)
    await line.work()
    assert line.passes.keys() == {f"c{n}" for n in range(1000)}
    assert line.cluster.calls["list"] == 0
    assert line.cluster.calls["get"] <= 2000


async def test_T6_secrets_of_a_namespace_without_credentials_cost_nothing(line: Line) -> None:
    for n in range(1000):
        await line.event("secrets", "ADDED", {"metadata": {"namespace": "nobodys", "name": f"s{n}"}})
    await line.work()
    assert not line.cluster.calls
    assert len(line.users) == 0


def test_a_credential_is_found_by_the_secret_that_it_names_now() -> None:
    users = SecretUsers()
    users.saw("acme", "a", naming("one"))
    users.saw("acme", "b", naming("one"))
    users.saw("acme", "a", naming("two"))
    assert users.of("acme", secret="one") == ["b"]
    assert users.of("acme", secret="two") == ["a"]
    assert users.of("elsewhere", secret="one") == []


@pytest.mark.parametrize("body", [None, {}, {"spec": None}, {"spec": {"secretRef": None}}])
def test_what_is_gone_or_names_no_secret_leaves_nothing_behind(body: Body | None) -> None:
    users = SecretUsers()
    users.saw("acme", "a", naming("one"))
    users.saw("acme", "a", body)
    users.saw("acme", "never-there", body)
    assert len(users) == 0
    assert not users._namespaces


def test_T6_a_flood_of_credentials_is_forgotten_at_the_cost_of_its_own_namespace() -> None:
    users = SecretUsers(remembered=100)
    for n in range(10):
        users.saw("quiet", f"c{n}", naming("key"))
    for n in range(1000):
        users.saw("loud", f"c{n}", naming("key"))
    users.saw("late", "c", naming("key"))
    assert len(users) == 100
    assert len(users.of("quiet", secret="key")) == 10
    assert users.of("late", secret="key") == ["c"]
    assert users.of("loud", secret="key")[-1] == "c999"
