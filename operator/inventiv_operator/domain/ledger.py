"""The ledger: what exists, or may exist, at the provider because of us.

A row comes before the call that makes the thing, and stays as a tombstone after it is proven absent.
`TRANSITIONS` is the one table of legal changes; the UPDATE statements repeat it as their guard.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from inventiv_operator.domain.cloud import VolumeApi
from inventiv_operator.domain.ids import (
    CredentialId,
    DeploymentId,
    InstanceId,
    OrganizationId,
    ProviderRef,
    ResourceId,
    Zone,
)


class ResourceKind(StrEnum):
    SERVER = "server"
    VOLUME = "volume"
    ADDRESS = "ip"
    SECURITY_GROUP = "security_group"


class ResourceState(StrEnum):
    INTENDED = "intended"  # a call may have been sent: see `send_before`
    PRESENT = "present"  # its provider id is known
    DELETING = "deleting"  # on its way out, until proven absent; never comes back
    ABSENT = "absent"  # proven: a 404 for this id under a positive control (L1)
    RELEASED = "released"  # given back to the tenant (`Retain`)
    LOST = "lost"  # its object vanished without a deletion being seen (L9)
    ABANDONED = "abandoned"  # explicitly given up by annotation


OPEN_STATES = frozenset(
    {ResourceState.INTENDED, ResourceState.PRESENT, ResourceState.DELETING, ResourceState.LOST}
)
"""States in which something may be billed. A finalizer never leaves while a row is in one (L5)."""

TRANSITIONS: dict[ResourceState, frozenset[ResourceState]] = {
    ResourceState.INTENDED: frozenset(
        {
            ResourceState.PRESENT,  # the create answered, or a lookup found it
            ResourceState.DELETING,  # no longer wanted; its outcome is still open until settled
            ResourceState.ABSENT,  # never sent, or settled and looked for in vain
            ResourceState.ABANDONED,
        }
    ),
    ResourceState.PRESENT: frozenset(
        {
            ResourceState.DELETING,
            ResourceState.ABSENT,  # deleted by somebody else, proven
            ResourceState.RELEASED,
            ResourceState.LOST,
            ResourceState.ABANDONED,
        }
    ),
    ResourceState.DELETING: frozenset(
        {ResourceState.ABSENT, ResourceState.RELEASED, ResourceState.ABANDONED}
    ),
    ResourceState.LOST: frozenset(
        {
            ResourceState.PRESENT,  # its object came back
            ResourceState.DELETING,  # an operator asked for the sweep
            ResourceState.ABSENT,
            ResourceState.ABANDONED,
        }
    ),
    ResourceState.ABSENT: frozenset(),
    ResourceState.RELEASED: frozenset(),
    ResourceState.ABANDONED: frozenset(),
}


class Origin(StrEnum):
    """Why we may delete it (L7)."""

    CREATED = "created"  # our POST answered with this id
    ANSWER = "answer"  # it came inside the answer to our create (root and scratch volumes)
    ADOPTED = "adopted"  # found by the tags of an intent and fitting it in every respect


class DeploymentState(StrEnum):
    OPEN = "open"
    LOST = "lost"  # the object vanished unseen (L9)
    CLOSING = "closing"  # deletion was seen; everything goes
    CLOSED = "closed"  # everything proven absent, released or abandoned


class InstanceState(StrEnum):
    ACTIVE = "active"
    FAILED = "failed"  # kept for `failedRetentionSeconds`, then deleted (L6)
    DELETING = "deleting"
    GONE = "gone"  # every resource of it is in a final state


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One row of `cloud_resources`."""

    id: ResourceId
    organization_id: OrganizationId
    credential_id: CredentialId
    deployment_id: DeploymentId | None  # None: the positive control's own group
    instance_id: InstanceId | None  # None: a security group, shared by all replicas
    kind: ResourceKind
    role: str  # server | root | scratch-<slot> | data-<name> | group | control
    zone: Zone
    volume_api: VolumeApi | None
    state: ResourceState
    origin: Origin | None
    provider_ref: ProviderRef | None
    attempts: tuple[
        str, ...
    ]  # random values, one for each POST that may have left: the tag `inventiv-attempt`
    send_before: datetime | None  # None while `intended`: provably not sent yet
    prepared_at: datetime | None  # server: cloud-init is set; group: rules are set; volume: tagged
    prepared_hash: str  # what was set (see domain.prepared; a group: its rules); empty: nothing
    started_at: datetime | None  # server: a power-on was accepted
    size_gb: int | None
    created_at: datetime
    changed_at: datetime  # of the last change of state or provider_ref
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewResource:
    """A row to insert; without a `state` it is an intent, and comes before the call (S6)."""

    id: ResourceId
    organization_id: OrganizationId
    credential_id: CredentialId
    deployment_id: DeploymentId | None
    instance_id: InstanceId | None
    kind: ResourceKind
    role: str
    zone: Zone
    volume_api: VolumeApi | None
    size_gb: int | None
    state: ResourceState = ResourceState.INTENDED
    provider_ref: ProviderRef | None = None
    origin: Origin | None = None

    def as_row(self, *, now: datetime) -> Resource:
        """The row as the database will give it back, so that nobody has to read what was just written."""
        return Resource(
            id=self.id,
            organization_id=self.organization_id,
            credential_id=self.credential_id,
            deployment_id=self.deployment_id,
            instance_id=self.instance_id,
            kind=self.kind,
            role=self.role,
            zone=self.zone,
            volume_api=self.volume_api,
            state=self.state,
            origin=self.origin,
            provider_ref=self.provider_ref,
            attempts=(),
            send_before=None,
            prepared_at=None,
            prepared_hash="",
            started_at=None,
            size_gb=self.size_gb,
            created_at=now,
            changed_at=now,
            last_error="",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInstance:
    """A row to insert."""

    id: InstanceId
    organization_id: OrganizationId
    deployment_id: DeploymentId
    ordinal: int
    name: str
    zone: Zone
    instance_type: str
    image_ref: str
    root_volume_type: str
    template_hash: str
    state: InstanceState = InstanceState.ACTIVE
    reason: str = ""

    def as_row(self, *, now: datetime) -> "Instance":
        """The row as the database will give it back, so that nobody has to read what was just written."""
        return Instance(
            id=self.id,
            deployment_id=self.deployment_id,
            ordinal=self.ordinal,
            name=self.name,
            zone=self.zone,
            instance_type=self.instance_type,
            image_ref=self.image_ref,
            root_volume_type=self.root_volume_type,
            template_hash=self.template_hash,
            state=self.state,
            created_at=now,
            ready_at=None,
            failed_at=None,
            reason=self.reason,
            message="",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One row of `instances`: one incarnation of an ordinal."""

    id: InstanceId
    deployment_id: DeploymentId
    ordinal: int
    name: str
    zone: Zone
    instance_type: str
    image_ref: str  # the zonal image UUID that the create call names
    root_volume_type: str  # sbs_volume | l_ssd
    template_hash: str
    state: InstanceState
    created_at: datetime
    ready_at: datetime | None
    failed_at: datetime | None
    reason: str  # CamelCase, of a failure or removal; empty otherwise
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRow:
    """One row of `deployments`."""

    id: DeploymentId
    organization_id: OrganizationId
    credential_id: CredentialId
    namespace: str
    name: str
    uid: str
    state: DeploymentState
    template_hash: str  # of the servers that exist; empty: none yet, so any template may start
    start_failures: int  # in a row for this template
    start_reason: str  # CamelCase, why the last start failed or was refused; empty: none did
    start_message: str
    next_start_at: datetime | None  # back-off after a failed start
    reset_token: str  # generation and `reconcile-at` at which the failures were last reset


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentLedger:
    """Everything open of one deployment, read in one round trip.

    Instances that are gone and resources in a final state are left out.
    """

    deployment: DeploymentRow
    instances: tuple[Instance, ...]
    resources: tuple[Resource, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRow:
    """One row of `providers`, without anything secret."""

    id: CredentialId
    organization_id: OrganizationId
    namespace: str
    name: str
    uid: str
    project_id: str
    is_default: bool
    state: str  # open | closing | closed
    ready: bool  # whether anything new may be made with it
    reason: str  # of its Ready condition, when it is not ready
    frozen_reason: str  # empty: not frozen
    validated_at: datetime | None
    rejected_at: datetime | None  # since when the stored key has been refused; None: it is not
    expires_at: datetime | None
    key_fingerprint: str
    access_key: str
    encryption_key_id: str
    closing_at: datetime | None = None  # since when nothing uses it: the quarantine runs from here
    closed_at: datetime | None = None
    frozen_at: datetime | None = None  # since when it is frozen without a break
    zones: tuple[Zone, ...] | None = None  # where it may be used; None: everywhere

    @property
    def is_seeded(self) -> bool:
        """Whether it has no object: the ledger drives it, and its Organization shows it."""
        return not self.uid

    @property
    def full_name(self) -> str:
        """Of the object, or just the word for one that has none."""
        return self.name if self.is_seeded else f"{self.namespace}/{self.name}"

    @property
    def object_kind(self) -> str:
        """Of the object that it is deleted with."""
        return "Organization" if self.is_seeded else "ProviderCredential"

    @property
    def title(self) -> str:
        """For people."""
        return "the organization's seeded credential" if self.is_seeded else f"ProviderCredential {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationRow:
    """One row of `organizations`."""

    id: OrganizationId
    name: str
    uid: str
    is_default: bool
    state: str  # open | closing | closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """Proof of leadership that every write to the ledger carries (B7)."""

    shard: int
    epoch: int
