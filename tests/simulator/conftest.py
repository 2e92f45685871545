import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from scaleway_simulator.app import create_app
from scaleway_simulator.in_process import InProcessTransport
from scaleway_simulator.world import World
from simulator.api import ALPHA, BETA, Api


class LoopClock:
    """Runs with the event loop, whose virtual time begins at 0; before there is a loop it is 0 too."""

    def now(self) -> datetime:
        return datetime(2026, 11, 25, 12, tzinfo=UTC) + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return 0.0

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


def two_tenants(**more: Any) -> dict[str, Any]:
    """A world with one key for each of two projects."""
    return {
        "projects": [{"id": t.project_id, "organization_id": t.project_id} for t in (ALPHA, BETA)],
        "keys": [
            {"access_key": t.access_key, "secret_key": t.secret_key, "project_id": t.project_id}
            for t in (ALPHA, BETA)
        ],
        **more,
    }


@pytest.fixture
def world() -> World:
    made = World(clock=LoopClock())
    made.reset(two_tenants(boot_s=5, guest_s=2, allocate_s=1, terminate_s=5))
    return made


@pytest.fixture
async def transport(world: World) -> AsyncIterator[InProcessTransport]:
    made = InProcessTransport(create_app(world))
    yield made
    await made.aclose()


@pytest.fixture
async def alpha(transport: InProcessTransport) -> AsyncIterator[Api]:
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
        yield Api(client, ALPHA)


@pytest.fixture
async def beta(transport: InProcessTransport) -> AsyncIterator[Api]:
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
        yield Api(client, BETA)
