"""What exists in a simulated world. Mutable: the rooms of the world own these and change them in place."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

SBS = "sbs_volume"
LOCAL_KINDS = frozenset({"l_ssd", "scratch"})


@dataclass(slots=True, kw_only=True)
class Project:
    id: str
    organization_id: str
    name: str
    created_at: datetime


@dataclass(slots=True, kw_only=True)
class Image:
    """A local image: the same label has another id per zone, architecture and storage type."""

    id: str
    zone: str
    arch: str
    label: str
    storage: Literal["instance_sbs", "instance_local"]
    name: str
    root_volume_type: str  # sbs_snapshot | l_ssd | unified ...
    root_volume_id: str
    root_size_bytes: int
    created_at: datetime
    compatible_types: tuple[str, ...] = ()
    organization_id: str
    project_id: str
    public: bool
    from_server: str = ""
    extra_volumes: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Slot:
    """A place in `server.volumes`."""

    volume_id: str
    kind: str  # sbs_volume | l_ssd | scratch
    boot: bool
    attaching: bool = False


@dataclass(slots=True, kw_only=True)
class DynamicAddress:
    """An address for one run of a server; it is no object of `/ips`."""

    id: str
    address: str


@dataclass(slots=True, kw_only=True)
class Nic:
    id: str
    private_network_id: str
    server_id: str
    mac_address: str
    created_at: datetime
    tags: list[str]
    ipam_ip_ids: list[str]


@dataclass(slots=True, kw_only=True)
class Server:
    id: str
    zone: str
    project_id: str
    name: str
    commercial_type: str
    arch: str
    boot_type: str
    image: Image | None
    security_group_id: str
    dynamic_ip_required: bool
    mac_address: str
    created_at: datetime
    modified_at: datetime
    tags: list[str] = field(default_factory=list)
    volumes: dict[str, Slot] = field(default_factory=dict)
    ip_ids: list[str] = field(default_factory=list)
    dynamic_address: DynamicAddress | None = None
    placement_group_id: str | None = None
    protected: bool = False
    state: str = "stopped"
    state_detail: str = ""
    node: dict[str, str] | None = None
    guest_booted: bool = False
    guest_silent: bool = False  # never boots as far as anyone can see: a bad image
    pending_ips: set[str] = field(default_factory=set)  # attached, but the guest has no lease yet
    user_data: dict[str, bytes] = field(default_factory=dict)
    nics: list[Nic] = field(default_factory=list)
    filesystems: list[str] = field(default_factory=list)
    password_key_id: str | None = None
    run: int = 0
    """Grows with every action and every end, so that a scheduled step of an older run does nothing."""
    powered_on_count: int = 0
    cloud_init_before_first_power_on: bool | None = None
    visible_at_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class LocalVolume:
    """`l_ssd` or `scratch`, known to instance v1 only."""

    id: str
    zone: str
    project_id: str
    name: str
    kind: str
    size_bytes: int
    created_at: datetime
    modified_at: datetime
    state: str = "available"
    server_id: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Reference:
    id: str
    server_id: str
    status: str  # attaching | attached | detaching
    created_at: datetime


@dataclass(slots=True, kw_only=True)
class BlockVolume:
    """`sbs_volume`, known to block v1 only."""

    id: str
    zone: str
    project_id: str
    name: str
    size_bytes: int
    perf_iops: int
    created_at: datetime
    updated_at: datetime
    status: str
    parent_snapshot_id: str | None
    reference: Reference | None = None
    last_detached_at: datetime | None = None
    tags: list[str] = field(default_factory=list)
    by_hand: bool = False


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """Of a block volume (`api` block) or a local one (`api` instance)."""

    id: str
    zone: str
    project_id: str
    api: Literal["block", "instance"]
    name: str
    size_bytes: int
    kind: str
    parent_id: str | None
    parent_name: str
    status: str
    created_at: datetime
    updated_at: datetime
    tags: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class FlexibleIp:
    id: str
    zone: str
    project_id: str
    type: str  # routed_ipv4 | routed_ipv6
    address: str | None
    prefix: str | None
    server_id: str | None = None
    reverse: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Rule:
    id: str
    protocol: str
    direction: str
    ip_range: str
    dest_port_from: int | None
    dest_port_to: int | None
    position: int
    action: str


@dataclass(slots=True, kw_only=True)
class SecurityGroup:
    id: str
    zone: str
    project_id: str
    name: str
    description: str | None
    stateful: bool
    inbound_default_policy: str
    outbound_default_policy: str
    enable_default_security: bool
    project_default: bool
    created_at: datetime
    modified_at: datetime
    tags: list[str] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class PlacementGroup:
    id: str
    zone: str
    project_id: str
    name: str
    policy_mode: str
    policy_type: str
    created_at: datetime
    tags: list[str] = field(default_factory=list)
