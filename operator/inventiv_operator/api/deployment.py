"""Deployment: N instances of one type, wherever they are to be had."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from inventiv_operator.api.base import (
    SET,
    InstanceType,
    Model,
    ObjectName,
    Port,
    ZoneName,
    by_keys,
    rule,
    rules,
    unchanged,
)
from inventiv_operator.api.deployment_status import DeploymentStatus
from inventiv_operator.api.settings import TimeoutSeconds
from inventiv_operator.api.workload import CloudInit, Container, ReadinessProbe

Iops = Literal[5000, 15000]
_SizeGB = Annotated[int, Field(ge=1, le=10_000)]

REPLICAS_LIMIT = 100
_IMAGE_UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


class ReclaimPolicy(StrEnum):
    """What becomes of something at Scaleway when nothing needs it any more."""

    DELETE = "Delete"
    RETAIN = "Retain"


class PublicIP(StrEnum):
    """Which public address an instance gets."""

    DYNAMIC = "Dynamic"
    RESERVED = "Reserved"
    NONE = "None"


class OnStopped(StrEnum):
    """What a stop from outside leads to."""

    RESTART = "Restart"
    REPORT = "Report"


class Protocol(StrEnum):
    """Upper case, as Scaleway has it."""

    TCP = "TCP"
    UDP = "UDP"


class CredentialReference(Model):
    """A ProviderCredential of the same namespace."""

    model_config = ConfigDict(json_schema_extra=rules(map_type="atomic"))

    name: ObjectName
    """Name of the ProviderCredential, in the namespace of the deployment."""


class Placement(Model):
    """A zone and a type to try."""

    zone: ZoneName
    """Scaleway zone, such as fr-par-2."""
    instance_type: InstanceType
    """Scaleway instance type, such as L4-1-24G."""


class RootVolume(Model):
    """The volume that an instance boots from, on block storage."""

    size_gb: _SizeGB | None = None
    """Size in GB of 10^9 bytes, 1 to 10000; it can grow later. Absent: the least that the image needs."""
    iops: Iops = 5000
    """Input and output operations per second that are paid for: 5000 or 15000. Default: 5000."""


class Volume(Model):
    """A data volume that each ordinal gets one of."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.sizeGB) || !has(oldSelf.sizeGB) || self.sizeGB >= oldSelf.sizeGB",
                "a volume cannot shrink: add another one under a new name",
                field=".sizeGB",
            )
        )
    )

    name: Annotated[str, Field(min_length=1, max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """Name of the volume, unique in this deployment."""
    size_gb: _SizeGB | None = None
    """Size in GB of 10^9 bytes, 1 to 10000; it can grow but not shrink. Absent: the setting
    workerDataVolumeGB.
    """
    iops: Iops = 5000
    """Input and output operations per second that are paid for: 5000 or 15000. Default: 5000."""
    reclaim_policy: ReclaimPolicy = ReclaimPolicy.DELETE
    """What becomes of it when its ordinal is removed. Delete: it is deleted with its data. Retain: it stays
    at Scaleway, and on the bill, and is no longer managed here. Default: Delete.
    """


class IngressRule(Model):
    """A port that is open, and to whom."""

    port: Port
    """Port that is open, 1 to 65535."""
    protocol: Protocol = Protocol.TCP
    """TCP or UDP. Default: TCP."""
    cidrs: Annotated[
        tuple[
            Annotated[
                str,
                Field(
                    min_length=1,
                    max_length=49,
                    json_schema_extra=rules(
                        rule(
                            "isCIDR(self) && cidr(self) == cidr(self).masked()",
                            "must be a network such as 203.0.113.0/24, with no bits set behind the prefix",
                        )
                    ),
                ),
            ],
            ...,
        ],
        Field(min_length=1, max_length=20, json_schema_extra=SET),
    ]
    """Networks that it is open to, at most 20, such as 203.0.113.0/24; 0.0.0.0/0 is everyone."""


class Network(Model):
    """Addresses, and what may come in."""

    public_ip: PublicIP = PublicIP.DYNAMIC
    """Public IPv4 address of each instance. Dynamic: one that goes with the server. Reserved: one per ordinal
    that stays when the server is replaced. None: no address, and so no readiness probe. A change replaces the
    instances. Default: Dynamic.
    """
    ingress: Annotated[
        tuple[IngressRule, ...], Field(max_length=20, json_schema_extra=by_keys("port", "protocol"))
    ] = ()
    """Ports that are open from outside, at most 20, each port and protocol once. Everything else that comes
    in is dropped. Absent: nothing is open.
    """


_Tag = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern="^[^\\x00-\\x1f\\x7f]*$",
        json_schema_extra=rules(
            rule(
                "!self.startsWith('inventiv-')",
                "a tag must not start with inventiv-: such tags are the operator's own",
            ),
            rule("!self.contains(',')", "a tag must not contain a comma"),
        ),
    ),
]


class DeploymentSpec(Model):
    """How many instances, of which kind, and how they are treated."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            unchanged(
                "credentialRef",
                "what was made with one key cannot be found with another; make a new Deployment",
            ),
            rule(
                "!has(self.readiness) || self.network.publicIP != 'None'",
                "readiness needs an address to ask: network.publicIP must not be None",
                field=".readiness",
            ),
            rule(
                f"!self.image.matches('{_IMAGE_UUID}')"
                " || self.placement.all(p, p.zone == self.placement[0].zone)",
                "an image UUID exists in one zone only: use a marketplace label, or one zone in placement",
                field=".image",
            ),
            rule(
                """!has(self.container) || !has(self.container.dataVolume)
                || (has(self.volumes) && self.volumes.exists(v, v.name == self.container.dataVolume))""",
                "container.dataVolume must be the name of one of volumes",
                field=".container.dataVolume",
            ),
        )
    )

    replicas: Annotated[int, Field(ge=0, le=REPLICAS_LIMIT)] = 1
    """How many instances are wanted, 0 to 100. Default: 1."""
    credential_ref: CredentialReference | None = None
    """ProviderCredential whose Scaleway project the instances are made in; immutable. Absent: the one of this
    namespace that is the default.
    """
    placement: Annotated[
        tuple[Placement, ...],
        Field(
            min_length=1,
            max_length=10,
            json_schema_extra=rules(
                rule(
                    "self.all(p, self.exists_one(q, q.zone == p.zone && q.instanceType == p.instanceType))",
                    "each pair of zone and instanceType may stand here once",
                ),
                list_type="atomic",
            ),
        ),
    ]
    """Zones and instance types in order of preference, 1 to 10. The next one is tried when the zone is out of
    stock or the project's quota there is used up. A change replaces the instances.
    """
    image: Annotated[str, Field(min_length=1, max_length=128, pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """What the instances boot: a marketplace label such as ubuntu_jammy_gpu_os_12, or the UUID of an image. A
    UUID exists in one zone only, so placement may then name one zone only. A change replaces the instances.
    """
    root_volume: RootVolume | None = None
    """The volume that an instance boots from. Absent: as small as the image allows, with 5000 iops."""
    volumes: Annotated[tuple[Volume, ...], Field(max_length=15, json_schema_extra=by_keys("name"))] = ()
    """Data volumes, at most 15, each name once. Every ordinal gets its own set, which stays when its server
    is replaced in the same zone.
    """
    network: Network = Network()
    """Addresses, and what may come in. Default: a dynamic public address, and nothing is open."""
    cloud_init: CloudInit | None = None
    """User data for the first boot, at most 64 KiB. It is readable inside the machine and by anyone with read
    access to the Scaleway project. A change replaces the instances. Absent: none.
    """
    container: Container | None = None
    """One container that runs on each instance with all its GPUs; it is added to the user data. A change
    replaces the instances. Absent: none.
    """
    readiness: ReadinessProbe | None = None
    """How an instance is asked whether it is ready. Absent: it is ready when it runs; with a container, when
    the setting workerHealthPort accepts a TCP connection.
    """
    startup_timeout_seconds: TimeoutSeconds | None = None
    """Seconds after which an instance that is not ready is a failed start, 30 to 86400. Absent: the setting
    instanceStartupTimeoutSeconds (built in: 300), or with a container workerInstanceStartupTimeoutSeconds
    (built in: 3600).
    """
    on_stopped: OnStopped = OnStopped.RESTART
    """What happens when someone else stops a server. Restart: it is started again. Report: it is left alone,
    and the condition Ready says so. Default: Restart.
    """
    max_unavailable: Annotated[int, Field(ge=1, le=REPLICAS_LIMIT)] = 1
    """How many instances may be missing at once while they are replaced, 1 to 100. Default: 1."""
    max_start_failures: Annotated[int, Field(ge=1, le=100)] = 3
    """How many failed starts in a row, with pauses of 1, 2, 4 ... 60 minutes between them, end the attempts.
    After them nothing is made until the spec or the annotation inventiv.io/reconcile-at changes. Default: 3.
    """
    failed_retention_seconds: Annotated[int, Field(ge=0, le=86_400)] = 600
    """Seconds that a failed server is kept for a look, and billed, before it is deleted, 0 to 86400. The next
    start at its place waits until it is gone. 0: it is deleted at once. Default: 600.
    """
    ttl_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """Seconds after which the servers go, 1 to 31536000; the object stays, with the condition Ready=False
    and the reason Expired. Absent: never.
    """
    tags: Annotated[tuple[_Tag, ...], Field(max_length=50, json_schema_extra=SET)] = ()
    """Tags for everything that is made at Scaleway, at most 50, such as team=search. A tag must not start
    with inventiv- or contain a comma.
    """
    paused: bool = False
    """true: nothing is started, scaled or replaced; deletion still works. Default: false."""
    deletion_policy: ReclaimPolicy = ReclaimPolicy.DELETE
    """What becomes of the servers when this object is deleted. Delete: they are deleted. Retain: they stay at
    Scaleway, and on the bill, and are no longer managed here. Default: Delete.
    """
    deletion_protection: bool = False
    """true: the API server refuses to delete this object until it is false again. Default: false."""


class Deployment(Model):
    """N instances at Scaleway: type, zone, image, ports, user data, readiness. Written by tenants."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "size(self.metadata.name) <= 63",
                "metadata.name must have at most 63 characters: it becomes part of host names",
            )
        )
    )

    spec: DeploymentSpec
    """How many instances, of which kind, and how they are treated."""
    status: DeploymentStatus | None = None
    """What the operator knows about the deployment. Written by the operator only."""
