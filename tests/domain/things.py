"""Ledger rows and sightings to make decisions about, with everything ordinary filled in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from inventiv_operator.domain.cloud import (
    AVAILABLE,
    RUNNING,
    AttachedVolume,
    SeenServer,
    SeenVolume,
    ServerState,
    VolumeApi,
    VolumeStatus,
)
from inventiv_operator.domain.ids import (
    CredentialId,
    DeploymentId,
    InstanceId,
    OrganizationId,
    ProviderRef,
    ResourceId,
    Zone,
)
from inventiv_operator.domain.instance_facts import InstanceFacts, InstancePolicy
from inventiv_operator.domain.intents import Timing
from inventiv_operator.domain.ledger import (
    CredentialRow,
    Instance,
    InstanceState,
    Origin,
    Resource,
    ResourceKind,
    ResourceState,
)
from inventiv_operator.domain.prepared import VolumeSettings, tags_digest
from inventiv_operator.domain.sight import Listed

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
TIMING = Timing(send_window_s=10.0, provider_timeout_s=30.0, settle_s=120.0)
ZONE = Zone("fr-par-2")
SERVER = ProviderRef("server-1")
ROOT = ProviderRef("root-1")
PREPARED = VolumeSettings(tags=tags_digest(()), iops=5000, size_gb=None).text()
POLICY = InstancePolicy(
    timing=TIMING,
    startup_timeout_s=300.0,
    failed_retention_s=600.0,
    cloud_init=True,
    root_iops=5000,
    root_size_gb=None,
    tags=(),
    template_hash="t1",
    may_create=True,
    may_start=True,
    may_restart=True,
    may_let_go=True,
)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def instance(**changes: Any) -> Instance:
    return replace(
        Instance(
            id=InstanceId(uuid4()),
            deployment_id=DeploymentId(UUID(int=1)),
            ordinal=0,
            name="acme-llama-0",
            zone=ZONE,
            instance_type="L4-1-24G",
            image_ref="image",
            root_volume_type="sbs_volume",
            template_hash="t1",
            state=InstanceState.ACTIVE,
            created_at=ago(100),
            ready_at=None,
            failed_at=None,
            reason="",
            message="",
        ),
        **changes,
    )


def resource(kind: ResourceKind = ResourceKind.SERVER, **changes: Any) -> Resource:
    return replace(
        Resource(
            id=ResourceId(uuid4()),
            organization_id=OrganizationId(UUID(int=2)),
            credential_id=CredentialId(UUID(int=3)),
            deployment_id=DeploymentId(UUID(int=1)),
            instance_id=None,
            kind=kind,
            role="server",
            zone=ZONE,
            volume_api=None,
            state=ResourceState.INTENDED,
            origin=None,
            provider_ref=None,
            attempts=(),
            send_before=None,
            prepared_at=None,
            prepared_hash="",
            started_at=None,
            size_gb=None,
            created_at=ago(100),
            changed_at=ago(100),
            last_error="",
        ),
        **changes,
    )


def server_row(**changes: Any) -> Resource:
    """Present, prepared and started."""
    present: dict[str, Any] = {
        "state": ResourceState.PRESENT,
        "origin": Origin.CREATED,
        "provider_ref": SERVER,
        "attempts": ("a1",),
        "prepared_at": ago(95),
        "prepared_hash": tags_digest(()),
        "started_at": ago(90),
    }
    return resource(**(present | changes))


def root_row(**changes: Any) -> Resource:
    present: dict[str, Any] = {
        "role": "root",
        "volume_api": VolumeApi.BLOCK,
        "state": ResourceState.PRESENT,
        "origin": Origin.ANSWER,
        "provider_ref": ROOT,
        "prepared_at": ago(95),
        "prepared_hash": PREPARED,
    }
    return resource(ResourceKind.VOLUME, **(present | changes))


def attached(ref: str = ROOT, *, slot: str = "0", volume_type: str = "sbs_volume") -> AttachedVolume:
    return AttachedVolume(
        ref=ProviderRef(ref), slot=slot, volume_type=volume_type, state="available", size_bytes=None
    )


def seen_server(state: str = RUNNING, **changes: Any) -> SeenServer:
    return replace(
        SeenServer(
            ref=SERVER,
            name="acme-llama-0",
            zone=ZONE,
            state=ServerState(state),
            state_detail="",
            commercial_type="L4-1-24G",
            project_id="project",
            tags=("inventiv-attempt=a1",),
            created_at=ago(99),
            volumes=(attached(),),
            addresses=(),
            security_group_ref=ProviderRef("group-1"),
            protected=False,
        ),
        **changes,
    )


def seen_volume(status: str = AVAILABLE, **changes: Any) -> SeenVolume:
    return replace(
        SeenVolume(
            ref=ROOT,
            api=VolumeApi.BLOCK,
            name="root",
            status=VolumeStatus(status),
            size_bytes=20 * 10**9,
            project_id="project",
            tags=(),
            attached_to=(),
            created_at=None,
            perf_iops=5000,
        ),
        **changes,
    )


def facts(state: str | None = RUNNING, **changes: Any) -> InstanceFacts:
    """An instance that reads so; None: as `changes` say."""
    ordinary: dict[str, Any] = {
        "instance": instance(),
        "server": server_row(),
        "volumes": (root_row(),),
        "sight": Listed(seen_server(state or RUNNING)),
        "listed_at": NOW,
        "group_ref": ProviderRef("group-1"),
    }
    return InstanceFacts(**(ordinary | changes))


def leaving_credential() -> CredentialRow:
    """One that nothing new may be made with, whose key never proved itself."""
    return CredentialRow(
        id=CredentialId(uuid4()),
        organization_id=OrganizationId(uuid4()),
        namespace="acme",
        name="scaleway",
        uid="u",
        project_id=str(uuid4()),
        is_default=True,
        state="open",
        ready=False,
        reason="Deleting",
        frozen_reason="",
        validated_at=None,
        rejected_at=None,
        expires_at=None,
        key_fingerprint="",
        access_key="",
        encryption_key_id="",
    )
