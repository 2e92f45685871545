"""Nothing that is billed is given up without a person's word, a deletion, and a day without a key."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from uuid import UUID, uuid4

import pytest

from domain.things import NOW, leaving_credential
from inventiv_operator.domain.abandonment import (
    ABANDON_AFTER,
    Honoured,
    Refused,
    abandonable_from,
    may_abandon,
)
from inventiv_operator.domain.ids import CredentialId
from inventiv_operator.domain.ledger import CredentialRow

ID = CredentialId(UUID("3f9a1c2b-0000-4000-8000-000000000001"))
ROW = replace(leaving_credential(), id=ID)
HOUR = timedelta(hours=1)


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def asked(row: CredentialRow, *, value: str = str(ID), deleted: bool = True) -> str | None:
    """Why not; None: honoured."""
    decision = may_abandon(row, asked=value, is_being_deleted=deleted, now=NOW)
    return decision.why if isinstance(decision, Refused) else None


REFUSED = replace(ROW, rejected_at=ago(23))
FROZEN = replace(ROW, frozen_at=ago(23))


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(replace(REFUSED, rejected_at=ago(24)), id="refused"),
        pytest.param(replace(FROZEN, frozen_at=ago(24)), id="frozen"),
    ],
)
def test_a_day_without_a_key_is_enough(row: CredentialRow) -> None:
    assert asked(row) is None


def test_the_older_of_the_two_counts() -> None:
    assert asked(replace(ROW, rejected_at=ago(1), frozen_at=ago(24))) is None
    assert asked(replace(ROW, rejected_at=ago(24), frozen_at=ago(1))) is None


def test_a_value_may_carry_white_space_and_capitals() -> None:
    assert asked(replace(ROW, rejected_at=ago(24)), value=f" {str(ID).upper()}\n") is None


@pytest.mark.parametrize(
    ("row", "state"),
    [
        pytest.param(REFUSED, "its key has been refused", id="refused"),
        pytest.param(FROZEN, "it has been frozen", id="frozen"),
    ],
)
def test_before_that_it_says_since_when_and_when_it_becomes_possible(row: CredentialRow, state: str) -> None:
    why = asked(row)
    assert why == (
        f"{state} since 2026-06-30T13:00:00Z, which is less than 24 hours;"
        " it becomes possible at 2026-07-01T13:00:00Z"
    )


def test_a_key_that_works_is_a_reason_to_delete_and_none_to_give_up() -> None:
    why = asked(ROW)
    assert why is not None
    assert "not refused by Scaleway and the credential is not frozen" in why
    assert abandonable_from(ROW) is None


def test_an_object_that_is_not_being_deleted_gives_nothing_up() -> None:
    why = asked(replace(ROW, rejected_at=ago(240)), deleted=False)
    assert why is not None
    assert "not being deleted" in why


def test_another_id_is_named_next_to_the_one_that_was_expected() -> None:
    other = str(uuid4())
    why = asked(replace(ROW, rejected_at=ago(240)), value=other)
    assert why is not None
    assert str(ID) in why
    assert other in why


def test_T7_what_is_no_id_is_not_repeated() -> None:
    why = asked(replace(ROW, rejected_at=ago(240)), value="my-password")
    assert why is not None
    assert "my-password" not in why
    assert "a text of 11 characters" in why


def test_nothing_but_all_of_it_together_is_honoured() -> None:
    values, ends = (str(ID), str(uuid4()), ""), (None, ago(23.99), ago(24))
    for value, deleted, rejected_at, frozen_at in product(values, (True, False), ends, ends):
        row = replace(ROW, rejected_at=rejected_at, frozen_at=frozen_at)
        decision = may_abandon(row, asked=value, is_being_deleted=deleted, now=NOW)
        lasted = any(at is not None and NOW - at >= ABANDON_AFTER for at in (rejected_at, frozen_at))
        assert (decision == Honoured()) is (value == str(ID) and deleted and lasted)
