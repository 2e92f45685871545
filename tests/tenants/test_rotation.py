"""A rotated key is taken within seconds, whenever the whole operator was started."""

import asyncio

import pytest

from tenants.operations import SECRETS
from tenants.play import Theatre
from tenants.story import Story

SOON_S = 5.0
"""Less than half a minute, after which every Secret is read in any case."""


@pytest.mark.parametrize("when", ["down", "just started", "at work"])
def test_a_rotation_is_noticed_at_once_after_a_restart(theatre: Theatre, when: str) -> None:
    """`just started`: before anything was looked at, so that nobody knows yet whose Secret it is."""

    async def scene(story: Story) -> None:
        await story.begin()
        try:
            await story.until_at_rest()
            await story.operator.kill()
            tenant, neighbour = story.tenants[:2]
            new = tenant.pairs[1].secret_key
            assert not story.watch.is_in_use(new)
            if when == "down":
                tenant.put_secret(SECRETS[0], "own 1", neighbour=neighbour)
            await story.start()
            if when == "just started":
                tenant.put_secret(SECRETS[0], "own 1", neighbour=neighbour)
            await asyncio.sleep(SOON_S)
            if when == "at work":
                tenant.put_secret(SECRETS[0], "own 1", neighbour=neighbour)
                await asyncio.sleep(SOON_S)
            assert story.watch.is_in_use(new)
            assert not story.watch.violations
        finally:
            await story.operator.stop()
            await story.wire.close()

    theatre.show(scene)
