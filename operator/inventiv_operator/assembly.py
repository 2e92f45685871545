"""The one place that knows the constructors of all controllers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from inventiv_operator.config import OperatorSettings
from inventiv_operator.controllers.access import Access
from inventiv_operator.controllers.audit_trail import AuditTrail
from inventiv_operator.controllers.claiming import Claiming
from inventiv_operator.controllers.credential.custody import Custody
from inventiv_operator.controllers.credential.doubts import Doubts
from inventiv_operator.controllers.credential.reconciler import CredentialReconciler
from inventiv_operator.controllers.credential.removal import Removal
from inventiv_operator.controllers.credential.schedule import ValidationSchedule
from inventiv_operator.controllers.deployment.readiness import ReadinessMemory
from inventiv_operator.controllers.deployment.reconciler import DeploymentReconciler, Intervals
from inventiv_operator.controllers.deployment.status import StatusWriter
from inventiv_operator.controllers.dispatch import Controllers, Dispatcher
from inventiv_operator.controllers.ledger_writer import LedgerWriter
from inventiv_operator.controllers.namespaces import NamespaceIndex
from inventiv_operator.controllers.organization import OrganizationReconciler
from inventiv_operator.controllers.outage import OutageNotes
from inventiv_operator.controllers.probes import Prober
from inventiv_operator.controllers.retention import Retention
from inventiv_operator.controllers.secret_users import SecretUsers
from inventiv_operator.controllers.seeding.ending import SeededEnd
from inventiv_operator.controllers.seeding.keeping import SeededCredentials
from inventiv_operator.controllers.seeding.opening import SeedOpening
from inventiv_operator.controllers.seeding.seeding import Seeding
from inventiv_operator.controllers.seeding.warning import SeedWarnings
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.standing import Standing
from inventiv_operator.controllers.status import ObjectStatusWriter
from inventiv_operator.controllers.surroundings import Surroundings
from inventiv_operator.controllers.sweeps.closing import ClosingCredentials
from inventiv_operator.controllers.sweeps.control_groups import ControlGroups
from inventiv_operator.controllers.sweeps.terminator import SEEDED, TERMINATOR, Terminator
from inventiv_operator.controllers.tenancy import Tenancy
from inventiv_operator.controllers.waking import Waking
from inventiv_operator.domain.intents import Timing
from inventiv_operator.kube.client import KubeClient
from inventiv_operator.kube.events import EventRecorder
from inventiv_operator.kube.relist import Relister
from inventiv_operator.runtime.audit_metrics import AuditMetrics
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.runtime.queue import WorkQueue
from inventiv_operator.scaleway.factory import ClientFactory
from inventiv_operator.scaleway.observer import CallObserver
from inventiv_operator.store import lease
from inventiv_operator.store.database import CommitObserver, Database
from inventiv_operator.store.installation import Installation
from inventiv_operator.store.keyring import KeyringFile
from inventiv_operator.store.lease import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What nobody configures: seconds that the design fixes, and the seams at which tests count and kill.

    `send_window_s`: an intent's create leaves within this time of its commit, or not at all (architecture.md,
    section 2).
    """

    send_window_s: float = 10.0
    lease_duration_s: float = lease.DURATION_S
    lease_renew_s: float = lease.RENEW_S
    call_observer: CallObserver | None = None
    commit_observer: CommitObserver | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the controllers are built from. `holder` names this process, also in events."""

    settings: OperatorSettings
    clock: Clock
    database: Database
    kube: KubeClient
    factory: ClientFactory
    keyring: KeyringFile
    queue: WorkQueue
    relister: Relister
    installation: Installation
    audit_metrics: AuditMetrics
    holder: str
    tuning: Tuning


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What runs of the controllers: the queue's process, the loop over the ledger, the probes. And
    `secret_users`, which the watches tell.
    """

    dispatcher: Dispatcher
    terminator: Terminator
    readiness: ReadinessMemory
    deployment: DeploymentReconciler
    trail: AuditTrail
    writer: LedgerWriter
    retention: Retention
    access: Access
    secret_users: SecretUsers

    def let_go(self) -> None:
        """For a process that does not lead any more: it asks no instance, and holds no tenant's key."""
        self.readiness.forget_all()
        self.access.let_go()

    async def close(self) -> None:
        """After the queue has drained: cut the calls that outlived their pass, and tell of them."""
        await self.deployment.close()
        await self.trail.close()
        await self.writer.close()


def assemble(parts: Parts, *, leadership: Lease, surroundings: Surroundings) -> Assembly:
    """Nothing runs yet when this returns."""
    services = Services(
        db=parts.database,
        clock=parts.clock,
        leadership=leadership,
        timing=Timing(
            send_window_s=parts.tuning.send_window_s,
            provider_timeout_s=parts.settings.provider_timeout_s,
            settle_s=parts.settings.settle_s,
        ),
        installation_id=parts.installation.id,
    )
    events = EventRecorder(parts.kube, clock=parts.clock, instance=parts.holder)
    status = ObjectStatusWriter(parts.kube, events=events, clock=parts.clock)
    writer = LedgerWriter(services)
    trail = AuditTrail(services, writer=writer, metrics=parts.audit_metrics)
    schedule = ValidationSchedule(parts.clock)
    access = Access(
        services,
        factory=parts.factory,
        keyring=parts.keyring,
        trail=trail,
        doubt=Doubts(schedule, enqueue=parts.queue.add),
    )
    index, secret_users = NamespaceIndex(), SecretUsers()
    waking = Waking(parts.kube, secret_users=secret_users, enqueue=parts.queue.add)
    removal = Removal(services, access=access, control_groups=ControlGroups(services))
    custody = Custody(services, access=access, keyring=parts.keyring, schedule=schedule)
    readiness = ReadinessMemory(
        prober=Prober(allowed=parts.settings.probe_allow_cidrs), clock=parts.clock, wake=parts.queue.add
    )
    deployment = _deployment(
        parts, services, access=access, status=status, readiness=readiness, writer=writer
    )
    warnings = SeedWarnings()
    seeded = _seeded(
        parts, services, custody=custody, removal=removal, warnings=warnings, wake=waking.deployments_in
    )
    controllers = Controllers(
        organization=OrganizationReconciler(
            services,
            parts.kube,
            claiming=Claiming(services, parts.kube),
            seeding=_seeding(parts, services, seeded=seeded, warnings=warnings),
            index=index,
            status=status,
            wake_namespace=waking.everything_in,
        ),
        credential=_credential(
            parts,
            services,
            custody=custody,
            status=status,
            removal=removal,
            secret_users=secret_users,
            waking=waking,
        ),
        deployment=deployment,
        sweeps={
            TERMINATOR: ClosingCredentials(
                services, removal=removal, access=access, forget=(custody.forget,)
            ),
            SEEDED: seeded,
        },
    )
    dispatcher = Dispatcher(
        controllers,
        standing=Standing(lease=leadership, surroundings=surroundings),
        outage=OutageNotes(parts.kube, status=status),
        index=index,
        waking=waking,
        enqueue=parts.queue.add,
    )
    return Assembly(
        dispatcher=dispatcher,
        terminator=Terminator(services, enqueue=parts.queue.add, living=parts.relister.living),
        readiness=readiness,
        deployment=deployment,
        trail=trail,
        writer=writer,
        retention=Retention(
            parts.database,
            clock=parts.clock,
            audit_days=parts.settings.audit_retention_days,
            tombstone_days=parts.settings.tombstone_retention_days,
        ),
        access=access,
        secret_users=secret_users,
    )


def _seeded(
    parts: Parts,
    services: Services,
    *,
    custody: Custody,
    removal: Removal,
    warnings: SeedWarnings,
    wake: Callable[[str], Awaitable[None]],
) -> SeededCredentials:
    return SeededCredentials(
        services,
        parts.kube,
        custody=custody,
        end=SeededEnd(services, removal=removal),
        keyring=parts.keyring,
        directory=parts.settings.seed_dir,
        warnings=warnings,
        enqueue=parts.queue.add,
        wake_deployments=wake,
    )


def _seeding(
    parts: Parts, services: Services, *, seeded: SeededCredentials, warnings: SeedWarnings
) -> Seeding:
    opening = SeedOpening(
        services,
        parts.kube,
        keyring=parts.keyring,
        directory=parts.settings.seed_dir,
        warnings=warnings,
    )
    return Seeding(services, opening=opening, keeping=seeded, enqueue=parts.queue.add)


def _credential(
    parts: Parts,
    services: Services,
    *,
    custody: Custody,
    status: ObjectStatusWriter,
    removal: Removal,
    secret_users: SecretUsers,
    waking: Waking,
) -> CredentialReconciler:
    return CredentialReconciler(
        services,
        parts.kube,
        custody=custody,
        removal=removal,
        tenancy=Tenancy(services, parts.kube),
        status=status,
        secret_users=secret_users,
        wake_deployments=waking.deployments_in,
    )


def _deployment(
    parts: Parts,
    services: Services,
    *,
    access: Access,
    status: ObjectStatusWriter,
    readiness: ReadinessMemory,
    writer: LedgerWriter,
) -> DeploymentReconciler:
    return DeploymentReconciler(
        services,
        parts.kube,
        access=access,
        tenancy=Tenancy(services, parts.kube),
        readiness=readiness,
        status=StatusWriter(status),
        writer=writer,
        probe_rules=[str(network) for network in parts.settings.probe_cidrs],
        intervals=Intervals(steady_s=parts.settings.watchdog_interval_s),
    )
