"""A real `inventiv-operator run` that kills itself (SIGKILL) at the n-th boundary after it was armed.

    dying_operator.py ARM_FILE TRACE_FILE

A boundary lies before and after each provider call and before and after each commit of the ledger.
Boundaries are counted while ARM_FILE is there; it holds the number to die at (0: never). What is passed is
written to TRACE_FILE. The lease and the time in which a create may leave are short, so that a replacement
need not wait for minutes.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from inventiv_operator.assembly import Tuning
from inventiv_operator.bootstrap import run_operator
from inventiv_operator.config import load_settings
from inventiv_operator.runtime.logging import configure_logging

TUNING = {"lease_duration_s": 1.5, "lease_renew_s": 0.4, "send_window_s": 1.0}


class Boundaries:
    """Observes calls and commits; both seams have the same two methods."""

    def __init__(self, arm: Path, trace: Path) -> None:
        self._arm = arm
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._passed = 0
        self._armed_as = ""

    def _pass(self, what: str) -> None:
        try:
            armed = self._arm.read_text()
        except FileNotFoundError:
            return
        if armed != self._armed_as:
            self._armed_as, self._passed = armed, 0
        self._passed += 1
        os.write(self._trace, f"{self._passed} {what}\n".encode())
        if self._passed == int(armed.split()[0]):
            os.kill(os.getpid(), signal.SIGKILL)

    async def before(self, method: str, template: str) -> None:
        self._pass(f"before {method} {template}")

    async def after(self, method: str, template: str) -> None:
        self._pass(f"after {method} {template}")

    async def before_commit(self) -> None:
        self._pass("before commit")

    async def after_commit(self) -> None:
        self._pass("after commit")


def main() -> None:
    boundaries = Boundaries(Path(sys.argv[1]), Path(sys.argv[2]))
    settings = load_settings()
    configure_logging(level=settings.log_level, log_format=settings.log_format)
    tuning = Tuning(call_observer=boundaries, commit_observer=boundaries, **TUNING)
    asyncio.run(run_operator(settings, tuning=tuning))


if __name__ == "__main__":
    main()
