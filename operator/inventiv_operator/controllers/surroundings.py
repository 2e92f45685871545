"""Whether the database and the API server can be asked: readiness says so, and their return wakes
everything.
"""

import logging
from collections.abc import Callable

from inventiv_operator.kube.client import KubeClient
from inventiv_operator.kube.errors import KubeError
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.runtime.health import Health
from inventiv_operator.store import installation
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import CannotStart, OtherCluster, StoreError

logger = logging.getLogger(__name__)

LOOK_S = 5.0
DATABASE = "database"
KUBERNETES = "kubernetes"


class Surroundings:
    """Keeps the readiness checks `database` and `kubernetes`."""

    def __init__(
        self,
        database: Database,
        kube: KubeClient,
        *,
        health: Health,
        clock: Clock,
        cluster_uid: str,
        on_return: Callable[[], None],
    ) -> None:
        """`on_return` is called when one of the two can be asked again: what backed off need not wait
        longer.
        """
        self._database = database
        self._kube = kube
        self._health = health
        self._clock = clock
        self._cluster_uid = cluster_uid
        self._on_return = on_return
        self._away = {DATABASE: "", KUBERNETES: ""}

    @property
    def database_away(self) -> str:
        """Why the database cannot be asked; empty: it can."""
        return self._away[DATABASE]

    async def run(self) -> None:
        """Look for ever.

        Raises:
            OtherCluster: cluster and database do not belong together any more (L9): one of the two was put
                in the place of the one that this process was started for.
            CannotStart: the database is no longer one to work with.
        """
        while True:
            await self.look()
            await self._clock.sleep(LOOK_S)

    async def look(self) -> None:
        self._note(DATABASE, await self._database_problem())
        self._note(KUBERNETES, await self._kubernetes_problem())

    async def _database_problem(self) -> str:
        try:
            async with self._database.platform() as conn:
                found = await installation.read(conn)
        except CannotStart:
            raise
        except StoreError as error:
            return str(error)
        if found is None or found.cluster_uid != self._cluster_uid:
            raise OtherCluster(
                "the database does not belong to this cluster any more: check both, and `bind`"
            )
        return ""

    async def _kubernetes_problem(self) -> str:
        try:
            cluster_uid = await self._kube.cluster_uid()
        except KubeError as error:
            return str(error)
        if cluster_uid != self._cluster_uid:
            raise OtherCluster(
                f"the API server is another cluster's now (kube-system uid {cluster_uid}), the database is"
                f" that of {self._cluster_uid}"
            )
        return ""

    def _note(self, what: str, problem: str) -> None:
        before, self._away[what] = self._away[what], problem
        if problem:
            self._health.fail(what, problem)
        else:
            self._health.ok(what)
        if problem and not before:
            logger.warning("%s is away: work stops until it is back", what, extra={"reason": problem})
        elif before and not problem:
            logger.info("%s is back", what)
            self._on_return()
