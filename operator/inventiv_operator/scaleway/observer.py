"""Hooks around the calls that leave: one for tests, which stall, kill or count, and one for the audit log."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from inventiv_operator.domain.intents import ATTEMPT_TAG

NOT_SENT: Final = "not-sent"
UNKNOWN: Final = "unknown"
_OF_AN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]{1,128}")
_KINDS: Final[Mapping[str, str]] = {
    "servers": "server",
    "volumes": "volume",
    "ips": "ip",
    "security_groups": "security_group",
}
_BY_METHOD: Final[Mapping[str, str]] = {
    "POST": "create",
    "PUT": "replace",
    "PATCH": "update",
    "DELETE": "delete",
}


class CallObserver(Protocol):
    """`template` is the endpoint without its ids, such as `/instance/v1/zones/{zone}/servers/{id}`."""

    async def before(self, method: str, template: str) -> None:
        """After the gate, before `send_before` is checked and the request leaves."""
        ...

    async def after(self, method: str, template: str) -> None:
        """The answer is in, or the exchange failed; nobody has looked at the outcome yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SentWrite:
    """A call that may have changed something, and how it ended. Nothing of its content but names and ids."""

    at: datetime  # when it left
    method: str
    template: str
    verb: str  # create, delete, terminate, poweron, ...
    kind: str  # as in the ledger, such as `server`; else the provider's own word
    zone: str
    ref: str  # in the path, or in the answer to a create; empty: not known
    name: str  # of what is to be made
    attempt: str  # value of the tag `inventiv-attempt`
    volume_ref: str  # of a volume that is detached
    outcome: str  # the HTTP status; `not-sent`: no connection came about; `unknown`: no whole answer
    request_id: str  # the provider's


class WriteSink(Protocol):
    """Told of every call that left and is no read. Called between a call and the use of its answer: it must
    neither wait nor raise.
    """

    def wrote(self, write: SentWrite) -> None: ...


class Telling:
    """What is gathered about one call on its way; `tell` hands it over once, if it left."""

    __slots__ = (
        "_answer",
        "_content",
        "_left_at",
        "_method",
        "_outcome",
        "_path",
        "_request_id",
        "_template",
    )

    def __init__(self, method: str, template: str, path: str, content: object) -> None:
        self._method, self._template, self._path = method, template, path
        self._content: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
        self._left_at: datetime | None = None
        self._outcome, self._request_id = UNKNOWN, ""
        self._answer: Any = None

    def leaves(self, at: datetime) -> None:
        self._left_at = at

    def not_sent(self) -> None:
        self._outcome = NOT_SENT

    def answered(self, status: int, request_id: str) -> None:
        self._outcome, self._request_id = str(status), request_id

    def brought(self, content: object) -> None:
        """The JSON of a 2xx."""
        self._answer = content

    def tell(self, sink: WriteSink) -> None:
        if self._left_at is None:
            return
        place, subject = _place_of(self._template, self._path), _subject_of(self._template)
        zone, ref = place.get("zone", ""), place.get("id", "")
        kind = _KINDS.get(subject, subject)
        sink.wrote(
            SentWrite(
                at=self._left_at,
                method=self._method,
                template=self._template,
                verb=self._verb(),
                kind=kind,
                zone=zone,
                ref=ref or _new_ref(self._answer, kind),
                name=_text(self._content.get("name"), _OF_AN_ID),
                attempt=self._attempt(),
                volume_ref=_text(self._content.get("volume_id"), _OF_AN_ID),
                outcome=self._outcome,
                request_id=_text(self._request_id, _PRINTABLE),
            )
        )

    def _verb(self) -> str:
        """`.../servers/{id}/action` says in its body what it does; others by their method, or their path."""
        _, _, beyond = self._template.partition("{id}/")
        if beyond == "action":
            return _text(self._content.get("action"), _OF_AN_ID) or beyond
        if beyond:
            part = beyond.rpartition("/")[2]
            return part if self._method == "POST" else f"set-{part}"
        return _BY_METHOD.get(self._method, self._method.lower())

    def _attempt(self) -> str:
        tags = self._content.get("tags")
        for tag in tags if isinstance(tags, list) else ():
            name, _, value = str(tag).partition("=")
            if name == ATTEMPT_TAG:
                return _text(value, _OF_AN_ID)
        return ""


def _subject_of(template: str) -> str:
    """The collection, such as `servers`: what follows the zone."""
    return template.partition("{zone}/")[2].partition("/")[0]


def _place_of(template: str, path: str) -> dict[str, str]:
    """What stands in the path for the names in braces."""
    pairs = zip(template.split("/"), path.split("/"), strict=False)
    return {name[1:-1]: part for name, part in pairs if name.startswith("{")}


def _new_ref(answer: object, kind: str) -> str:
    """The id of what was made, in or without an envelope. From outside: only what has the form of one."""
    if not isinstance(answer, Mapping):
        return ""
    made = answer.get(kind, answer)
    return _text(made.get("id"), _OF_AN_ID) if isinstance(made, Mapping) else ""


def _text(value: object, form: re.Pattern[str]) -> str:
    return value if isinstance(value, str) and form.fullmatch(value) is not None else ""
