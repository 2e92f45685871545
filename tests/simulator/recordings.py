"""The recorded exchanges, read where they lie: they are no part of this project."""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "scaleway" / "recordings.jsonl.gz"
ERA = datetime(2026, 6, 24, tzinfo=UTC)
"""The back-end changed on that day (api.md 2)."""

INSTANCE = "/instance/v1/zones/{zone}"
USED = frozenset(
    {
        f"{INSTANCE}/servers",
        f"{INSTANCE}/servers/{{id}}",
        f"{INSTANCE}/servers/{{id}}/action",
        f"{INSTANCE}/servers/{{id}}/attach-volume",
        f"{INSTANCE}/servers/{{id}}/detach-volume",
        f"{INSTANCE}/servers/{{id}}/user_data",
        f"{INSTANCE}/servers/{{id}}/user_data/{{key}}",
        f"{INSTANCE}/security_groups",
        f"{INSTANCE}/security_groups/{{id}}",
        f"{INSTANCE}/security_groups/{{id}}/rules",
        f"{INSTANCE}/volumes",
        f"{INSTANCE}/volumes/{{id}}",
        f"{INSTANCE}/ips",
        f"{INSTANCE}/ips/{{id}}",
        f"{INSTANCE}/ips/{{ip-or-id}}",
        f"{INSTANCE}/products/servers",
        f"{INSTANCE}/products/servers/availability",
        "/block/v1/zones/{zone}/volumes",
        "/block/v1/zones/{zone}/volumes/{id}",
        "/marketplace/v2/local-images",
        "/marketplace/v2/local-images/{id}",
        "/iam/v1alpha1/api-keys/{access_key}",
    }
)
"""The endpoints the operator uses; other calls of a cassette are only carried out for their sake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    cassette: str
    index: int
    method: str
    path: str
    query: str
    template: str
    request: Any
    is_request_known: bool
    content_type: str | None
    status: int
    headers: Mapping[str, str]
    response: Any
    at_s: float

    @property
    def name(self) -> str:
        return f"{Path(self.cassette).name.removesuffix('.cassette.yaml')}#{self.index}"

    @property
    def counts(self) -> bool:
        """Whether the simulator is held to it."""
        if not self.is_request_known or self.template not in USED:
            return False
        return self.method == "GET" or not self.template.startswith("/iam/")


def cassettes() -> Mapping[str, Sequence[Exchange]]:
    """Every cassette with an exchange of the present era; its exchanges of that era, in order."""
    found: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in _exchanges():
        if exchange.at_s >= ERA.timestamp():
            found[exchange.cassette].append(exchange)
    return {name: sorted(each, key=lambda e: e.index) for name, each in sorted(found.items())}


def _exchanges() -> Iterator[Exchange]:
    with gzip.open(RECORDINGS, "rt", encoding="utf-8") as lines:
        for line in lines:
            raw = json.loads(line)
            yield Exchange(
                cassette=raw["cassette"],
                index=raw["index"],
                method=raw["method"],
                path=raw["path"],
                query=raw["query"],
                template=raw["template"],
                request=raw["req_body"],
                is_request_known=not raw.get("req_body_lost", False),
                content_type=raw["req_headers"].get("content-type"),
                status=raw["status"],
                headers=raw["resp_headers"],
                response=raw["resp_body"],
                at_s=float(raw["t"]),
            )
