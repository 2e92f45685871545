"""The lists of one project: which there are, how each is asked for, and the shared reading of each zone's.

Every list names the project, and what comes back for another one is dropped all the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar, cast
from urllib.parse import quote

from inventiv_operator.domain.ids import ProviderRef, Zone
from inventiv_operator.scaleway import shapes
from inventiv_operator.scaleway.caller import Caller, Reply, segment
from inventiv_operator.scaleway.errors import NotFound, NotOffered
from inventiv_operator.scaleway.pages import PAGE_SIZE, Item, Page, Read, read_all
from inventiv_operator.scaleway.sharing import Owned, SharedListing, Tasks

SeenT = TypeVar("SeenT", bound=Owned)

INSTANCE: Final = "/instance/v1/zones/{zone}"
BLOCK: Final = "/block/v1/zones/{zone}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListKind(Generic[SeenT]):
    """One list. `order` is the query that asks for the oldest first; empty: there is none, the order is
    unknown.
    """

    name: str
    base: str
    parse: Callable[[Mapping[str, Any]], SeenT]
    project_field: str
    order: str

    @property
    def template(self) -> str:
        return f"{self.base}/{self.name}"

    def query(self, project_id: str, number: int) -> str:
        project_id = quote(project_id, safe="")
        if self.base == BLOCK:
            return f"project_id={project_id}&{self.order}&page={number}&page_size={PAGE_SIZE}"
        order = f"&{self.order}" if self.order else ""
        return f"project={project_id}{order}&page={number}&per_page={PAGE_SIZE}"

    def total(self, reply: Reply) -> int | None:
        """Instance v1 tells it in a header, block in the body (api.md 1)."""
        if self.base != BLOCK:
            return reply.total
        total = reply.content.get("total_count")
        return total if type(total) is int and total >= 0 else None


SERVERS: Final = ListKind(
    name="servers",
    base=INSTANCE,
    parse=shapes.server,
    project_field="project",
    order="order=creation_date_asc",
)
LOCAL_VOLUMES: Final = ListKind(
    name="volumes",
    base=INSTANCE,
    parse=shapes.local_volume,
    project_field="project",
    order="",
)
SECURITY_GROUPS: Final = ListKind(
    name="security_groups",
    base=INSTANCE,
    parse=shapes.security_group,
    project_field="project",
    order="",
)
ADDRESSES: Final = ListKind(
    name="ips",
    base=INSTANCE,
    parse=shapes.address,
    project_field="project",
    order="",
)
BLOCK_VOLUMES: Final = ListKind(
    name="volumes",
    base=BLOCK,
    parse=shapes.block_volume,
    project_field="project_id",
    order="order_by=created_at_asc&include_deleted=false",
)


class Listings:
    """The shared listings of one credential, by kind and zone."""

    def __init__(self, caller: Caller, tasks: Tasks) -> None:
        self._caller = caller
        self._tasks = tasks
        self._by_zone: dict[tuple[str, Zone], SharedListing[Any]] = {}

    def of(self, kind: ListKind[SeenT], zone: Zone) -> SharedListing[SeenT]:
        """Raises InvalidArguments when the zone cannot be one."""
        found = self._by_zone.get((kind.template, zone))
        if found is None:
            found = self._by_zone[kind.template, zone] = self._shared(kind, zone)
        return cast("SharedListing[SeenT]", found)

    def _shared(self, kind: ListKind[SeenT], zone: Zone) -> SharedListing[SeenT]:
        path = kind.template.replace("{zone}", segment(zone, what="zone"))

        async def read(begin_at: int, started: Callable[[float], None]) -> Read[SeenT]:
            return await self._read(kind, path, zone, begin_at=begin_at, started=started)

        name = f"list {kind.name} in {zone}"
        return SharedListing(read, clock=self._caller.clock, tasks=self._tasks, name=name)

    async def _read(
        self,
        kind: ListKind[SeenT],
        path: str,
        zone: Zone,
        *,
        begin_at: int,
        started: Callable[[float], None],
    ) -> Read[SeenT]:
        what = f"list {kind.name} in {zone}"

        async def fetch(number: int) -> Page[SeenT]:
            reply = await self._caller.call(
                "GET",
                kind.template,
                path,
                what=what,
                query=kind.query(self._caller.project_id, number),
                on_sent=started,
                first=True,
            )
            return self._caller.understood(lambda _: self._page(kind, reply), reply, method="GET", what=what)

        try:
            return await read_all(fetch, what=what, oldest_first=bool(kind.order), begin_at=begin_at)
        except NotFound as error:
            # No such list here (a zone without block storage). It is about no object, and proves the end of
            # none.
            raise NotOffered(str(error), request_id=error.request_id) from error

    def _page(self, kind: ListKind[SeenT], reply: Reply) -> Page[SeenT]:
        own = self._caller.project_id
        items: list[Item[SeenT]] = []
        for raw in shapes.list_of(reply.content, kind.name):
            if shapes.text(raw, kind.project_field).lower() == own:
                seen = kind.parse(raw)
                items.append(Item(ref=seen.ref, created_at=_created_at(seen), seen=seen))
            else:
                items.append(Item(ref=ProviderRef(shapes.text(raw, "id")), created_at=None, seen=None))
        return Page(items=items, total=kind.total(reply), sent_s=reply.sent_s)


def _created_at(seen: object) -> datetime | None:
    found = getattr(seen, "created_at", None)
    return found if isinstance(found, datetime) else None
