"""The table that `make bench` prints."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.tenant import Load

_COLUMNS = (
    ("instances", 16),
    ("ready s", 8),
    ("gone s", 7),
    ("calls/create", 13),
    ("calls/delete", 13),
    ("listings", 9),
    ("calls/min rest", 15),
    ("CPU s", 7),
    ("MiB", 6),
    ("peak", 6),
)
_AIM = ("aim for 200", "30", "30", "4 + 2/group", "4", "", "1", "13", "150", "150")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One load: seconds, calls for each server without the shared listings, the operator's CPU and size."""

    load: Load
    ready_s: float
    gone_s: float
    calls_per_created: float
    calls_per_deleted: float
    listings: int
    calls_per_minute_at_rest: float
    cpu_s: float
    resident_mib: float
    peak_mib: float

    def cells(self) -> tuple[str, ...]:
        return (
            str(self.load),
            f"{self.ready_s:.1f}",
            f"{self.gone_s:.1f}",
            f"{self.calls_per_created:.2f}",
            f"{self.calls_per_deleted:.2f}",
            str(self.listings),
            f"{self.calls_per_minute_at_rest:.1f}",
            f"{self.cpu_s:.1f}",
            f"{self.resident_mib:.0f}",
            f"{self.peak_mib:.0f}",
        )


def render(rows: Sequence[Row], *, latency_ms: float, boot_s: float) -> str:
    """One line a load, and the aim below."""
    lines = [
        " ".join(cell.rjust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True))
        for cells in ([name for name, _ in _COLUMNS], *(row.cells() for row in rows), _AIM)
    ]
    note = f"The simulator answers in {latency_ms} ms and boots in {boot_s} s. Shared listings are apart."
    return "\n".join(["", *lines, "", note])
