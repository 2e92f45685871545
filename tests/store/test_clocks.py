"""A process whose clock differs from the database's does not lead (B7)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from inventiv_operator.runtime.clock import SystemClock
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import Fenced
from inventiv_operator.store.lease import Lease
from rig.log_lines import log_lines
from store.postgres_server import Place


class WrongClock(SystemClock):
    """The machine's, that is the database's here, and some seconds."""

    difference_s = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.difference_s)


@pytest.fixture
async def database(own_place: Place) -> AsyncIterator[Database]:
    async with Database(own_place.operator) as opened:
        yield opened


@pytest.mark.parametrize(("difference_s", "side"), [(200.0, "ahead of"), (-200.0, "behind")])
async def test_B7_a_clock_that_differs_takes_no_lease_and_says_so_once(
    database: Database, difference_s: float, side: str
) -> None:
    clock, told = WrongClock(), list[str]()
    clock.difference_s = difference_s
    lease = Lease(database, holder="wrong", clock=clock, on_clock=told.append)
    with log_lines() as lines:
        assert not await lease.take_or_renew()
        assert not await lease.take_or_renew()
    assert [f"200 s {side} PostgreSQL" in line["message"] for line in lines] == [True]
    assert not lease.is_held
    right = Lease(database, holder="right")
    assert await right.take_or_renew()  # the other one is not in its way
    assert right.fence().epoch == 1
    assert len(told) == 1
    await right.release()
    clock.difference_s = 0.0
    assert await lease.take_or_renew()
    assert told[1:] == [""]


async def test_B7_a_leader_whose_clock_goes_wrong_hands_over_at_once(database: Database) -> None:
    clock, lost = WrongClock(), list[str]()
    lease = Lease(database, holder="old", clock=clock, on_lost=lambda: lost.append("lost"))
    assert await lease.take_or_renew()
    clock.difference_s = 200.0
    assert not await lease.take_or_renew()
    assert lost == ["lost"]
    with pytest.raises(Fenced):
        lease.fence()
    assert await Lease(database, holder="new").take_or_renew()


async def test_a_clock_that_differs_a_little_leads(database: Database) -> None:
    clock = WrongClock()
    for clock.difference_s in (-3.0, 3.0):
        lease = Lease(database, holder=f"off by {clock.difference_s}", clock=clock)
        assert await lease.take_or_renew()
        assert await lease.take_or_renew()
        await lease.release()
