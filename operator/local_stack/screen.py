"""What the demo prints: headings, commands, tables as kubectl prints them, and what was found to hold."""

import re
import time
from collections.abc import Callable, Sequence

Row = dict[str, str]
_WIDTH = 110
_AGES = frozenset({"AGE"})  # differs at every look


class Screen:
    def __init__(self, *, write: Callable[[str], None] | None = None) -> None:
        self._write = write or (lambda line: print(line, flush=True))
        self._began_at = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_at

    def heading(self, text: str) -> None:
        self._write(f"\n== {text} " + "=" * max(3, 70 - len(text)) + f" {self.elapsed_s:.0f} s")

    def say(self, text: str) -> None:
        self._write(f"   {text}")

    def command(self, *words: str) -> None:
        self._write(f" $ {' '.join(words)}")

    def output(self, text: str) -> None:
        for line in text.splitlines():
            self._write(f"   {line}"[:_WIDTH].rstrip())

    def holds(self, text: str) -> None:
        self._write(f"   ok: {text}")


class Watched:
    """Prints a row whenever it changed, like `kubectl get --watch`, but with columns that stay in place."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._last: dict[str, Row] = {}
        self._widths: list[int] = []
        self._columns: list[str] = []

    def show(self, rows: Sequence[Row]) -> None:
        for row in rows:
            shown = {name: cell for name, cell in row.items() if name not in _AGES}
            if self._last.get(row["NAME"]) != shown:
                self._last[row["NAME"]] = shown
                self._print(row)

    def _print(self, row: Row) -> None:
        columns = [name for name in row if name not in _AGES]
        if columns != self._columns:
            self._columns = columns
            self._widths = [max(len(name), 9) for name in columns]
            self._line(columns)
        cells = [row[name] for name in columns]
        self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
        self._line(cells)

    def _line(self, cells: Sequence[str]) -> None:
        padded = (cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True))
        self._screen.output("  ".join(padded))


def parse_table(text: str) -> list[Row]:
    """The rows of what kubectl printed. A cell may hold spaces or nothing: only the header's columns tell."""
    lines = text.splitlines()
    if not lines:
        return []
    starts = [match.start() for match in re.finditer(r"\S+(?: \S+)*", lines[0])]
    spans = list(zip(starts, [*starts[1:], None], strict=True))
    names = [lines[0][start:end].strip() for start, end in spans]
    return [
        {name: line[start:end].strip() for name, (start, end) in zip(names, spans, strict=True)}
        for line in lines[1:]
    ]
