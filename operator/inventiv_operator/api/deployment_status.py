"""What the operator says about a deployment."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from inventiv_operator.api.base import ATOMIC, Euros, Model, Timestamp, Uuid, by_keys
from inventiv_operator.api.conditions import Condition

_Short = Annotated[str, Field(max_length=256)]
_Count = Annotated[int, Field(ge=0)]

INSTANCES_LIMIT = 400
"""Of the 100 wanted there may be old ones, failed ones and their successors at once; more are not listed."""


class Phase(StrEnum):
    """For the column only: scripts read the conditions."""

    PENDING = "Pending"
    PROGRESSING = "Progressing"
    READY = "Ready"
    DEGRADED = "Degraded"
    PAUSED = "Paused"
    EXPIRED = "Expired"
    LOST = "Lost"
    DELETING = "Deleting"


class InstanceVolume(Model):
    """A volume of an instance."""

    id: Annotated[str, Field(max_length=64)]
    """Its id at Scaleway."""
    kind: Annotated[str, Field(max_length=64)] | None = None
    """Its type at Scaleway: sbs_volume (block storage), l_ssd (local) or scratch."""
    size_gb: Annotated[int, Field(ge=0)] | None = None
    """Its size in GB of 10^9 bytes. Absent: not known."""


class InstanceStatus(Model):
    """One instance."""

    id: Uuid
    """Id of the instance in the operator's ledger, and the tag inventiv-instance of what it has."""
    ordinal: Annotated[int, Field(ge=0)]
    """Its place among the replicas, from 0. A replacement takes the same place."""
    name: _Short
    """Name of the server at Scaleway."""
    provider_id: _Short | None = None
    """scaleway://zone/server id. Absent: the server does not exist yet."""
    zone: _Short
    """Scaleway zone it is in."""
    instance_type: _Short
    """Its instance type."""
    state: _Short
    """State of the server as Scaleway calls it, such as running, or what the operator is doing with it."""
    ready: bool
    """Whether it is ready now."""
    public_ip: Annotated[str, Field(max_length=64)] | None = None
    """Its public IP address. Absent: it has none yet."""
    volumes: Annotated[tuple[InstanceVolume, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """Its volumes, the root volume included."""
    created_at: Timestamp | None = None
    """When it was begun."""
    ready_at: Timestamp | None = None
    """When it was first ready."""
    message: Annotated[str, Field(max_length=2048)] = ""
    """What it waits for or why it failed. Empty: nothing to say."""


class DeploymentStatus(Model):
    """What the operator knows about the deployment. Written by the operator only."""

    observed_generation: _Count | None = None
    """Generation of the spec that this status is about."""
    deployment_id: Uuid | None = None
    """Durable id of the deployment, and the tag inventiv-deployment of everything made for it."""
    credential_name: Annotated[str, Field(max_length=253)] | None = None
    """ProviderCredential that serves it, fixed when the first instance was begun."""
    replicas: _Count = 0
    """Instances that exist, those being started or removed included."""
    ready_replicas: _Count = 0
    """Instances that are ready."""
    updated_replicas: _Count = 0
    """Instances that are as the spec says now."""
    selector: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Label selector for the scale subresource, which autoscalers read. It selects no pods."""
    phase: Phase | None = None
    """The state in one word, for the column; scripts read the conditions."""
    ready: Annotated[str, Field(max_length=16)] | None = None
    """Ready and wanted instances, such as 2/3, for the column."""
    zones: _Short | None = None
    """Zones that instances are in, shortened for the column."""
    ips: Annotated[str, Field(max_length=512)] | None = None
    """Public IP addresses, shortened for the column."""
    hourly_cost: Euros | None = None
    """What its servers cost, in EUR per hour, each until it is proven gone. Volumes and addresses are not
    counted yet.
    """
    instances: Annotated[
        tuple[InstanceStatus, ...], Field(max_length=INSTANCES_LIMIT, json_schema_extra=ATOMIC)
    ] = ()
    """Every instance that is not proven gone."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=by_keys("type"))] = ()
    """Ready: whether all wanted instances are ready, and if not, what to do. Progressing: whether the
    operator is changing something. CredentialReady: whether the credential can be used.
    """
