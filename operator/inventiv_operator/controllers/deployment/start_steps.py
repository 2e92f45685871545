"""The steps towards a running instance. Each is: what the ledger must know first, the call, what it learns
from it.
"""

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from psycopg import AsyncConnection

from inventiv_operator.controllers.deployment.ledger_notes import (
    extra_volume,
    in_order,
    instance_moved,
    recorded,
    recorded_volume,
    root_recorded,
    server_recorded,
    starts_noted,
)
from inventiv_operator.controllers.deployment.rows import api_of, ref_of, row_of, with_state, with_volume
from inventiv_operator.controllers.deployment.scene import Scene, Template
from inventiv_operator.controllers.deployment.taken_ids import held_elsewhere
from inventiv_operator.controllers.ledger_writer import Operation, Writes
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.cloud import GB, STARTING, AttachedVolume, NewServer, SeenServer
from inventiv_operator.domain.ids import InstanceId
from inventiv_operator.domain.instance_facts import InstanceFacts
from inventiv_operator.domain.intents import (
    ATTEMPT_TAG,
    DEPLOYMENT_TAG,
    INSTALLATION_TAG,
    INSTANCE_TAG,
    ORGANIZATION_TAG,
)
from inventiv_operator.domain.ledger import InstanceState, Origin, Resource
from inventiv_operator.domain.leftovers import ROOT_SLOT, open_root
from inventiv_operator.domain.prepared import tags_digest
from inventiv_operator.domain.sight import Listed
from inventiv_operator.domain.start_record import StartRecord, after_failure, after_ready
from inventiv_operator.domain.upkeep_plan import settings_of
from inventiv_operator.store import ledger
from inventiv_operator.store.errors import IdTaken

logger = logging.getLogger(__name__)

SIZE_MAX_AGE_S = 60.0


class StartSteps:
    """For the instances of one deployment in one pass. What a call raises is the driver's to understand."""

    def __init__(self, services: Services, writer: Writes, scene: Scene) -> None:
        self._services = services
        self._writer = writer
        self._scene = scene
        self._client = scene.cloud.client

    async def create(self, facts: InstanceFacts) -> InstanceFacts:
        row, template = row_of(facts.server), self._template()
        if facts.group_ref is None:
            raise AssertionError("a create is planned only where there is a security group")
        attempt = uuid4().hex
        send_before = self._services.clock.now() + timedelta(seconds=self._services.timing.send_window_s)

        async def note(conn: AsyncConnection[Any]) -> None:
            await ledger.mark_sending(conn, row.id, attempt=attempt, send_before=send_before)

        await self._write(note)
        seen = await self._client.create_server(
            facts.instance.zone,
            NewServer(
                name=facts.instance.name,
                commercial_type=facts.instance.instance_type,
                image_ref=facts.instance.image_ref,
                tags=(*self._tags(facts.instance.id, attempt=attempt), *template.tags),
                security_group_ref=facts.group_ref,
                dynamic_ip=template.dynamic_ip,
                root_size_bytes=None if template.root_size_gb is None else template.root_size_gb * GB,
                root_volume_type=facts.instance.root_volume_type,
            ),
            send_before=send_before,
        )
        return await self.record(facts, seen, origin=Origin.CREATED)

    async def record(self, facts: InstanceFacts, seen: SeenServer, *, origin: Origin) -> InstanceFacts:
        row, now = row_of(facts.server), self._services.clock.now()
        operation, volumes = server_recorded(facts, row, seen, origin=origin, now=now)
        try:
            await self._write(operation)
        except IdTaken as error:
            raise await held_elsewhere(self._writer, row, seen.ref, what="server") from error
        logger.info("server recorded", extra={"server_ref": seen.ref, "origin": str(origin)})
        server = recorded(row, seen.ref, origin=origin, now=now)
        return replace(facts, server=server, volumes=volumes, sight=Listed(seen), candidate=None)

    async def record_volume(self, facts: InstanceFacts, volume: AttachedVolume) -> InstanceFacts:
        """The root's id for its intent; scratch, which nobody asked for, gets a row of its own."""
        server, now = row_of(facts.server), self._services.clock.now()
        root = open_root(facts) if volume.slot == ROOT_SLOT else None
        if root is not None:
            await self._write_volume(root, volume, root_recorded(root, volume, origin=Origin.ADOPTED))
            return with_volume(facts, recorded_volume(root, volume, origin=Origin.ADOPTED, now=now))
        new = extra_volume(facts, server, volume, origin=Origin.ADOPTED)

        async def note(conn: AsyncConnection[Any]) -> None:
            await ledger.insert_resources(conn, [new])

        await self._write_volume(server, volume, note)
        return replace(facts, volumes=(*facts.volumes, new.as_row(now=now)))

    async def _write_volume(self, row: Resource, volume: AttachedVolume, operation: Operation) -> None:
        try:
            await self._write(operation)
        except IdTaken as error:
            raise await held_elsewhere(self._writer, row, volume.ref, what="volume") from error
        logger.info("volume recorded", extra={"volume_ref": volume.ref})

    async def forget_attempt(self, facts: InstanceFacts) -> InstanceFacts:
        row = row_of(facts.server)

        async def note(conn: AsyncConnection[Any]) -> None:
            await ledger.clear_send(conn, row.id)

        await self._write(note)
        return replace(facts, server=replace(row, send_before=None))

    async def set_cloud_init(self, facts: InstanceFacts) -> InstanceFacts:
        row, template = row_of(facts.server), self._template()
        if template.cloud_init is None:
            raise AssertionError("a cloud-init is planned only where there is one")
        await self._client.set_cloud_init(facts.instance.zone, ref_of(row), template.cloud_init)
        return await self._note_prepared(facts)

    async def tag_volume(self, facts: InstanceFacts, volume: Resource) -> InstanceFacts:
        tags = (*self._tags(facts.instance.id), *self._scene.policy.tags)
        await self._client.tag_volume(volume.zone, ref_of(volume), api=api_of(volume), tags=tags)
        return await self._note_volume(
            facts, volume, replace(settings_of(volume), tags=tags_digest(tags)).text()
        )

    async def set_iops(self, facts: InstanceFacts, volume: Resource, iops: int) -> InstanceFacts:
        await self._client.set_volume_iops(volume.zone, ref_of(volume), iops)
        return await self._note_volume(facts, volume, replace(settings_of(volume), iops=iops).text())

    async def learn_size(self, facts: InstanceFacts, volume: Resource) -> InstanceFacts:
        listing = await self._client.volumes(volume.zone, max_age_s=SIZE_MAX_AGE_S)
        seen = listing.items.get(ref_of(volume))
        if seen is None:
            return replace(facts, upkeep_refused=True)
        known = replace(settings_of(volume), size_gb=seen.size_bytes // GB)
        return await self._note_volume(facts, volume, known.text())

    async def grow(self, facts: InstanceFacts, volume: Resource, size_gb: int) -> InstanceFacts:
        await self._client.resize_volume(volume.zone, ref_of(volume), size_bytes=size_gb * GB)
        return await self._note_volume(facts, volume, replace(settings_of(volume), size_gb=size_gb).text())

    async def set_tags(self, facts: InstanceFacts) -> InstanceFacts:
        row = row_of(facts.server)
        attempt = _attempt(facts) or (row.attempts[-1] if row.attempts else None)
        tags = (*self._tags(facts.instance.id, attempt=attempt), *self._scene.policy.tags)
        await self._client.set_server_tags(facts.instance.zone, ref_of(row), tags)
        digest = tags_digest(tags)

        async def note(conn: AsyncConnection[Any]) -> None:
            await ledger.mark_prepared(conn, [row.id], prepared_hash=digest)

        await self._write(note)
        return replace(facts, server=replace(row, prepared_hash=digest))

    async def power_on(self, facts: InstanceFacts) -> InstanceFacts:
        server = row_of(facts.server)
        await self._client.power_on(facts.instance.zone, ref_of(server))
        facts = replace(facts, sight=with_state(facts.sight, STARTING))
        if server.started_at is not None and facts.instance.ready_at is None:
            return facts  # a second try of the first start: its time-out runs from the first
        return await self.note_started(facts)

    async def note_started(self, facts: InstanceFacts) -> InstanceFacts:
        row, digest = row_of(facts.server), _digest(facts)
        unprepared = row.prepared_at is None  # no cloud-init to set: there was nothing to prepare

        async def note(conn: AsyncConnection[Any]) -> None:
            if unprepared:
                await ledger.mark_prepared(conn, [row.id], prepared_hash=digest)
            await ledger.mark_started(conn, [row.id])

        await self._write(note)
        now = self._services.clock.now()
        server = replace(row, started_at=now)
        if unprepared:
            server = replace(server, prepared_at=now, prepared_hash=digest)
        return replace(facts, server=server)

    async def note_ready(self, facts: InstanceFacts) -> InstanceFacts:
        now, starts = self._services.clock.now(), self._scene.starts
        record = after_ready(starts.record)
        reset = () if record == starts.record else (starts_noted(self._scene.deployment_id, record),)
        starts.record = record

        async def note(conn: AsyncConnection[Any]) -> None:
            await ledger.mark_instance_ready(conn, facts.instance.id, ready_at=now)

        await self._write(in_order(note, *reset))
        return replace(facts, instance=replace(facts.instance, ready_at=now))

    async def fail(self, facts: InstanceFacts, reason: str, message: str) -> InstanceFacts:
        """A failed start counts in the commit that says so."""
        logger.warning("instance failed", extra={"instance": facts.instance.name, "reason": reason})
        return await self._let_down(facts, InstanceState.FAILED, reason, message)

    async def refuse(self, facts: InstanceFacts, reason: str, message: str) -> InstanceFacts:
        """What the provider refuses to start is removed at once, and counts the same way (B3)."""
        return await self._let_down(facts, InstanceState.DELETING, reason, message)

    async def refuse_unsent(self, facts: InstanceFacts, reason: str, message: str) -> InstanceFacts:
        """A refused create: nothing was made, so the intent stays and is sent again when its time comes."""
        row = row_of(facts.server)
        record = self._after_failure(facts, reason, message)

        async def note(conn: AsyncConnection[Any]) -> None:
            await ledger.clear_send(conn, row.id)
            await ledger.record_error(conn, row.id, message=message)

        await self._write(in_order(note, starts_noted(self._scene.deployment_id, record)))
        return replace(facts, server=replace(row, send_before=None, last_error=message))

    async def retire(self, facts: InstanceFacts, reason: str, message: str) -> InstanceFacts:
        await self._write(
            instance_moved(facts.instance, to=InstanceState.DELETING, reason=reason, message=message)
        )
        retired = replace(facts.instance, state=InstanceState.DELETING, reason=reason, message=message)
        return replace(facts, instance=retired)

    # -- shared ----------------------------------------------------------------------------------------------

    async def _let_down(
        self, facts: InstanceFacts, to: InstanceState, reason: str, message: str
    ) -> InstanceFacts:
        failed_at = self._services.clock.now()
        record = self._after_failure(facts, reason, message)
        moved = instance_moved(facts.instance, to=to, reason=reason, message=message, failed_at=failed_at)
        await self._write(in_order(moved, starts_noted(self._scene.deployment_id, record)))
        instance = replace(facts.instance, state=to, failed_at=failed_at, reason=reason, message=message)
        return replace(facts, instance=instance)

    def _after_failure(self, facts: InstanceFacts, reason: str, message: str) -> StartRecord:
        starts = self._scene.starts
        said = f"{facts.instance.name}: {message}"
        starts.record = after_failure(
            starts.record, reason=reason, message=said, now=self._services.clock.now()
        )
        return starts.record

    async def _note_prepared(self, facts: InstanceFacts) -> InstanceFacts:
        row, digest = row_of(facts.server), _digest(facts)

        async def note(conn: AsyncConnection[Any]) -> None:
            await ledger.mark_prepared(conn, [row.id], prepared_hash=digest)

        await self._write(note)
        now = self._services.clock.now()
        return replace(facts, server=replace(row, prepared_at=now, prepared_hash=digest))

    async def _note_volume(self, facts: InstanceFacts, volume: Resource, prepared_hash: str) -> InstanceFacts:
        async def note(conn: AsyncConnection[Any]) -> None:
            await ledger.mark_prepared(conn, [volume.id], prepared_hash=prepared_hash)

        await self._write(note)
        now = self._services.clock.now()
        return with_volume(facts, replace(volume, prepared_at=now, prepared_hash=prepared_hash))

    async def _write(self, operation: Operation) -> None:
        await self._writer.write(self._scene.cloud.organization_id, operation)

    def _template(self) -> Template:
        if self._scene.template is None:
            raise AssertionError("planned for a deployment that is being deleted")
        return self._scene.template

    def _tags(self, instance_id: InstanceId, *, attempt: str | None = None) -> tuple[str, ...]:
        """Ours. A tenant can edit them: hints that help to find what the ledger intended, no proof by
        themselves.
        """
        tags = (
            f"{INSTALLATION_TAG}={self._services.installation_id}",
            f"{ORGANIZATION_TAG}={self._scene.cloud.organization_id}",
            f"{DEPLOYMENT_TAG}={self._scene.deployment_id}",
            f"{INSTANCE_TAG}={instance_id}",
        )
        return tags if attempt is None else (*tags, f"{ATTEMPT_TAG}={attempt}")


def _digest(facts: InstanceFacts) -> str:
    """Of the tenant's tags that the server has now, whatever the spec says by now."""
    return tags_digest(facts.sight.seen.tags) if isinstance(facts.sight, Listed) else ""


def _attempt(facts: InstanceFacts) -> str | None:
    """The attempt that made the server, as its own tag says."""
    if not isinstance(facts.sight, Listed):
        return None
    prefix = f"{ATTEMPT_TAG}="
    return next((tag[len(prefix) :] for tag in facts.sight.seen.tags if tag.startswith(prefix)), None)
