"""A thousand random lives under crashes, stalls, faults and meddling (L1 to L8, B7): what is billed is what
is wanted.

    SEED=... RUNS=... pytest tests/crash/test_random_crashes.py

The seed is printed. A failure prints the one of its life, and what happened in it; `SEED=<that> RUNS=1`
replays it, in this very process, where a debugger and the coverage can see it.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from crash.live_worker import live
from rig.fixtures import Premises, PremisesFactory

RUNS = int(os.environ.get("RUNS", "1000"))
SEED = os.environ.get("SEED") or str(random.SystemRandom().getrandbits(32))
FIRST_FEW = 10
"""Lives that are lived in the test's own process."""
HERE = Path(__file__).parent
PATHS = (HERE.parent, HERE.parent.parent / "operator")


def seeds() -> list[str]:
    """A replay has exactly the seed that was printed."""
    return [SEED] if RUNS == 1 else [f"{SEED}.{number}" for number in range(RUNS)]


def start_worker(premises: Premises, given: list[str]) -> subprocess.Popen[str]:
    arguments = (premises.place.superuser, premises.place.operator.get_secret_value(), str(premises.keyring))
    worker = subprocess.Popen(
        [sys.executable, str(HERE / "live_worker.py"), *arguments],
        env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join(map(str, PATHS))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert worker.stdin is not None
    worker.stdin.write("\n".join(given))
    worker.stdin.close()
    worker.stdin = None
    return worker


@pytest.mark.slow
def test_L1_to_L8_B7_whatever_breaks_what_is_billed_is_what_is_wanted(new_premises: PremisesFactory) -> None:
    print(f"SEED={SEED} RUNS={RUNS}")  # noqa: T201 (shown with -s and on failure)
    lives = seeds()
    here, rest = lives[:FIRST_FEW], lives[FIRST_FEW:]
    cores = os.cpu_count() or 1
    workers = [start_worker(new_premises(), share) for n in range(cores) if (share := rest[n::cores])]
    premises = new_premises()
    place = premises.place
    stories = [live(place.superuser, place.operator, premises.keyring, here)]
    try:
        for worker in workers:
            told, _ = worker.communicate()
            stories.append(told if worker.returncode else "")
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    failed = [story for story in stories if story]
    if failed:
        pytest.fail("\n\n".join(failed), pytrace=False)
