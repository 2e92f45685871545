"""Things by id, and by zone and project in the order they were made."""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from scaleway_simulator.errors import NotFound


class Placed(Protocol):
    id: str
    zone: str
    project_id: str


ThingT = TypeVar("ThingT", bound=Placed)


class Shelf(Generic[ThingT]):
    """One kind of thing. Listing one project of one zone costs what that project has, not the whole world."""

    def __init__(self, resource: str, *, is_visible: Callable[[ThingT], bool] | None = None) -> None:
        self._resource = resource
        self._is_visible = is_visible
        self._by_id: dict[str, ThingT] = {}
        self._by_place: dict[tuple[str, str], dict[str, ThingT]] = {}

    def __iter__(self) -> Iterator[ThingT]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, thing: ThingT) -> ThingT:
        self._by_id[thing.id] = thing
        self._by_place.setdefault((thing.zone, thing.project_id), {})[thing.id] = thing
        return thing

    def remove(self, thing: ThingT) -> None:
        self._by_id.pop(thing.id, None)
        self._by_place.get((thing.zone, thing.project_id), {}).pop(thing.id, None)

    def find(self, thing_id: str) -> ThingT | None:
        """Whatever the zone, the project, and whether anybody can see it yet."""
        return self._by_id.get(thing_id)

    def get(self, thing_id: str, *, zone: str, may_see: Callable[[str], bool]) -> ThingT:
        """What a key of such rights sees under that id.

        Raises:
            NotFound: unknown, elsewhere, not visible yet, or somebody else's; the wire does not tell which.
        """
        thing = self._by_id.get(thing_id)
        if thing is None or thing.zone != zone or not may_see(thing.project_id) or not self._shown(thing):
            raise NotFound(self._resource, thing_id)
        return thing

    def of(self, zone: str, projects: Iterable[str]) -> list[ThingT]:
        """Newest first, as the wire lists by default."""
        found: list[ThingT] = []
        for project_id in projects:
            found.extend(t for t in self._by_place.get((zone, project_id), {}).values() if self._shown(t))
        found.reverse()
        return found

    def _shown(self, thing: ThingT) -> bool:
        return self._is_visible is None or self._is_visible(thing)
