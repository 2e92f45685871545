"""A list that changes while its pages are read loses nothing silently: whole, or refused."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.scaleway import pages
from inventiv_operator.scaleway.errors import Unavailable
from inventiv_operator.scaleway.pages import Item, Page, Read, read_all

SIZE = 3
EPOCH = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_SIZE", SIZE)


@dataclass(slots=True)
class Thing:
    number: int
    born: int  # the time at which it can be seen first
    dies: int | None = None  # the time from which it cannot be seen any more

    @property
    def ref(self) -> ProviderRef:
        return ProviderRef(f"t-{self.number}")


@dataclass(slots=True)
class World:
    """A provider in discrete time: a request takes one tick, and between two of them something may happen."""

    order: Callable[[Thing], Any]
    happenings: dict[int, list[tuple[str, int]]]
    things: list[Thing] = field(default_factory=list)
    now: int = 0
    requests: int = 0
    says_total: bool = True
    size: int = SIZE
    spoil: Callable[[int, list[Thing]], list[Thing]] = lambda _number, page: page

    def create(self) -> None:
        self.things.append(Thing(number=len(self.things), born=self.now))

    def alive(self) -> list[Thing]:
        return sorted(
            (t for t in self.things if t.born <= self.now and (t.dies is None or t.dies > self.now)),
            key=self.order,
        )

    def happen(self) -> None:
        for what, which in self.happenings.get(self.now, []):
            alive = self.alive()
            if what == "create":
                self.create()
            elif alive:
                alive[which % len(alive)].dies = self.now

    async def fetch(self, number: int) -> Page[str]:
        assert self.requests < 200, "it goes on for ever"
        self.requests += 1
        self.now += 1
        self.happen()
        alive = self.alive()
        page = self.spoil(self.requests, alive[(number - 1) * self.size : number * self.size])
        items = [
            Item(ref=t.ref, created_at=EPOCH + timedelta(seconds=t.number), seen=f"seen-{t.number}")
            for t in page
        ]
        return Page(items=items, total=len(alive) if self.says_total else None, sent_s=float(self.now))


def oldest_first(thing: Thing) -> int:
    return thing.number


def newest_first(thing: Thing) -> int:
    return -thing.number


def by_name(thing: Thing) -> int:
    return thing.number * 7919 % 10_007


def world(order: Callable[[Thing], Any], things: int, happenings: Any = None, **how: Any) -> World:
    made = World(order=order, happenings=happenings or {}, **how)
    for _ in range(things):
        made.create()
    return made


async def read(made: World, *, asked_in_order: bool = True, begin_at: int = 1) -> Read[str]:
    return await read_all(made.fetch, what="list", oldest_first=asked_in_order, begin_at=begin_at)


def check_whole(made: World, found: Read[str]) -> None:
    """What lived from the first request that counts to the last is there; what was dead by then is not."""
    for thing in made.things:
        if thing.born < found.started_s and thing.dies is None:
            assert thing.ref in found.items, f"{thing} was lost"
        if thing.dies is not None and thing.dies < found.started_s:
            assert thing.ref not in found.items, f"{thing} was long gone"


HAPPENINGS = st.dictionaries(
    st.integers(1, 25),
    st.lists(st.tuples(st.sampled_from(["create", "delete"]), st.integers(0, 30)), min_size=1, max_size=4),
    max_size=12,
)
QUIET = settings(max_examples=60, deadline=None)


@pytest.mark.parametrize("order", [oldest_first, newest_first, by_name])
@pytest.mark.parametrize("asked_in_order", [True, False])
@pytest.mark.parametrize("says_total", [True, False])
@given(things=st.integers(0, 14), happenings=HAPPENINGS, begin_at=st.integers(1, 7))
@example(things=8, happenings={2: [("delete", 0), ("create", 0)]}, begin_at=1)
@QUIET
async def test_nothing_is_lost_whatever_happens_in_between(
    *,
    order: Callable[[Thing], Any],
    asked_in_order: bool,
    says_total: bool,
    things: int,
    happenings: dict[int, list[tuple[str, int]]],
    begin_at: int,
) -> None:
    made = world(order, things, happenings, says_total=says_total)
    try:
        found = await read(made, asked_in_order=asked_in_order, begin_at=begin_at)
    except Unavailable:
        return  # when in doubt, no listing
    check_whole(made, found)


@given(things=st.integers(0, 14), happenings=HAPPENINGS, begin_at=st.integers(1, 7))
@QUIET
async def test_with_the_oldest_first_there_is_no_doubt_however_much_happens(
    things: int, happenings: dict[int, list[tuple[str, int]]], begin_at: int
) -> None:
    made = world(oldest_first, things, happenings)
    found = await read(made, begin_at=begin_at)
    check_whole(made, found)


async def test_a_listing_is_had_while_things_disappear_between_every_two_requests() -> None:
    made = world(oldest_first, 30, {tick: [("delete", tick)] for tick in range(1, 40)})
    found = await read(made, begin_at=10)
    check_whole(made, found)
    assert made.requests <= 12


async def test_one_page_takes_one_request() -> None:
    made = world(oldest_first, SIZE)
    assert len((await read(made)).items) == SIZE
    assert made.requests == 1


async def test_from_the_known_last_page_a_list_takes_a_request_per_page() -> None:
    made = world(oldest_first, 8)
    first = await read(made)
    assert (made.requests, first.last_page) == (4, 3)  # once, to learn how many there are
    await read(made, begin_at=first.last_page)
    assert made.requests == 4 + 3


async def test_an_order_that_is_not_kept_is_noticed_and_costs_a_second_reading() -> None:
    made = world(newest_first, 8)
    found = await read(made)
    assert len(found.items) == 8
    assert made.requests > 6


@pytest.mark.parametrize("order", [oldest_first, by_name])
@pytest.mark.parametrize("asked_in_order", [True, False])
async def test_a_page_that_lacks_an_item_makes_no_listing(
    *, order: Callable[[Thing], Any], asked_in_order: bool
) -> None:
    for lacking in range(1, 4):
        made = world(order, 8, spoil=lambda _n, page: page[1:] if len(page) == SIZE else page)
        with pytest.raises(Unavailable, match="partial listing"):
            await read(made, asked_in_order=asked_in_order, begin_at=lacking)


async def test_a_single_page_that_lacks_an_item_makes_no_listing() -> None:
    made = world(oldest_first, 2, spoil=lambda _n, page: page[1:])
    with pytest.raises(Unavailable):
        await read(made)


async def test_a_page_that_lacks_an_item_once_is_read_again() -> None:
    made = world(oldest_first, 8, spoil=lambda n, page: page[1:] if n == 3 else page)
    assert len((await read(made)).items) == 8


async def test_a_provider_that_gives_smaller_pages_than_asked_for_is_read_to_the_end() -> None:
    made = world(oldest_first, 8, size=2)
    assert len((await read(made)).items) == 8


@pytest.mark.parametrize("says_total", [True, False])
async def test_a_provider_that_knows_no_pages_is_understood(*, says_total: bool) -> None:
    made = world(oldest_first, 8, says_total=says_total)

    async def everything(number: int) -> Page[str]:
        made.size = 1000
        return await made.fetch(1)

    found = await read_all(everything, what="list", oldest_first=True)
    assert len(found.items) == 8


async def test_foreign_items_count_and_do_not_show() -> None:
    made = world(oldest_first, 8)

    async def fetch(number: int) -> Page[str]:
        page = await made.fetch(number)
        items = [
            Item(ref=i.ref, created_at=i.created_at, seen=i.seen if n % 2 else None)
            for n, i in enumerate(page.items)
        ]
        return Page(items=items, total=page.total, sent_s=page.sent_s)

    found = await read_all(fetch, what="list", oldest_first=True)
    assert len(found.items) == 3
    assert found.last_page == 3
