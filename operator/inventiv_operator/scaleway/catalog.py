"""What can be rented in a zone, and the images for it. Read at most once an hour."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from inventiv_operator.domain.cloud import ServerType
from inventiv_operator.domain.ids import Zone
from inventiv_operator.scaleway import shapes
from inventiv_operator.scaleway.caller import Caller, segment
from inventiv_operator.scaleway.errors import ImageNotFound, NotFound, Unavailable
from inventiv_operator.scaleway.pages import PAGE_SIZE, PAGES_MAX
from inventiv_operator.scaleway.project import ProjectCalls
from inventiv_operator.scaleway.sharing import SharedRead, Tasks

SERVER_TYPES: Final = "/instance/v1/zones/{zone}/products/servers"
LOCAL_IMAGES: Final = "/marketplace/v2/local-images"
MAX_AGE_S: Final = 3600.0
MISSING_AGE_S: Final = 60.0
"""For a label that is not there, or not for this type: it may appear, or be a slip that is mended soon."""
LABELS_MAX: Final = 256
"""Labels come from people; the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class _Types:
    by_name: Mapping[str, ServerType]
    started_s: float


@dataclass(frozen=True, slots=True)
class _Images:
    found: tuple[shapes.LocalImage, ...]
    started_s: float


class CatalogCalls(ProjectCalls):
    """What can be asked of the catalog."""

    def __init__(self, caller: Caller, *, tasks: Tasks) -> None:
        super().__init__(caller, tasks=tasks)
        self._types: dict[Zone, SharedRead[_Types]] = {}
        self._images: dict[tuple[Zone, str, str], SharedRead[_Images]] = {}

    async def server_types(self, zone: Zone) -> Mapping[str, ServerType]:
        """All types of a zone by name, of all pages (L4 is on the second one of fr-par-2).

        Raises:
            NotFound: there is no such zone.
        """
        shared = self._types.get(zone)
        if shared is None:
            path = SERVER_TYPES.replace("{zone}", segment(zone, what="zone"))

            async def read(started: Callable[[float], None]) -> _Types:
                return await self._read_types(path, zone, started)

            shared = SharedRead(
                read, clock=self._caller.clock, tasks=self._tasks, name=f"list types in {zone}"
            )
            self._types[zone] = shared
        return (await shared.get(max_age_s=MAX_AGE_S)).by_name

    async def _read_types(self, path: str, zone: Zone, started: Callable[[float], None]) -> _Types:
        what = f"list server types in {zone}"
        names: set[str] = set()
        by_name: dict[str, ServerType] = {}
        started_s: float | None = None
        for number in range(1, PAGES_MAX):
            reply = await self._caller.call(
                "GET",
                SERVER_TYPES,
                path,
                what=what,
                query=f"page={number}&per_page={PAGE_SIZE}",
                on_sent=started,
            )
            started_s = reply.sent_s if started_s is None else started_s
            page = self._caller.understood(shapes.server_types, reply.content, method="GET", what=what)
            new = page.names - names
            names |= new
            by_name |= page.types
            if not new or (reply.total is not None and len(names) >= reply.total):
                if reply.total is not None and len(names) < reply.total:
                    break
                return _Types(by_name, started_s)
        raise Unavailable(f"{what}: partial listing: {len(names)} types, and there are more")

    async def local_image(self, zone: Zone, *, label: str, commercial_type: str, storage: str) -> str:
        """The id of the image of that label for this zone, type and storage (`instance_sbs` or
        `instance_local`).

        Raises:
            ImageNotFound: no such label, or none of its images fits the type.
        """
        shared, has_any = self._labelled(zone, label, storage), False
        for max_age_s in (MAX_AGE_S, MISSING_AGE_S):
            images = await shared.get(max_age_s=max_age_s)
            has_any = bool(images.found)
            for image in images.found:
                if commercial_type in image.commercial_types:
                    return image.ref
        if not has_any:
            raise ImageNotFound(f"there is no image with label {label[:64]!r} in {zone}")
        raise ImageNotFound(
            f"image {label} has no version for type {commercial_type} with storage {storage} in {zone}"
        )

    def _labelled(self, zone: Zone, label: str, storage: str) -> SharedRead[_Images]:
        key = (zone, label, storage)
        shared = self._images.get(key)
        if shared is None:

            async def read(started: Callable[[float], None]) -> _Images:
                return await self._read_images(zone, label, storage, started)

            if len(self._images) >= LABELS_MAX:
                del self._images[next(iter(self._images))]
            shared = SharedRead(
                read, clock=self._caller.clock, tasks=self._tasks, name=f"find image {label[:64]} in {zone}"
            )
            self._images[key] = shared
        return shared

    async def _read_images(
        self, zone: Zone, label: str, storage: str, started: Callable[[float], None]
    ) -> _Images:
        what = f"find image {label[:64]} in {zone}"
        began_s = self._caller.clock.monotonic()
        query = {
            "image_label": label,
            "zone": zone,
            "type": storage,
            "order_by": "type_asc",
            "page_size": str(PAGE_SIZE),
        }
        try:
            reply = await self._caller.call(
                "GET", LOCAL_IMAGES, LOCAL_IMAGES, what=what, query=urlencode(query), on_sent=started
            )
        except NotFound:  # an answer like any other: kept, so that it is not asked for again at once
            return _Images((), began_s)
        found = self._caller.understood(shapes.local_images, reply.content, method="GET", what=what)
        return _Images(
            tuple(image for image in found if image.zone == zone and image.label == label), reply.sent_s
        )
