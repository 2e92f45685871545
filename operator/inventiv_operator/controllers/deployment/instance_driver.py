"""Takes one instance from step to step until it has to wait.

Nothing is repaired in an `except` block: the next plan starts from what was written down.
"""

import logging
from dataclasses import dataclass, replace

from inventiv_operator.controllers.deployment.removal_steps import RemovalSteps
from inventiv_operator.controllers.deployment.scene import Scene
from inventiv_operator.controllers.deployment.start_steps import StartSteps
from inventiv_operator.controllers.deployment.taken_ids import HeldElsewhere
from inventiv_operator.controllers.ledger_writer import Writes
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.instance_facts import InstanceFacts
from inventiv_operator.domain.instance_plan import plan_instance
from inventiv_operator.domain.instance_steps import (
    AdoptServer,
    BeginServerDeletion,
    CreateServer,
    DeleteServer,
    DeleteVolume,
    DetachVolume,
    Fail,
    ForgetAttempt,
    GrowVolume,
    LearnSize,
    LookAtServer,
    LookAtVolume,
    LookForLeftovers,
    NoteInstanceGone,
    NoteReady,
    NoteServerAbsent,
    NoteStarted,
    NoteVolumeAbsent,
    PowerOn,
    RecordVolume,
    Retire,
    SetCloudInit,
    SetIops,
    SetTags,
    Step,
    TagVolume,
    Terminate,
    UpkeepStep,
)
from inventiv_operator.domain.ledger import InstanceState, Origin
from inventiv_operator.domain.sight import NotListed
from inventiv_operator.domain.start_record import STOCK_RETRY_S
from inventiv_operator.domain.waits import POLL_S, RETRY_S, Wait, patience_s
from inventiv_operator.scaleway.errors import (
    Ambiguous,
    Conflict,
    Denied,
    ForeignProject,
    InvalidArguments,
    NotFound,
    OutOfStock,
    Precondition,
    QuotaExceeded,
    Rejected,
    ScalewayError,
    SendWindowClosed,
    Withdrawn,
)
from inventiv_operator.store.errors import Conflict as LedgerConflict

logger = logging.getLogger(__name__)

MAX_STEPS = 40
"""A life cycle has a dozen; more in one pass means that plan and world disagree."""

START_REFUSALS = (OutOfStock, QuotaExceeded, InvalidArguments)
"""Definite answers to the start of one server."""
NOT_NOW = (OutOfStock, QuotaExceeded, Denied, Rejected)
"""Definite answers to a create that every other one would get as well, until something changes elsewhere."""
LOOK_AGAIN = (NotFound, Precondition, InvalidArguments)
"""The server is not as the plan thought: read it before the next step."""
TOWARDS_A_START = (CreateServer, SetCloudInit, PowerOn)
"""Not for an instance that a later pass has begun to delete while a step was under way here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """Where one instance stands after the pass, and what it waits for."""

    facts: InstanceFacts
    wait: Wait


QUEUED = Wait(reason="Queued", after_s=0.0)
LATER = Wait(reason="Queued", after_s=RETRY_S)


class InstanceDriver:
    """Drives the instances of one deployment in one pass."""

    def __init__(self, services: Services, writer: Writes, scene: Scene) -> None:
        self._services = services
        self._scene = scene
        self._starts = StartSteps(services, writer, scene)
        self._removal = RemovalSteps(services, writer, scene)

    async def drive(self, facts: InstanceFacts) -> Driven:
        """Step after step until the plan says wait, the pass is over, or the same step was refused twice."""
        refused: dict[type[Step], Wait] = {}
        for _ in range(MAX_STEPS):
            step = plan_instance(facts, now=self._services.clock.now(), policy=self._scene.policy)
            wait = self._wait_before(step, facts, refused)
            if wait is not None:
                return Driven(facts=facts, wait=wait)
            try:
                facts = await self._perform(step, facts)
            except HeldElsewhere as error:
                return Driven(facts=facts, wait=error.wait)
            except LedgerConflict as error:
                logger.warning(
                    "the ledger moved on", extra={"step": type(step).__name__, "error": str(error)}
                )
                return Driven(facts=facts, wait=LATER)
            except ScalewayError as error:
                logger.info("step refused", extra={"step": type(step).__name__, "error": str(error)})
                refused[type(step)] = self._wait_after(error, facts)
                facts, again = await self._after_error(step, facts, error)
                if not again:
                    return Driven(facts=facts, wait=refused[type(step)])
        return Driven(facts=facts, wait=LATER)

    def _wait_before(  # noqa: PLR0911 (a ladder)
        self, step: Step, facts: InstanceFacts, refused: dict[type[Step], Wait]
    ) -> Wait | None:
        """Why the step is not taken now, if so."""
        if isinstance(step, Wait):
            return step
        if type(step) in refused and not isinstance(step, DeleteVolume | LookAtVolume):
            return refused[type(step)]  # once in a pass is enough
        if isinstance(step, TOWARDS_A_START) and self._scene.is_retired(facts.instance.id):
            return QUEUED
        if self._scene.cloud.control.broken:
            return Wait(reason="Frozen", after_s=None, message=self._scene.cloud.control.broken)
        if isinstance(step, CreateServer) and self._scene.starts.stopped:
            return Wait(reason=self._scene.starts.stopped, after_s=None)
        if self._services.clock.monotonic() > self._scene.deadline_s:
            return QUEUED
        return None

    def _wait_after(self, error: ScalewayError, facts: InstanceFacts) -> Wait:
        """When the same call may be tried again; a deletion that is refused for long is tried less often."""
        wait = _wait_after(error)
        server = facts.server
        if facts.instance.state is not InstanceState.DELETING or server is None or wait.after_s is None:
            return wait
        slow_s = patience_s(server.changed_at, now=self._services.clock.now())
        return replace(wait, after_s=max(wait.after_s, slow_s))

    # -- steps -----------------------------------------------------------------------------------------------

    async def _perform(self, step: Step, facts: InstanceFacts) -> InstanceFacts:  # noqa: C901, PLR0911, PLR0912 (one line per step)
        starts, removal = self._starts, self._removal
        match step:
            case CreateServer():
                return await starts.create(facts)
            case AdoptServer(seen=seen):
                return await starts.record(facts, seen, origin=Origin.ADOPTED)
            case RecordVolume(volume=seen_volume):
                return await starts.record_volume(facts, seen_volume)
            case LookForLeftovers():
                return await removal.look_for_leftovers(facts)
            case ForgetAttempt():
                return await starts.forget_attempt(facts)
            case SetCloudInit():
                return await starts.set_cloud_init(facts)
            case TagVolume(volume=row):
                return await starts.tag_volume(facts, row)
            case SetIops(volume=row, iops=iops):
                return await starts.set_iops(facts, row, iops)
            case LearnSize(volume=row):
                return await starts.learn_size(facts, row)
            case GrowVolume(volume=row, size_gb=size_gb):
                return await starts.grow(facts, row, size_gb)
            case SetTags():
                return await starts.set_tags(facts)
            case PowerOn():
                return await starts.power_on(facts)
            case NoteStarted():
                return await starts.note_started(facts)
            case NoteReady():
                return await starts.note_ready(facts)
            case Fail(reason=reason, message=message):
                return await starts.fail(facts, reason, message)
            case Retire(reason=reason, message=message):
                return await starts.retire(facts, reason, message)
            case BeginServerDeletion():
                return await removal.begin(facts)
            case DetachVolume(volume=attached):
                return await removal.detach(facts, attached)
            case Terminate():
                return await removal.terminate(facts)
            case DeleteServer():
                return await removal.delete_server(facts)
            case LookAtServer():
                return await removal.look_at_server(facts)
            case NoteServerAbsent():
                return await removal.note_server_absent(facts)
            case DeleteVolume(volume=row):
                return await removal.delete_volume(facts, row)
            case LookAtVolume(volume=row):
                return await removal.look_at_volume(facts, row)
            case NoteVolumeAbsent(volume=row):
                return await removal.note_volume_absent(facts, row)
            case NoteInstanceGone():
                return await removal.note_gone(facts)
            case _:
                raise AssertionError(f"no such step: {step}")

    # -- errors ----------------------------------------------------------------------------------------------

    async def _after_error(  # noqa: PLR0911 (a ladder)
        self, step: Step, facts: InstanceFacts, error: ScalewayError
    ) -> tuple[InstanceFacts, bool]:
        """Where an error leaves the instance, and whether there is anything to plan from that now."""
        if isinstance(error, ForeignProject):
            await self._scene.cloud.control.freeze(str(error))  # T8
            return facts, False
        if isinstance(step, CreateServer):
            return await self._after_failed_create(facts, error)
        if isinstance(step, SetCloudInit | PowerOn) and isinstance(error, START_REFUSALS):
            return await self._after_refused_start(facts, error)
        if isinstance(step, UpkeepStep):
            return replace(facts, upkeep_refused=True), True
        if isinstance(step, DeleteVolume | LookAtVolume):
            return self._removal.volume_unknown(facts, step.volume, error), True
        if isinstance(error, LOOK_AGAIN) and not isinstance(step, LookAtServer):
            return replace(facts, sight=NotListed()), True
        return facts, False

    async def _after_failed_create(
        self, facts: InstanceFacts, error: ScalewayError
    ) -> tuple[InstanceFacts, bool]:
        if isinstance(error, Ambiguous):
            # `send_before` is in the ledger: until it is settled nobody may say that nothing was made.
            return facts, False
        if isinstance(error, NOT_NOW):
            self._scene.starts.stopped = error.reason
            return await self._starts.refuse_unsent(facts, error.reason, str(error)), False
        facts = await self._starts.forget_attempt(facts)  # a definite answer: nothing was made
        if isinstance(error, InvalidArguments):
            # Type and image were looked up when the intent was written: the next one looks again.
            return await self._starts.refuse(facts, error.reason, str(error)), True
        if isinstance(error, NotFound):
            self._scene.starts.lacks_group = True
        return facts, False

    async def _after_refused_start(
        self, facts: InstanceFacts, error: ScalewayError
    ) -> tuple[InstanceFacts, bool]:
        """A server that never ran is removed (B3). One that ran keeps its disk, and waits until it may run
        again.
        """
        server = facts.server
        if server is None or server.started_at is not None:
            return facts, False
        if isinstance(error, OutOfStock | QuotaExceeded):
            self._scene.starts.stopped = error.reason
        return await self._starts.refuse(facts, error.reason, str(error)), True


def _wait_after(error: ScalewayError) -> Wait:
    """When the same call may be tried again."""
    match error:
        case OutOfStock() | QuotaExceeded() | Denied() | Rejected():
            after_s = STOCK_RETRY_S
        case SendWindowClosed() | Withdrawn():
            after_s = 0.1
        case Ambiguous() | Precondition() | Conflict() | NotFound():
            after_s = POLL_S
        case _:
            after_s = RETRY_S
    reason = "CreateSettling" if isinstance(error, Ambiguous) else error.reason
    return Wait(reason=reason, after_s=error.retry_after_s or after_s, message=str(error))
