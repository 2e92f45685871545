from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.things import NOW
from inventiv_operator.domain.start_record import (
    FREE,
    StartRecord,
    after_failure,
    after_ready,
    after_reset,
    hold_back,
)

FRESH = after_reset(reset_token="1/")


def failed(record: StartRecord, *, after_s: float, reason: str = "StartupTimeout") -> StartRecord:
    return after_failure(record, reason=reason, message="no", now=NOW + timedelta(seconds=after_s))


def test_L6_the_pause_doubles_up_to_an_hour() -> None:
    record, pauses, at_s = FRESH, [], 0.0
    for _ in range(9):
        record = failed(record, after_s=at_s)
        assert record.next_start_at is not None
        pauses.append((record.next_start_at - NOW).total_seconds() - at_s)
        at_s += pauses[-1] + 1
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_failures_while_the_next_start_is_held_back_are_of_one_wave() -> None:
    record = failed(FRESH, after_s=0)
    for after_s in (1, 10, 59):
        record = failed(record, after_s=after_s)
    assert record.failures == 1
    assert failed(record, after_s=61).failures == 2


def test_B3_stock_is_retried_later_and_never_counts() -> None:
    record = FRESH
    for hour in range(100):
        record = failed(record, after_s=hour * 3600, reason="OutOfStock")
    assert record.failures == 0
    assert hold_back(record, max_failures=1, now=NOW + timedelta(hours=99)).wait_s == 120


def test_one_that_became_ready_ends_the_count_but_not_a_wait_for_stock() -> None:
    assert after_ready(failed(FRESH, after_s=0)) == FRESH
    waiting = failed(FRESH, after_s=0, reason="OutOfStock")
    assert after_ready(waiting) == waiting


@given(failures=st.integers(0, 50), most=st.integers(1, 20))
def test_L6_no_start_after_the_last_allowed_failure(failures: int, most: int) -> None:
    record = replace(FRESH, failures=failures)
    hold = hold_back(record, max_failures=most, now=NOW)
    assert (hold.reason == "StartupFailed") == (failures >= most)
    assert (hold == FREE) == (failures < most)
