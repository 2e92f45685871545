"""Readiness and the binding, looked at again and again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from inventiv_operator.controllers.surroundings import DATABASE, KUBERNETES, Surroundings
from inventiv_operator.kube.client import KubeClient  # noqa: TC001
from inventiv_operator.kube.errors import Unavailable
from inventiv_operator.runtime.health import Health
from inventiv_operator.store.database import Database  # noqa: TC001
from inventiv_operator.store.errors import DatabaseUnavailable, OtherCluster
from runtime.virtual_time import LoopClock

pytestmark = pytest.mark.looptime


@dataclass
class Parts:
    """A database and an API server that answer one question each, or raise."""

    database_error: Exception | None = None
    kube_error: Exception | None = None
    bound_to: str | None = "this"
    cluster: str = "this"
    returned: int = 0
    health: Health = field(default_factory=lambda: Health(checks=(DATABASE, KUBERNETES)))

    async def cluster_uid(self) -> str:
        if self.kube_error is not None:
            raise self.kube_error
        return self.cluster

    @asynccontextmanager
    async def platform(self) -> AsyncIterator["Parts"]:
        if self.database_error is not None:
            raise self.database_error
        yield self

    async def execute(self, *_: Any) -> "Parts":
        return self

    async def fetchone(self) -> tuple[str, str] | None:
        return None if self.bound_to is None else ("11111111-1111-4111-8111-111111111111", self.bound_to)

    def surroundings(self) -> Surroundings:
        def count() -> None:
            self.returned += 1

        return Surroundings(
            cast("Database", self),
            cast("KubeClient", self),
            health=self.health,
            clock=LoopClock(),
            cluster_uid="this",
            on_return=count,
        )


async def test_all_there_is_ready() -> None:
    parts = Parts()
    await parts.surroundings().look()
    assert parts.health.is_ready
    assert parts.returned == 0


async def test_B6_what_is_away_fails_readiness_with_its_reason_and_wakes_everything_on_return() -> None:
    parts = Parts(database_error=DatabaseUnavailable("refused"), kube_error=Unavailable("no route"))
    surroundings = parts.surroundings()
    await surroundings.look()
    assert surroundings.database_away == "refused"
    assert "[-]database failed: refused" in parts.health.report()
    assert "[-]kubernetes failed: no route" in parts.health.report()
    assert parts.health.is_alive
    parts.database_error = None
    await surroundings.look()
    assert (surroundings.database_away, parts.returned, parts.health.is_ready) == ("", 1, False)
    parts.kube_error = None
    await surroundings.look()
    assert (parts.returned, parts.health.is_ready) == (2, True)


@pytest.mark.parametrize("changes", [{"bound_to": "other"}, {"bound_to": None}, {"cluster": "other"}])
async def test_L9_a_cluster_and_a_database_that_do_not_belong_together_end_the_process(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(OtherCluster):
        await Parts(**changes).surroundings().look()
