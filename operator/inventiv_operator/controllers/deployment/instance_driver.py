"""Takes one instance from step to step until it has to wait.

Each step is: what the ledger must know first, the call, what the ledger learns from it. Nothing is repaired in an
`except` block: the next plan starts from what was written down.
"""

import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

from inventiv_operator.controllers.control import Verdict
from inventiv_operator.controllers.deployment.scene import Scene
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.cloud import GB, NewServer, SeenServer, volume_api_of
from inventiv_operator.domain.ids import ProviderRef, ResourceId
from inventiv_operator.domain.instance_plan import (
    POLL_S,
    AdoptServer,
    BeginServerDeletion,
    CreateServer,
    DeleteServer,
    DeleteVolume,
    DetachVolume,
    Fail,
    ForgetAttempt,
    InstanceFacts,
    LookAtServer,
    LookAtVolume,
    NoteInstanceGone,
    NoteReady,
    NoteServerAbsent,
    NoteStarted,
    NoteVolumeAbsent,
    PowerOn,
    Retire,
    SetCloudInit,
    SetIops,
    Step,
    TagVolume,
    Terminate,
    VolumeSight,
    Wait,
    plan_instance,
)
from inventiv_operator.domain.intents import (
    ATTEMPT_TAG,
    DEPLOYMENT_TAG,
    INSTALLATION_TAG,
    INSTANCE_TAG,
    ORGANIZATION_TAG,
)
from inventiv_operator.domain.ledger import (
    InstanceState,
    NewResource,
    Origin,
    Resource,
    ResourceKind,
    ResourceState,
)
from inventiv_operator.domain.sight import Gone, Listed, NotListed, Unknown
from inventiv_operator.scaleway.errors import (
    Ambiguous,
    InvalidArguments,
    NotFound,
    OutOfStock,
    Precondition,
    QuotaExceeded,
    ScalewayError,
    SendWindowClosed,
)
from inventiv_operator.store import ledger

logger = logging.getLogger(__name__)

MAX_STEPS = 40
"""A life cycle has a dozen; more in one pass means that plan and world disagree, and the queue's back-off is due."""

REFUSALS = (OutOfStock, QuotaExceeded, InvalidArguments)
"""Definite answers to a create or power-on that the same request would get again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A start that the provider refused for good; the deployment backs off."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """Where one instance stands after the pass, and what it waits for."""

    facts: InstanceFacts
    wait: Wait
    refusal: Refusal | None = None
    failed: bool = False  # a start failed in this pass (L6)
    became_ready: bool = False


class InstanceDriver:
    """Drives the instances of one deployment in one pass."""

    def __init__(self, services: Services, scene: Scene) -> None:
        self._services = services
        self._scene = scene
        self._client = scene.cloud.client

    async def drive(self, facts: InstanceFacts) -> Driven:
        """Step after step until the plan says wait, the provider refuses, or the pass is over."""
        driven = Driven(facts=facts, wait=Wait(reason="Queued", after_s=0.0))
        for _ in range(MAX_STEPS):
            step = plan_instance(driven.facts, now=self._services.clock.now(), policy=self._scene.policy)
            if isinstance(step, Wait):
                return replace(driven, wait=step)
            if self._services.clock.monotonic() > self._scene.deadline_s:
                return driven
            try:
                driven = await self._perform(step, driven)
            except ScalewayError as error:
                after = await self._after_error(step, driven, error)
                if after.wait.reason != "Queued":
                    return after
                driven = after
        return replace(driven, wait=Wait(reason="Queued", after_s=POLL_S * 5))

    # -- steps -------------------------------------------------------------------------------------------------------

    async def _perform(self, step: Step, driven: Driven) -> Driven:  # noqa: C901, PLR0911, PLR0912 (one line per step)
        facts = driven.facts
        match step:
            case CreateServer():
                return replace(driven, facts=await self._create(facts))
            case AdoptServer(seen=seen):
                return replace(driven, facts=await self._record_server(facts, seen, origin=Origin.ADOPTED))
            case ForgetAttempt():
                return replace(driven, facts=await self._forget_attempt(facts))
            case SetCloudInit():
                return replace(driven, facts=await self._set_cloud_init(facts))
            case TagVolume(volume=volume):
                return replace(driven, facts=await self._tag_volume(facts, volume))
            case SetIops(volume=volume, iops=iops):
                return replace(driven, facts=await self._set_iops(facts, volume, iops))
            case PowerOn():
                return replace(driven, facts=await self._power_on(facts))
            case NoteStarted():
                return replace(driven, facts=await self._note_started(facts))
            case NoteReady():
                return replace(driven, facts=await self._note_ready(facts), became_ready=True)
            case Fail(reason=reason, message=message):
                return replace(driven, facts=await self._fail(facts, reason, message), failed=True)
            case Retire(reason=reason, message=message):
                return replace(driven, facts=await self._retire(facts, reason, message))
            case BeginServerDeletion():
                return replace(driven, facts=await self._begin_deletion(facts))
            case DetachVolume(volume=volume):
                await self._client.detach_volume(facts.instance.zone, _ref(facts.server), volume.ref)
                logger.warning(
                    "volume attached by hand detached before deletion",
                    extra={"volume_ref": volume.ref, "server_ref": _ref(facts.server)},
                )
                return replace(driven, facts=replace(facts, sight=NotListed()))
            case Terminate():
                await self._client.terminate(facts.instance.zone, _ref(facts.server))
                return replace(driven, wait=Wait(reason="Deleting"), facts=_terminating(facts))
            case DeleteServer():
                await self._client.delete_server(facts.instance.zone, _ref(facts.server))
                return replace(driven, facts=replace(facts, sight=NotListed()))
            case LookAtServer():
                return replace(driven, facts=await self._look_at_server(facts))
            case NoteServerAbsent():
                return replace(driven, facts=await self._note_server_absent(facts))
            case DeleteVolume(volume=volume):
                return replace(driven, facts=await self._delete_volume(facts, volume))
            case LookAtVolume(volume=volume):
                return replace(driven, facts=await self._look_at_volume(facts, volume))
            case NoteVolumeAbsent(volume=volume):
                return replace(driven, facts=await self._note_volume_absent(facts, volume))
            case NoteInstanceGone():
                return replace(driven, facts=await self._note_gone(facts))
            case _:
                raise AssertionError(f"no such step: {step}")

    async def _create(self, facts: InstanceFacts) -> InstanceFacts:
        row, template = _row(facts.server), self._scene.template
        if template is None or facts.group_ref is None:
            raise AssertionError("a create is planned only with a template and a group")
        attempt = uuid4().hex
        send_before = self._services.clock.now() + timedelta(seconds=self._services.timing.send_window_s)
        async with self._services.writing(row.organization_id) as conn:
            await ledger.mark_sending(conn, row.id, attempt=attempt, send_before=send_before)
        seen = await self._client.create_server(
            facts.instance.zone,
            NewServer(
                name=facts.instance.name,
                commercial_type=facts.instance.instance_type,
                image_ref=facts.instance.image_ref,
                tags=(*self._tags(facts, attempt=attempt), *template.tags),
                security_group_ref=facts.group_ref,
                dynamic_ip=template.dynamic_ip,
                root_size_bytes=None if template.root_size_gb is None else template.root_size_gb * GB,
                root_volume_type=facts.instance.root_volume_type,
            ),
            send_before=send_before,
        )
        return await self._record_server(facts, seen, origin=Origin.CREATED)

    def _tags(self, facts: InstanceFacts, *, attempt: str | None) -> tuple[str, ...]:
        tags = (
            f"{INSTALLATION_TAG}={self._services.installation_id}",
            f"{ORGANIZATION_TAG}={self._scene.cloud.organization_id}",
            f"{DEPLOYMENT_TAG}={self._scene.deployment_id}",
            f"{INSTANCE_TAG}={facts.instance.id}",
        )
        return tags if attempt is None else (*tags, f"{ATTEMPT_TAG}={attempt}")

    async def _record_server(
        self, facts: InstanceFacts, seen: SeenServer, *, origin: Origin
    ) -> InstanceFacts:
        """The server's id, and those of all volumes that came with it, in one commit."""
        row = _row(facts.server)
        now = self._services.clock.now()
        volume_origin = Origin.ANSWER if origin is Origin.CREATED else Origin.ADOPTED
        root = next((volume for volume in facts.volumes if volume.role == "root"), None)
        known = {volume.provider_ref for volume in facts.volumes}
        extra = [volume for volume in seen.volumes if volume.slot != "0" and volume.ref not in known]
        root_seen = next((volume for volume in seen.volumes if volume.slot == "0"), None)
        new_rows = [
            NewResource(
                id=ResourceId(uuid4()),
                organization_id=row.organization_id,
                credential_id=row.credential_id,
                deployment_id=row.deployment_id,
                instance_id=row.instance_id,
                kind=ResourceKind.VOLUME,
                role=f"scratch-{volume.slot}",
                zone=row.zone,
                volume_api=volume_api_of(volume.volume_type),
                size_gb=None if volume.size_bytes is None else volume.size_bytes // GB,
                state=ResourceState.PRESENT,
                provider_ref=volume.ref,
                origin=volume_origin,
            )
            for volume in extra
        ]
        async with self._services.writing(row.organization_id) as conn:
            await ledger.record_present(conn, row.id, provider_ref=seen.ref, origin=origin)
            if root is not None and root_seen is not None and root.provider_ref is None:
                await ledger.record_present(conn, root.id, provider_ref=root_seen.ref, origin=volume_origin)
            if new_rows:
                await ledger.insert_resources(conn, new_rows)
        volumes = tuple(
            replace(volume, provider_ref=root_seen.ref, state=ResourceState.PRESENT, origin=volume_origin)
            if root_seen is not None and volume.role == "root" and volume.provider_ref is None
            else volume
            for volume in facts.volumes
        ) + tuple(new.as_row(now=now) for new in new_rows)
        server = replace(row, provider_ref=seen.ref, state=ResourceState.PRESENT, origin=origin)
        logger.info("server recorded", extra={"server_ref": seen.ref, "origin": str(origin)})
        return replace(facts, server=server, volumes=volumes, sight=Listed(seen), candidate=None)

    async def _forget_attempt(self, facts: InstanceFacts) -> InstanceFacts:
        row = _row(facts.server)
        async with self._services.writing(row.organization_id) as conn:
            await ledger.clear_send(conn, row.id)
        return replace(facts, server=replace(row, send_before=None))

    async def _set_cloud_init(self, facts: InstanceFacts) -> InstanceFacts:
        row, template = _row(facts.server), self._scene.template
        if template is None or template.cloud_init is None:
            raise AssertionError("a cloud-init is planned only where there is one")
        await self._client.set_cloud_init(facts.instance.zone, _ref(row), template.cloud_init)
        async with self._services.writing(row.organization_id) as conn:
            await ledger.mark_prepared(conn, [row.id])
        return replace(facts, server=replace(row, prepared_at=self._services.clock.now()))

    async def _tag_volume(self, facts: InstanceFacts, volume: Resource) -> InstanceFacts:
        await self._client.tag_volume(
            volume.zone, _ref(volume), api=_api(volume), tags=self._tags(facts, attempt=None)
        )
        async with self._services.writing(volume.organization_id) as conn:
            await ledger.mark_prepared(conn, [volume.id])
        return _with_volume(facts, replace(volume, prepared_at=self._services.clock.now()))

    async def _set_iops(self, facts: InstanceFacts, volume: Resource, iops: int) -> InstanceFacts:
        await self._client.set_volume_iops(volume.zone, _ref(volume), iops)
        async with self._services.writing(volume.organization_id) as conn:
            await ledger.mark_prepared(conn, [volume.id], prepared_hash=str(iops))
        return _with_volume(facts, replace(volume, prepared_hash=str(iops)))

    async def _power_on(self, facts: InstanceFacts) -> InstanceFacts:
        await self._client.power_on(facts.instance.zone, _ref(facts.server))
        return await self._note_started(facts, sight_state="starting")

    async def _note_started(self, facts: InstanceFacts, *, sight_state: str = "") -> InstanceFacts:
        row = _row(facts.server)
        async with self._services.writing(row.organization_id) as conn:
            await ledger.mark_started(conn, [row.id])
        server = replace(row, started_at=self._services.clock.now())
        sight = _with_state(facts.sight, sight_state) if sight_state else facts.sight
        return replace(facts, server=server, sight=sight)

    async def _note_ready(self, facts: InstanceFacts) -> InstanceFacts:
        now = self._services.clock.now()
        async with self._services.writing(self._scene.cloud.organization_id) as conn:
            await ledger.mark_instance_ready(conn, facts.instance.id, ready_at=now)
        return replace(facts, instance=replace(facts.instance, ready_at=now))

    async def _fail(self, facts: InstanceFacts, reason: str, message: str) -> InstanceFacts:
        now = self._services.clock.now()
        async with self._services.writing(self._scene.cloud.organization_id) as conn:
            await ledger.set_instance(
                conn,
                facts.instance.id,
                state=InstanceState.FAILED,
                reason=reason,
                message=message,
                failed_at=now,
            )
        logger.warning("instance failed", extra={"instance": facts.instance.name, "reason": reason})
        failed = replace(
            facts.instance, state=InstanceState.FAILED, failed_at=now, reason=reason, message=message
        )
        return replace(facts, instance=failed)

    async def _retire(self, facts: InstanceFacts, reason: str, message: str) -> InstanceFacts:
        async with self._services.writing(self._scene.cloud.organization_id) as conn:
            await ledger.set_instance(
                conn, facts.instance.id, state=InstanceState.DELETING, reason=reason, message=message
            )
        retired = replace(facts.instance, state=InstanceState.DELETING, reason=reason, message=message)
        return replace(facts, instance=retired)

    async def _begin_deletion(self, facts: InstanceFacts) -> InstanceFacts:
        row = _row(facts.server)
        async with self._services.writing(row.organization_id) as conn:
            await ledger.advance(
                conn, [row.id], to=ResourceState.DELETING, allowed={ResourceState.PRESENT, ResourceState.LOST}
            )
        return replace(facts, server=replace(row, state=ResourceState.DELETING))

    async def _look_at_server(self, facts: InstanceFacts) -> InstanceFacts:
        zone = facts.instance.zone
        try:
            seen = await self._client.get_server(zone, _ref(facts.server))
        except NotFound:
            result = await self._scene.cloud.control.check(zone)
            if result.verdict is Verdict.HELD:
                return replace(facts, sight=Gone())
            return replace(facts, sight=Unknown(reason="ControlFailed", message=result.message))
        return replace(facts, sight=Listed(seen))

    async def _note_server_absent(self, facts: InstanceFacts) -> InstanceFacts:
        """The server is a tombstone now; its volumes are next, whatever ended it (L4)."""
        row = _row(facts.server)
        volumes = [volume.id for volume in facts.volumes if volume.state is ResourceState.PRESENT]
        going = facts.instance.state is InstanceState.DELETING
        async with self._services.writing(row.organization_id) as conn:
            await ledger.advance(
                conn,
                [row.id],
                to=ResourceState.ABSENT,
                allowed={ResourceState.INTENDED, ResourceState.PRESENT, ResourceState.DELETING},
            )
            if going and volumes:
                await ledger.advance(
                    conn, volumes, to=ResourceState.DELETING, allowed={ResourceState.PRESENT}
                )
        logger.info("server proven absent", extra={"server_ref": row.provider_ref})
        return replace(facts, server=None)

    async def _delete_volume(self, facts: InstanceFacts, volume: Resource) -> InstanceFacts:
        """The ledger says `deleting` before the call; the look that follows brings the 404."""
        if volume.state is not ResourceState.DELETING:
            async with self._services.writing(volume.organization_id) as conn:
                await ledger.advance(
                    conn,
                    [volume.id],
                    to=ResourceState.DELETING,
                    allowed={ResourceState.PRESENT, ResourceState.LOST},
                )
        await self._client.delete_volume(volume.zone, _ref(volume), api=_api(volume))
        return await self._ask_for_volume(facts, volume)

    async def _look_at_volume(self, facts: InstanceFacts, volume: Resource) -> InstanceFacts:
        """The shared listing first: one call answers for all volumes of the zone that are still there."""
        if volume.volume_api == "block":
            listing = await self._client.volumes(volume.zone, max_age_s=POLL_S)
        else:
            listing = await self._client.local_volumes(volume.zone, max_age_s=POLL_S)
        seen = listing.items.get(_ref(volume))
        if seen is not None:
            return _with_volume_sight(facts, _ref(volume), Listed(seen))
        return await self._ask_for_volume(facts, volume)

    async def _ask_for_volume(self, facts: InstanceFacts, volume: Resource) -> InstanceFacts:
        sight: VolumeSight
        try:
            sight = Listed(await self._client.get_volume(volume.zone, _ref(volume), api=_api(volume)))
        except NotFound:
            result = await self._scene.cloud.control.check(volume.zone)
            held = result.verdict is Verdict.HELD
            sight = Gone() if held else Unknown(reason="ControlFailed", message=result.message)
        return _with_volume_sight(facts, _ref(volume), sight)

    async def _note_volume_absent(self, facts: InstanceFacts, volume: Resource) -> InstanceFacts:
        async with self._services.writing(volume.organization_id) as conn:
            await ledger.advance(
                conn,
                [volume.id],
                to=ResourceState.ABSENT,
                allowed={ResourceState.INTENDED, ResourceState.PRESENT, ResourceState.DELETING},
            )
        return replace(facts, volumes=tuple(v for v in facts.volumes if v.id != volume.id))

    async def _note_gone(self, facts: InstanceFacts) -> InstanceFacts:
        async with self._services.writing(self._scene.cloud.organization_id) as conn:
            await ledger.set_instance(
                conn,
                facts.instance.id,
                state=InstanceState.GONE,
                reason=facts.instance.reason,
                message=facts.instance.message,
            )
        return replace(facts, instance=replace(facts.instance, state=InstanceState.GONE))

    # -- errors ------------------------------------------------------------------------------------------------------

    async def _after_error(self, step: Step, driven: Driven, error: ScalewayError) -> Driven:
        """Where an error leaves the instance. A wait named `Queued` means: plan again at once."""
        facts = driven.facts
        logger.info("step refused", extra={"step": type(step).__name__, "error": str(error)})
        if isinstance(step, CreateServer):
            return await self._after_failed_create(driven, error)
        if isinstance(step, PowerOn) and isinstance(error, REFUSALS):
            facts = await self._retire(facts, error.reason, str(error))
            refusal = Refusal(reason=error.reason, message=str(error))
            return replace(driven, facts=facts, refusal=refusal)
        if isinstance(step, TagVolume | SetIops):
            # Not now: the power-on does not wait for it, and the next pass tries again.
            return replace(driven, facts=replace(facts, refused=error.reason))
        if isinstance(error, NotFound) and isinstance(step, DeleteVolume | LookAtVolume):
            return replace(driven, facts=await self._ask_for_volume(facts, step.volume))
        if isinstance(error, NotFound) and isinstance(step, DetachVolume):
            return replace(driven, facts=replace(facts, sight=NotListed()))
        if isinstance(error, NotFound) or (isinstance(error, Precondition) and isinstance(step, PowerOn)):
            return replace(driven, facts=replace(facts, sight=NotListed()))
        after_s = POLL_S if isinstance(error, Precondition) else POLL_S * 5
        wait = Wait(reason=error.reason, after_s=error.retry_after_s or after_s, message=str(error))
        return replace(driven, wait=wait)

    async def _after_failed_create(self, driven: Driven, error: ScalewayError) -> Driven:
        facts = driven.facts
        row = _row(facts.server)
        if isinstance(error, Ambiguous):
            # `send_before` is in the ledger: until it is settled nobody may say that nothing was made.
            wait = Wait(reason="CreateSettling", after_s=POLL_S, message=str(error))
            return replace(driven, wait=wait)
        facts = await self._forget_attempt(facts)  # a definite answer: nothing was made
        if isinstance(error, SendWindowClosed):
            return replace(driven, facts=facts, wait=Wait(reason="RateLimited", after_s=0.1))
        async with self._services.writing(row.organization_id) as conn:
            await ledger.record_error(conn, row.id, message=str(error))
        if isinstance(error, REFUSALS):
            facts = await self._retire(facts, error.reason, str(error))
            refusal = Refusal(reason=error.reason, message=str(error))
            return replace(driven, facts=facts, refusal=refusal)
        wait = Wait(reason=error.reason, after_s=error.retry_after_s or POLL_S * 5, message=str(error))
        return replace(driven, facts=facts, wait=wait)


def _row(row: Resource | None) -> Resource:
    if row is None:
        raise AssertionError("planned for a server that the ledger does not hold")
    return row


def _ref(row: Resource | None) -> ProviderRef:
    ref = _row(row).provider_ref
    if ref is None:
        raise AssertionError("planned for a thing whose id is not known")
    return ref


def _api(volume: Resource) -> str:
    if volume.volume_api is None:
        raise AssertionError("a volume without an API")
    return volume.volume_api


def _with_volume(facts: InstanceFacts, volume: Resource) -> InstanceFacts:
    return replace(
        facts, volumes=tuple(volume if row.id == volume.id else row for row in facts.volumes)
    )


def _with_volume_sight(facts: InstanceFacts, ref: ProviderRef, sight: VolumeSight) -> InstanceFacts:
    return replace(facts, volume_sights={**facts.volume_sights, ref: sight})


def _with_state(sight: object, state: str) -> Listed[SeenServer] | NotListed:
    from inventiv_operator.domain.cloud import ServerState

    if isinstance(sight, Listed):
        return Listed(replace(sight.seen, state=ServerState(state)))
    return NotListed()


def _terminating(facts: InstanceFacts) -> InstanceFacts:
    return replace(facts, sight=_with_state(facts.sight, "stopping"))
