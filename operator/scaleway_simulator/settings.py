"""How a world behaves: durations, limits, and what the endpoint knows. JSON names are the field names."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """How many servers of a type one zone can carry at once, and at which call that shows (api.md 3.3)."""

    zone: str
    type: str
    capacity: int
    at: Literal["create", "poweron", "silent"] = "create"  # silent: accepted, and the server stays stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Durations are world seconds; the defaults are the medians of the recordings (api.md 3.3, 4)."""

    latency_ms: float = 0.0
    speed: float = 1.0
    allocate_s: float = 1.0  # "allocating node", no location yet
    boot_s: float = 5.0  # from power-on to running
    guest_s: float = 2.0  # from running until the guest answers
    stop_s: float = 26.0
    standby_s: float = 31.0
    reboot_s: float = 36.0
    terminate_s: float = 5.0
    terminate_via_stopped_s: float = 0.0  # shown as stopped, without volumes, before the 404
    volume_create_s: float = 2.0
    snapshot_s: float = 5.0
    attach_s: float = 1.0
    detach_s: float = 5.0
    detach_while_booting_s: float = 45.0
    delete_detach_s: float = 3.0
    update_s: float = 1.0  # a block volume in `updating` or `resizing`
    group_sync_s: float = 0.0
    nic_s: float = 5.0

    open: bool = False  # any secret key is accepted
    minimal: bool = False  # few types; no IAM, account or availability endpoints
    null_password_key: Literal["never", "always", "mixed"] = "mixed"  # noqa: S105  # a word, see `wire.render_server`
    resolving_names: tuple[str, ...] = (".scw.cloud", ".scaleway.com")  # endings of names that DNS knows
    foreign_project_lists: Literal["empty", "denied"] = "empty"
    public_addresses: str = "51.15.0.0/16"
    answer_addresses_from: str | None = None  # for instance, 127.64.0.1
    stock: tuple[Stock, ...] = ()
    quotas: dict[str, int] = field(
        default_factory=dict
    )  # servers, servers:TYPE, volumes, ips, security_groups

    @classmethod
    def known(cls) -> frozenset[str]:
        return frozenset(f.name for f in fields(cls))

    def changed(self, description: dict[str, Any]) -> Self:
        """These settings with what the JSON object names; other keys of it are left to others.

        Raises:
            ValueError: a value of the wrong type.
        """
        values = {k: v for k, v in description.items() if k in self.known()}
        if "resolving_names" in values:
            values["resolving_names"] = tuple(values["resolving_names"])
        if "stock" in values:
            values["stock"] = tuple(Stock(**item) for item in values["stock"])
        for name, value in values.items():
            is_number = isinstance(getattr(self, name), float)
            if is_number and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
                raise ValueError(f"{name}: a number from 0 on, not {value!r}")
        return replace(self, **values)
