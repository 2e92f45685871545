"""One random life of one deployment: what people want, what breaks, where the operator dies or stalls.

Everything is drawn from one seed. The operator's processes share the ledger and nothing else; the provider is
the simulator, and what it bills is what counts.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection

from inventiv_operator.domain.ledger import DeploymentLedger, Fence, ResourceKind
from inventiv_operator.kube.errors import KubeError
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.scaleway.wire import WireAnswer
from inventiv_operator.store import ledger
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import Fenced, StoreError
from inventiv_operator.store.keyring import KeyringFile
from rig.asgi_wire import AsgiWire
from rig.fake_kube import FakeKube
from rig.process import STEADY_S, Process, Surroundings
from rig.tenant import RigTenant, deployment_spec, new_tenant, write_tenant
from scaleway_simulator import outside
from scaleway_simulator.app import create_app
from scaleway_simulator.billing import billed
from scaleway_simulator.faults import FaultPlan
from scaleway_simulator.world import World

NAME = "llama"
SETTLED_WITHIN_S = 150.0
"""Send window, the client's time-out and the settling time: nothing of ours may appear later than this."""
PATIENCE_S = 4 * 3600.0
"""Virtual seconds for a life to come to rest after each change of mind."""

_mortal: ContextVar["Mortal | None"] = ContextVar("_mortal", default=None)

WRITES = (
    ("POST", "/servers$"),
    ("POST", "/servers$"),
    ("POST", "/security_groups$"),
    ("PUT", "/rules$"),
    ("PATCH", "/user_data/"),
    ("PATCH", "/block/v1/.*/volumes/"),
    ("POST", "/action$"),
    ("POST", "/action$"),
    ("DELETE", "/block/v1/.*/volumes/"),
    ("DELETE", "/servers/"),
    ("DELETE", "/security_groups/"),
)
READS = (
    ("GET", r"/servers\?"),
    ("GET", "/servers/"),
    ("GET", r"/volumes\?"),
    ("GET", "/volumes/"),
    ("GET", "/security_groups"),
)


def draw_fault(rng: random.Random) -> dict[str, Any]:
    """Of a kind that the provider was seen to show, or that a network can."""
    after = rng.randrange(4)
    if rng.random() < 0.35:
        method, path = rng.choice(READS)
        kind = rng.choice(
            ("status", "empty_body", "html", "truncated", "partial_page", "drop_before", "delay")
        )
        more: dict[str, Any] = {"times": rng.randint(1, 3), "seconds": 45.0}
        if kind == "status":
            more["status"] = rng.choice((401, 403, 429, 500, 503))
    else:
        method, path = rng.choice(WRITES)
        kinds = [
            "status",
            "drop_before",
            "drop_after_commit",
            "empty_body",
            "truncated",
            "delay",
            "delay_before",
        ]
        if path == "/servers$":
            kinds += ["late_appearance", "late_appearance"]
        kind = rng.choice(kinds)
        more = {"times": rng.randint(1, 2), "seconds": rng.uniform(31.0, SETTLED_WITHIN_S - 15.0)}
        if kind == "late_appearance":
            more["seconds"] = rng.uniform(1.0, SETTLED_WITHIN_S - 15.0)
        if kind == "status":
            more["status"] = rng.choice((429, 500, 500, 503))
            more["commit"] = more["status"] == 500 and rng.random() < 0.5
    return {"kind": kind, "match": {"method": method, "path_regex": path, "after": after}, **more}


@dataclass(slots=True)
class Mortal:
    """One operator process: it can be killed, or stand still for a while, at any boundary."""

    number: int
    is_dead: bool = False
    stalled: asyncio.Event | None = None
    tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    def kill(self) -> None:
        """Nothing of it happens any more. What the provider has begun goes on there, and a connection that
        was in use is rolled back, as PostgreSQL does with those of a process that died.
        """
        self.is_dead = True
        for task in self.tasks:
            if not _gives_back_a_connection(task.get_coro()):
                task.cancel()


def remember_tasks(
    loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
) -> "asyncio.Task[Any]":
    """A task factory: every task belongs to the process that it was started by."""
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
    mortal = _mortal.get()
    if mortal is not None:
        mortal.tasks.add(task)
        task.add_done_callback(mortal.tasks.discard)
        if mortal.is_dead and not _gives_back_a_connection(coro):
            task.cancel()
    return task


def _gives_back_a_connection(coro: object) -> bool:
    return getattr(coro, "__qualname__", "") == Database._give_back.__qualname__


class Boundaries:
    """Before and after each provider call and each commit: where processes die and stall."""

    def __init__(self) -> None:
        self.on_boundary: Callable[[Mortal, str], Awaitable[None]] | None = None

    async def before(self, method: str, template: str) -> None:
        await self._pass(f"before {method} {template}")

    async def after(self, method: str, template: str) -> None:
        await self._pass(f"after {method} {template}")

    async def before_commit(self) -> None:
        await self._pass("before commit")

    async def after_commit(self) -> None:
        await self._pass("after commit")

    async def _pass(self, what: str) -> None:
        mortal = _mortal.get()
        if mortal is not None and self.on_boundary is not None:
            await self.on_boundary(mortal, what)


class ProvidersSide(AsgiWire):
    """What the provider does for a request is not the process's that sent it."""

    async def send(self, *args: Any, **options: Any) -> WireAnswer:
        token = _mortal.set(None)
        try:
            return await super().send(*args, **options)
        finally:
            _mortal.reset(token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What all lives of one chunk share."""

    database: Database
    admin: AsyncConnection[Any]
    boundaries: Boundaries
    keyring: KeyringFile
    keyring_path: Path
    clock: Clock


@dataclass(slots=True)
class Life:
    """See the module. `trace` says what happened, for whoever has to find out why."""

    stage: Stage
    seed: str
    rng: random.Random = field(init=False)
    world: World = field(init=False)
    kube: FakeKube = field(init=False)
    tenant: RigTenant = field(init=False)
    around: Surroundings = field(init=False)
    wire: ProvidersSide = field(init=False)
    trace: list[str] = field(default_factory=list)
    passed: int = 0
    blows: dict[int, str] = field(default_factory=dict)
    mortals: list[Mortal] = field(default_factory=list)
    by_hand: set[str] = field(default_factory=set)
    taken_away: set[str] = field(default_factory=set)
    defects: list[Exception] = field(default_factory=list)
    helpers: set["asyncio.Task[None]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.world = World(clock=self.stage.clock, seed=self.rng.getrandbits(128))
        self.kube, self.tenant = FakeKube(), new_tenant()

    # -- the story -------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Raises AssertionError when an invariant does not hold at a moment of rest."""
        rng = self.rng
        self.world.reset(
            self.tenant.world()
            | {
                "boot_s": rng.choice((1.0, 5.0, 30.0)),
                "terminate_s": rng.choice((0.5, 5.0, 60.0)),
                "terminate_via_stopped_s": rng.choice((0.0, 0.0, 6.0)),
            }
        )
        self.stage.boundaries.on_boundary = self._on_boundary
        self.wire = ProvidersSide(create_app(self.world))
        self.around = Surroundings(
            database=self.stage.database,
            kube=self.kube,
            clock=self.stage.clock,
            keyring=self.stage.keyring_path,
        )
        try:
            await self._begin()
            await self._wishes()
        finally:
            await self._end()

    async def _begin(self) -> None:
        epoch = await self._take_over()
        await write_tenant(
            self.stage.database,
            self.tenant,
            fence=Fence(shard=0, epoch=epoch),
            namespace_uid=self.kube.make_namespace(self.tenant.namespace),
            keyring=self.stage.keyring.current(),
            now=self.stage.clock.now(),
        )
        faults = [draw_fault(self.rng) for _ in range(self.rng.randrange(5))]
        self.trace += [f"fault ordered: {fault}" for fault in faults]
        self.world.faults.add(FaultPlan.parse(faults), seconds=0.0)
        for _ in range(self.rng.randint(1, 4)):
            blow = self.rng.choice(("crash", "crash", "stall", "stop", "delete", "attach"))
            self.blows[int(self.rng.triangular(1, 130, 20))] = blow
        await self._start_process()

    async def _wishes(self) -> None:
        rng = self.rng
        replicas = rng.randint(1, 3)
        self.apply(replicas)
        kept: set[str] = set()
        for _ in range(rng.randrange(3)):
            if rng.random() < 0.5:
                kept = await self._rest(replicas, kept)
            else:
                await self.stage.clock.sleep(rng.uniform(0.0, 40.0))
                kept = set()
            before, replicas = replicas, rng.randint(0, 3)
            kept = kept if replicas >= before else set()
            self.apply(replicas)
        if rng.random() < 0.7:
            await self._rest(replicas, kept)
        else:
            await self.stage.clock.sleep(rng.uniform(0.0, 40.0))
        self.note("deleted")
        self.kube.delete(self.tenant.namespace, NAME)
        await self._until(lambda: not self.kube.is_there(self.tenant.namespace, NAME), what="gone")
        await self.stage.clock.sleep(SETTLED_WITHIN_S + 60.0)
        await self._assert_nothing_left()

    def apply(self, replicas: int) -> None:
        self.note(f"replicas: {replicas}")
        self.kube.apply(self.tenant.namespace, NAME, deployment_spec(replicas))

    def note(self, what: str) -> None:
        self.trace.append(f"{self.world.seconds:7.1f} s, boundary {self.passed}: {what}")

    # -- processes -------------------------------------------------------------------------------------------

    async def _take_over(self) -> int:
        await self.stage.admin.execute("UPDATE operator_lease SET expires_at = '-infinity'")
        cursor = await self.stage.admin.execute("SELECT take_lease(0, gen_random_uuid()::text, '10 years')")
        row = await cursor.fetchone()
        assert row is not None
        assert row[0] is not None
        return int(row[0])

    async def _start_process(self) -> None:
        epoch = await self._take_over()
        mortal = Mortal(number=len(self.mortals) + 1)
        self.mortals.append(mortal)
        self.note(f"process {mortal.number} leads, epoch {epoch}")
        token = _mortal.set(mortal)
        try:
            asyncio.get_running_loop().create_task(self._run(mortal, epoch), name=f"process {mortal.number}")
        finally:
            _mortal.reset(token)

    async def _run(self, mortal: Mortal, epoch: int) -> None:
        """Like the queue: an event brings a pass at once, an error a back-off; who is fenced stops."""
        observer = self.stage.boundaries
        async with Process(self.around, epoch=epoch, observer=observer, wire=self.wire) as process:
            while True:
                self.kube.changed.clear()
                after_s = STEADY_S
                try:
                    result = await process.reconcile(self.tenant.namespace, NAME)
                    after_s = result.requeue_after_s if result.requeue_after_s is not None else STEADY_S
                except Fenced:
                    self.note(f"process {mortal.number} is fenced")
                    return
                except (KubeError, StoreError) as error:
                    self.note(f"process {mortal.number}: {error!r}")
                    after_s = 1.0
                except Exception as error:
                    self.trace.append(f"process {mortal.number} failed: {error!r}")
                    self.defects.append(error)
                    raise
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(after_s):
                        await self.kube.changed.wait()

    async def _on_boundary(self, mortal: Mortal, what: str) -> None:
        if mortal.is_dead:
            raise asyncio.CancelledError
        if mortal.stalled is not None and "before commit" not in what:
            await mortal.stalled.wait()
        self.passed += 1
        blow = self.blows.pop(self.passed, None)
        if blow is None:
            return
        if blow == "stall" and what == "before commit":
            self.blows[self.passed + 1] = (
                blow  # inside a transaction it would hold its lock, and be ended for it
            )
            return
        self.note(f"{blow} at: process {mortal.number}, {what}")
        if blow == "crash":
            await self._crash(mortal)
        elif blow == "stall":
            await self._stall(mortal)
        else:
            self._meddle(blow)

    async def _crash(self, mortal: Mortal) -> None:
        mortal.kill()
        self._outside(self._start_process())
        raise asyncio.CancelledError

    async def _stall(self, mortal: Mortal) -> None:
        """Another one takes over; this one wakes up later and believes that it still leads."""
        mortal.stalled = asyncio.Event()
        self._outside(self._start_process())
        self._outside(self._wake(mortal, self.rng.choice((0.5, 5.0, 20.0, 200.0, 600.0))))
        await mortal.stalled.wait()

    async def _wake(self, mortal: Mortal, after_s: float) -> None:
        await self.stage.clock.sleep(after_s)
        stalled, mortal.stalled = mortal.stalled, None
        if stalled is not None:
            self.note(f"process {mortal.number} wakes up")
            stalled.set()

    def _outside(self, story: Coroutine[Any, Any, None]) -> None:
        """Of nobody's process."""
        token = _mortal.set(None)
        try:
            task = asyncio.get_running_loop().create_task(story)
        finally:
            _mortal.reset(token)
        self.helpers.add(task)
        task.add_done_callback(self.helpers.discard)

    def _meddle(self, deed: str) -> None:
        """What people do in the console."""
        self.world.settle()
        servers = [s for s in self.world.servers if s.powered_on_count and s.state == "running"]
        if not servers:
            return
        server = self.rng.choice(servers)
        if deed == "stop":
            outside.stop(self.world, server.id, {})
        elif deed == "delete":
            self.taken_away.add(server.id)
            outside.delete(self.world, server.id, {})
        else:
            self.by_hand.add(outside.attach_disk(self.world, server.id, {})["id"])

    # -- rest ------------------------------------------------------------------------------------------------

    async def _until(self, true: Callable[[], bool], *, what: str) -> None:
        clock = self.stage.clock
        deadline_s = clock.monotonic() + PATIENCE_S
        while not true():
            assert not self.defects, self.defects
            assert clock.monotonic() < deadline_s, (
                f"not {what}: {self.kube.status(self.tenant.namespace, NAME)}"
            )
            await clock.sleep(1.0)

    def _is_ready(self) -> bool:
        return self.kube.is_ready(self.tenant.namespace, NAME)

    async def _rest(self, replicas: int, kept: set[str]) -> set[str]:
        """Ready, and what the provider bills is what is wanted; the ids of the servers."""
        while True:
            await self._until(self._is_ready, what="ready")
            open_blows = len(self.blows)
            await self.stage.clock.sleep(2 * STEADY_S)  # so that a stop or deletion from outside is noticed
            if self._is_ready() and len(self.blows) == open_blows:
                break
        bill = self._bill()
        held = await self._held()
        servers, refs = bill["servers"], {s["id"] for s in bill["servers"]}
        assert len(servers) == replicas, servers
        assert all(s["cloud_init_before_first_power_on"] is True for s in servers), servers
        assert all(s["state"] == "running" for s in servers), servers
        assert kept - self.taken_away <= refs, "a server that ran, and was wanted, was replaced"
        volumes = {v["id"] for v in bill["volumes"]} - self.by_hand
        assert len(volumes) == replicas, bill["volumes"]
        groups = {g["id"] for g in bill["security_groups"]}
        assert refs == held[ResourceKind.SERVER]
        assert volumes == held[ResourceKind.VOLUME]
        assert groups == held[ResourceKind.SECURITY_GROUP]
        assert len(groups) <= 1
        return refs

    async def _assert_nothing_left(self) -> None:
        bill = self._bill()
        assert bill["servers"] == []
        assert {v["id"] for v in bill["volumes"]} == self.by_hand, "what people attached by hand survives"
        assert bill["security_groups"] == []
        async with self.stage.database.reading(self.tenant.organization_id) as conn:
            assert await ledger.get_deployment(conn, namespace=self.tenant.namespace, name=NAME) == ()

    def _bill(self) -> dict[str, Any]:
        self.world.settle()
        return billed(self.world)

    async def _held(self) -> dict[ResourceKind, set[str]]:
        async with self.stage.database.reading(self.tenant.organization_id) as conn:
            rows = await ledger.get_deployment(conn, namespace=self.tenant.namespace, name=NAME)
            assert len(rows) == 1
            found: DeploymentLedger = await ledger.read_ledger(conn, rows[0].id)
        return {
            kind: {
                str(r.provider_ref) for r in found.resources if r.kind is kind and r.provider_ref is not None
            }
            for kind in ResourceKind
        }

    async def _end(self) -> None:
        self.stage.boundaries.on_boundary = None
        for mortal in self.mortals:
            if mortal.stalled is not None:
                mortal.stalled.set()
            mortal.kill()
        tasks = [task for mortal in self.mortals for task in mortal.tasks] + list(self.helpers)
        for task in tasks:
            if not _gives_back_a_connection(task.get_coro()):
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.wire.close()
