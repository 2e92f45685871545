"""Logs: one line is one event with fields; which object it is about is bound once per reconcile.

Secrets have types that do not print. The redaction here is the second line of defence, for texts of
libraries: it knows shapes (a password in a URL, an authorization header, `secret_key=...`), not values.
"""

import contextlib
import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TextIO

_EMPTY: Mapping[str, str] = MappingProxyType({})
_fields: ContextVar[Mapping[str, str]] = ContextVar("log_fields", default=_EMPTY)

REDACTED = "[redacted]"
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_KOPF_INTERNAL = frozenset({"k8s_skip", "settings", "k8s_queue"})  # hung on records by kopf
_SECRET_NAME = re.compile(r"(?i)(secret|password|passwd|token|authorization|private_?key)")
_SHAPES = (
    # postgresql://user:password@host, https://user:password@proxy
    (re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^@\s/]+(?=@)"), rf"\g<keep>{REDACTED}"),
    # Authorization: Bearer xyz
    (re.compile(r"(?i)(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}"), rf"\g<keep>{REDACTED}"),
    # secret_key=xyz, 'password': 'xyz', X-Auth-Token: xyz
    (
        re.compile(
            r"(?i)(?P<keep>[\w-]*(?:secret[_-]?key|password|passwd|auth-token|api[_-]?token)\w*"
            r"[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&}]+"
        ),
        rf"\g<keep>{REDACTED}",
    ),
)
# In a steady state these would speak at INFO for every request or timer.
_CHATTY = (
    "kopf",
    "httpx",
    "httpcore",
    "aiohttp",
    "asyncio",
    "kubernetes",
    "psycopg",
    "psycopg.pool",
    "urllib3",
)


@contextlib.contextmanager
def bound(**fields: str | None) -> Iterator[None]:
    """Add fields to every line logged inside, also by tasks started inside.

    None takes a field out: a task inherits those of whoever started it, and one that is about an Organization
    must not carry the namespace of the step before.
    """
    given = {**_fields.get(), **fields}
    token = _fields.set({k: v for k, v in given.items() if v is not None})
    try:
        yield
    finally:
        _fields.reset(token)


def bind(**fields: str | None) -> None:
    """Add fields for the rest of this task, for facts learned on the way (the organization, for one); None
    says nothing.
    """
    _fields.set({**_fields.get(), **{k: v for k, v in fields.items() if v is not None}})


def redact(text: str) -> str:
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


class _Formatter(logging.Formatter):
    """What the two formats share: the fields of a record, redacted."""

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        found: dict[str, Any] = dict(_fields.get())
        for name, value in record.__dict__.items():
            if name in _STANDARD or name in _KOPF_INTERNAL or name.startswith("_"):
                continue
            if name == "k8s_ref" and isinstance(value, Mapping):
                found.setdefault("namespace", value.get("namespace"))
                found.setdefault("name", value.get("name"))
                continue
            found[name] = REDACTED if _SECRET_NAME.search(name) else _plain(value)
        return {name: value for name, value in found.items() if value is not None}

    def trace(self, record: logging.LogRecord) -> str:
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        return redact(record.exc_text or "")


class JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        for name, value in self.fields(record).items():
            line.setdefault(name, value)
        if trace := self.trace(record):
            line["exception"] = trace
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in self.fields(record).items())
        line = f"{_instant(record)} {record.levelname:<7} {record.name}: {redact(record.getMessage())}"
        line = f"{line} [{fields}]" if fields else line
        trace = self.trace(record)
        return f"{line}\n{trace}" if trace else line


def configure_logging(*, log_format: str, level: str, stream: TextIO | None = None) -> None:
    """Route everything, Kopf and the libraries included, through one handler.

    `log_format` is `json` or `text`; `level` is `debug`, `info`, `warning` or `error`, and only `debug` lets
    the libraries speak below WARNING. `stream=None` is standard error.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    for name in _CHATTY:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(logging.NOTSET if level.lower() == "debug" else logging.WARNING)


def _instant(record: logging.LogRecord) -> str:
    instant = datetime.fromtimestamp(record.created, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> object:
    """Numbers stay numbers; anything else becomes redacted text."""
    return value if isinstance(value, bool | int | float) or value is None else redact(str(value))
