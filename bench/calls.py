"""Counts of provider calls, from the simulator's log."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_COLLECTIONS = ("servers", "volumes", "security_groups", "ips")


def by_endpoint(calls: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How often each method and path was asked, ids left out."""
    return Counter(f"{call['method']} {_UUID.sub('{id}', call['path'])}" for call in calls)


def listings(counts: Mapping[str, int]) -> int:
    """Calls that list a zone: shared by everything of one credential."""
    return sum(
        count
        for endpoint, count in counts.items()
        if endpoint.startswith("GET ") and endpoint.rsplit("/", 1)[-1] in _COLLECTIONS
    )
