"""One loop, one database and one pool for all sequences of a file."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from inventiv_operator.store import installation
from rig.jumping_loop import LoopClock
from store.postgres_server import Place as DatabasePlace
from store.postgres_server import empty_database
from tenants.play import Theatre
from tenants.still_loop import StillLoop
from tenants.story import Stage
from tenants.whole_operator import Place, database_of, watched_seams


@pytest.fixture(scope="module")
def theatre(
    rig_template: DatabasePlace, rig_keyring: Path, request: pytest.FixtureRequest
) -> Iterator[Theatre]:
    name = f"rig_{request.path.stem}"
    database_place = empty_database(rig_template.server, name, template=rig_template.name)
    with asyncio.Runner(loop_factory=StillLoop) as runner, watched_seams():
        loop = runner.get_loop()
        assert isinstance(loop, StillLoop)

        async def open_all() -> tuple[Stage, Any]:
            clock = LoopClock()
            database = await database_of(database_place.operator, clock).__aenter__()
            admin = await psycopg.AsyncConnection.connect(database_place.superuser, autocommit=True)
            async with database.platform() as conn:
                bound = await installation.bind(conn, "a-cluster")
            place = Place(database=database, clock=clock, keyring=rig_keyring, installation=bound)
            return Stage(loop=loop, place=place, admin=admin), database

        stage, database = runner.run(open_all())
        yield Theatre(runner, stage)

        async def close_all() -> None:
            await stage.admin.close()
            await database.__aexit__(None, None, None)

        runner.run(close_all())
