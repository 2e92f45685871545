"""Which ProviderCredentials take their key from a Secret: from a Secret's event to the keys that it concerns.

Asking the API server instead costs a list of the whole namespace for every Secret, and a tenant that has
thousands of both would hold up everybody (T6).

A hint for whom to wake, never a fact. It is told by the watch, together with the key that goes on the queue,
and by every pass over a credential, before that reads the Secret. So whenever it does not know a credential
yet, or knows it wrongly, there is a pass to come that reads the Secret after the event that found nobody: at
start and with a new leader everything is on the queue, and the five-minute list makes up for watch events
that got lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_REMEMBERED = 50_000
"""Credentials, some 350 bytes each. Beyond, the namespace that has most is forgotten in part: a change of its
Secrets is then noticed by the next pass over the credential.
"""


@dataclass(slots=True, eq=False)
class _Namespace:
    secrets: dict[str, str] = field(default_factory=dict)  # credential -> its Secret
    users: dict[str, dict[str, None]] = field(default_factory=dict)  # Secret -> credentials, in order

    def put(self, credential: str, secret: str) -> None:
        self.secrets[credential] = secret
        self.users.setdefault(secret, {})[credential] = None

    def forget(self, credential: str) -> None:
        users = self.users[secret := self.secrets.pop(credential)]
        del users[credential]
        if not users:
            del self.users[secret]


class SecretUsers:
    def __init__(self, *, remembered: int = _REMEMBERED) -> None:
        self._namespaces: dict[str, _Namespace] = {}
        self._remembered = remembered
        self._count = 0

    def saw(self, namespace: str, credential: str, body: Mapping[str, Any] | None) -> None:
        """The credential as it was just read or watched; None: there is none of this name."""
        secret = "" if body is None else _secret_of(body)
        known = self._namespaces.get(namespace)
        before = "" if known is None else known.secrets.get(credential, "")
        if secret == before:
            return
        if before:
            self._forget(namespace, credential)
        if secret:
            if self._count >= self._remembered:
                self._forget_one_of_the_most()
            self._namespaces.setdefault(namespace, _Namespace()).put(credential, secret)
            self._count += 1

    def of(self, namespace: str, *, secret: str) -> list[str]:
        """Names of the credentials, all of the Secret's own namespace (T2)."""
        known = self._namespaces.get(namespace)
        return [] if known is None else list(known.users.get(secret, ()))

    def __len__(self) -> int:
        return self._count

    def _forget(self, namespace: str, credential: str) -> None:
        known = self._namespaces[namespace]
        known.forget(credential)
        self._count -= 1
        if not known.secrets:
            del self._namespaces[namespace]

    def _forget_one_of_the_most(self) -> None:
        namespace, known = max(self._namespaces.items(), key=lambda item: len(item[1].secrets))
        self._forget(namespace, next(iter(known.secrets)))


def _secret_of(body: Mapping[str, Any]) -> str:
    reference = (body.get("spec") or {}).get("secretRef") or {}
    return str(reference.get("name") or "")
