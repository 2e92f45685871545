"""Rows of PostgreSQL as values of the domain. The order of the columns is that of the constants here."""

from collections.abc import Sequence
from typing import Any, Final

from inventiv_operator.domain.cloud import VolumeApi
from inventiv_operator.domain.ledger import (
    CredentialRow,
    DeploymentRow,
    DeploymentState,
    Instance,
    InstanceState,
    OrganizationRow,
    Origin,
    Resource,
    ResourceKind,
    ResourceState,
)

MESSAGE_LENGTH: Final = 500

RESOURCE_COLUMNS: Final = """
id, organization_id, provider_id, deployment_id, instance_id, kind, role, zone, volume_api, state, origin,
provider_ref, attempts, send_before, prepared_at, prepared_hash, started_at, size_gb, created_at, changed_at,
last_error
"""
INSTANCE_COLUMNS: Final = """
id, deployment_id, ordinal, name, zone, instance_type, image_ref, root_volume_type, template_hash, state,
created_at, ready_at, failed_at, reason, message
"""
DEPLOYMENT_COLUMNS: Final = """
id, organization_id, provider_id, namespace, name, uid, state, template_hash, start_failures, start_reason,
start_message, next_start_at, reset_token
"""
CREDENTIAL_COLUMNS: Final = """
id, organization_id, namespace, name, uid, project_id, is_default, state, ready, reason, frozen_reason,
validated_at, rejected_at, expires_at, key_fingerprint, access_key, encryption_key_id, closing_at, closed_at,
frozen_at, zones
"""
ORGANIZATION_COLUMNS: Final = "id, name, uid, is_default, state"

_KINDS: Final = {str(kind): kind for kind in ResourceKind}
_STATES: Final = {str(state): state for state in ResourceState}
_ORIGINS: Final[dict[str | None, Origin | None]] = {None: None, **{str(origin): origin for origin in Origin}}
_APIS: Final[dict[str | None, VolumeApi | None]] = {None: None, **{str(api): api for api in VolumeApi}}


def resource(row: Sequence[Any]) -> Resource:
    """One row of `cloud_resources`."""
    return Resource(
        id=row[0],
        organization_id=row[1],
        credential_id=row[2],
        deployment_id=row[3],
        instance_id=row[4],
        kind=_KINDS[row[5]],
        role=row[6],
        zone=row[7],
        volume_api=_APIS[row[8]],
        state=_STATES[row[9]],
        origin=_ORIGINS[row[10]],
        provider_ref=row[11],
        attempts=tuple(row[12]),
        send_before=row[13],
        prepared_at=row[14],
        prepared_hash=row[15],
        started_at=row[16],
        size_gb=row[17],
        created_at=row[18],
        changed_at=row[19],
        last_error=row[20],
    )


def instance(row: Sequence[Any]) -> Instance:
    """One row of `instances`."""
    return Instance(
        id=row[0],
        deployment_id=row[1],
        ordinal=row[2],
        name=row[3],
        zone=row[4],
        instance_type=row[5],
        image_ref=row[6],
        root_volume_type=row[7],
        template_hash=row[8],
        state=InstanceState(row[9]),
        created_at=row[10],
        ready_at=row[11],
        failed_at=row[12],
        reason=row[13],
        message=row[14],
    )


def deployment(row: Sequence[Any]) -> DeploymentRow:
    """One row of `deployments`."""
    return DeploymentRow(
        id=row[0],
        organization_id=row[1],
        credential_id=row[2],
        namespace=row[3],
        name=row[4],
        uid=row[5],
        state=DeploymentState(row[6]),
        template_hash=row[7],
        start_failures=row[8],
        start_reason=row[9],
        start_message=row[10],
        next_start_at=row[11],
        reset_token=row[12],
    )


def credential(row: Sequence[Any]) -> CredentialRow:
    """One row of `providers`."""
    return CredentialRow(
        id=row[0],
        organization_id=row[1],
        namespace=row[2],
        name=row[3],
        uid=row[4],
        project_id=row[5],
        is_default=row[6],
        state=row[7],
        ready=row[8],
        reason=row[9],
        frozen_reason=row[10],
        validated_at=row[11],
        rejected_at=row[12],
        expires_at=row[13],
        key_fingerprint=row[14],
        access_key=row[15],
        encryption_key_id=row[16],
        closing_at=row[17],
        closed_at=row[18],
        frozen_at=row[19],
        zones=None if row[20] is None else tuple(row[20]),
    )


def organization(row: Sequence[Any]) -> OrganizationRow:
    """One row of `organizations`."""
    return OrganizationRow(id=row[0], name=row[1], uid=row[2], is_default=row[3], state=row[4])


def message_of(text: str) -> str:
    """What somebody else said, as PostgreSQL can keep it and a person can read it."""
    return text.replace("\x00", "")[:MESSAGE_LENGTH]
