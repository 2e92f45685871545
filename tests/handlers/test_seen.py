"""Which watch events are news, and how urgent."""

from typing import Any

import pytest

from inventiv_operator.handlers.seen import SeenObjects, lane_of
from inventiv_operator.runtime.queue import Lane


def body(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {"uid": "u1", "generation": 1, "resourceVersion": "1", **metadata}}


@pytest.mark.parametrize(
    ("changed", "is_news"),
    [
        pytest.param({"resourceVersion": "2"}, False, id="our-own-status-write"),
        pytest.param({"managedFields": []}, False, id="managed-fields"),
        pytest.param({"generation": 2}, True, id="spec"),
        pytest.param({"labels": {"a": "b"}}, True, id="label"),
        pytest.param({"annotations": {"inventiv.io/reconcile-at": "1"}}, True, id="annotation"),
        pytest.param({"finalizers": ["x"]}, True, id="finalizer"),
        pytest.param({"deletionTimestamp": "now"}, True, id="deletion"),
    ],
)
def test_only_what_a_reconcile_could_act_on_is_news(changed: dict[str, Any], *, is_news: bool) -> None:
    seen = SeenObjects()
    assert seen.is_news(None, body())
    assert seen.is_news("MODIFIED", body(**changed)) is is_news


def test_first_sight_addition_and_deletion_are_news() -> None:
    seen = SeenObjects()
    for event_type in (None, "ADDED", "MODIFIED", None, "ADDED", "DELETED", "MODIFIED"):
        seen_before = event_type == "MODIFIED" and seen.is_news("ADDED", body(uid="other"))
        assert seen.is_news(event_type, body()) or seen_before


def test_after_a_deletion_nothing_is_remembered() -> None:
    seen = SeenObjects()
    seen.is_news("ADDED", body())
    seen.is_news("DELETED", body())
    assert seen.is_news("MODIFIED", body())


def test_memory_is_bounded() -> None:
    seen = SeenObjects(remembered=2)
    for uid in ("a", "b", "c"):
        seen.is_news("ADDED", body(uid=uid))
    assert not seen.is_news("MODIFIED", body(uid="c"))
    assert seen.is_news("MODIFIED", body(uid="a"))  # a reconcile too many, no more


@pytest.mark.parametrize(
    ("event_type", "metadata", "status", "lane"),
    [
        pytest.param("DELETED", {}, {}, Lane.DELETE, id="deleted"),
        pytest.param("MODIFIED", {"deletionTimestamp": "now"}, {}, Lane.DELETE, id="leaving"),
        pytest.param("ADDED", {}, {}, Lane.CREATE, id="new"),
        pytest.param("MODIFIED", {"generation": 2}, {"observedGeneration": 1}, Lane.CREATE, id="changed"),
        pytest.param(None, {}, {"observedGeneration": 1}, Lane.REFRESH, id="known"),
    ],
)
def test_lanes(event_type: str | None, metadata: dict[str, Any], status: dict[str, Any], lane: Lane) -> None:
    assert lane_of(event_type, {**body(**metadata), "status": status}) is lane
