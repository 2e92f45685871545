"""The simulator as a process of its own, on a free port."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    url: str
    process: subprocess.Popen[str]


@contextlib.contextmanager
def simulator(*arguments: str) -> Iterator[Running]:
    """Ready when it has printed its line; ended by SIGTERM, as an operator of it would."""
    command = [sys.executable, "-m", "scaleway_simulator.cli", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "operator")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line.startswith("scaleway-simulator listening on http://"), line
            yield Running(url=line.split()[-1], process=process)
        finally:
            process.terminate()
            assert process.wait(timeout=10) == 0
