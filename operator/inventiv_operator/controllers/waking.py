"""Having objects looked at because something that they wait for has happened."""

from typing import Protocol

from inventiv_operator.controllers.secret_users import SecretUsers
from inventiv_operator.controllers.tenant_objects import Lists
from inventiv_operator.kube.kinds import CREDENTIAL, DEPLOYMENT, Kind
from inventiv_operator.runtime.queue import Key, Lane, QueueKey


class Enqueue(Protocol):
    """`WorkQueue.add` fits."""

    def __call__(
        self, key: QueueKey, *, organization: str | None = None, lane: Lane = Lane.REFRESH
    ) -> object: ...


class Waking:
    """Every method that lists raises `KubeError`; the step that called it is then repeated, and wakes them
    again.
    """

    def __init__(self, kube: Lists, *, secret_users: SecretUsers, enqueue: Enqueue) -> None:
        self._kube = kube
        self._secret_users = secret_users
        self._enqueue = enqueue

    async def everything_in(self, namespace: str) -> None:
        """It has just become a tenant's."""
        await self._wake(namespace, CREDENTIAL)
        await self._wake(namespace, DEPLOYMENT)

    async def deployments_in(self, namespace: str) -> None:
        """A credential of theirs became ready, or ceased to be."""
        await self._wake(namespace, DEPLOYMENT)

    def credentials_of(self, namespace: str, *, secret: str) -> None:
        """A Secret changed: those that take their key from it. Nothing is asked for it, see `SecretUsers`."""
        for name in self._secret_users.of(namespace, secret=secret):
            self._enqueue(Key(CREDENTIAL.kind, namespace, name), lane=Lane.CREATE)

    async def _wake(self, namespace: str, kind: Kind) -> None:
        listed = await self._kube.list(kind, namespace=namespace, metadata_only=True)
        for item in listed.items:
            self._enqueue(_key_of(kind, item), lane=Lane.CREATE)


def _key_of(kind: Kind, item: dict[str, object]) -> Key:
    metadata = item["metadata"]
    if not isinstance(metadata, dict):
        raise TypeError("an object without metadata")
    return Key(kind.kind, str(metadata.get("namespace") or ""), str(metadata["name"]))
