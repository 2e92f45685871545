"""Local images of the marketplace: one id per label, zone, architecture and storage type (api.md 9)."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import Literal

from scaleway_simulator.catalog import GB, ServerType, types_of
from scaleway_simulator.errors import NotFound
from scaleway_simulator.records import Image

NAMESPACE = uuid.UUID("6d0c3f60-2f0b-4b5c-9f39-5ea1ca7e10e5")
"""Ids are derived, so that a restarted simulator still knows the images somebody wrote down."""
SCALEWAY_ORGANIZATION = "51b656e3-4865-41e8-adbc-0c45bdd780db"
RELEASED = datetime(2026, 5, 12, 15, 6, 26, 845576, UTC)
WINDOWS_MIN_BYTES = 25 * GB
GPU_MIN_BYTES = 20 * GB
MIN_BYTES = 10 * GB

LABELS: Mapping[str, str] = MappingProxyType(
    {
        "almalinux_9": "AlmaLinux 9",
        "debian_bookworm": "Debian Bookworm",
        "debian_bullseye": "Debian Bullseye",
        "fedora_41": "Fedora 41",
        "openvpn": "OpenVPN",
        "rockylinux_9": "Rocky Linux 9",
        "ubuntu_bionic": "Ubuntu 18.04 Bionic Beaver",
        "ubuntu_focal": "Ubuntu 20.04 Focal Fossa",
        "ubuntu_jammy": "Ubuntu 22.04 Jammy Jellyfish",
        "ubuntu_noble": "Ubuntu 24.04 Noble Numbat",
        "ubuntu_jammy_gpu_os_12": "Ubuntu Jammy GPU OS 12",
        "ubuntu_noble_gpu_os_13_nvidia": "Ubuntu Noble GPU OS 13",
        "windows_server_2022": "Windows Server 2022",
    }
)
WITHOUT_ARM = frozenset({"openvpn", "ubuntu_bionic"})
RETIRED = ("START1-XL", "X64-8GB")
"""`compatible_commercial_types` names types that nobody can have any more (api.md 9)."""

Storage = Literal["instance_sbs", "instance_local"]


def _suits(label: str, storage: Storage, arch: str, kind: ServerType) -> bool:
    is_windows = kind.family == "POP2-WIN"
    if kind.arch != arch or is_windows != label.startswith("windows"):
        return False
    if ("gpu_os" in label) != (kind.gpus > 0):
        return False
    return storage == "instance_sbs" or kind.local_max_bytes > 0


def _image(label: str, zone: str, arch: str, storage: Storage) -> Image | None:
    types = [t.name for t in types_of(zone).values() if _suits(label, storage, arch, t)]
    if not types:
        return None
    name = f"{label}/{zone}/{arch}/{storage}"
    minimum = GPU_MIN_BYTES if "gpu_os" in label else MIN_BYTES
    return Image(
        id=str(uuid.uuid5(NAMESPACE, name)),
        zone=zone,
        arch=arch,
        label=label,
        storage=storage,
        name=LABELS[label],
        root_volume_type="sbs_snapshot" if storage == "instance_sbs" else "l_ssd",
        root_volume_id=str(uuid.uuid5(NAMESPACE, f"{name}/root")),
        root_size_bytes=WINDOWS_MIN_BYTES if label.startswith("windows") else minimum,
        created_at=RELEASED,
        compatible_types=(*types, *RETIRED) if storage == "instance_local" else tuple(types),
        organization_id=SCALEWAY_ORGANIZATION,
        project_id=SCALEWAY_ORGANIZATION,
        public=True,
    )


@cache
def images_of(zone: str) -> Mapping[str, Image]:
    """Every public image of a zone by id, arm64 before x86_64, local before sbs (`type_asc`)."""
    found: dict[str, Image] = {}
    storages: tuple[Storage, ...] = ("instance_local", "instance_sbs")
    for label in LABELS:
        for storage in storages:
            for arch in ("arm64", "x86_64"):
                image = (
                    None if arch == "arm64" and label in WITHOUT_ARM else _image(label, zone, arch, storage)
                )
                if image is not None:
                    found[image.id] = image
    return MappingProxyType(found)


def local_images(
    *, label: str | None, zone: str | None, storage: str | None, arch: str | None
) -> list[Image]:
    """What the marketplace lists.

    Raises:
        NotFound: no such label.
    """
    if label is not None and label not in LABELS:
        raise NotFound("MarketplaceImage", label)
    zones: Iterable[str] = _zones() if zone is None else (zone,)
    return [
        image
        for name in zones
        for image in images_of(name).values()
        if label in {None, image.label} and storage in {None, image.storage} and arch in {None, image.arch}
    ]


@cache
def _zones() -> tuple[str, ...]:
    from scaleway_simulator.catalog import ZONES

    return tuple(ZONES)


def by_label(label: str, *, zone: str, commercial_type: ServerType, storage: Storage) -> Image | None:
    """The image that a label means for a type; None when there is none."""
    for image in images_of(zone).values():
        if (
            image.label == label
            and image.storage == storage
            and commercial_type.name in image.compatible_types
        ):
            return image
    return None
