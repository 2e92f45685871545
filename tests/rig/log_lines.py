"""What is logged while a test looks, with the fields that were bound at that moment."""

import contextlib
import json
import logging
from collections.abc import Iterator
from typing import Any

from inventiv_operator.runtime.logging import JsonFormatter, bound


class _Recording(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=logging.INFO)
        self.lines: list[dict[str, Any]] = []
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@contextlib.contextmanager
def log_lines() -> Iterator[list[dict[str, Any]]]:
    """Lines from INFO on, as a step of a new process begins them: nothing is bound but what it binds."""
    ours = logging.getLogger("inventiv_operator")
    recording, level = _Recording(), ours.level
    ours.addHandler(recording)
    ours.setLevel(logging.INFO)
    try:
        with bound(organization=None):
            yield recording.lines
    finally:
        ours.removeHandler(recording)
        ours.setLevel(level)
