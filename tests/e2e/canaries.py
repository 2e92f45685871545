"""Recognisable secrets, and every place where none of them may ever be."""

import base64
import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from e2e.crowd import OURS
from local_stack import postgres
from local_stack.api_client import ApiClient
from local_stack.stack import Stack
from stack_fixtures import Database, OperatorProcess

Json = dict[str, Any]

LOG, EVENTS, OBJECTS, METRICS, DUMP, COMMAND_LINE, ENVIRONMENT = PLACES = (
    "the log",
    "the events",
    "the objects",
    "the metrics",
    "the dump of the database",
    "the command line",
    "the environment",
)
_SHORTEST = 12  # of a needle: anything shorter may be there by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """`allowed_in`: where it is by contract."""

    name: str
    data: bytes = field(repr=False)
    allowed_in: frozenset[str] = frozenset()

    def forms(self) -> Iterator[tuple[str, str]]:
        """How it may look: in plain, in hex (what PostgreSQL shows of bytes), in base64 wherever it begins in
        what was encoded, and as a part of a URL.
        """
        yield "hex", self.data.hex()
        for skipped, hidden in ((0, 0), (1, 2), (2, 3)):
            whole = (skipped + len(self.data)) * 8 // 6  # digits that no later byte changes
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                yield "base64", encode(b"\0" * skipped + self.data).decode()[hidden:whole]
        if self.data.isascii() and self.data.decode("ascii").isprintable():
            yield "plain", self.data.decode()
            yield "a URL", quote(self.data, safe="")
            yield "plain without dashes", self.data.decode().replace("-", "")


def of_text(name: str, text: str, *, allowed_in: Iterable[str] = ()) -> Canary:
    return Canary(name=name, data=text.encode(), allowed_in=frozenset(allowed_in))


def found(canaries: Iterable[Canary], places: Mapping[str, str]) -> list[str]:
    """Where which secret is, in which form; the secret itself is not shown."""
    lowered = {place: text.lower() for place, text in places.items()}
    hits: list[str] = []
    for canary in canaries:
        for form, needle in canary.forms():
            assert len(needle) >= _SHORTEST, canary.name
            hits += [
                f"{canary.name} in {place} as {form}, after {_before(text, needle.lower())!r}"
                for place, text in lowered.items()
                if place not in canary.allowed_in and needle.lower() in text
            ]
    return hits


def _before(text: str, needle: str) -> str:
    at = text.index(needle)
    return text[max(0, at - 200) : at]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookout:
    """Looks into every place as it is now; `seen` keeps what was there at any look."""

    stack: Stack
    database: Database
    operator: OperatorProcess
    tenants: frozenset[str]
    """Namespaces whose Secrets, and the cloud-init of whose Deployments, are the tenants' own business."""
    seen: dict[str, str] = field(default_factory=lambda: dict.fromkeys(PLACES, ""))

    def look(self) -> None:
        process = Path(f"/proc/{self.operator.pid}")
        now = {
            EVENTS: self._kubectl("get", "events.events.k8s.io", *_EVERYTHING),
            OBJECTS: json.dumps([self._public(item) for item in self._objects()]),
            METRICS: self.operator.metrics(),
            DUMP: self._dump(),
            COMMAND_LINE: _with_spaces(process / "cmdline"),
            ENVIRONMENT: _with_spaces(process / "environ"),
        }
        for place, text in now.items():
            self.seen[place] += f"{text}\n"
        self.seen[LOG] = self.operator.log  # all of it, of every life

    def glance(self) -> None:
        """Only at our own kinds, whose statuses change at every step; it takes no time."""
        with ApiClient(self.stack.site) as api:
            items = [self._public({"kind": kind} | item) for kind in OURS for item in api.list(kind)]
        self.seen[OBJECTS] += f"{json.dumps(items)}\n"

    def _objects(self) -> list[Json]:
        """Of every kind that can be listed, but for the events, which are a place of their own."""
        kinds = self._kubectl("api-resources", "--verbs=list", "--output=name").split()
        wanted = ",".join(kind for kind in kinds if not kind.startswith("events"))
        items: list[Json] = json.loads(self._kubectl("get", wanted, *_EVERYTHING))["items"]
        return items

    def _public(self, item: Json) -> Json:
        if item["metadata"].get("namespace") not in self.tenants:
            return item
        if item["kind"] == "Secret":
            return {"metadata": item["metadata"]}
        if item["kind"] == "Deployment":
            spec = {name: value for name, value in item["spec"].items() if name != "cloudInit"}
            return item | {"spec": spec}
        return item

    def _kubectl(self, *arguments: str) -> str:
        return self.stack.kubectl(*arguments).stdout

    def _dump(self) -> str:
        done = subprocess.run(
            [postgres.bin_folder(self.stack.site.postgres_home) / "pg_dump", self.database.superuser_url],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout


_EVERYTHING = ("--all-namespaces", "--output=json", "--show-managed-fields")


def _with_spaces(path: Path) -> str:
    return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
