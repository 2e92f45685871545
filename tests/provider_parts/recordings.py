"""The recorded exchanges with the real API, where the checkout has them beside it."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2].parent / "shared" / "scaleway" / "recordings.jsonl.gz"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recorded call and its answer."""

    raw: Mapping[str, Any]

    @property
    def method(self) -> str:
        return str(self.raw["method"])

    @property
    def template(self) -> str:
        return str(self.raw["template"])

    @property
    def path(self) -> str:
        return str(self.raw["path"])

    @property
    def status(self) -> int:
        return int(self.raw["status"])

    @property
    def content(self) -> Any:
        return self.raw["resp_body"]

    @property
    def body(self) -> bytes:
        return b"" if self.content is None else json.dumps(self.content).encode()

    @property
    def id(self) -> str:
        return f"{self.raw['cassette']}#{self.raw['index']}"


@cache
def _all() -> tuple[Exchange, ...]:
    with gzip.open(FILE, "rt") as lines:
        return tuple(Exchange(json.loads(line)) for line in lines)


def recorded(method: str | None = None, template: str | None = None) -> tuple[Exchange, ...]:
    """Skips the test where the recordings are absent."""
    if not FILE.exists():
        pytest.skip(f"no recordings: {FILE} is not there")
    return tuple(
        exchange
        for exchange in _all()
        if method in (None, exchange.method) and template in (None, exchange.template)
    )
