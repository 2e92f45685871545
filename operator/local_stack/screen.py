"""What the demo prints: headings, commands, tables as kubectl prints them, and what was found to hold."""

import re
import shutil
import time
from collections.abc import Callable, Sequence

Row = dict[str, str]
_FALLBACK_SIZE = (120, 40)  # where the output is no terminal
_RULE = 76
_AGES = frozenset({"AGE"})  # differs at every look


class Screen:
    def __init__(self, *, write: Callable[[str], None] | None = None) -> None:
        self._write = write or (lambda line: print(line, flush=True))
        self._width = shutil.get_terminal_size(_FALLBACK_SIZE).columns
        self._began_at = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_at

    def heading(self, text: str) -> None:
        self._write(f"\n== {text} {'=' * max(3, _RULE - len(text))} {self.elapsed_s:.0f} s")

    def say(self, text: str) -> None:
        self._write(f"   {text}")

    def command(self, *words: str) -> None:
        self._write(f" $ {' '.join(words)}")

    def output(self, text: str) -> None:
        for line in text.splitlines():
            self._write(f"   {line}"[: self._width].rstrip())

    def holds(self, text: str) -> None:
        self._write(f"   ok: {text}")


class Watched:
    """Prints a row whenever it changed, like `kubectl get --watch`; the header again when columns grow."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._last: dict[str, Row] = {}
        self._widths: dict[str, int] = {}

    def show(self, rows: Sequence[Row]) -> None:
        for row in rows:
            shown = {name: cell for name, cell in row.items() if name not in _AGES}
            if self._last.get(row["NAME"]) != shown:
                self._last[row["NAME"]] = shown
                self._print(shown)

    def _print(self, row: Row) -> None:
        *fitted, last = row  # nothing comes after the last column
        needed = {name: max(len(name), len(row[name])) for name in fitted}
        if any(width > self._widths.get(name, 0) for name, width in needed.items()):
            self._widths = {name: max(width, self._widths.get(name, 0)) for name, width in needed.items()}
            self._line({name: name for name in row}, last=last)
        self._line(row, last=last)

    def _line(self, cells: Row, *, last: str) -> None:
        padded = [cells[name].ljust(width) for name, width in self._widths.items()]
        self._screen.output("  ".join([*padded, cells[last]]))


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
