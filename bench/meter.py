"""What a process costs, read from the kernel."""

import os
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`cpu_s`: user and system time so far. `peak_mib`: the largest resident size so far."""

    cpu_s: float
    resident_mib: float
    peak_mib: float


def read(pid: int) -> Reading:
    """Raises OSError when there is no such process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])  # utime and stime
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    return Reading(
        cpu_s=ticks / os.sysconf("SC_CLK_TCK"),
        resident_mib=_kib(status["VmRSS"]) * 1024 / MIB,
        peak_mib=_kib(status["VmHWM"]) * 1024 / MIB,
    )


def _kib(text: str) -> int:
    return int(text.split(maxsplit=1)[0])
