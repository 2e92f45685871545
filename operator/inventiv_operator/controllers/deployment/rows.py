"""Small changes to facts, and the assertions that a plan was made for what is there."""

from dataclasses import replace

from inventiv_operator.domain.cloud import ServerState, VolumeApi
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.domain.instance_facts import InstanceFacts, ServerSight, VolumeSight
from inventiv_operator.domain.ledger import Resource
from inventiv_operator.domain.sight import Listed, NotListed


def row_of(row: Resource | None) -> Resource:
    if row is None:
        raise AssertionError("planned for a server that the ledger does not hold")
    return row


def ref_of(row: Resource | None) -> ProviderRef:
    ref = row_of(row).provider_ref
    if ref is None:
        raise AssertionError("planned for a thing whose id is not known")
    return ref


def api_of(volume: Resource) -> VolumeApi:
    if volume.volume_api is None:
        raise AssertionError("a volume without an API")
    return volume.volume_api


def with_volume(facts: InstanceFacts, volume: Resource) -> InstanceFacts:
    return replace(facts, volumes=tuple(volume if row.id == volume.id else row for row in facts.volumes))


def with_volume_sight(facts: InstanceFacts, ref: ProviderRef, sight: VolumeSight) -> InstanceFacts:
    return replace(facts, volume_sights={**facts.volume_sights, ref: sight})


def with_state(sight: ServerSight, state: ServerState) -> ServerSight:
    """What a server reads as right after an action was accepted, as good as a look."""
    return Listed(replace(sight.seen, state=state)) if isinstance(sight, Listed) else NotListed()
