from collections.abc import AsyncIterator, Callable

import pytest

from rig.fixtures import Premises
from rig.jumping_loop import JumpingLoop
from tenant_rig.bench import Bench, bench_on


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], JumpingLoop]]:
    return {"virtual": JumpingLoop}


@pytest.fixture
async def bench(shared_premises: Premises) -> AsyncIterator[Bench]:
    async with bench_on(shared_premises) as made:
        yield made
