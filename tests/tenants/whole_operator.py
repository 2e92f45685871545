"""The whole operator but for Kopf and sockets: the real assembly, queue, list and loops in one process.

What leads, what is stored and who is handed which client is watched at the seams, see `key_watch`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection
from pydantic import SecretStr

from inventiv_operator import assembly
from inventiv_operator.assembly import Assembly, Parts, Tuning, assemble
from inventiv_operator.config import OperatorSettings
from inventiv_operator.controllers.access import Access
from inventiv_operator.controllers.deployment.scene import Cloud
from inventiv_operator.domain.ids import CredentialId, OrganizationId
from inventiv_operator.domain.ledger import CredentialRow, Fence
from inventiv_operator.kube.relist import CRDS, RBAC, Relister
from inventiv_operator.runtime.audit_metrics import AuditMetrics
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.runtime.health import Health
from inventiv_operator.runtime.queue import WorkQueue
from inventiv_operator.runtime.queue_metrics import QueueMetrics
from inventiv_operator.scaleway.client import ScalewayClient
from inventiv_operator.scaleway.factory import ClientFactory
from inventiv_operator.scaleway.wire import Wire
from inventiv_operator.store import credentials, organizations, settings
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import Fenced
from inventiv_operator.store.installation import Installation
from inventiv_operator.store.keyring import KeyringFile
from rig.process import FAST
from tenants.api_server import ApiServer, Watches
from tenants.key_watch import KeyWatch, Line, Role

if TYPE_CHECKING:
    from inventiv_operator.controllers.surroundings import Surroundings
    from inventiv_operator.kube.client import KubeClient
    from inventiv_operator.store.lease import Lease

API_URL = "http://scaleway.test"
SETTLE_S = 20.0
PROVIDER_TIMEOUT_S = 5.0
SEND_WINDOW_S = 5.0
STOP_WITHIN_S = 60.0

_watch: ContextVar[KeyWatch | None] = ContextVar("_watch", default=None)
_on_commit: ContextVar[list[Callable[[], None]] | None] = ContextVar("_on_commit", default=None)


class WatchedDatabase(Database):
    """Tells what was noted in a transaction once that has committed."""

    @asynccontextmanager
    async def writing(
        self, organization_id: OrganizationId, fence: Fence
    ) -> AsyncIterator[AsyncConnection[Any]]:
        noted: list[Callable[[], None]] = []
        token = _on_commit.set(noted)
        try:
            async with super().writing(organization_id, fence) as conn:
                yield conn
        finally:
            _on_commit.reset(token)
        for tell in noted:
            tell()


class WatchedFactory(ClientFactory):
    """Gives each client a wire of its own, to know it by."""

    def __init__(self, *, wire: Wire, **options: Any) -> None:
        super().__init__(wire=wire, **options)
        self._all_go_by = wire
        self.lines: dict[int, tuple[ScalewayClient, Line]] = {}

    def client(self, **options: Any) -> ScalewayClient:
        client, watch = super().client(**options), _watch.get()
        assert watch is not None
        caller = client._caller
        line = Line(self._all_go_by, watch)
        caller._context = replace(caller._context, wire=line)
        self.lines[id(client)] = (client, line)
        return client


class WatchedAccess(Access):
    """Notes for whom each client was asked for."""

    def __init__(self, *arguments: Any, factory: WatchedFactory, **options: Any) -> None:
        super().__init__(*arguments, factory=factory, **options)
        self._lines = factory.lines

    async def provider_of(self, conn: Any, row: CredentialRow, **options: Any) -> Cloud:
        cloud = await super().provider_of(conn, row, **options)
        self._handed(cloud, row.organization_id, row.id, role=Role.WORK)
        return cloud

    async def for_validation(
        self, organization_id: OrganizationId, credential_id: CredentialId, **options: Any
    ) -> Cloud:
        cloud = await super().for_validation(organization_id, credential_id, **options)
        self._handed(cloud, organization_id, credential_id, role=Role.VALIDATION)
        return cloud

    def candidate(self, row: CredentialRow, *more: Any, **options: Any) -> Cloud:
        cloud = super().candidate(row, *more, **options)
        self._handed(cloud, row.organization_id, row.id, role=Role.CANDIDATE)
        return cloud

    def _handed(
        self, cloud: Cloud, organization: OrganizationId, credential: CredentialId, *, role: Role
    ) -> None:
        line = self._lines[id(cloud.client)][1]
        line.handed_to.add((organization, credential))
        line.role = role


@contextlib.contextmanager
def watched_seams() -> Iterator[None]:
    """The functions of `store` through which keys come and go tell the watch of the running sequence."""
    upsert, opens = organizations.upsert, credentials.open_credential
    writes, closes = settings.write_secrets, credentials.close

    async def upserted(conn: Any, *, id: OrganizationId, name: str, **more: Any) -> Any:  # noqa: A002
        row, watch = await upsert(conn, id=id, name=name, **more), _watch.get()
        if watch is not None:
            watch.organizations[row.id] = watch.tenancy.namespaces[name]
        return row

    async def opened(conn: Any, **more: Any) -> Any:
        row, watch = await opens(conn, **more), _watch.get()
        if watch is not None:
            watch.opened(row.id, row.organization_id, row.namespace)
        return row

    async def written(conn: Any, credential: CredentialId, secrets: Any, **more: Any) -> Any:
        watch, key = _watch.get(), secrets.secret_key.get_secret_value()
        noted = _on_commit.get()
        assert watch is not None
        assert noted is not None
        watch.storing(credential, key)
        answer = await writes(conn, credential, secrets, **more)
        noted.append(lambda: watch.stored(credential, key))
        return answer

    async def closed(conn: Any, credential: CredentialId, *more: Any, **options: Any) -> Any:
        watch, noted = _watch.get(), _on_commit.get()
        answer = await closes(conn, credential, *more, **options)
        assert watch is not None
        assert noted is not None
        noted.append(lambda: watch.destroyed(credential))
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(organizations, "upsert", upserted)
        patch.setattr(credentials, "open_credential", opened)
        patch.setattr(settings, "write_secrets", written)
        patch.setattr(credentials, "close", closed)
        patch.setattr(assembly, "Access", WatchedAccess)
        yield


@dataclass(slots=True)
class Leader:
    """As much of `Lease` and `Surroundings` as the controllers ask."""

    epoch: int
    is_held: bool = True
    database_away: str = ""

    def fence(self) -> Fence:
        if not self.is_held:
            raise Fenced("this process does not lead")
        return Fence(shard=0, epoch=self.epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What outlives a process."""

    database: Database
    clock: Clock
    keyring: Path
    installation: Installation


class WholeOperator:
    """One process; `kill` and make another."""

    def __init__(self, place: Place, api: ApiServer, wire: Wire, watch: KeyWatch, *, epoch: int) -> None:
        _watch.set(watch)
        self._api, self._leader = api, Leader(epoch)
        registry = CollectorRegistry()
        self._queue = WorkQueue(clock=place.clock, metrics=QueueMetrics(registry))
        self._settings = OperatorSettings(
            scaleway_api_url=API_URL, settle_s=SETTLE_S, provider_timeout_s=PROVIDER_TIMEOUT_S
        )
        self._factory = WatchedFactory(
            api_url=API_URL,
            timeout_s=PROVIDER_TIMEOUT_S,
            clock=place.clock,
            registry=registry,
            limits=FAST,
            wire=wire,
        )
        self._relister = Relister(
            client=api, enqueue=self._queue.add, health=Health(checks=(CRDS, RBAC)), clock=place.clock
        )
        self._assembly: Assembly = assemble(
            self._parts(place, registry),
            leadership=cast("Lease", self._leader),
            surroundings=cast("Surroundings", self._leader),
        )
        self._tasks: list[asyncio.Task[None]] = []

    def _parts(self, place: Place, registry: CollectorRegistry) -> Parts:
        return Parts(
            settings=self._settings,
            clock=place.clock,
            database=place.database,
            kube=cast("KubeClient", self._api),
            factory=self._factory,
            keyring=KeyringFile(place.keyring),
            queue=self._queue,
            relister=self._relister,
            installation=place.installation,
            audit_metrics=AuditMetrics(registry),
            holder="rig",
            tuning=Tuning(send_window_s=SEND_WINDOW_S),
        )

    async def start(self) -> None:
        """As after the lease was gained: everything is listed, and looked at at once."""
        await self._factory.__aenter__()
        self._api.watch = Watches(self._queue, saw_credential=self._assembly.secret_users.saw)
        self._relister.hurry()
        run = asyncio.get_running_loop().create_task
        self._tasks = [
            run(self._queue.run(self._assembly.dispatcher), name="queue"),
            run(self._relister.run(), name="relister"),
            run(self._assembly.readiness.run(), name="probes"),
            run(
                self._assembly.terminator.run(
                    interval_s=self._settings.terminator_interval_s, is_leader=lambda: True
                ),
                name="terminator",
            ),
        ]

    async def kill(self) -> None:
        """In the middle of whatever it does."""
        await self._end()

    async def stop(self) -> None:
        """As on SIGTERM: what runs is finished first."""
        self._api.watch = None
        await self._queue.drain(timeout_s=STOP_WITHIN_S)
        await self._end()

    async def _end(self) -> None:
        self._api.watch = None
        self._leader.is_held = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._assembly.close()
        await self._factory.__aexit__(None, None, None)

    def ended(self) -> list[BaseException]:
        """What a part of it ended with, which none should."""
        return [e for t in self._tasks if t.done() and not t.cancelled() and (e := t.exception()) is not None]


def database_of(url: SecretStr, clock: Clock) -> WatchedDatabase:
    return WatchedDatabase(url, clock=clock)
