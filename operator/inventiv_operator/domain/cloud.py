"""What is seen at the provider, in slim values without behaviour.

Provider enumerations are open (api.md 3.1): a state that nobody has heard of is a server that is billed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, NewType, TypeVar

from inventiv_operator.domain.ids import ProviderRef, Zone

GB = 10**9
"""Sizes are decimal, as on Scaleway."""

ServerState = NewType("ServerState", str)
STOPPED = ServerState("stopped")
STARTING = ServerState("starting")
RUNNING = ServerState("running")
STOPPING = ServerState("stopping")
STOPPED_IN_PLACE = ServerState("stopped in place")  # with spaces on the wire; the SDK's spelling is wrong
LOCKED = ServerState("locked")

VolumeStatus = NewType("VolumeStatus", str)
AVAILABLE = VolumeStatus("available")


class VolumeApi(StrEnum):
    """Which API a volume belongs to; the other one answers 404 for it (api.md 3.4)."""

    BLOCK = "block"  # sbs_volume
    INSTANCE = "instance"  # l_ssd, scratch


def volume_api_of(volume_type: str) -> VolumeApi:
    """`sbs_volume` lives in block v1, everything else in instance v1."""
    return VolumeApi.BLOCK if volume_type.startswith("sbs") else VolumeApi.INSTANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedVolume:
    """A volume as the server shows it. Block entries carry neither size nor name (api.md 3.2)."""

    ref: ProviderRef
    slot: str  # "0" is the root
    volume_type: str  # sbs_volume | l_ssd | scratch | unknown to us
    state: str | None
    size_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedAddress:
    """An address as the server shows it; a dynamic one is no object of its own."""

    ref: ProviderRef
    address: str
    dynamic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenServer:
    ref: ProviderRef
    name: str
    zone: Zone
    state: ServerState
    state_detail: str
    commercial_type: str
    project_id: str
    tags: tuple[str, ...]
    created_at: datetime
    volumes: tuple[AttachedVolume, ...]
    addresses: tuple[AttachedAddress, ...]
    security_group_ref: ProviderRef | None
    protected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenVolume:
    """A volume as its own API shows it (block v1 or instance v1)."""

    ref: ProviderRef
    api: VolumeApi
    name: str
    status: VolumeStatus
    size_bytes: int
    project_id: str
    tags: tuple[str, ...]
    attached_to: tuple[ProviderRef, ...]  # servers that reference it, detaching ones included
    created_at: datetime | None
    perf_iops: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenSecurityGroup:
    ref: ProviderRef
    name: str
    project_id: str
    project_default: bool
    tags: tuple[str, ...]
    created_at: datetime | None
    scaleway_organization: str = ""  # that the project is of; empty: not said


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAddress:
    """A flexible IP."""

    ref: ProviderRef
    address: str
    project_id: str
    tags: tuple[str, ...]
    attached_to: ProviderRef | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerType:
    """An entry of `products/servers`."""

    name: str
    arch: str
    ncpus: int
    ram_bytes: int
    gpus: int
    price_eur_per_hour: Decimal
    local_volume_max_bytes: int  # 0: no local root
    block_storage: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressRule:
    """One inbound accept rule; `protocol` upper case, as on the wire."""

    protocol: str
    port: int
    cidr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewServer:
    """What a create call asks for. `tags` carry the ids of the ledger and the attempt."""

    name: str
    commercial_type: str
    image_ref: str
    tags: tuple[str, ...]
    security_group_ref: ProviderRef
    dynamic_ip: bool
    root_size_bytes: int | None  # None: the image's minimum
    root_volume_type: str  # sbs_volume | l_ssd


SeenT = TypeVar("SeenT")
DerivedT = TypeVar("DerivedT")


@dataclass(frozen=True, slots=True)
class Listing(Generic[SeenT]):
    """One complete listing of one kind, credential and zone; foreign objects are dropped already.

    `started_s` is the monotonic time at which the first page was asked for: nothing that was written
    later may be concluded to be missing. A listing of which a page failed never becomes one of these.
    """

    items: Mapping[ProviderRef, SeenT]
    started_s: float
    _derived: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, make: Callable[["Listing[SeenT]"], DerivedT]) -> DerivedT:
        """What `make` makes of it, made only once however many share it: a listing never changes."""
        if make not in self._derived:
            self._derived[make] = make(self)
        derived: DerivedT = self._derived[make]
        return derived
