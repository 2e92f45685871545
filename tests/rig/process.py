"""One operator process around the deployment controller, with everything that a crash takes with it."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

from prometheus_client import CollectorRegistry

from inventiv_operator.controllers.access import Access
from inventiv_operator.controllers.audit_trail import AuditTrail
from inventiv_operator.controllers.deployment.readiness import Asks, ReadinessMemory
from inventiv_operator.controllers.deployment.reconciler import DeploymentReconciler, Intervals
from inventiv_operator.controllers.deployment.status import StatusWriter
from inventiv_operator.controllers.ledger_writer import LedgerWriter
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.status import ObjectStatusWriter
from inventiv_operator.controllers.tenancy import Tenancy
from inventiv_operator.domain.ids import InstallationId
from inventiv_operator.domain.intents import Timing
from inventiv_operator.domain.ledger import Fence
from inventiv_operator.kube.errors import KubeError
from inventiv_operator.kube.events import EventRecorder
from inventiv_operator.kube.kinds import DEPLOYMENT
from inventiv_operator.runtime.audit_metrics import AuditMetrics
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.runtime.queue import Key, Result
from inventiv_operator.scaleway.factory import ClientFactory
from inventiv_operator.scaleway.gate import GateLimits
from inventiv_operator.scaleway.observer import CallObserver
from inventiv_operator.scaleway.pace import PaceLimits
from inventiv_operator.scaleway.wire import Wire
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import Fenced, StoreError
from inventiv_operator.store.keyring import KeyringFile
from rig.fake_kube import FakeKube

INSTALLATION = InstallationId(UUID("11111111-1111-4111-8111-111111111111"))
TIMING = Timing(send_window_s=10.0, provider_timeout_s=30.0, settle_s=120.0)
STEADY_S = 60.0
STEP_S = 20.0
FAST = GateLimits(
    key=PaceLimits(rate_per_s=1000.0, burst=1000.0), installation_rate_per_s=1000.0, installation_burst=1000.0
)
"""Pacing is another test's business."""


@dataclass(slots=True)
class Leader:
    """What the lease is for writes; the epoch is the database's."""

    epoch: int
    has_lost: bool = False

    def fence(self) -> Fence:
        if self.has_lost:
            raise Fenced("this process does not lead")
        return Fence(shard=0, epoch=self.epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What outlives a process."""

    database: Database
    kube: FakeKube
    clock: Clock
    keyring: Path


class Process:
    """An async context manager: memory begins empty, and nothing of it is left behind."""

    def __init__(
        self,
        around: Surroundings,
        *,
        epoch: int,
        wire: Wire,
        observer: CallObserver | None = None,
        prober: Asks | None = None,
        timing: Timing = TIMING,
        limits: GateLimits = FAST,
        wake: Callable[..., object] | None = None,
    ) -> None:
        self.around = around
        self.leader = Leader(epoch)
        self.services = Services(
            db=around.database,
            clock=around.clock,
            leadership=self.leader,
            timing=timing,
            installation_id=INSTALLATION,
        )
        self.factory = ClientFactory(
            api_url="http://scaleway.test",
            timeout_s=timing.provider_timeout_s,
            clock=around.clock,
            registry=CollectorRegistry(),
            limits=limits,
            observer=observer,
            wire=wire,
        )
        self.writer = LedgerWriter(self.services)
        self.trail = AuditTrail(self.services, writer=self.writer, metrics=AuditMetrics(CollectorRegistry()))
        self.access = Access(
            self.services,
            factory=self.factory,
            keyring=KeyringFile(around.keyring),
            trail=self.trail,
        )
        self.readiness = ReadinessMemory(prober=prober or NoAnswer(), clock=around.clock, wake=wake)
        events = EventRecorder(around.kube, clock=around.clock, instance="rig")
        status = ObjectStatusWriter(around.kube, events=events, clock=around.clock)
        self.reconciler = DeploymentReconciler(
            self.services,
            around.kube,
            access=self.access,
            tenancy=Tenancy(self.services, around.kube),
            readiness=self.readiness,
            status=StatusWriter(status),
            writer=self.writer,
            probe_rules=["192.0.2.0/24"],
            intervals=Intervals(steady_s=STEADY_S),
        )
        self.errors: list[Exception] = []
        """What passes ended with, so far."""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.factory)
        self._stack.push_async_callback(self.writer.close)
        self._stack.push_async_callback(self.trail.close)
        self._stack.push_async_callback(_end, asyncio.create_task(self.readiness.run(), name="probes"))
        self._stack.push_async_callback(self.reconciler.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def reconcile(self, namespace: str, name: str) -> Result:
        deadline_s = self.around.clock.monotonic() + STEP_S
        key = Key(DEPLOYMENT.kind, namespace, name)
        return await self.reconciler.reconcile(key, deadline_s=deadline_s)

    async def drive(self, namespace: str, name: str, *, until: Callable[[], bool]) -> None:
        """Pass after pass, each when the one before asked for it, until something is so.

        Like the queue: an event of the object brings the next pass at once, an error a back-off. Ends when
        another process leads.
        """
        changed = self.around.kube.changed
        while not until():
            changed.clear()
            try:
                result = await self.reconcile(namespace, name)
            except Fenced:
                return
            except (KubeError, StoreError) as error:
                self.errors.append(error)
                result = Result(requeue_after_s=1.0)
            if until():
                return
            after_s = STEADY_S if result.requeue_after_s is None else result.requeue_after_s
            try:
                async with asyncio.timeout(after_s):
                    await changed.wait()
            except TimeoutError:
                continue


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class NoAnswer:
    async def ask(self, address: str, readiness: object) -> bool:
        return False
