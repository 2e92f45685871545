"""More processes around a bench: the same operator after a restart, and its deployment controller."""

from dataclasses import dataclass

from inventiv_operator.controllers.credential.custody import Custody
from inventiv_operator.controllers.credential.reconciler import CredentialReconciler
from inventiv_operator.controllers.credential.removal import Removal
from inventiv_operator.controllers.credential.schedule import ValidationSchedule
from inventiv_operator.controllers.deployment.readiness import ReadinessMemory
from inventiv_operator.controllers.deployment.reconciler import DeploymentReconciler, Intervals
from inventiv_operator.controllers.deployment.status import StatusWriter
from inventiv_operator.controllers.ledger_writer import LedgerWriter
from inventiv_operator.controllers.secret_users import SecretUsers
from inventiv_operator.controllers.status import ObjectStatusWriter
from inventiv_operator.controllers.sweeps.control_groups import ControlGroups
from inventiv_operator.controllers.waking import Waking
from inventiv_operator.kube.events import EventRecorder
from inventiv_operator.kube.kinds import DEPLOYMENT
from inventiv_operator.runtime.queue import Key
from inventiv_operator.store.keyring import KeyringFile
from rig.process import NoAnswer
from rig.tenant import deployment_spec
from tenant_rig.bench import STEP_S, Bench

STEADY_S = 60.0


def restart(bench: Bench) -> None:
    """Another process leads: what the credential controller kept in memory is gone."""
    services, keyring = bench.services, KeyringFile(bench.keyring_path)
    schedule = ValidationSchedule(bench.clock, jitter=lambda: 0.5)
    bench.custody = Custody(services, access=bench.access, keyring=keyring, schedule=schedule)
    users = SecretUsers()
    bench.waking = Waking(
        bench.cluster, secret_users=users, enqueue=lambda key, **_: bench.queued.append(key)
    )
    bench.credential = CredentialReconciler(
        services,
        bench.cluster,
        custody=bench.custody,
        removal=Removal(services, access=bench.access, control_groups=ControlGroups(services)),
        tenancy=bench.tenancy,
        status=_status(bench),
        secret_users=users,
        wake_deployments=bench.waking.deployments_in,
    )


def _status(bench: Bench) -> ObjectStatusWriter:
    events = EventRecorder(bench.cluster, clock=bench.clock, instance="rig")
    return ObjectStatusWriter(bench.cluster, events=events, clock=bench.clock)


@dataclass(slots=True)
class Deployments:
    """The deployment controller on a bench."""

    bench: Bench
    reconciler: DeploymentReconciler

    def apply(self, name: str, *, replicas: int) -> None:
        spec = deployment_spec(replicas)
        self.bench.cluster.put(DEPLOYMENT, self.bench.name, name, spec=spec)

    def delete(self, name: str) -> None:
        self.bench.cluster.delete(DEPLOYMENT, self.bench.name, name)

    def is_there(self, name: str) -> bool:
        return self.bench.cluster.read(DEPLOYMENT, self.bench.name, name) is not None

    async def step(self, name: str) -> float:
        """One pass; when it wants the next one."""
        result = await self.reconciler.reconcile(
            Key(DEPLOYMENT.kind, self.bench.name, name), deadline_s=self.bench.clock.monotonic() + STEP_S
        )
        return STEADY_S if result.requeue_after_s is None else result.requeue_after_s

    async def until_ready(self, name: str, *, within_s: float = 3600.0) -> None:
        clock, end_s = self.bench.clock, self.bench.clock.monotonic() + within_s
        while clock.monotonic() < end_s:
            after_s = await self.step(name)
            if self.bench.cluster.condition(DEPLOYMENT, self.bench.name, name).get("status") == "True":
                return
            await clock.sleep(after_s)
        raise AssertionError(self.bench.cluster.read(DEPLOYMENT, self.bench.name, name))


def deployments_of(bench: Bench) -> Deployments:
    reconciler = DeploymentReconciler(
        bench.services,
        bench.cluster,
        access=bench.access,
        tenancy=bench.tenancy,
        readiness=ReadinessMemory(prober=NoAnswer(), clock=bench.clock),
        status=StatusWriter(_status(bench)),
        writer=LedgerWriter(bench.services),
        probe_rules=["192.0.2.0/24"],
        intervals=Intervals(steady_s=STEADY_S),
    )
    return Deployments(bench, reconciler)
