"""From the provider's JSON to slim values: what is used is checked, converted once, and nothing else is
looked at.

No pydantic here: a listing of 100 servers is read every two seconds while something is in transition, and
these functions cost a tenth. Shapes as counted in api.md, appendix B; keys never come in a fixed order.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from inventiv_operator.domain.cloud import (
    AttachedAddress,
    AttachedVolume,
    SeenAddress,
    SeenSecurityGroup,
    SeenServer,
    SeenVolume,
    ServerState,
    ServerType,
    VolumeApi,
    VolumeStatus,
)
from inventiv_operator.domain.ids import ProviderRef, Zone


class BadShape(ValueError):
    """The JSON is not what it should be; the text names the field and holds none of its content."""


def text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    if type(value) is not str:
        raise BadShape(f"{name} is no text")
    return value


def _ref(raw: Mapping[str, Any], name: str = "id") -> ProviderRef:
    value = text(raw, name)
    if not value:
        raise BadShape(f"{name} is empty")
    return ProviderRef(value)


def _number(raw: Mapping[str, Any], name: str) -> int:
    value = raw.get(name)
    if type(value) is not int:
        raise BadShape(f"{name} is no whole number")
    return value


def _flag(raw: Mapping[str, Any], name: str) -> bool:
    """Absent is False; a string such as "false" is not believed."""
    value = raw.get(name)
    if value is not None and type(value) is not bool:
        raise BadShape(f"{name} is neither true nor false")
    return bool(value)


def moment(raw: Mapping[str, Any], name: str) -> datetime:
    try:
        found = datetime.fromisoformat(text(raw, name))
    except ValueError:
        raise BadShape(f"{name} is no time") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _texts(raw: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Absent is none at all."""
    value = raw.get(name)
    if value is None:
        return ()
    if type(value) is not list or not all(type(each) is str for each in value):
        raise BadShape(f"{name} is no list of texts")
    return tuple(value)


def _object(value: Any, name: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise BadShape(f"{name} is no object")
    return value


def _objects(value: Any, name: str) -> list[dict[str, Any]]:
    if type(value) is not list or not all(type(each) is dict for each in value):
        raise BadShape(f"{name} is no list of objects")
    return value


def list_of(content: Any, name: str) -> list[dict[str, Any]]:
    return _objects(_object(content, "the answer").get(name), name)


def server(raw: Mapping[str, Any]) -> SeenServer:
    group = raw.get("security_group")
    return SeenServer(
        ref=_ref(raw),
        name=text(raw, "name"),
        zone=Zone(text(raw, "zone")),
        state=ServerState(text(raw, "state")),
        state_detail=raw["state_detail"] if type(raw.get("state_detail")) is str else "",
        commercial_type=text(raw, "commercial_type"),
        project_id=text(raw, "project"),
        tags=_texts(raw, "tags"),
        created_at=moment(raw, "creation_date"),
        volumes=_attached_volumes(raw.get("volumes")),
        addresses=_attached_addresses(raw),
        security_group_ref=None if group is None else _ref(_object(group, "security_group")),
        protected=_flag(raw, "protected"),
    )


def _attached_volumes(value: Any) -> tuple[AttachedVolume, ...]:
    if value is None:
        raise BadShape("volumes is missing")  # not "none": what is attached decides what is detached
    found = []
    for slot, each in _object(value, "volumes").items():
        raw = _object(each, "volumes")
        size, state = raw.get("size"), raw.get("state")
        found.append(
            AttachedVolume(
                ref=_ref(raw),
                slot=slot,
                volume_type=text(raw, "volume_type"),
                state=state if type(state) is str else None,
                size_bytes=size if type(size) is int else None,
            )
        )
    return tuple(found)


def _attached_addresses(raw: Mapping[str, Any]) -> tuple[AttachedAddress, ...]:
    """`public_ip` is deprecated and repeats one of `public_ips`; older endpoints have it alone."""
    several = raw.get("public_ips")
    if not several:
        one = raw.get("public_ip")
        several = [] if one is None else [one]
    return tuple(
        AttachedAddress(ref=_ref(each), address=each["address"], dynamic=_flag(each, "dynamic"))
        for each in _objects(several, "public_ips")
        if type(each.get("address")) is str
    )


def block_volume(raw: Mapping[str, Any]) -> SeenVolume:
    specs = raw.get("specs")
    iops = specs.get("perf_iops") if type(specs) is dict else None
    return SeenVolume(
        ref=_ref(raw),
        api=VolumeApi.BLOCK,
        name=text(raw, "name"),
        status=VolumeStatus(text(raw, "status")),
        size_bytes=_number(raw, "size"),
        project_id=text(raw, "project_id"),
        tags=_texts(raw, "tags"),
        attached_to=tuple(
            _ref(each, "product_resource_id") for each in _objects(raw.get("references"), "references")
        ),
        created_at=moment(raw, "created_at"),
        perf_iops=iops if type(iops) is int else None,
    )


def local_volume(raw: Mapping[str, Any]) -> SeenVolume:
    holder = raw.get("server")
    return SeenVolume(
        ref=_ref(raw),
        api=VolumeApi.INSTANCE,
        name=text(raw, "name"),
        status=VolumeStatus(text(raw, "state")),
        size_bytes=_number(raw, "size"),
        project_id=text(raw, "project"),
        tags=_texts(raw, "tags"),
        attached_to=() if holder is None else (_ref(_object(holder, "server")),),
        created_at=moment(raw, "creation_date"),
        perf_iops=None,
    )


def security_group(raw: Mapping[str, Any]) -> SeenSecurityGroup:
    return SeenSecurityGroup(
        ref=_ref(raw),
        name=text(raw, "name"),
        project_id=text(raw, "project"),
        project_default=_flag(raw, "project_default"),
        tags=_texts(raw, "tags"),
        created_at=moment(raw, "creation_date") if raw.get("creation_date") is not None else None,
        scaleway_organization=text(raw, "organization") if raw.get("organization") is not None else "",
    )


def address(raw: Mapping[str, Any]) -> SeenAddress:
    """An IPv6 one has a prefix and no address."""
    holder = raw.get("server")
    return SeenAddress(
        ref=_ref(raw),
        address=text(raw, "prefix" if raw.get("address") is None else "address"),
        project_id=text(raw, "project"),
        tags=_texts(raw, "tags"),
        attached_to=None if holder is None else _ref(_object(holder, "server")),
    )


def server_type(name: str, raw: Mapping[str, Any]) -> ServerType:
    limits, abilities = raw.get("volumes_constraint"), raw.get("capabilities")
    largest = limits.get("max_size") if type(limits) is dict else 0
    if type(largest) is not int:
        largest = 0
    gpus = raw.get("gpu")
    return ServerType(
        name=name,
        arch=text(raw, "arch"),
        ncpus=_number(raw, "ncpus"),
        ram_bytes=_number(raw, "ram"),
        gpus=gpus if type(gpus) is int else 0,
        price_eur_per_hour=_price(raw.get("hourly_price")),
        local_volume_max_bytes=largest,
        block_storage=_flag(abilities, "block_storage") if type(abilities) is dict else largest == 0,
    )


def _price(value: Any) -> Decimal:
    """A JSON number; by way of its shortest text, so that 1.469916 stays 1.469916."""
    if type(value) not in {int, float}:
        raise BadShape("hourly_price is no number")
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        raise BadShape("hourly_price is no number") from None
    if not price.is_finite() or price < 0:
        raise BadShape("hourly_price is no price")
    return price


@dataclass(frozen=True, slots=True, kw_only=True)
class TypePage:
    """`names` are all that the page has, `types` those that make sense."""

    names: frozenset[str]
    types: Mapping[str, ServerType]


def server_types(content: Any) -> TypePage:
    """A dict by type name, unlike every other list. A type that makes no sense must not hide the others."""
    found = _object(_object(content, "the answer").get("servers"), "servers")
    types: dict[str, ServerType] = {}
    for name, raw in found.items():
        with contextlib.suppress(BadShape):
            types[name] = server_type(name, _object(raw, "servers"))
    return TypePage(names=frozenset(found), types=types)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalImage:
    """One image of a label: for one zone, architecture and kind of storage."""

    ref: str
    label: str
    zone: str
    commercial_types: frozenset[str]


def local_images(content: Any) -> tuple[LocalImage, ...]:
    return tuple(
        LocalImage(
            ref=_ref(raw),
            label=text(raw, "label"),
            zone=text(raw, "zone"),
            commercial_types=frozenset(_texts(raw, "compatible_commercial_types")),
        )
        for raw in list_of(content, "local_images")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    access_key: str
    default_project_id: str | None
    expires_at: datetime | None


def api_key(content: Any) -> ApiKey:
    raw = _object(content, "the answer")
    project_id = raw.get("default_project_id")
    return ApiKey(
        access_key=text(raw, "access_key"),
        default_project_id=project_id if type(project_id) is str and project_id else None,
        expires_at=None if raw.get("expires_at") is None else moment(raw, "expires_at"),
    )
