"""A bench with a seed directory, on a database of its own: the default is one for the whole installation."""

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from inventiv_operator.controllers.seeding.opening import SeedOpening
from inventiv_operator.controllers.sweeps.terminator import seeded_key
from inventiv_operator.domain.ids import CredentialId, OrganizationId
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.kube.kinds import NAMESPACE, ORGANIZATION
from inventiv_operator.runtime.queue import Key, Result, SweepKey
from inventiv_operator.store import organizations, seeded
from rig.fixtures import Premises, PremisesFactory
from rig.jumping_loop import JumpingLoop
from tenant_rig.bench import STEP_S, Bench, TestKey, bench_on


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], JumpingLoop]]:
    return {"virtual": JumpingLoop}


def write_seed(directory: Path, *, key: TestKey, project_id: str, **more: str) -> None:
    """The files, as an editor that ends them with a newline leaves them."""
    directory.mkdir(exist_ok=True)
    files = {"project_id": project_id, "access_key": key.access_key, "secret_key": key.secret_key, **more}
    for name, text in files.items():
        (directory / name).write_text(f"{text}\n")


def rows(premises: Premises, statement: str) -> list[dict[str, Any]]:
    """Past row-level security."""
    with psycopg.connect(premises.place.superuser, row_factory=dict_row) as conn:
        return conn.execute(statement.encode()).fetchall()


def credentials_in(premises: Premises) -> list[dict[str, Any]]:
    return rows(premises, "SELECT * FROM providers ORDER BY created_at")


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    return [message for message in found if message.startswith("seeding")]


@dataclass(slots=True, kw_only=True)
class SeedBench:
    """`bench.name` is the default organization, and its namespace. `opening` is what fills a credential."""

    bench: Bench
    opening: SeedOpening
    directory: Path

    def write(self, key: TestKey, *, project_id: str = "", **more: str) -> None:
        write_seed(self.directory, key=key, project_id=project_id or self.bench.project_id, **more)

    def take_files_away(self) -> None:
        for file in self.directory.iterdir():
            file.unlink()

    def new_key(self, **more: Any) -> TestKey:
        """One that Scaleway knows."""
        key = TestKey()
        self.bench.admit(key, **more)
        return key

    def put_organization(self, name: str = "", **spec: Any) -> None:
        """With the namespace of its name, which exists."""
        name = name or self.bench.name
        if self.bench.cluster.read(NAMESPACE, "", name) is None:
            self.bench.cluster.put(NAMESPACE, "", name)
        self.bench.put_organization(name, **{"namespaces": [name], "default": True, **spec})

    async def settle(self, name: str = "") -> Result:
        """What the queue does about the organization and its seeded credential, until all is said.

        The result is that of the last sweep, or of the organization where nothing is seeded.
        """
        name = name or self.bench.name
        result = await self.bench.settle_organization(name)
        row = await self.row(name)
        if row is not None:
            self.bench.queued.append(seeded_key(row.organization_id, row.id))
        for _ in range(10):
            due = list(dict.fromkeys(key for key in self.bench.queued if _is_of(key, name)))
            self.bench.queued[:] = [key for key in self.bench.queued if not _is_of(key, name)]
            if not due:
                return result
            for key in due:
                if isinstance(key, SweepKey):
                    result = await self.sweep(key)
                else:
                    await self.bench.settle_organization(name)
        raise AssertionError(f"it never comes to rest: {due} {self.status(name)}")

    async def sweep(self, key: SweepKey) -> Result:
        deadline_s = self.bench.clock.monotonic() + STEP_S
        organization_id, credential_id = (
            OrganizationId(UUID(key.organization)),
            CredentialId(UUID(key.credential)),
        )
        return await self.bench.seeded.sweep(organization_id, credential_id, deadline_s=deadline_s)

    async def seeded(self) -> TestKey:
        """The default organization, and its seeded credential Ready."""
        key = self.new_key()
        self.write(key)
        self.put_organization()
        await self.settle()
        assert self.said()[:2] == (True, "Ready"), self.said()
        return key

    async def pass_for(self, seconds: float) -> None:
        end_s = self.bench.clock.monotonic() + seconds
        while self.bench.clock.monotonic() < end_s:
            result = await self.settle()
            left_s = end_s - self.bench.clock.monotonic()
            await self.bench.clock.sleep(max(0.0, min(result.requeue_after_s or left_s, left_s)))

    def status(self, name: str = "") -> dict[str, Any]:
        body = self.bench.cluster.read(ORGANIZATION, "", name or self.bench.name) or {}
        found: dict[str, Any] = (body.get("status") or {}).get("seededCredential") or {}
        return found

    def said(self, name: str = "") -> tuple[bool | None, str, str]:
        status = self.status(name)
        return status.get("ready"), status.get("reason", ""), status.get("message", "")

    async def row(self, name: str = "") -> CredentialRow | None:
        """The open one."""
        async with self.bench.services.db.platform() as conn:
            organization = await organizations.find(conn, name or self.bench.name)
        if organization is None:
            return None
        async with self.bench.services.db.reading(organization.id) as conn:
            return await seeded.find(conn, organization.id)

    def is_gone(self, name: str = "") -> bool:
        return self.bench.cluster.read(ORGANIZATION, "", name or self.bench.name) is None


def _is_of(key: object, name: str) -> bool:
    return isinstance(key, SweepKey) or key == Key(ORGANIZATION.kind, "", name)


@pytest.fixture
def premises(new_premises: PremisesFactory) -> Premises:
    return new_premises()


@pytest.fixture
async def at(premises: Premises, tmp_path: Path) -> AsyncIterator[SeedBench]:
    directory = tmp_path / "seed"
    async with bench_on(premises, seed_dir=directory) as bench:
        yield SeedBench(bench=bench, opening=bench.opening, directory=directory)
