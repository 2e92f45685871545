"""Which Organizations name a namespace: from an event of a namespace to the keys that it concerns."""

from collections.abc import Iterable


class NamespaceIndex:
    """Filled by the organization reconciler, which sees every Organization at start and after each change.

    A hint for whom to wake, never a fact about ownership: that is a row in the ledger (T1).
    """

    def __init__(self) -> None:
        self._named_by: dict[str, tuple[str, ...]] = {}

    def put(self, organization: str, namespaces: Iterable[str]) -> None:
        self._named_by[organization] = tuple(namespaces)

    def forget(self, organization: str) -> None:
        self._named_by.pop(organization, None)

    def organizations_of(self, namespace: str) -> list[str]:
        """Names of Organizations, more than one while they argue about it."""
        return [name for name, named in self._named_by.items() if namespace in named]
