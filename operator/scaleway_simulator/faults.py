"""Faults on order: which calls they hit, and what happens to those.

A fault is `{"match": {...}, "kind": ..., "times": 1, ...}`. `match` may name: method, path_regex (searched in
path and query), access_key, project, nth (only the nth matching call, from 1), after (leave n be). `times`
null means until it is removed; `for_s` ends it so many world seconds after it was ordered.

kind               what the client sees                                       took effect?
status             `status` with `body` (default: as recorded)                 only with "commit": true
empty_body         200 without a body                                          yes
html               200 with an HTML page                                       no, or as "commit" says
truncated          the answer cut off in the middle of its JSON                yes
partial_page       a listing with half its items, the total as it is           -
delay              the answer after `seconds`                                  yes, before the delay
delay_before       the answer after `seconds`                                  yes, after the delay
drop_before        no answer                                                   no
drop_after_commit  no answer                                                   yes
late_appearance    no answer (or `status`); what a POST servers made is        yes
                   neither listed nor readable for `seconds`
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal[
    "status",
    "empty_body",
    "html",
    "truncated",
    "partial_page",
    "delay",
    "delay_before",
    "drop_before",
    "drop_after_commit",
    "late_appearance",
]
KINDS: frozenset[str] = frozenset(get_args(Kind))
COMMITS = frozenset(
    {"empty_body", "truncated", "delay", "delay_before", "drop_after_commit", "late_appearance"}
)
MATCH_FIELDS = frozenset({"method", "path_regex", "access_key", "project", "nth", "after"})
FIELDS = frozenset({"match", "kind", "times", "status", "body", "seconds", "for_s", "commit"})


@dataclass(slots=True, kw_only=True)
class Fault:
    kind: Kind
    method: str | None = None
    path: re.Pattern[str] | None = None
    access_key: str | None = None
    project: str | None = None
    nth: int | None = None
    after: int = 0
    times: int | None = 1
    status: int | None = None
    body: Any = field(default=None, repr=False)
    has_body: bool = False
    seconds: float = 0.0
    for_s: float | None = None
    commit: bool
    until_s: float | None = None
    seen: int = 0
    hits: int = 0

    def as_json(self) -> dict[str, Any]:
        pattern = None if self.path is None else self.path.pattern
        return {
            "kind": self.kind,
            "match": {
                "method": self.method,
                "path_regex": pattern,
                "access_key": self.access_key,
                "project": self.project,
                "nth": self.nth,
                "after": self.after,
            },
            "times": self.times,
            "hits": self.hits,
            "seen": self.seen,
        }

    def concerns(self, *, method: str, target: str, access_key: str | None, project: str | None) -> bool:
        return (
            self.method in {None, method}
            and self.access_key in {None, access_key}
            and self.project in {None, project}
            and (self.path is None or self.path.search(target) is not None)
        )

    def strikes(self, *, seconds: float) -> bool:
        """Count a call that matches, and say whether this one is hit."""
        if self.is_spent(seconds=seconds):
            return False
        self.seen += 1
        hit = self.seen == self.nth if self.nth is not None else self.seen > self.after
        self.hits += hit
        return hit

    def is_spent(self, *, seconds: float) -> bool:
        over = self.until_s is not None and seconds >= self.until_s
        return over or (self.times is not None and self.hits >= self.times)


class FaultPlan:
    """The faults on order; the first one that strikes decides about a call."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    @staticmethod
    def parse(descriptions: Any) -> list[Fault]:
        """Read faults from their JSON.

        Raises:
            ValueError: names the field that is wrong.
        """
        if isinstance(descriptions, dict):
            descriptions = [descriptions]
        if not isinstance(descriptions, Sequence) or isinstance(descriptions, str):
            raise ValueError("faults: a list of objects")  # noqa: TRY004  # one error type for bad input
        return [_parse(item) for item in descriptions]

    def add(self, faults: Iterable[Fault], *, seconds: float) -> None:
        for fault in faults:
            fault.until_s = None if fault.for_s is None else seconds + fault.for_s
            self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def as_json(self) -> list[dict[str, Any]]:
        return [fault.as_json() for fault in self._faults]

    def strike(
        self, *, method: str, target: str, access_key: str | None, project: str | None, seconds: float
    ) -> Fault | None:
        for fault in self._faults:
            concerned = fault.concerns(method=method, target=target, access_key=access_key, project=project)
            if concerned and fault.strikes(seconds=seconds):
                return fault
        return None


def _parse(item: Any) -> Fault:
    if not isinstance(item, dict):
        raise ValueError(f"fault: an object, not {item!r}")  # noqa: TRY004  # one error type for bad input
    match = item.get("match") or {}
    unknown = sorted((set(item) - FIELDS) | {f"match.{name}" for name in set(match) - MATCH_FIELDS})
    if unknown:
        raise ValueError(f"fault: unknown {', '.join(unknown)}")
    kind = item.get("kind")
    if kind not in KINDS:
        raise ValueError(f"fault: kind {kind!r} is none of {', '.join(sorted(KINDS))}")
    if kind == "status" and not isinstance(item.get("status"), int):
        raise ValueError("fault: kind status needs a status")
    try:
        path = re.compile(match["path_regex"]) if match.get("path_regex") else None
    except re.error as exc:
        raise ValueError(f"fault: path_regex: {exc}") from exc
    return Fault(
        kind=kind,
        method=match.get("method"),
        path=path,
        access_key=match.get("access_key"),
        project=match.get("project"),
        nth=match.get("nth"),
        after=int(match.get("after") or 0),
        times=item.get("times", None if item.get("for_s") is not None else 1),
        status=item.get("status"),
        body=item.get("body"),
        has_body="body" in item,
        seconds=float(item.get("seconds", 0.0)),
        for_s=item.get("for_s"),
        commit=bool(item.get("commit", kind in COMMITS)),
    )
