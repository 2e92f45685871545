"""What the drivers write down about one instance: each note is one operation for the ledger writer."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from psycopg import AsyncConnection

from inventiv_operator.controllers.ledger_writer import Operation
from inventiv_operator.domain.cloud import GB, AttachedVolume, SeenServer, volume_api_of
from inventiv_operator.domain.ids import DeploymentId, ProviderRef, ResourceId
from inventiv_operator.domain.instance_facts import InstanceFacts
from inventiv_operator.domain.ledger import (
    Instance,
    InstanceState,
    NewResource,
    Origin,
    Resource,
    ResourceKind,
    ResourceState,
)
from inventiv_operator.domain.start_record import StartRecord
from inventiv_operator.domain.upkeep_plan import ROOT_ROLE
from inventiv_operator.store import ledger

ROLE_MAX_CHARS = 80


def in_order(*operations: Operation) -> Operation:
    """Several notes that stand or fall together."""

    async def write(conn: AsyncConnection[Any]) -> None:
        for operation in operations:
            await operation(conn)

    return write


def starts_noted(deployment_id: DeploymentId, record: StartRecord) -> Operation:
    """The count of failed starts."""

    async def write(conn: AsyncConnection[Any]) -> None:
        await ledger.set_backoff(
            conn,
            deployment_id,
            start_failures=record.failures,
            next_start_at=record.next_start_at,
            reset_token=record.reset_token,
            start_reason=record.reason,
            start_message=record.message,
        )

    return write


def instance_moved(
    instance: Instance,
    *,
    to: InstanceState,
    reason: str,
    message: str = "",
    failed_at: datetime | None = None,
) -> Operation:
    async def write(conn: AsyncConnection[Any]) -> None:
        await ledger.set_instance(
            conn, instance.id, state=to, reason=reason, message=message, failed_at=failed_at
        )

    return write


def resources_moved(
    rows: Sequence[Resource], *, to: ResourceState, allowed: frozenset[ResourceState]
) -> Operation:
    """Conflict when one of them is in a state that is not allowed: somebody else moved it."""

    async def write(conn: AsyncConnection[Any]) -> None:
        if rows:
            await ledger.advance(conn, [row.id for row in rows], to=to, allowed=allowed)

    return write


def server_recorded(
    facts: InstanceFacts, row: Resource, seen: SeenServer, *, origin: Origin, now: datetime
) -> tuple[Operation, tuple[Resource, ...]]:
    """The server's id and those of the volumes that came with it, in one commit; and the volumes as they are
    then.

    In the answer to our own create everything is ours. Of a server that was found later only the root volume
    is, and scratch, which the provider adds by itself to some types; anything else was attached by hand and
    stays the tenant's (L7).
    """
    volume_origin = Origin.ANSWER if origin is Origin.CREATED else Origin.ADOPTED
    known = {volume.provider_ref for volume in facts.volumes}
    root = next((v for v in facts.volumes if v.role == ROOT_ROLE and v.provider_ref is None), None)
    root_seen = next((v for v in seen.volumes if v.slot == "0" and v.ref not in known), None)
    extra = [
        volume
        for volume in seen.volumes
        if volume.slot != "0"
        and volume.ref not in known
        and (origin is Origin.CREATED or volume.volume_type == "scratch")
    ]
    new_rows = [extra_volume(facts, row, volume, origin=volume_origin) for volume in extra]

    async def write(conn: AsyncConnection[Any]) -> None:
        await ledger.record_present(conn, row.id, provider_ref=seen.ref, origin=origin)
        if root is not None and root_seen is not None:
            await root_recorded(root, root_seen, origin=volume_origin)(conn)
        if new_rows:
            await ledger.insert_resources(conn, new_rows)

    volumes = facts.volumes
    if root is not None and root_seen is not None:
        present = recorded_volume(root, root_seen, origin=volume_origin, now=now)
        volumes = tuple(present if volume.id == root.id else volume for volume in volumes)
    return write, (*volumes, *(new.as_row(now=now) for new in new_rows))


def extra_volume(
    facts: InstanceFacts, server: Resource, volume: AttachedVolume, *, origin: Origin
) -> NewResource:
    """A row for a volume that came with the server, and that no intent asked for."""
    role = f"extra-{volume.slot}"
    if any(row.role == role for row in facts.volumes):
        role = f"extra-{volume.ref}"[:ROLE_MAX_CHARS]  # another one was seen in that slot before
    return NewResource(
        id=ResourceId(uuid4()),
        organization_id=server.organization_id,
        credential_id=server.credential_id,
        deployment_id=server.deployment_id,
        instance_id=server.instance_id,
        kind=ResourceKind.VOLUME,
        role=role,
        zone=server.zone,
        volume_api=volume_api_of(volume.volume_type),
        size_gb=None if volume.size_bytes is None else volume.size_bytes // GB,
        state=ResourceState.PRESENT,
        provider_ref=volume.ref,
        origin=origin,
    )


def root_recorded(root: Resource, seen: AttachedVolume, *, origin: Origin) -> Operation:
    """Its id, and the API it really belongs to: the image decides that, not what the create call named."""
    api = volume_api_of(seen.volume_type)

    async def write(conn: AsyncConnection[Any]) -> None:
        await ledger.record_present(conn, root.id, provider_ref=seen.ref, origin=origin, volume_api=api)

    return write


def recorded_volume(row: Resource, seen: AttachedVolume, *, origin: Origin, now: datetime) -> Resource:
    """The intent of a volume as the ledger holds it once its id is known."""
    return replace(
        recorded(row, seen.ref, origin=origin, now=now), volume_api=volume_api_of(seen.volume_type)
    )


def recorded(row: Resource, ref: ProviderRef, *, origin: Origin, now: datetime) -> Resource:
    """An intent as the ledger holds it once its id is known."""
    return replace(row, provider_ref=ref, state=ResourceState.PRESENT, origin=origin, changed_at=now)
