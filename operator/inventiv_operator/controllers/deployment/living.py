"""A living deployment: towards its replicas, and a status that says where it stands."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from inventiv_operator.api.objects import DeploymentObject, InvalidSpec
from inventiv_operator.controllers.deployment.aim import Block, aim_of, block_of, start_problem
from inventiv_operator.controllers.deployment.deployment_pass import PassResult
from inventiv_operator.controllers.deployment.desk import Desk, Reading, record_of
from inventiv_operator.controllers.deployment.prices import prices_of
from inventiv_operator.controllers.deployment.resolve import Start, StartProblem, resolve_start
from inventiv_operator.controllers.deployment.scene import Cloud
from inventiv_operator.controllers.deployment.status import StatusFacts, standings_of
from inventiv_operator.controllers.deployment.translate import reset_token, unsupported, wanted_deployment
from inventiv_operator.controllers.tenancy import Home, Refused
from inventiv_operator.domain.ids import DeploymentId, OrganizationId, Zone
from inventiv_operator.domain.ledger import DeploymentRow, DeploymentState, InstanceState
from inventiv_operator.domain.start_record import HoldBack, after_reset, hold_back
from inventiv_operator.domain.verdict import Outcome, Standing, Verdict, judge, refused
from inventiv_operator.domain.wanted import WantedDeployment
from inventiv_operator.kube.kinds import CLEANUP_FINALIZER, DEPLOYMENT
from inventiv_operator.runtime.queue import Key, Lane, Result
from inventiv_operator.store import ledger

logger = logging.getLogger(__name__)

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One pass over one key. `row` None: nothing was ever begun for this object."""

    key: Key
    obj: DeploymentObject
    body: Body
    row: DeploymentRow | None
    deadline_s: float


class Living:
    """Everything for an object that is not being deleted."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def run(self, call: Call, *, home: Home | None) -> Result:
        """`home` is the namespace as it is now; of no interest where a row exists already."""
        if call.row is None and home is None:
            message = (
                f"namespace {call.obj.metadata.namespace} belongs to no Organization;"
                " ask the platform team to list it in one's spec.namespaces"
            )
            return await self._refuse(call, refused("OrganizationMissing", message))
        organization_id = call.row.organization_id if call.row else _of(home).organization_id
        try:
            problem = unsupported(call.obj)
        except InvalidSpec as error:
            return await self._refuse(
                call, refused("InvalidSpec", str(error)), organization_id=organization_id
            )
        if call.row is None and problem is not None:
            return await self._refuse(call, problem, organization_id=organization_id)
        if call.row is None:
            opened = await self._open(call, _of(home))
            if isinstance(opened, Result):
                return opened
            call = replace(call, row=opened)
        return await self._pass(call, problem=problem)

    async def _refuse(
        self, call: Call, verdict: Verdict, *, organization_id: OrganizationId | None = None
    ) -> Result:
        standings = () if call.row is None else None
        facts = StatusFacts(verdict=verdict, row=call.row, standings=standings)
        await self._desk.status.write(call.body, call.obj, facts)
        return self._again(self._desk.intervals.steady_s, organization_id)

    def _again(
        self, after_s: float, organization_id: OrganizationId | None, *, lane: Lane = Lane.REFRESH
    ) -> Result:
        organization = None if organization_id is None else str(organization_id)
        return Result(requeue_after_s=after_s, organization=organization, lane=lane)

    # -- binding ---------------------------------------------------------------------------------------------

    async def _open(self, call: Call, home: Home) -> DeploymentRow | Result:
        """The finalizer first, in a reconcile of its own; then the row that pins the credential."""
        metadata, spec, organization_id = call.obj.metadata, call.obj.spec, home.organization_id
        choice = await self._desk.tenancy.credential_for(
            organization_id,
            namespace=metadata.namespace,
            name=None if spec.credential_ref is None else spec.credential_ref.name,
        )
        if isinstance(choice, Refused):
            verdict = refused(choice.reason, choice.message)
            return await self._refuse(call, verdict, organization_id=organization_id)
        problem = start_problem(choice, zone=Zone(spec.placement[0].zone))
        if problem is not None:
            facts = StatusFacts(verdict=problem, credential=choice, standings=())
            await self._desk.status.write(call.body, call.obj, facts)
            return self._again(self._desk.intervals.steady_s, organization_id)
        if CLEANUP_FINALIZER not in metadata.finalizers:
            await self._desk.kube.add_finalizer(DEPLOYMENT, call.body)
            return self._again(0.0, organization_id, lane=Lane.CREATE)
        async with self._desk.services.writing(organization_id) as conn:
            return await ledger.open_deployment(
                conn,
                id=DeploymentId(uuid4()),
                organization_id=organization_id,
                credential_id=choice.id,
                namespace=metadata.namespace,
                namespace_uid=home.namespace_uid,
                name=metadata.name,
                uid=metadata.uid,
                reset_token=reset_token(call.obj),
            )

    async def _bind(self, row: DeploymentRow, obj: DeploymentObject) -> DeploymentRow:
        """A lost row is found again; a new generation or `reconcile-at` forgives the failed starts."""
        if row.uid != obj.metadata.uid or row.state is DeploymentState.LOST:
            async with self._desk.services.writing(row.organization_id) as conn:
                await ledger.rebind_deployment(conn, row.id, uid=obj.metadata.uid)
            row = replace(row, uid=obj.metadata.uid, state=DeploymentState.OPEN)
        token = reset_token(obj)
        if row.reset_token == token:
            return row
        record = after_reset(reset_token=token)
        async with self._desk.services.writing(row.organization_id) as conn:
            await ledger.set_backoff(
                conn,
                row.id,
                start_failures=record.failures,
                next_start_at=record.next_start_at,
                reset_token=record.reset_token,
                start_reason=record.reason,
                start_message=record.message,
            )
        return replace(
            row,
            start_failures=0,
            next_start_at=None,
            start_reason="",
            start_message="",
            reset_token=record.reset_token,
        )

    # -- one pass --------------------------------------------------------------------------------------------

    async def _pass(self, call: Call, *, problem: Verdict | None) -> Result:
        if call.row is None:
            raise AssertionError("a pass is over a row")
        organization_id = call.row.organization_id
        if CLEANUP_FINALIZER not in call.obj.metadata.finalizers:
            await self._desk.kube.add_finalizer(DEPLOYMENT, call.body)
            return self._again(0.0, organization_id, lane=Lane.CREATE)
        row = await self._bind(call.row, call.obj)
        call = await self._say_new_generation(replace(call, row=row))
        reading = await self._desk.read(row)
        cloud = reading.cloud
        if isinstance(cloud, Refused):
            return await self._blind(call, reading, cloud)
        wanted = wanted_deployment(call.obj, reading.settings)
        block = block_of(
            reading.ledger, wanted, reading.credential, unsupported=problem, is_at_home=reading.is_at_home
        )
        start = await self._resolve(cloud, call, wanted) if block is None else None
        now, record = self._desk.services.clock.now(), record_of(row)
        hold = hold_back(record, max_failures=wanted.max_start_failures, now=now)
        aim = aim_of(
            wanted,
            block=block,
            start=start,
            hold=hold,
            timing=self._desk.services.timing,
            probe_cidrs=self._desk.probe_cidrs,
            steady_s=self._desk.intervals.steady_s,
        )
        one = self._desk.new_pass(
            cloud, reading.ledger, key=call.key, record=record, deadline_s=call.deadline_s
        )
        result = await one.run(aim)
        return await self._conclude(call, reading, wanted, cloud, result, block=block, start=start)

    async def _say_new_generation(self, call: Call) -> Call:
        """At once, before what may take a while: `kubectl wait` and its like must not believe an old
        Ready.
        """
        if call.obj.status.observed_generation == call.obj.metadata.generation:
            return call
        verdict = Verdict(
            ready=None,
            reason="Progressing",
            message="the spec is new, and is being looked at",
            phase="Progressing",
            progressing=True,
        )
        facts = StatusFacts(verdict=verdict, row=call.row, standings=None)
        after = await self._desk.status.write(call.body, call.obj, facts)
        return call if after is None else replace(call, body=after)

    async def _blind(self, call: Call, reading: Reading, why: Refused) -> Result:
        """Nobody may look at the provider: say so, and what the ledger holds."""
        phase = "Degraded" if reading.ledger.instances else "Pending"
        facts = StatusFacts(
            verdict=refused(why.reason, why.message, phase=phase),
            row=reading.ledger.deployment,
            credential=reading.credential,
            standings=standings_of(reading.ledger),
        )
        await self._desk.status.write(call.body, call.obj, facts)
        return self._again(self._desk.intervals.steady_s, reading.ledger.deployment.organization_id)

    async def _resolve(self, cloud: Cloud, call: Call, wanted: WantedDeployment) -> Start | StartProblem:
        prefix = f"{call.obj.metadata.namespace}-{call.obj.metadata.name}"
        return await resolve_start(cloud.client, wanted, name_prefix=prefix)

    # -- what came of it -------------------------------------------------------------------------------------

    async def _conclude(
        self,
        call: Call,
        reading: Reading,
        wanted: WantedDeployment,
        cloud: Cloud,
        result: PassResult,
        *,
        block: Block | None,
        start: Start | StartProblem | None,
    ) -> Result:
        now = self._desk.services.clock.now()
        hold = hold_back(result.record, max_failures=wanted.max_start_failures, now=now)
        standings = tuple(
            Standing(facts=d.facts, wait=d.wait)
            for d in result.driven
            if d.facts.instance.state is not InstanceState.GONE
        )
        verdict = judge(
            Outcome(
                replicas=wanted.replicas,
                standings=standings,
                hold=hold,
                record=result.record,
                group_wait=result.group_wait,
                blocked=_blocked(block, start, standings, wanted),
            )
        )
        facts = StatusFacts(
            verdict=verdict,
            row=reading.ledger.deployment,
            credential=reading.credential,
            standings=standings,
            template_hash=wanted.template_hash,
            prices=await prices_of(cloud, standings),
        )
        await self._desk.status.write(call.body, call.obj, facts)
        await self._desk.status.report(call.body, result.reported)
        return self._again(
            min(self._desk.intervals.steady_s, _next_look_s(result, hold)),
            reading.ledger.deployment.organization_id,
            lane=Lane.REFRESH if verdict.ready else Lane.CREATE,
        )


def _of(home: Home | None) -> Home:
    if home is None:
        raise AssertionError("what belongs nowhere was refused")
    return home


def _next_look_s(result: PassResult, hold: HoldBack) -> float:
    waits = [0.0 if d.facts.instance.state is InstanceState.GONE else d.wait.after_s for d in result.driven]
    waits.append(hold.wait_s)  # then the next start may be made
    if result.group_wait is not None:
        waits.append(result.group_wait.after_s)
    return min((after_s for after_s in waits if after_s is not None), default=float("inf"))


def _blocked(
    block: Block | None,
    start: Start | StartProblem | None,
    standings: tuple[Standing, ...],
    wanted: WantedDeployment,
) -> Verdict | None:
    if block is not None:
        return block.verdict
    active = sum(1 for s in standings if s.facts.instance.state is InstanceState.ACTIVE)
    if isinstance(start, StartProblem) and active < wanted.replicas:
        return refused(start.reason, start.message)
    return None
