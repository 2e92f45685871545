"""When a tenant is told that a key ends."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.things import NOW
from inventiv_operator.domain.expiry import ExpiryStep, has_ended, next_step_in_s, step_of, time_left

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("left", "step"),
    [
        pytest.param(30 * DAY + SECOND, ExpiryStep.FAR, id="a-second-before-the-month"),
        pytest.param(30 * DAY, ExpiryStep.MONTH, id="30-days"),
        pytest.param(7 * DAY + SECOND, ExpiryStep.MONTH, id="a-second-before-the-week"),
        pytest.param(7 * DAY, ExpiryStep.WEEK, id="7-days"),
        pytest.param(DAY + SECOND, ExpiryStep.WEEK, id="a-second-before-the-day"),
        pytest.param(DAY, ExpiryStep.DAY, id="1-day"),
        pytest.param(SECOND, ExpiryStep.DAY, id="a-second-before-the-end"),
        pytest.param(0 * DAY, ExpiryStep.ENDED, id="the-end"),
        pytest.param(-90 * DAY, ExpiryStep.ENDED, id="long-past"),
    ],
)
def test_a_step_begins_so_long_before_the_end(left: timedelta, step: ExpiryStep) -> None:
    assert step_of(NOW + left, now=NOW) is step


@given(st.timedeltas(min_value=-2 * DAY, max_value=100 * DAY))
def test_whoever_looks_when_the_next_step_begins_sees_each_of_them(left: timedelta) -> None:
    end, now = NOW + left, NOW
    seen = [step_of(end, now=now)]
    while (after_s := next_step_in_s(end, now=now)) is not None:
        now += timedelta(seconds=after_s)
        seen.append(step_of(end, now=now))
    assert seen == [step for step in ExpiryStep if step >= seen[0]]


def test_of_an_end_that_nobody_knows_there_is_nothing_to_wait_for() -> None:
    assert next_step_in_s(None, now=NOW) is None
    assert not has_ended(None, now=NOW)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        pytest.param(30 * DAY, "30 days", id="30-days"),
        pytest.param(29 * DAY + SECOND, "30 days", id="a-day-that-has-begun"),
        pytest.param(2 * DAY, "2 days", id="2-days"),
        pytest.param(DAY, "less than a day", id="1-day"),
    ],
)
def test_what_is_left_is_said_in_days(left: timedelta, words: str) -> None:
    assert time_left(NOW + left, now=NOW) == words
