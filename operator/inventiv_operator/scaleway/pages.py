"""Reading all pages of a list that changes meanwhile, without losing an item silently.

Pages are numbered, so whatever is created or deleted between two of them shifts the rest. Three facts make a
read complete, "complete" meaning: whatever existed from its first request to its last is in it.

- Each answer is checked against itself: it must have as many items as its own total asks of this page.
- Oldest first and **from the last page to the first**, a deletion moves items to pages that are still to be
  read (they may be seen twice), and a creation appends behind what was read. So one pass is enough, also
  while 40 servers a second disappear, when "the total must not change" would never hold.
- Where the order is not known, or not kept, or a page is not as full as it should be, a read in any order
  counts once the next one brings the very same ids: an item is only lost when one that was read before it is
  deleted in between, and the next read would miss that one.

Anything else is `Unavailable`: a partial listing is no listing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Final, Generic, Protocol, TypeVar

from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.scaleway.errors import Unavailable

PAGE_SIZE: Final = 100
"""The most that the API gives (api.md 1)."""
ROUNDS: Final = 3
PAGES_MAX: Final = 1000

ItemT = TypeVar("ItemT")
ItemT_co = TypeVar("ItemT_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(Generic[ItemT_co]):
    """`seen` None: it counts, but belongs to somebody else."""

    ref: ProviderRef
    created_at: datetime | None
    seen: ItemT_co | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[ItemT_co]):
    """`total` is of the whole list, as this answer says it; None: it does not."""

    items: Sequence[Item[ItemT_co]]
    total: int | None
    sent_s: float


class FetchPage(Protocol[ItemT_co]):
    async def __call__(self, number: int) -> Page[ItemT_co]:
        """Page `number`, from 1, of `PAGE_SIZE` items."""
        ...


@dataclass(slots=True, kw_only=True)
class Read(Generic[ItemT]):
    """A complete list. `last_page` is where the next read does best to begin."""

    items: dict[ProviderRef, ItemT]
    started_s: float
    last_page: int


@dataclass(slots=True)
class _Gathered(Generic[ItemT]):
    started_s: float
    items: dict[ProviderRef, Item[ItemT]] = field(default_factory=dict)
    is_one_answer: bool = True

    def add(self, page: Page[ItemT]) -> int:
        """How many of the page's items were new."""
        before = len(self.items)
        for item in page.items:
            self.items[item.ref] = item
        return len(self.items) - before

    def read(self) -> Read[ItemT]:
        own = {ref: item.seen for ref, item in self.items.items() if item.seen is not None}
        last_page = max(1, -(-len(self.items) // PAGE_SIZE))
        return Read(items=own, started_s=self.started_s, last_page=last_page)


async def read_all(
    fetch: FetchPage[ItemT], *, what: str, oldest_first: bool, begin_at: int = 1
) -> Read[ItemT]:
    """All items of a list, foreign ones left out.

    `oldest_first` says that the list was asked for in that order; whether it came so is checked. `begin_at`
    is a guess at the last page.

    Raises:
        Unavailable: it kept changing in a way that leaves a doubt.
    """
    for _ in range(ROUNDS):
        if oldest_first:
            backwards = await _read_backwards(fetch, begin_at=begin_at)
            if backwards is not None:
                return backwards.read()
        confirmed = await _read_until_confirmed(fetch)
        if confirmed is not None:
            return confirmed.read()
    raise Unavailable(f"{what}: partial listing: its pages do not add up; nothing is concluded from it")


async def _read_backwards(fetch: FetchPage[ItemT], *, begin_at: int) -> _Gathered[ItemT] | None:
    """One pass from the last page to the first; None when the pages are not as they should be."""
    number = max(1, begin_at)
    page = await fetch(number)
    for _ in range(ROUNDS):
        last = _last_page(page)
        if last is None or not _is_exact(page, number):
            return None
        if number == last:
            break
        number = last
        page = await fetch(number)
    else:
        return None
    gathered: _Gathered[ItemT] = _Gathered(page.sent_s)
    several = number > 1
    newer: Page[ItemT] | None = None
    while True:
        if several and not _is_in_order(page, newer):
            return None
        gathered.add(page)
        if number == 1:
            return gathered
        newer, number = page, number - 1
        page = await fetch(number)
        if not _is_exact(page, number):
            return None


def _last_page(page: Page[ItemT]) -> int | None:
    return None if page.total is None else max(1, -(-page.total // PAGE_SIZE))


def _is_exact(page: Page[ItemT], number: int) -> bool:
    """Whether an answer has as many items as its own total asks of it."""
    if page.total is None:
        return False
    return len(page.items) == min(PAGE_SIZE, max(0, page.total - (number - 1) * PAGE_SIZE))


def _is_in_order(page: Page[ItemT], newer: Page[ItemT] | None) -> bool:
    """Oldest first within the page, and beginning no later than the page behind it (read before)."""
    times = _times(page)
    if any(later < earlier for earlier, later in pairwise(times)):
        return False
    behind = [] if newer is None else _times(newer)
    return not times or not behind or times[0] <= behind[0]


def _times(page: Page[ItemT]) -> list[datetime]:
    """Of those that have one: what belongs to somebody else has none."""
    return [item.created_at for item in page.items if item.created_at is not None]


async def _read_until_confirmed(fetch: FetchPage[ItemT]) -> _Gathered[ItemT] | None:
    """In the given order; a single page is complete by itself, several when two reads in a row agree."""
    before: Mapping[ProviderRef, object] | None = None
    started_s = 0.0
    for _ in range(ROUNDS):
        gathered = await _read_forwards(fetch)
        if gathered is None:
            before = None
            continue
        if gathered.is_one_answer:
            return gathered
        if before is not None and before.keys() == gathered.items.keys():
            gathered.started_s = started_s  # of the first of the two: what came later may be missing from it
            return gathered
        before, started_s = gathered.items, gathered.started_s
    return None


async def _read_forwards(fetch: FetchPage[ItemT]) -> _Gathered[ItemT] | None:
    """Until the total is reached or, where none is told, a page brings nothing new; None when the total is
    not met.
    """
    page = await fetch(1)
    gathered: _Gathered[ItemT] = _Gathered(page.sent_s)
    gathered.add(page)
    total = page.total
    for number in range(2, PAGES_MAX):
        if len(gathered.items) >= total if total is not None else not page.items:
            break
        page = await fetch(number)
        gathered.is_one_answer = False
        if page.total != total:
            return None  # it changed meanwhile
        if gathered.add(page) == 0:
            break
    if total is not None and len(gathered.items) != total:
        return None
    return gathered
