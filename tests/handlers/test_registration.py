"""The handlers as Kopf would call them."""

from collections.abc import Mapping
from typing import Any

import kopf
import pytest

from inventiv_operator.handlers.registration import register
from inventiv_operator.runtime.queue import Key, Lane


class Queue:
    def __init__(self) -> None:
        self.added: list[tuple[Key, Lane]] = []
        self.saw: list[tuple[str, str, str]] = []

    def add(self, key: Key, *, lane: Lane = Lane.REFRESH) -> None:
        self.added.append((key, lane))

    def saw_credential(self, namespace: str, credential: str, body: Mapping[str, Any]) -> None:
        self.saw.append((namespace, credential, body["spec"]["secretRef"]["name"]))


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def registry(queue: Queue) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    register(registry, enqueue=queue.add, saw_credential=queue.saw_credential)
    return registry


async def event(
    registry: kopf.OperatorRegistry, handler_id: str, event_type: str | None, body: dict[str, Any]
) -> None:
    handlers: dict[str, Any] = {str(handler.id): handler for handler in registry._watching._handlers}
    assert await handlers[handler_id].fn(event={"type": event_type, "object": body}) is None


async def test_an_object_s_event_becomes_its_key(registry: kopf.OperatorRegistry, queue: Queue) -> None:
    body = {"metadata": {"namespace": "acme", "name": "llama", "uid": "u", "generation": 1}}
    await event(registry, "deployments_seen", "ADDED", body)
    await event(registry, "deployments_seen", "MODIFIED", body)  # our own status write
    await event(registry, "organizations_seen", None, {"metadata": {"name": "acme", "uid": "o"}})
    assert queue.added == [
        (Key("Deployment", "acme", "llama"), Lane.CREATE),
        (Key("Organization", "", "acme"), Lane.REFRESH),
    ]


async def test_which_secret_a_credential_uses_is_told_with_its_key(
    registry: kopf.OperatorRegistry, queue: Queue
) -> None:
    def body(generation: int, secret: str) -> dict[str, Any]:
        metadata = {"namespace": "acme", "name": "scaleway", "uid": "c", "generation": generation}
        return {"metadata": metadata, "spec": {"secretRef": {"name": secret}}}

    for event_type, generation, secret in (
        (None, 1, "one"),
        ("MODIFIED", 1, "one"),  # our own status write
        ("MODIFIED", 2, "two"),
        ("DELETED", 2, "two"),
    ):
        await event(registry, "providercredentials_seen", event_type, body(generation, secret))
    assert queue.saw == [("acme", "scaleway", "one"), ("acme", "scaleway", "two")]
    assert [key for key, _ in queue.added] == [Key("ProviderCredential", "acme", "scaleway")] * 3


async def test_every_version_of_secrets_and_namespaces_counts(
    registry: kopf.OperatorRegistry, queue: Queue
) -> None:
    for version in ("1", "2"):
        metadata = {"namespace": "acme", "name": "scaleway", "uid": "s", "resourceVersion": version}
        await event(registry, "secrets_seen", "MODIFIED", {"metadata": metadata})
    await event(registry, "namespaces_seen", "ADDED", {"metadata": {"name": "acme", "uid": "n"}})
    assert [key for key, _ in queue.added] == [
        Key("Secret", "acme", "scaleway"),
        Key("Secret", "acme", "scaleway"),
        Key("Namespace", "", "acme"),
    ]


def test_no_change_handlers_and_no_timers(registry: kopf.OperatorRegistry) -> None:
    """Change handlers copy whole specs, those of Secrets too, into an annotation; timers: docs/decisions."""
    assert registry._changing._handlers == []
    assert registry._spawning._handlers == []
    assert len(registry._watching._handlers) == 5
