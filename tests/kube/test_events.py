"""Events: said once, in the right place, and never in the way."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from inventiv_operator.kube.errors import Forbidden
from inventiv_operator.kube.events import REPEAT_S, EventRecorder, ObjectRef
from inventiv_operator.kube.kinds import DEPLOYMENT, ORGANIZATION, Kind
from runtime.virtual_time import LoopClock

pytestmark = pytest.mark.looptime

DEPLOYED = ObjectRef(kind=DEPLOYMENT, namespace="acme", name="llama", uid="u1")


@dataclass
class Creator:
    error: Exception | None = None
    created: list[tuple[str | None, dict[str, Any]]] = field(default_factory=list)

    async def create(self, kind: Kind, namespace: str | None, body: Any) -> dict[str, Any]:
        assert kind.group == "events.k8s.io"
        if self.error is not None:
            raise self.error
        self.created.append((namespace, dict(body)))
        return {}


async def test_the_same_words_are_said_once_in_ten_minutes() -> None:
    creator, clock = Creator(), LoopClock()
    recorder = EventRecorder(creator, clock=clock, instance="pod-1")
    for _ in range(3):
        await recorder.emit(DEPLOYED, reason="Ready", message="2 instances are ready")
    await recorder.emit(DEPLOYED, reason="Ready", message="3 instances are ready")
    assert len(creator.created) == 2
    await clock.sleep(REPEAT_S)
    await recorder.emit(DEPLOYED, reason="Ready", message="2 instances are ready")
    assert len(creator.created) == 3


async def test_an_event_is_about_its_object_and_within_the_api_s_bounds() -> None:
    creator = Creator()
    recorder = EventRecorder(creator, clock=LoopClock(), instance="pod-1")
    await recorder.emit(DEPLOYED, reason="OutOfStock", message="x" * 5000, event_type="Warning")
    namespace, body = creator.created[0]
    assert namespace == "acme"
    assert body["regarding"] == {
        "apiVersion": "inventiv.io/v1alpha1",
        "kind": "Deployment",
        "namespace": "acme",
        "name": "llama",
        "uid": "u1",
    }
    assert (body["type"], body["reason"], len(body["note"])) == ("Warning", "OutOfStock", 1024)


async def test_events_of_cluster_scoped_objects_lie_in_default() -> None:
    creator = Creator()
    ref = ObjectRef(kind=ORGANIZATION, namespace=None, name="acme", uid="u2")
    await EventRecorder(creator, clock=LoopClock(), instance="").emit(ref, reason="Ready", message="m")
    namespace, body = creator.created[0]
    assert namespace == "default"
    assert "namespace" not in body["regarding"]


async def test_an_event_that_cannot_be_written_is_swallowed() -> None:
    creator = Creator(error=Forbidden("the namespace is being terminated", rule="create events"))
    await EventRecorder(creator, clock=LoopClock(), instance="p").emit(DEPLOYED, reason="Ready", message="m")
