"""From a key to its controller, and from an error to what happens next."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest

from inventiv_operator.controllers.dispatch import AGAIN, STAND_BY, Controllers, Dispatcher
from inventiv_operator.controllers.namespaces import NamespaceIndex
from inventiv_operator.controllers.outage import OutageNotes
from inventiv_operator.controllers.secret_users import SecretUsers
from inventiv_operator.controllers.status import ObjectStatusWriter
from inventiv_operator.controllers.waking import Waking
from inventiv_operator.domain.ids import CredentialId, OrganizationId
from inventiv_operator.kube.errors import Conflict as KubeConflict
from inventiv_operator.kube.errors import Unavailable
from inventiv_operator.kube.events import EventRecorder
from inventiv_operator.kube.kinds import DEPLOYMENT
from inventiv_operator.runtime.queue import DONE, Key, QueueKey, Result, SweepKey
from inventiv_operator.store.errors import Conflict, DatabaseBusy, DatabaseUnavailable, Fenced, StoreDefect
from runtime.virtual_time import LoopClock
from tenant_rig.fake_cluster import Body, FakeCluster

pytestmark = pytest.mark.looptime

WEB = Key("Deployment", "acme", "web")


@dataclass
class Controller:
    """Remembers its keys; raises what it was told to."""

    seen: list[Any] = field(default_factory=list)
    error: Exception | None = None

    async def reconcile(self, key: Key, *, deadline_s: float) -> Result:
        return await self._answer(key)

    async def sweep(
        self, organization_id: OrganizationId, credential_id: CredentialId, *, deadline_s: float
    ) -> Result:
        return await self._answer((organization_id, credential_id))

    async def _answer(self, what: Any) -> Result:
        self.seen.append(what)
        if self.error is not None:
            raise self.error
        return DONE


@dataclass
class Standing:
    is_leader: bool = True
    database_away: str = ""


@dataclass
class Bench:
    dispatcher: Dispatcher
    cluster: FakeCluster
    standing: Standing
    index: NamespaceIndex
    users: SecretUsers
    controllers: dict[str, Controller]
    queued: list[QueueKey]

    async def __call__(self, key: QueueKey) -> Result:
        return await self.dispatcher(key, deadline_s=1.0)

    def condition(self, name: str = "web") -> Body:
        return self.cluster.condition(DEPLOYMENT, "acme", name)


@pytest.fixture
async def bench() -> Bench:
    cluster, standing, index, queued = FakeCluster(), Standing(), NamespaceIndex(), list[QueueKey]()
    users, clock = SecretUsers(), LoopClock()
    made = {name: Controller() for name in ("organization", "credential", "deployment", "sweep")}
    status = ObjectStatusWriter(cluster, events=EventRecorder(cluster, clock=clock, instance=""), clock=clock)

    def enqueue(key: QueueKey, **_: object) -> None:
        queued.append(key)

    dispatcher = Dispatcher(
        Controllers(
            organization=made["organization"],
            credential=made["credential"],
            deployment=made["deployment"],
            sweeps={"terminator": made["sweep"]},
        ),
        standing=standing,
        outage=OutageNotes(cluster, status=status),
        index=index,
        waking=Waking(cluster, secret_users=users, enqueue=enqueue),
        enqueue=enqueue,
    )
    return Bench(dispatcher, cluster, standing, index, users, made, queued)


async def test_every_kind_reaches_its_controller(bench: Bench) -> None:
    for kind, controller in (
        ("Organization", "organization"),
        ("ProviderCredential", "credential"),
        ("Deployment", "deployment"),
    ):
        key = Key(kind, "acme", "x")
        assert await bench(key) == DONE
        assert bench.controllers[controller].seen == [key]


async def test_a_sweep_gets_the_ledger_s_ids(bench: Bench) -> None:
    organization, credential = str(uuid4()), str(uuid4())
    await bench(SweepKey("terminator", organization, credential))
    assert bench.controllers["sweep"].seen == [(UUID(organization), UUID(credential))]


async def test_a_secret_stands_for_the_credentials_that_name_it(bench: Bench) -> None:
    for namespace, name, secret in (
        ("acme", "a", "scaleway"),
        ("acme", "b", "other"),
        ("acme", "c", "scaleway"),
        ("elsewhere", "d", "scaleway"),
    ):
        bench.users.saw(namespace, name, {"spec": {"secretRef": {"name": secret}}})
    await bench(Key("Secret", "acme", "scaleway"))
    assert bench.queued == [Key("ProviderCredential", "acme", "a"), Key("ProviderCredential", "acme", "c")]


async def test_a_namespace_stands_for_the_organizations_that_name_it(bench: Bench) -> None:
    bench.index.put("first", ["acme", "x"])
    bench.index.put("second", ["acme"])
    bench.index.put("third", ["y"])
    bench.index.put("gone", ["acme"])
    bench.index.forget("gone")
    await bench(Key("Namespace", "", "acme"))
    assert bench.queued == [Key("Organization", "", "first"), Key("Organization", "", "second")]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(Fenced("x"), STAND_BY, id="fenced"),
        pytest.param(Conflict(), AGAIN, id="conflict"),
        pytest.param(DatabaseBusy("x"), AGAIN, id="busy"),
        pytest.param(DatabaseUnavailable("x"), AGAIN, id="database-away"),
        pytest.param(KubeConflict("x"), AGAIN, id="object-moved-on"),
        pytest.param(Unavailable("x"), AGAIN, id="api-server-away"),
    ],
)
async def test_B6_what_is_away_puts_a_step_off_without_a_traceback(
    bench: Bench, caplog: pytest.LogCaptureFixture, error: Exception, expected: Result
) -> None:
    caplog.set_level(logging.DEBUG)
    bench.controllers["deployment"].error = error
    assert await bench(WEB) == expected
    assert all(record.levelno <= logging.INFO and record.exc_info is None for record in caplog.records)


async def test_a_defect_is_not_hidden(bench: Bench) -> None:
    for error in (StoreDefect("42P01"), RuntimeError("x")):
        bench.controllers["deployment"].error = error
        with pytest.raises(type(error)):
            await bench(WEB)


async def test_B7_without_the_lease_nothing_is_done_and_nothing_dropped(bench: Bench) -> None:
    bench.standing.is_leader = False
    bench.cluster.put(DEPLOYMENT, "acme", "web", spec={})
    for key in (WEB, SweepKey("terminator", str(uuid4()), str(uuid4())), Key("Secret", "acme", "s")):
        assert await bench(key) == STAND_BY
    assert all(controller.seen == [] for controller in bench.controllers.values())
    assert bench.cluster.status_writes == 0  # another process leads, and says what there is to say


READY = {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "observedGeneration": 1}
OLD = {"lastTransitionTime": "2026-07-01T00:00:00Z"}


def deployment(bench: Bench, condition: dict[str, Any] | None, **metadata: Any) -> None:
    conditions = [] if condition is None else [condition | OLD]
    status = {"phase": "Ready", "replicas": 1, "conditions": conditions, "observedGeneration": 1}
    bench.cluster.put(DEPLOYMENT, "acme", "web", spec={}, status=status, metadata=metadata)


def step_without_database(bench: Bench) -> None:
    bench.controllers["deployment"].error = DatabaseUnavailable("PostgreSQL at db:5432 cannot be reached")


def standing_without_database(bench: Bench) -> None:
    bench.standing.is_leader = False
    bench.standing.database_away = "PostgreSQL at db:5432 cannot be reached"


@pytest.mark.parametrize(
    "take_away", [step_without_database, standing_without_database], ids=["step", "standing"]
)
@pytest.mark.parametrize(
    ("condition", "metadata", "is_said"),
    [
        pytest.param(None, {}, True, id="new"),
        pytest.param(READY | {"status": "False", "reason": "Starting"}, {}, True, id="starting"),
        pytest.param(READY, {"generation": 2}, True, id="changed"),
        pytest.param(READY, {"deletionTimestamp": "now"}, True, id="leaving"),
        pytest.param(READY, {}, False, id="ready"),
    ],
)
async def test_B6_an_object_that_waits_says_that_the_database_is_away(
    bench: Bench,
    take_away: Callable[[Bench], None],
    condition: dict[str, Any] | None,
    metadata: dict[str, Any],
    *,
    is_said: bool,
) -> None:
    deployment(bench, condition, **metadata)
    take_away(bench)
    await bench(WEB)
    if is_said:
        assert bench.condition()["reason"] == "DatabaseUnavailable"
        assert "cannot be reached" in bench.condition()["message"]
    else:
        assert bench.condition()["reason"] == "Ready"
    status = (bench.cluster.read(DEPLOYMENT, "acme", "web") or {})["status"]
    assert (status["phase"], status["replicas"]) == ("Ready", 1)  # the rest of the status stays


async def test_an_outage_of_both_is_quiet(bench: Bench) -> None:
    deployment(bench, None)
    step_without_database(bench)
    bench.cluster.errors["get"] = Unavailable("away")
    assert await bench(WEB) == AGAIN
