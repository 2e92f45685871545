"""Ledger rows for what a pass is about to begin, or has found."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from inventiv_operator.controllers.deployment.observe import Suspect
from inventiv_operator.controllers.deployment.resolve import Start
from inventiv_operator.domain.cloud import volume_api_of
from inventiv_operator.domain.ids import InstanceId, ResourceId
from inventiv_operator.domain.ledger import (
    DeploymentLedger,
    DeploymentRow,
    InstanceState,
    NewInstance,
    NewResource,
    Origin,
    ResourceKind,
    ResourceState,
)
from inventiv_operator.domain.upkeep_plan import ROOT_ROLE


def intents(
    deployment: DeploymentRow, start: Start, ordinals: Sequence[int]
) -> tuple[list[NewInstance], list[NewResource]]:
    """One instance for each ordinal, each with an intent for its server and one for its root volume."""
    instances = [
        NewInstance(
            id=InstanceId(uuid4()),
            organization_id=deployment.organization_id,
            deployment_id=deployment.id,
            ordinal=ordinal,
            name=f"{start.name_prefix}-{ordinal}",
            zone=start.zone,
            instance_type=start.instance_type,
            image_ref=start.image_ref,
            root_volume_type=start.root_volume_type,
            template_hash=start.template_hash,
        )
        for ordinal in ordinals
    ]
    resources = [row for new in instances for row in _intents_of(deployment, new, start)]
    return instances, resources


def _intents_of(deployment: DeploymentRow, new: NewInstance, start: Start) -> tuple[NewResource, NewResource]:
    server = NewResource(
        id=ResourceId(uuid4()),
        organization_id=deployment.organization_id,
        credential_id=deployment.credential_id,
        deployment_id=deployment.id,
        instance_id=new.id,
        kind=ResourceKind.SERVER,
        role="server",
        zone=new.zone,
        volume_api=None,
        size_gb=None,
    )
    root = replace(
        server,
        id=ResourceId(uuid4()),
        kind=ResourceKind.VOLUME,
        role=ROOT_ROLE,
        volume_api=volume_api_of(new.root_volume_type),
        size_gb=start.root_size_gb,
    )
    return server, root


def duplicate(snapshot: DeploymentLedger, suspect: Suspect) -> tuple[NewInstance, list[NewResource]]:
    """Rows under which a second server of ours leaves by the ordinary way: its root volume with it.

    Anything else that hangs on it is taken for attached by hand, and detached first.
    """
    seen, row = suspect.seen, suspect.row
    original = next((i for i in snapshot.instances if i.id == row.instance_id), None)
    instance = NewInstance(
        id=InstanceId(uuid4()),
        organization_id=row.organization_id,
        deployment_id=snapshot.deployment.id,
        ordinal=0 if original is None else original.ordinal,
        name=seen.name,
        zone=row.zone,
        instance_type=seen.commercial_type,
        image_ref="" if original is None else original.image_ref,
        root_volume_type="sbs_volume" if original is None else original.root_volume_type,
        template_hash="" if original is None else original.template_hash,
        state=InstanceState.DELETING,
        reason="Duplicate",
    )
    server = NewResource(
        id=ResourceId(uuid4()),
        organization_id=row.organization_id,
        credential_id=row.credential_id,
        deployment_id=snapshot.deployment.id,
        instance_id=instance.id,
        kind=ResourceKind.SERVER,
        role="server",
        zone=row.zone,
        volume_api=None,
        size_gb=None,
        state=ResourceState.PRESENT,
        provider_ref=seen.ref,
        origin=Origin.ADOPTED,
    )
    volumes = [
        replace(
            server,
            id=ResourceId(uuid4()),
            kind=ResourceKind.VOLUME,
            role=ROOT_ROLE if volume.slot == "0" else f"extra-{volume.slot}",
            volume_api=volume_api_of(volume.volume_type),
            provider_ref=volume.ref,
        )
        for volume in seen.volumes
        if volume.slot == "0" or volume.volume_type == "scratch"
    ]
    return instance, [server, *volumes]
