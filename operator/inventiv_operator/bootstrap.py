"""Wires everything, and runs it until somebody asks it to stop.

    keyring -> database (waits) -> API server, CRDs (wait) -> binding -> lease, queue, Kopf, loops

A part that is away is waited for, at start as later: `/healthz` is fine, `/readyz` says what is missing. What
waiting does not help ends the process: see `ENDINGS`. Who opens closes: one `AsyncExitStack`, in reverse.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import kopf
from prometheus_client import CollectorRegistry

from inventiv_operator.assembly import Assembly, Parts, Tuning, assemble
from inventiv_operator.config import OperatorSettings
from inventiv_operator.controllers.surroundings import DATABASE, KUBERNETES, Surroundings
from inventiv_operator.handlers.registration import register
from inventiv_operator.handlers.running import KopfStopped, run_kopf
from inventiv_operator.kube.access import AccessError, ClusterAccess
from inventiv_operator.kube.client import KubeClient
from inventiv_operator.kube.errors import KubeError
from inventiv_operator.kube.relist import CRDS, RBAC, Fatal, Relister
from inventiv_operator.kube.transport import Transport
from inventiv_operator.runtime.audit_metrics import AuditMetrics
from inventiv_operator.runtime.clock import Clock, SystemClock
from inventiv_operator.runtime.health import Health, HealthServer
from inventiv_operator.runtime.leader_metrics import LeaderMetrics
from inventiv_operator.runtime.metrics import new_registry
from inventiv_operator.runtime.queue import WorkQueue
from inventiv_operator.runtime.queue_metrics import QueueMetrics
from inventiv_operator.scaleway.factory import ClientFactory
from inventiv_operator.scaleway.observer import CallObserver
from inventiv_operator.store import installation
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import CannotStart, DatabaseUnavailable
from inventiv_operator.store.installation import Installation
from inventiv_operator.store.keyring import KeyringFile
from inventiv_operator.store.lease import Lease

logger = logging.getLogger(__name__)


class StartError(Exception):
    """Something on this machine that waiting does not mend."""


ENDINGS: Final = (StartError, CannotStart, AccessError, Fatal, KopfStopped)
"""Waiting does not help: the text is one line for people, the exit code 1."""
DRAIN_S: Final = 20.0
WAIT_S: Final = 2.0
CLOCK: Final = "clock"
"""Whether it goes with the database's; who leads is not asked for readiness, but whether this one could."""

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Everything that runs."""

    settings: OperatorSettings
    access: ClusterAccess
    queue: WorkQueue
    controllers: Assembly
    lease: Lease
    relister: Relister
    surroundings: Surroundings
    kopf_registry: kopf.OperatorRegistry

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish what runs, at most 20 s, and hand the lease over.

        Raises:
            ExceptionGroup: of what ended a part; see `ENDINGS`.
        """
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            lease = group.create_task(self.lease.run(over), name="lease")
            work = group.create_task(self.queue.run(self.controllers.dispatcher), name="queue")
            group.create_task(self._kopf(stop), name="kopf")
            loops = [group.create_task(loop, name=name) for name, loop in self._loops().items()]
            logger.info("operator started")
            await stop.wait()
            logger.info("stopping: running steps are finished first")
            for task in loops:
                task.cancel()
            if not await self.queue.drain(timeout_s=DRAIN_S):
                logger.warning("steps that did not end in time were cancelled; the next process resumes them")
            await work
            await self.controllers.close()
            over.set()
            await lease
        logger.info("stopped")

    def _kopf(self, stop: asyncio.Event) -> Coroutine[Any, Any, None]:
        return run_kopf(
            self.kopf_registry, access=self.access, stop=stop, ready=asyncio.Event(), on_signal=stop.set
        )

    def _loops(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What runs beside the queue until it is cancelled."""
        return {
            "relister": self.relister.run(),
            "surroundings": self.surroundings.run(),
            "probes": self.controllers.readiness.run(),
            "retention": self.controllers.retention.run(is_leader=lambda: self.lease.is_held),
            "terminator": self.controllers.terminator.run(
                interval_s=self.settings.terminator_interval_s, is_leader=lambda: self.lease.is_held
            ),
        }


@asynccontextmanager
async def operator(
    settings: OperatorSettings, *, clock: Clock | None = None, tuning: Tuning | None = None
) -> AsyncIterator[Operator]:
    """The wired operator, once its surroundings are there.

    Raises:
        CannotStart, AccessError: see `ENDINGS`.
    """
    clock, tuning = clock or SystemClock(), tuning or Tuning()
    async with AsyncExitStack() as stack:
        keyring = KeyringFile(settings.keyring_file)
        keyring.current()
        registry = new_registry()
        leader = LeaderMetrics(registry)
        health = Health(checks=(DATABASE, KUBERNETES, CRDS, RBAC, CLOCK))
        await _serve(stack, settings, health=health, registry=registry)
        access = ClusterAccess(clock=clock)
        with contextlib.suppress(KubeError):  # a plugin that does not answer may do so later
            await access.current()
        database = await stack.enter_async_context(
            Database(settings.database_url, clock=clock, observer=tuning.commit_observer)
        )
        await _until_there(database.check, check=DATABASE, health=health, clock=clock)
        kube = KubeClient(await stack.enter_async_context(Transport(access)))
        bound = await _until_bound(database, kube, health=health, clock=clock)
        factory = await _enter_factory(
            stack, settings, clock=clock, registry=registry, observer=tuning.call_observer
        )
        queue = WorkQueue(clock=clock, metrics=QueueMetrics(registry))
        relister = Relister(client=kube, enqueue=queue.add, health=health, clock=clock)
        await relister.wait_for_crds()
        yield _wire(
            settings,
            parts=Parts(
                settings=settings,
                clock=clock,
                database=database,
                kube=kube,
                factory=factory,
                keyring=keyring,
                queue=queue,
                relister=relister,
                installation=bound,
                audit_metrics=AuditMetrics(registry),
                holder=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
                tuning=tuning,
            ),
            access=access,
            health=health,
            leader=leader,
        )


def _wire(
    settings: OperatorSettings, *, parts: Parts, access: ClusterAccess, health: Health, leader: LeaderMetrics
) -> Operator:
    def look_at_everything() -> None:
        parts.relister.hurry()
        controllers.terminator.hurry()

    def let_go() -> None:
        controllers.let_go()

    def say_of_clock(problem: str) -> None:
        if problem:
            health.fail(CLOCK, problem)
        else:
            health.ok(CLOCK)

    say_of_clock("")
    lease = Lease(
        parts.database,
        holder=parts.holder,
        duration_s=parts.tuning.lease_duration_s,
        renew_s=parts.tuning.lease_renew_s,
        clock=parts.clock,
        on_gained=look_at_everything,
        on_lost=let_go,
        on_clock=say_of_clock,
        metrics=leader,
    )
    surroundings = Surroundings(
        parts.database,
        parts.kube,
        health=health,
        clock=parts.clock,
        cluster_uid=parts.installation.cluster_uid,
        on_return=parts.relister.hurry,
    )
    controllers = assemble(parts, leadership=lease, surroundings=surroundings)
    kopf_registry = kopf.OperatorRegistry()
    register(kopf_registry, enqueue=parts.queue.add, saw_credential=controllers.secret_users.saw)
    return Operator(
        settings=settings,
        access=access,
        queue=parts.queue,
        controllers=controllers,
        lease=lease,
        relister=parts.relister,
        surroundings=surroundings,
        kopf_registry=kopf_registry,
    )


async def run_operator(settings: OperatorSettings, *, tuning: Tuning | None = None) -> None:
    """The command `run`: until SIGTERM or SIGINT, also while it waits for something.

    Raises:
        CannotStart, AccessError, Fatal, KopfStopped: see `ENDINGS`; the first one, when there are several.
    """
    stop, running = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with operator(settings, tuning=tuning) as wired:
            running.set()
            await wired.run(stop)

    with _signals(stop.set):
        life = asyncio.create_task(live(), name="operator")
        asked = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({life, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not running.is_set():
                life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await life
        except ExceptionGroup as group:
            raise _first(group) from group
        finally:
            asked.cancel()


async def _until_there(
    ask: Callable[[], Awaitable[AnswerT]], *, check: str, health: Health, clock: Clock
) -> AnswerT:
    """Ask until it answers; `/readyz` says what is waited for, the log once for each reason."""
    said = ""
    while True:
        try:
            answer = await ask()
        except (DatabaseUnavailable, KubeError) as error:
            reason = str(error)
        else:
            health.ok(check)
            return answer
        health.fail(check, reason)
        if reason != said:
            logger.warning("waiting for the %s", check, extra={"reason": reason})
            said = reason
        await clock.sleep(WAIT_S)


async def _until_bound(database: Database, kube: KubeClient, *, health: Health, clock: Clock) -> Installation:
    """An empty database is tied to this cluster; one of another cluster ends the process (L9)."""
    cluster_uid = await _until_there(kube.cluster_uid, check=KUBERNETES, health=health, clock=clock)

    async def bind() -> Installation:
        async with database.platform() as conn:
            return await installation.bind(conn, cluster_uid)

    return await _until_there(bind, check=DATABASE, health=health, clock=clock)


async def _serve(
    stack: AsyncExitStack, settings: OperatorSettings, *, health: Health, registry: CollectorRegistry
) -> None:
    server = HealthServer(health=health, registry=registry, port=settings.http_port)
    try:
        await stack.enter_async_context(server)
    except OSError as error:
        port = settings.http_port
        raise StartError(f"INVENTIV_HTTP_PORT={port} cannot be used: {error.strerror}") from error


async def _enter_factory(
    stack: AsyncExitStack,
    settings: OperatorSettings,
    *,
    clock: Clock,
    registry: CollectorRegistry,
    observer: CallObserver | None,
) -> ClientFactory:
    factory = ClientFactory(
        api_url=settings.scaleway_api_url,
        timeout_s=settings.provider_timeout_s,
        clock=clock,
        registry=registry,
        proxy_url=settings.https_proxy_url,
        ca_file=settings.ca_file,
        observer=observer,
    )
    try:
        return await stack.enter_async_context(factory)
    except ValueError as error:
        raise StartError(f"INVENTIV_CA_FILE: {error}") from error


@contextlib.contextmanager
def _signals(on_signal: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT ask for the end; Kopf's start hands them back (handlers/running.py)."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What ended the process: a known ending before anything else, however deep."""
    leaves = [_first(e) if isinstance(e, BaseExceptionGroup) else e for e in group.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, ENDINGS)), leaves[0])
