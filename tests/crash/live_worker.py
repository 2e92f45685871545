"""A process that lives the lives whose seeds it reads from its input, one after the other, in virtual time.

    live_worker.py SUPERUSER_URL OPERATOR_URL KEYRING_FILE

It ends with 1 at the first life that fails, having told its story.
"""

import asyncio
import sys
import traceback
from pathlib import Path

import psycopg
from pydantic import SecretStr

from crash.random_life import Boundaries, Life, Stage, remember_tasks
from inventiv_operator.store.database import Database
from inventiv_operator.store.keyring import KeyringFile
from rig.jumping_loop import JumpingLoop, LoopClock


async def live_all(superuser_url: str, operator_url: SecretStr, keyring: Path, seeds: list[str]) -> str:
    """The story of the first life that failed; empty: none did."""
    asyncio.get_running_loop().set_task_factory(remember_tasks)  # type: ignore[arg-type]
    boundaries, clock = Boundaries(), LoopClock()
    admin = await psycopg.AsyncConnection.connect(superuser_url, autocommit=True)
    async with admin, Database(operator_url, clock=clock, observer=boundaries) as database:
        stage = Stage(
            database=database,
            admin=admin,
            boundaries=boundaries,
            keyring=KeyringFile(keyring),
            keyring_path=keyring,
            clock=clock,
        )
        for seed in seeds:
            life = Life(stage, seed)
            try:
                await life.live()
            except Exception:  # noqa: BLE001 (told with its story, and how to live it again)
                told = "\n".join(life.trace)
                replay = f"SEED={seed} RUNS=1 pytest tests/crash/test_random_crashes.py"
                return f"{traceback.format_exc()}\n{told}\n\nreplay: {replay}"
    return ""


def live(superuser_url: str, operator_url: SecretStr, keyring: Path, seeds: list[str]) -> str:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(live_all(superuser_url, operator_url, keyring, seeds))


if __name__ == "__main__":
    story = live(sys.argv[1], SecretStr(sys.argv[2]), Path(sys.argv[3]), sys.stdin.read().split())
    sys.stdout.write(story)
    sys.exit(1 if story else 0)
