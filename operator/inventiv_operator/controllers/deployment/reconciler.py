"""The deployment reconciler: read the object live, observe, plan, apply, write status."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

from inventiv_operator.api.objects import DeploymentObject, parse_deployment
from inventiv_operator.controllers.access import Access, CredentialFrozen
from inventiv_operator.controllers.deployment.deployment_pass import Aim, DeploymentPass, PassResult
from inventiv_operator.controllers.deployment.readiness import ReadinessMemory
from inventiv_operator.controllers.deployment.resolve import Start, StartProblem, resolve_start
from inventiv_operator.controllers.deployment.scene import Cloud, Template
from inventiv_operator.controllers.deployment.status import StatusFacts, StatusWriter
from inventiv_operator.controllers.deployment.translate import unsupported, wanted_deployment
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.tenancy import Refused, Tenancy
from inventiv_operator.domain.cloud import IngressRule
from inventiv_operator.domain.ids import DeploymentId, OrganizationId
from inventiv_operator.domain.instance_plan import POLL_S, InstancePolicy, Wait
from inventiv_operator.domain.ledger import (
    OPEN_STATES,
    CredentialRow,
    DeploymentLedger,
    DeploymentRow,
    DeploymentState,
    InstanceState,
)
from inventiv_operator.domain.replica_plan import back_off_until
from inventiv_operator.domain.verdict import Outcome, Standing, Verdict, judge, refused
from inventiv_operator.domain.wanted import WantedDeployment
from inventiv_operator.kube.client import KubeClient
from inventiv_operator.kube.kinds import CLEANUP_FINALIZER, DEPLOYMENT
from inventiv_operator.runtime.queue import DONE, Key, Lane, Result
from inventiv_operator.store import credentials, ledger
from inventiv_operator.store.errors import (
    DecryptionFailed,
    KeyUnavailable,
    MissingProviderCredentials,
)

logger = logging.getLogger(__name__)

RETRY_STOCK_S = 120.0
"""Stock and quotas come back in their own time: a condition with a long retry (B3)."""
UNCOUNTED = {"OutOfStock", "ProviderQuotaExceeded"}
"""Refusals that say nothing about the template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Seconds. `steady_s`: how often a deployment at rest is looked at."""

    steady_s: float


class DeploymentReconciler:
    """One call is one pass over one key."""

    def __init__(  # the one place that knows its collaborators
        self,
        services: Services,
        kube: KubeClient,
        *,
        access: Access,
        tenancy: Tenancy,
        readiness: ReadinessMemory,
        status: StatusWriter,
        probe_rules: Sequence[str],
        intervals: Intervals,
    ) -> None:
        self._services = services
        self._kube = kube
        self._access = access
        self._tenancy = tenancy
        self._readiness = readiness
        self._status = status
        self._probe_cidrs = tuple(probe_rules)
        self._intervals = intervals

    async def reconcile(self, key: Key, *, deadline_s: float) -> Result:
        """See the module."""
        body = await self._kube.get(DEPLOYMENT, key.namespace, key.name)
        rows = await self._tenancy.deployment_rows(key.namespace, key.name)
        wanted = None if body is None else parse_deployment(body)
        uid = None if wanted is None else wanted.metadata.uid
        left_behind = await self._settle_left_behind(
            [row for row in rows if row.uid != uid], keep_open=wanted is not None, deadline_s=deadline_s
        )
        if wanted is None or body is None:
            return left_behind
        own = next((row for row in rows if row.uid == uid), None)
        if wanted.metadata.deletion_timestamp is not None:
            result = await self._delete(wanted, body, own, deadline_s=deadline_s)
        else:
            bound = own or next(
                (row for row in rows if row.state in {DeploymentState.OPEN, DeploymentState.LOST}), None
            )
            result = await self._run(wanted, body, bound, deadline_s=deadline_s)
        return _sooner(result, left_behind)

    # -- rows whose object is not there any more ---------------------------------------------------------------------

    async def _settle_left_behind(
        self, rows: Sequence[DeploymentRow], *, keep_open: bool, deadline_s: float
    ) -> Result:
        """Deletions that were seen go on without their object; an object that vanished unseen is lost (L9)."""
        result = DONE
        for row in rows:
            if row.state is DeploymentState.CLOSING:
                done, wait_s, _ = await self._remove(row, deadline_s=deadline_s)
                if not done:
                    again = Result(
                        requeue_after_s=wait_s, organization=str(row.organization_id), lane=Lane.DELETE
                    )
                    result = _sooner(result, again)
            elif row.state is DeploymentState.OPEN and not keep_open:
                logger.error(
                    "deployment lost: its object vanished without a deletion being seen; its servers keep running",
                    extra={"deployment_id": str(row.id)},
                )
                async with self._services.writing(row.organization_id) as conn:
                    await ledger.set_deployment_state(conn, row.id, to=DeploymentState.LOST)
        return result

    # -- deletion ----------------------------------------------------------------------------------------------------

    async def _delete(
        self, obj: DeploymentObject, body: dict[str, object], row: DeploymentRow | None, *, deadline_s: float
    ) -> Result:
        if CLEANUP_FINALIZER not in obj.metadata.finalizers:
            return DONE
        if row is None:
            await self._kube.remove_finalizer(DEPLOYMENT, body)  # nothing was ever begun for it
            return DONE
        if row.state is not DeploymentState.CLOSING:
            async with self._services.writing(row.organization_id) as conn:
                await ledger.set_deployment_state(conn, row.id, to=DeploymentState.CLOSING)
        done, wait_s, facts = await self._remove(row, deadline_s=deadline_s)
        if not done:
            await self._status.write(body, obj, facts)
            return Result(requeue_after_s=wait_s, organization=str(row.organization_id), lane=Lane.DELETE)
        await self._kube.remove_finalizer(DEPLOYMENT, body)
        return DONE

    async def _remove(
        self, row: DeploymentRow, *, deadline_s: float
    ) -> tuple[bool, float, StatusFacts]:
        """Whether nothing of it is left, else when to look again, and what to say meanwhile."""
        snapshot = await self._read(row)
        if not _anything_open(snapshot):
            await self._close(row)
            return True, 0.0, StatusFacts.nothing(row, refused("Deleting", "nothing is left", phase="Deleting"))
        cloud = await self._cloud_or_reason(row.organization_id, row)
        if isinstance(cloud, Refused):
            verdict = refused(
                "Deleting", f"waiting: {cloud.message}; still there: {_open_summary(snapshot)}", phase="Deleting"
            )
            return False, self._intervals.steady_s, StatusFacts.from_ledger(snapshot, verdict)
        one = DeploymentPass(
            self._services, cloud, self._readiness, snapshot=snapshot, deadline_s=deadline_s
        )
        result = await one.remove(self._removal_policy())
        after = await self._read(row)
        self._readiness.forget(i.id for i in snapshot.instances)
        if not _anything_open(after):
            await self._close(row)
            return True, 0.0, StatusFacts.nothing(row, refused("Deleting", "nothing is left", phase="Deleting"))
        wait_s, message = _removal_wait(result, after)
        verdict = refused("Deleting", message, phase="Deleting")
        return False, wait_s, StatusFacts.after_pass(after, result, verdict)

    async def _close(self, row: DeploymentRow) -> None:
        async with self._services.writing(row.organization_id) as conn:
            await ledger.set_deployment_state(conn, row.id, to=DeploymentState.CLOSED)
        logger.info("deployment closed: nothing of it is left", extra={"deployment_id": str(row.id)})

    def _removal_policy(self) -> InstancePolicy:
        return InstancePolicy(
            timing=self._services.timing,
            startup_timeout_s=0.0,
            failed_retention_s=0.0,
            cloud_init=False,
            root_iops=0,
            probed=False,
            create_allowed=False,
            why_not="Deleting",
        )

    # -- a living deployment -----------------------------------------------------------------------------------------

    async def _run(
        self, obj: DeploymentObject, body: dict[str, object], row: DeploymentRow | None, *, deadline_s: float
    ) -> Result:
        owner = await self._tenancy.owner(obj.metadata.namespace)
        if row is None and owner is None:
            message = (
                f"namespace {obj.metadata.namespace} belongs to no Organization;"
                " ask the platform team to list it in one's spec.namespaces"
            )
            return await self._refuse(body, obj, refused("OrganizationMissing", message))
        organization_id = row.organization_id if row is not None else owner
        if organization_id is None:
            raise AssertionError("a row has an organization")
        problem = unsupported(obj)
        if row is None and problem is not None:
            return await self._refuse(body, obj, problem, organization_id=organization_id)
        wanted = wanted_deployment(obj)
        if row is None:
            opened = await self._open(obj, body, wanted, organization_id)
            if not isinstance(opened, DeploymentRow):
                return opened
            row = opened
        row = await self._bind(row, obj, wanted)
        return await self._pass(obj, body, row, wanted, problem=problem, deadline_s=deadline_s)

    async def _refuse(
        self,
        body: dict[str, object],
        obj: DeploymentObject,
        verdict: Verdict,
        *,
        organization_id: OrganizationId | None = None,
    ) -> Result:
        await self._status.write(body, obj, StatusFacts.nothing(None, verdict))
        return Result(
            requeue_after_s=self._intervals.steady_s,
            organization=None if organization_id is None else str(organization_id),
        )

    async def _open(
        self,
        obj: DeploymentObject,
        body: dict[str, object],
        wanted: WantedDeployment,
        organization_id: OrganizationId,
    ) -> DeploymentRow | Result:
        """The finalizer first, in a reconcile of its own; then the row that pins the credential."""
        choice = await self._tenancy.credential_for(
            organization_id, namespace=obj.metadata.namespace, name=wanted.credential_name
        )
        if isinstance(choice, Refused):
            return await self._refuse(
                body, obj, refused(choice.reason, choice.message), organization_id=organization_id
            )
        verdict = _credential_verdict(choice)
        if verdict is not None:
            return await self._refuse(body, obj, verdict, organization_id=organization_id)
        if CLEANUP_FINALIZER not in obj.metadata.finalizers:
            await self._kube.add_finalizer(DEPLOYMENT, body)
            return Result(requeue_after_s=0.0, organization=str(organization_id), lane=Lane.CREATE)
        async with self._services.writing(organization_id) as conn:
            return await ledger.open_deployment(
                conn,
                id=DeploymentId(uuid4()),
                organization_id=organization_id,
                credential_id=choice.id,
                namespace=obj.metadata.namespace,
                name=obj.metadata.name,
                uid=obj.metadata.uid,
                reset_token=wanted.reset_token,
            )

    async def _bind(
        self, row: DeploymentRow, obj: DeploymentObject, wanted: WantedDeployment
    ) -> DeploymentRow:
        """A lost row is found again; a new generation or `reconcile-at` resets the count of failed starts."""
        if row.uid != obj.metadata.uid or row.state is DeploymentState.LOST:
            async with self._services.writing(row.organization_id) as conn:
                await ledger.rebind_deployment(conn, row.id, uid=obj.metadata.uid)
            row = replace(row, uid=obj.metadata.uid, state=DeploymentState.OPEN)
        if row.reset_token != wanted.reset_token:
            row = await self._back_off(
                row, failures=0, until=None, reason="", message="", reset_token=wanted.reset_token
            )
        return row

    async def _pass(
        self,
        obj: DeploymentObject,
        body: dict[str, object],
        row: DeploymentRow,
        wanted: WantedDeployment,
        *,
        problem: Verdict | None,
        deadline_s: float,
    ) -> Result:
        if CLEANUP_FINALIZER not in obj.metadata.finalizers:
            await self._kube.add_finalizer(DEPLOYMENT, body)
            return Result(requeue_after_s=0.0, organization=str(row.organization_id), lane=Lane.CREATE)
        snapshot = replace(await self._read(row), deployment=row)
        cloud = await self._cloud_or_reason(row.organization_id, row)
        if isinstance(cloud, Refused):
            verdict = refused(cloud.reason, cloud.message)
            await self._status.write(body, obj, StatusFacts.from_ledger(snapshot, verdict))
            return Result(
                requeue_after_s=self._intervals.steady_s, organization=str(row.organization_id)
            )
        blocked = problem or _template_verdict(snapshot, wanted) or _paused_verdict(wanted)
        if blocked is None:
            blocked = await self._credential_block(row)
        start = await self._resolve(cloud, obj, wanted) if blocked is None else None
        aim = self._aim(wanted, start, blocked)
        one = DeploymentPass(
            self._services, cloud, self._readiness, snapshot=snapshot, deadline_s=deadline_s
        )
        result = await one.run(aim)
        row = await self._note_starts(row, result)
        verdict = judge(self._outcome(wanted, row, result, blocked, start))
        after = replace(await self._read(row), deployment=row)
        await self._status.write(body, obj, StatusFacts.after_pass(after, result, verdict))
        return Result(
            requeue_after_s=self._next_look_s(result),
            organization=str(row.organization_id),
            lane=Lane.REFRESH if verdict.ready else Lane.CREATE,
        )

    async def _resolve(
        self, cloud: Cloud, obj: DeploymentObject, wanted: WantedDeployment
    ) -> Start | StartProblem:
        return await resolve_start(
            cloud.client, wanted, name_prefix=f"{obj.metadata.namespace}-{obj.metadata.name}"
        )

    def _aim(
        self, wanted: WantedDeployment, start: Start | StartProblem | None, blocked: Verdict | None
    ) -> Aim:
        probe = () if wanted.readiness is None else tuple(
            IngressRule(protocol="TCP", port=wanted.readiness.port, cidr=cidr) for cidr in self._probe_cidrs
        )
        problem = start if isinstance(start, StartProblem) else None
        return Aim(
            replicas=wanted.replicas,
            hold=blocked is not None,
            max_start_failures=wanted.max_start_failures,
            policy=InstancePolicy(
                timing=self._services.timing,
                startup_timeout_s=wanted.startup_timeout_s,
                failed_retention_s=wanted.failed_retention_s,
                cloud_init=wanted.cloud_init is not None,
                root_iops=wanted.root_iops,
                probed=wanted.readiness is not None,
                create_allowed=blocked is None and problem is None,
                why_not=blocked.reason if blocked else problem.reason if problem else "",
            ),
            template=Template(
                dynamic_ip=wanted.dynamic_ip,
                root_size_gb=wanted.root_size_gb,
                cloud_init=wanted.cloud_init,
                tags=wanted.tags,
            ),
            start=start if isinstance(start, Start) else None,
            rules=(*wanted.ingress, *probe),
            readiness=wanted.readiness,
            steady_age_s=self._intervals.steady_s * 0.9,
        )

    async def _note_starts(self, row: DeploymentRow, result: PassResult) -> DeploymentRow:
        """Failed starts back off; one that became ready clears the count."""
        now = self._services.clock.now()
        refusals = [d.refusal for d in result.driven if d.refusal is not None]
        failures = [d for d in result.driven if d.failed]
        if failures:
            instance = failures[-1].facts.instance
            count = row.start_failures + 1
            return await self._back_off(
                row,
                failures=count,
                until=back_off_until(count, now=now),
                reason=instance.reason,
                message=f"{instance.name}: {instance.message}",
            )
        if refusals:
            counted = refusals[-1].reason not in UNCOUNTED
            count = row.start_failures + (1 if counted else 0)
            until = (
                back_off_until(count, now=now) if counted else now + timedelta(seconds=RETRY_STOCK_S)
            )
            return await self._back_off(
                row, failures=count, until=until, reason=refusals[-1].reason, message=refusals[-1].message
            )
        if any(d.became_ready for d in result.driven) and (row.start_failures or row.next_start_at):
            return await self._back_off(row, failures=0, until=None, reason="", message="")
        return row

    async def _back_off(
        self,
        row: DeploymentRow,
        *,
        failures: int,
        until: datetime | None,
        reason: str,
        message: str,
        reset_token: str | None = None,
    ) -> DeploymentRow:
        token = row.reset_token if reset_token is None else reset_token
        async with self._services.writing(row.organization_id) as conn:
            await ledger.set_backoff(
                conn,
                row.id,
                start_failures=failures,
                next_start_at=until,
                reset_token=token,
                start_reason=reason,
                start_message=message[:500],
            )
        return replace(
            row,
            start_failures=failures,
            next_start_at=until,
            reset_token=token,
            start_reason=reason,
            start_message=message[:500],
        )

    def _outcome(
        self,
        wanted: WantedDeployment,
        row: DeploymentRow,
        result: PassResult,
        blocked: Verdict | None,
        start: Start | StartProblem | None,
    ) -> Outcome:
        problem = start if isinstance(start, StartProblem) else None
        standings = tuple(
            Standing(facts=d.facts, wait=d.wait)
            for d in result.driven
            if d.facts.instance.state is not InstanceState.GONE
        )
        active = sum(1 for s in standings if s.facts.instance.state is InstanceState.ACTIVE)
        if blocked is None and problem is not None and active < wanted.replicas:
            blocked = refused(problem.reason, problem.message)
        return Outcome(
            replicas=wanted.replicas,
            standings=standings,
            held_back=result.plan.held_back,
            wait_s=result.plan.wait_s,
            start_failures=row.start_failures,
            start_reason=row.start_reason,
            start_message=row.start_message,
            group_wait=result.group_wait,
            blocked_reason="" if blocked is None else blocked.reason,
            blocked_message="" if blocked is None else blocked.message,
        )

    def _next_look_s(self, result: PassResult) -> float:
        waits = [
            d.wait.after_s
            for d in result.driven
            if d.wait.after_s is not None and d.facts.instance.state is not InstanceState.GONE
        ]
        if any(d.facts.instance.state is InstanceState.GONE or d.refusal for d in result.driven):
            waits.append(0.0)  # an ordinal became free
        if result.group_wait is not None and result.group_wait.after_s is not None:
            waits.append(result.group_wait.after_s)
        if result.plan.wait_s is not None:
            waits.append(result.plan.wait_s)
        probe_s = self._readiness.next_due_s(d.facts for d in result.driven)
        if probe_s is not None:
            waits.append(probe_s)
        return min([self._intervals.steady_s, *waits])

    # -- shared ------------------------------------------------------------------------------------------------------

    async def _read(self, row: DeploymentRow) -> DeploymentLedger:
        async with self._services.db.reading(row.organization_id) as conn:
            return await ledger.read_ledger(conn, row.id)

    async def _cloud_or_reason(self, organization_id: OrganizationId, row: DeploymentRow) -> Cloud | Refused:
        try:
            return await self._access.provider_for(organization_id, row.credential_id)
        except MissingProviderCredentials as error:
            return Refused(reason="MissingProviderCredentials", message=str(error))
        except CredentialFrozen as error:
            return Refused(reason="Frozen", message=f"the credential is frozen: {error.reason}")
        except (KeyUnavailable, DecryptionFailed) as error:
            return Refused(reason="CredentialNotReady", message=str(error))

    async def _credential_block(self, row: DeploymentRow) -> Verdict | None:
        async with self._services.db.reading(row.organization_id) as conn:
            credential = await credentials.get(conn, row.credential_id)
        return None if credential is None else _credential_verdict(credential)


def _credential_verdict(row: CredentialRow) -> Verdict | None:
    """Why nothing new is made with this credential; None: nothing speaks against it."""
    if row.ready:
        return None
    return refused(
        "CredentialNotReady",
        f"ProviderCredential {row.name} is not ready ({row.reason or 'Progressing'}); see its Ready condition",
    )


def _template_verdict(snapshot: DeploymentLedger, wanted: WantedDeployment) -> Verdict | None:
    """A change that would replace servers is not supported yet: it touches nothing."""
    stored = snapshot.deployment.template_hash
    if not stored or not snapshot.instances or not wanted.replicas or stored == wanted.template_hash:
        return None
    return refused(
        "NotSupported",
        "placement, image, cloudInit, container, publicIP or a smaller rootVolume changed, which would replace running"
        " servers; that is not supported yet: nothing was touched. Change it back, or scale to 0 first",
        phase="Degraded",
    )


def _paused_verdict(wanted: WantedDeployment) -> Verdict | None:
    if not wanted.paused:
        return None
    return refused("Paused", "spec.paused is true: nothing is started, scaled or replaced", phase="Paused")


def _anything_open(snapshot: DeploymentLedger) -> bool:
    return any(row.state in OPEN_STATES for row in snapshot.resources) or any(
        i.state is not InstanceState.GONE for i in snapshot.instances
    )


def _open_summary(snapshot: DeploymentLedger) -> str:
    parts = [
        f"{row.kind} {row.provider_ref or '(id not known yet)'} in {row.zone}"
        for row in snapshot.resources
        if row.state in OPEN_STATES
    ]
    shown = ", ".join(parts[:8])
    return shown + (f" and {len(parts) - 8} more" if len(parts) > 8 else "")  # noqa: PLR2004 (a line one can read)


def _removal_wait(result: PassResult, after: DeploymentLedger) -> tuple[float, str]:
    waits: list[Wait] = [d.wait for d in result.driven if d.facts.instance.state is not InstanceState.GONE]
    if result.group_wait is not None:
        waits.append(result.group_wait)
    after_s = min((w.after_s for w in waits if w.after_s is not None), default=POLL_S)
    said = next((w.message for w in waits if w.message), "")
    message = f"deleting: {_open_summary(after)}"
    return after_s, f"{message}; {said}" if said else message


def _sooner(one: Result, other: Result) -> Result:
    if other.requeue_after_s is None:
        return one
    if one.requeue_after_s is None or other.requeue_after_s < one.requeue_after_s:
        return other
    return one
