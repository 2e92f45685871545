"""Changes in place on what exists: tags, iops, size. The power-on does not wait for one that is refused for
now.
"""

from inventiv_operator.domain.cloud import VolumeApi
from inventiv_operator.domain.instance_facts import InstanceFacts, InstancePolicy
from inventiv_operator.domain.instance_steps import (
    GrowVolume,
    LearnSize,
    SetIops,
    SetTags,
    TagVolume,
    UpkeepStep,
)
from inventiv_operator.domain.ledger import Resource, ResourceState
from inventiv_operator.domain.prepared import DEFAULT_IOPS, VolumeSettings, tags_digest, volume_settings

ROOT_ROLE = "root"


def plan_upkeep(facts: InstanceFacts, *, policy: InstancePolicy) -> UpkeepStep | None:
    """The next change in place, if any is due and allowed."""
    if facts.upkeep_refused or not policy.may_start:
        return None
    digest = tags_digest(policy.tags)
    for volume in facts.volumes:
        if volume.state is not ResourceState.PRESENT or volume.provider_ref is None:
            continue
        step = _plan_volume(volume, digest=digest, policy=policy)
        if step is not None:
            return step
    server = facts.server
    if server is not None and server.started_at is not None and server.prepared_hash != digest:
        return SetTags()
    return None


def settings_of(volume: Resource) -> VolumeSettings:
    """What is known to be set on a volume: what a new one is born with, until something was written down."""
    known = volume_settings(volume.prepared_hash)
    return known or VolumeSettings(tags="", iops=DEFAULT_IOPS, size_gb=volume.size_gb)


def _plan_volume(  # noqa: PLR0911 (a ladder)
    volume: Resource, *, digest: str, policy: InstancePolicy
) -> UpkeepStep | None:
    known = settings_of(volume)
    if volume.prepared_at is None or known.tags != digest:
        return TagVolume(volume)
    if volume.role != ROOT_ROLE or volume.volume_api is not VolumeApi.BLOCK:
        return None  # a local volume has neither iops to choose nor a size that can grow
    if known.iops != policy.root_iops:
        return SetIops(volume, policy.root_iops)
    if policy.root_size_gb is None:
        return None
    if known.size_gb is None:
        return LearnSize(volume)
    if known.size_gb < policy.root_size_gb:
        return GrowVolume(volume, policy.root_size_gb)
    return None
