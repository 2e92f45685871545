"""Which events are warnings: `kubectl get events --field-selector type=Warning` is what people watch."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from inventiv_operator.api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    Said,
    merge_conditions,
)
from inventiv_operator.controllers.status import FIRST_MOMENTS_S, ObjectStatusWriter, event_type_of
from inventiv_operator.kube.events import EventRecorder
from inventiv_operator.kube.kinds import DEPLOYMENT
from rig.fake_kube import FakeKube
from store.conftest import NOW, SetClock

NEW_S, OLD_S = FIRST_MOMENTS_S - 1.0, FIRST_MOMENTS_S


def ready(reason: Reason, status: ConditionStatus = ConditionStatus.FALSE) -> Said:
    return Said(type=ConditionType.READY, status=status, reason=reason, message="why")


def credential(reason: Reason) -> Said:
    return Said(
        type=ConditionType.CREDENTIAL_READY, status=ConditionStatus.FALSE, reason=reason, message="why"
    )


def conditions(*said: Said) -> tuple[Condition, ...]:
    return merge_conditions((), said, now=NOW, observed_generation=1)


@pytest.mark.parametrize(
    ("said", "age_s", "expected"),
    [
        pytest.param([ready(Reason.READY, ConditionStatus.TRUE)], OLD_S, "Normal", id="ready"),
        pytest.param([ready(Reason.STARTING)], OLD_S, "Normal", id="on-the-way"),
        pytest.param([ready(Reason.OUT_OF_STOCK)], NEW_S, "Warning", id="trouble-of-a-new-object"),
        pytest.param([ready(Reason.ORGANIZATION_MISSING)], NEW_S, "Normal", id="organization-to-come"),
        pytest.param([ready(Reason.ORGANIZATION_MISSING)], OLD_S, "Warning", id="organization-forgotten"),
        pytest.param([ready(Reason.SECRET_MISSING)], NEW_S, "Normal", id="secret-to-come"),
        pytest.param([ready(Reason.MISSING_PROVIDER_CREDENTIALS)], NEW_S, "Normal", id="credential-to-come"),
        pytest.param([ready(Reason.MISSING_PROVIDER_CREDENTIALS)], OLD_S, "Warning", id="none-forgotten"),
        pytest.param(
            [ready(Reason.CREDENTIAL_NOT_READY), credential(Reason.PROGRESSING)],
            NEW_S,
            "Normal",
            id="credential-is-being-looked-at",
        ),
        pytest.param(
            [ready(Reason.CREDENTIAL_NOT_READY), credential(Reason.PROGRESSING)],
            OLD_S,
            "Warning",
            id="for-too-long",
        ),
        pytest.param(
            [ready(Reason.CREDENTIAL_NOT_READY), credential(Reason.CREDENTIAL_REJECTED)],
            NEW_S,
            "Warning",
            id="credential-was-rejected",
        ),
    ],
)
def test_only_trouble_is_a_warning(said: list[Said], age_s: float, expected: str) -> None:
    assert event_type_of(conditions(*said), age_s=age_s) == expected


@pytest.mark.parametrize(("age_s", "expected"), [(1.0, "Normal"), (60.0, "Warning")])
async def test_the_age_is_that_of_the_object(age_s: float, expected: str) -> None:
    kube, clock = FakeKube(), SetClock()
    writer = ObjectStatusWriter(kube, events=EventRecorder(kube, clock=clock, instance="test"), clock=clock)
    body: dict[str, Any] = kube.apply("acme", "llama", {})
    body["metadata"]["creationTimestamp"] = _text(clock.now() - timedelta(seconds=age_s))
    await writer.write(DEPLOYMENT, body, {}, said=[ready(Reason.MISSING_PROVIDER_CREDENTIALS)])
    assert [event["type"] for event in kube.events] == [expected]


def _text(moment: datetime) -> str:
    """As the API server writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
