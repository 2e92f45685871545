"""The steps towards proven absence of one instance. The ledger says `deleting` before the first call."""

import logging
from dataclasses import replace

from inventiv_operator.controllers.control import PositiveControl, Verdict
from inventiv_operator.controllers.deployment.ledger_notes import in_order, instance_moved, resources_moved
from inventiv_operator.controllers.deployment.rows import (
    api_of,
    ref_of,
    row_of,
    with_state,
    with_volume,
    with_volume_sight,
)
from inventiv_operator.controllers.deployment.scene import Scene
from inventiv_operator.controllers.ledger_writer import Operation, Writes
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.cloud import STOPPING, AttachedVolume, Listing, SeenVolume, VolumeApi
from inventiv_operator.domain.ids import Zone
from inventiv_operator.domain.instance_facts import InstanceFacts, Leftovers
from inventiv_operator.domain.ledger import InstanceState, Resource, ResourceState
from inventiv_operator.domain.sight import Gone, Listed, NotListed, Unknown
from inventiv_operator.domain.waits import POLL_S
from inventiv_operator.scaleway.errors import NotFound, ScalewayError
from inventiv_operator.store import ledger

logger = logging.getLogger(__name__)

LIVING = frozenset({ResourceState.PRESENT, ResourceState.LOST})
OPEN = frozenset({ResourceState.INTENDED, ResourceState.PRESENT, ResourceState.DELETING, ResourceState.LOST})


class RemovalSteps:
    """For the instances of one deployment in one pass. What a call raises is the driver's to understand."""

    def __init__(self, services: Services, writer: Writes, scene: Scene) -> None:
        self._services = services
        self._writer = writer
        self._scene = scene
        self._client = scene.cloud.client

    async def begin(self, facts: InstanceFacts) -> InstanceFacts:
        row = row_of(facts.server)
        await self._write(resources_moved([row], to=ResourceState.DELETING, allowed=LIVING))
        return replace(facts, server=self._deleting(row))

    async def detach(self, facts: InstanceFacts, volume: AttachedVolume) -> InstanceFacts:
        """What it was attached to is read again before the next step."""
        server_ref = ref_of(facts.server)
        await self._client.detach_volume(facts.instance.zone, server_ref, volume.ref)
        logger.warning(
            "volume attached by hand was detached before its server is deleted",
            extra={"volume_ref": volume.ref, "server_ref": server_ref},
        )
        return replace(facts, sight=NotListed())

    async def terminate(self, facts: InstanceFacts) -> InstanceFacts:
        await self._client.terminate(facts.instance.zone, ref_of(facts.server))
        return replace(facts, sight=with_state(facts.sight, STOPPING))

    async def delete_server(self, facts: InstanceFacts) -> InstanceFacts:
        await self._client.delete_server(facts.instance.zone, ref_of(facts.server))
        return replace(facts, sight=NotListed())

    async def look_at_server(self, facts: InstanceFacts) -> InstanceFacts:
        """By its id; a 404 is a proof only while the positive control of the zone holds (L1)."""
        zone = facts.instance.zone
        try:
            seen = await self._client.get_server(zone, ref_of(facts.server))
        except NotFound:
            return replace(facts, sight=await absence(self._scene.cloud.control, zone))
        return replace(facts, sight=Listed(seen))

    async def note_server_absent(self, facts: InstanceFacts) -> InstanceFacts:
        """The server is a tombstone now; its volumes are next, whatever ended it (L4)."""
        row = row_of(facts.server)
        volumes = [v for v in facts.volumes if v.state in LIVING]
        going = facts.instance.state is InstanceState.DELETING
        moved = resources_moved([row], to=ResourceState.ABSENT, allowed=OPEN)
        follow = resources_moved(volumes if going else [], to=ResourceState.DELETING, allowed=LIVING)
        await self._write(in_order(moved, follow))
        logger.info("server proven absent", extra={"server_ref": row.provider_ref})
        rows = facts.volumes
        if going:
            rows = tuple(self._deleting(v) if v.state in LIVING else v for v in rows)
        return replace(facts, server=None, volumes=rows)

    async def look_for_leftovers(self, facts: InstanceFacts) -> InstanceFacts:
        """Volumes first, then servers, then the ledger: what is made or recorded meanwhile is no leftover."""
        zone, organization_id = facts.instance.zone, self._scene.cloud.organization_id
        listings = [
            await self._client.volumes(zone, max_age_s=0.0),
            await self._client.local_volumes(zone, max_age_s=0.0),
        ]
        servers = await self._client.servers(zone, max_age_s=0.0)
        async with self._services.db.reading(organization_id) as conn:
            rows = await ledger.credential_resources(conn, self._scene.cloud.credential_id)
        held = {row.provider_ref for row in rows}
        volumes = tuple(v for listing in listings for v in listing.items.values() if v.ref not in held)
        return replace(facts, leftovers=Leftovers(volumes=volumes, living=frozenset(servers.items)))

    async def delete_volume(self, facts: InstanceFacts, volume: Resource) -> InstanceFacts:
        if volume.state is not ResourceState.DELETING:
            await self._write(resources_moved([volume], to=ResourceState.DELETING, allowed=LIVING))
            facts = with_volume(facts, self._deleting(volume))
        try:
            await self._client.delete_volume(volume.zone, ref_of(volume), api=api_of(volume))
        except NotFound:
            logger.debug("volume was gone already", extra={"volume_ref": volume.provider_ref})
        facts = await self._ask_for_volume(facts, volume)
        if isinstance(facts.volume_sights.get(ref_of(volume)), Listed):
            # Asking again at once brings the same answer: this volume waits for the next pass.
            said = Unknown(
                reason="Deleting",
                message=f"volume {volume.provider_ref} is still there after its deletion was accepted",
            )
            return with_volume_sight(facts, ref_of(volume), said)
        return facts

    async def look_at_volume(self, facts: InstanceFacts, volume: Resource) -> InstanceFacts:
        """The shared listing first: one call answers for all volumes of the zone that are still there."""
        listing = await self._volumes(volume.zone, api_of(volume))
        seen = listing.items.get(ref_of(volume))
        if seen is not None:
            return with_volume_sight(facts, ref_of(volume), Listed(seen))
        return await self._ask_for_volume(facts, volume)

    async def note_volume_absent(self, facts: InstanceFacts, volume: Resource) -> InstanceFacts:
        await self._write(resources_moved([volume], to=ResourceState.ABSENT, allowed=OPEN))
        return replace(facts, volumes=tuple(row for row in facts.volumes if row.id != volume.id))

    async def note_gone(self, facts: InstanceFacts) -> InstanceFacts:
        instance = facts.instance
        await self._write(
            instance_moved(instance, to=InstanceState.GONE, reason=instance.reason, message=instance.message)
        )
        return replace(facts, instance=replace(instance, state=InstanceState.GONE))

    def volume_unknown(self, facts: InstanceFacts, volume: Resource, error: ScalewayError) -> InstanceFacts:
        """A refusal about one volume holds up nothing but that volume."""
        sight = Unknown(reason=error.reason, message=str(error))
        return with_volume_sight(facts, ref_of(volume), sight)

    async def _volumes(self, zone: Zone, api: VolumeApi) -> Listing[SeenVolume]:
        if api is VolumeApi.BLOCK:
            return await self._client.volumes(zone, max_age_s=POLL_S)
        return await self._client.local_volumes(zone, max_age_s=POLL_S)

    async def _ask_for_volume(self, facts: InstanceFacts, volume: Resource) -> InstanceFacts:
        try:
            seen = await self._client.get_volume(volume.zone, ref_of(volume), api=api_of(volume))
        except NotFound:
            gone = await absence(self._scene.cloud.control, volume.zone)
            return with_volume_sight(facts, ref_of(volume), gone)
        return with_volume_sight(facts, ref_of(volume), Listed(seen))

    def _deleting(self, row: Resource) -> Resource:
        return replace(row, state=ResourceState.DELETING, changed_at=self._services.clock.now())

    async def _write(self, operation: Operation) -> None:
        await self._writer.write(self._scene.cloud.organization_id, operation)


async def absence(control: PositiveControl, zone: Zone) -> Gone | Unknown:
    """What a 404 for an id of ours means now."""
    result = await control.check(zone)
    if result.verdict is Verdict.HELD:
        return Gone()
    reason = "Frozen" if result.verdict is Verdict.BROKEN else "ProviderUnreachable"
    return Unknown(
        reason=reason, message=f"not found, and whether that is true cannot be told: {result.message}"
    )
