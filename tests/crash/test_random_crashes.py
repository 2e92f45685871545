"""A thousand random lives under crashes, stalls, faults and meddling (L1 to L8, B7): what is billed is what
is wanted.

    SEED=... RUNS=... pytest tests/crash/test_random_crashes.py

The seed is printed. A failure prints the one of its life, and what happened in it; `SEED=<that> RUNS=1`
replays it.
"""

import asyncio
import os
import random
import traceback

import psycopg
import pytest

from crash.random_life import Boundaries, Life, Stage, remember_tasks
from inventiv_operator.store.database import Database
from inventiv_operator.store.keyring import KeyringFile
from rig.fixtures import Premises
from rig.jumping_loop import JumpingLoop, LoopClock

CHUNKS = 20
RUNS = int(os.environ.get("RUNS", "1000"))
SEED = os.environ.get("SEED") or str(random.SystemRandom().getrandbits(32))


def seeds_of(chunk: int) -> list[str]:
    """A replay has exactly the seed that was printed."""
    if RUNS == 1:
        return [SEED] if chunk == 0 else []
    return [f"{SEED}.{number}" for number in range(RUNS) if number % CHUNKS == chunk]


async def live_all(premises: Premises, seeds: list[str]) -> None:
    asyncio.get_running_loop().set_task_factory(remember_tasks)  # type: ignore[arg-type]
    boundaries, clock, keyring = Boundaries(), LoopClock(), KeyringFile(premises.keyring)
    admin = await psycopg.AsyncConnection.connect(premises.place.superuser, autocommit=True)
    async with admin, Database(premises.place.operator, clock=clock, observer=boundaries) as database:
        stage = Stage(
            database=database,
            admin=admin,
            boundaries=boundaries,
            keyring=keyring,
            keyring_path=premises.keyring,
            clock=clock,
        )
        for seed in seeds:
            life = Life(stage, seed)
            try:
                await life.live()
            except Exception:  # noqa: BLE001 (told with its story, and how to live it again)
                told = "\n".join(life.trace)
                pytest.fail(
                    f"{traceback.format_exc()}\n{told}\n\nreplay: SEED={seed} RUNS=1 pytest {__file__}",
                    pytrace=False,
                )


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_L1_to_L8_B7_whatever_breaks_what_is_billed_is_what_is_wanted(premises: Premises, chunk: int) -> None:
    seeds = seeds_of(chunk)
    print(f"SEED={SEED} RUNS={RUNS}, chunk {chunk}")  # noqa: T201 (shown with -s and on failure)
    if not seeds:
        pytest.skip("fewer lives than chunks")
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(live_all(premises, seeds))
