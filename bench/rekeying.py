"""Rotating the keyring of an installation with many organizations, while the operator's reads go on."""

import asyncio
import os
import random
import secrets
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
from pydantic import SecretStr

from bench.tenant import BenchError
from inventiv_operator.domain.ids import CredentialId, OrganizationId
from inventiv_operator.store import envelope, settings
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import StoreError
from inventiv_operator.store.keyring import Keyring, KeyringFile, new_keyring_file
from inventiv_operator.store.keyring_edit import add_key, promote_key
from local_stack.processes import plain_environment
from local_stack.python_commands import python_command
from local_stack.stack import Stack

ORGANIZATIONS = 10_000
CREDENTIALS_EACH = 2
AIM_S = 60.0
_WITHIN_S = 600.0
_READ_EVERY_S = 0.02
_ALONE_S = 5.0
_COLUMNS = (
    ("keyring", 34),
    ("seconds", 8),
    ("organizations/s", 16),
    ("reads", 8),
    ("median ms", 10),
    ("p99 ms", 8),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One step, and how long each read took that went on meanwhile. `organizations` 0: only reads."""

    name: str
    seconds: float
    organizations: int
    reads_ms: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    organization_id: OrganizationId
    credential_id: CredentialId
    secret: str = field(repr=False)


def run(stack: Stack, *, organizations: int = ORGANIZATIONS) -> list[Row]:
    """Raises BenchError when a step failed, or a single read did."""
    name = f"bench_{secrets.token_hex(4)}"
    stack.new_database(name)
    folder = Path(tempfile.mkdtemp(prefix="inventiv-bench-keyring-"))
    try:
        print(f"keyring: {organizations} organizations ...", flush=True)
        keyring_file = folder / "keyring"
        stored = _fill(stack.database.superuser_url(name), new_keyring_file(keyring_file), organizations)
        rotation = _Rotation(stack.database.operator_url(name), keyring_file, stored)
        return asyncio.run(rotation.run(organizations))
    except StoreError as error:
        raise BenchError(f"keyring: {error}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        stack.database.drop_database(name)


def render(rows: Sequence[Row]) -> str:
    """One line a step, and the aim below."""
    total_s = sum(row.seconds for row in rows if row.organizations)
    last = ("both", f"{total_s:.1f}", f"aim: {AIM_S:.0f} s", "", "", "")
    lines = [
        " ".join(cell.rjust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True))
        for cells in ([name for name, _ in _COLUMNS], *map(_cells, rows), last)
    ]
    note = (
        f"Each organization has {CREDENTIALS_EACH} credentials. The secret of a random one is read and"
        f" decrypted every {_READ_EVERY_S * 1000:.0f} ms, as the operator does it."
    )
    return "\n".join(["", *lines, "", note])


def _cells(row: Row) -> tuple[str, ...]:
    ordered = sorted(row.reads_ms)
    return (
        row.name,
        f"{row.seconds:.1f}",
        f"{row.organizations / row.seconds:.0f}" if row.organizations else "",
        str(len(ordered)),
        f"{ordered[len(ordered) // 2]:.1f}" if ordered else "",
        f"{ordered[len(ordered) * 99 // 100]:.1f}" if ordered else "",
    )


class _Rotation:
    def __init__(self, url: str, keyring_file: Path, stored: Sequence[_Stored]) -> None:
        self._url = url
        self._keyring_file = keyring_file
        self._stored = stored

    async def run(self, organizations: int) -> list[Row]:
        secrets_there_are = len(self._stored)
        async with Database(SecretStr(self._url)) as database:
            alone = partial(asyncio.sleep, _ALONE_S)
            rows = [await self._measure(database, "reads alone", 0, alone)]
            promote_key(self._keyring_file, add_key(self._keyring_file))
            for name, flags in (
                (f"re-wrap {organizations} data keys", ()),
                (f"re-encrypt {secrets_there_are} secrets", ("--values",)),
            ):
                print(f"{name} ...", flush=True)
                command = partial(self._command, "reencrypt", *flags)
                step = await self._measure(database, name, organizations, command)
                rows.append(step)
            await self._command("remove", "k1")
            return rows

    async def _measure(
        self, database: Database, name: str, organizations: int, step: Callable[[], Awaitable[None]]
    ) -> Row:
        reads_ms: list[float] = []
        reading = asyncio.create_task(self._read_on(database, reads_ms))
        began_s = time.monotonic()
        try:
            await step()
            seconds = time.monotonic() - began_s
            if reading.done():
                await reading  # it has something to say
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        return Row(name=name, seconds=seconds, organizations=organizations, reads_ms=reads_ms)

    async def _read_on(self, database: Database, reads_ms: list[float]) -> None:
        file = KeyringFile(self._keyring_file)
        while True:
            one = random.choice(self._stored)  # noqa: S311  -- no secret is made of it
            began_s = time.perf_counter()
            async with database.reading(one.organization_id) as conn:
                found = await settings.read_secrets(conn, one.credential_id, keyring=file.current())
            reads_ms.append((time.perf_counter() - began_s) * 1000.0)
            if found.secret_key.get_secret_value() != one.secret:
                raise BenchError("keyring: a secret was read that is not the one that was stored")
            await asyncio.sleep(_READ_EVERY_S)

    async def _command(self, *arguments: str) -> None:
        """As a person runs it."""
        process = await asyncio.create_subprocess_exec(
            *python_command("inventiv-operator"),
            "keyring",
            *arguments,
            env=plain_environment(
                os.environ, INVENTIV_DATABASE_URL=self._url, INVENTIV_KEYRING_FILE=str(self._keyring_file)
            ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), _WITHIN_S)
        except TimeoutError:
            process.kill()
            raise BenchError(f"keyring {' '.join(arguments)} did not end in {_WITHIN_S:.0f} s") from None
        if process.returncode != 0:
            raise BenchError(f"keyring {' '.join(arguments)}: {said.decode().strip().splitlines()[-1]}")


def _fill(superuser_url: str, keyring: Keyring, organizations: int) -> list[_Stored]:
    """As if as many tenants had been validated; by COPY, past row-level security."""
    stored: list[_Stored] = []
    tables: dict[LiteralString, list[tuple[Any, ...]]] = {statement: [] for statement in _TABLES}
    for _ in range(organizations):
        organization_id, data_key = OrganizationId(uuid4()), envelope.new_key()
        wrapped = envelope.wrap_data_key(
            data_key, by=keyring.primary, organization_id=organization_id, key_id=keyring.primary_id
        )
        tables[_ORGANIZATIONS].append((organization_id, f"tenant-{organization_id}", "u"))
        tables[_KEYS].append((organization_id, 1, keyring.primary_id, wrapped))
        for _ in range(CREDENTIALS_EACH):
            one = _Stored(
                organization_id=organization_id, credential_id=CredentialId(uuid4()), secret=str(uuid4())
            )
            stored.append(one)
            project_id = str(uuid4())
            namespace = f"n-{one.credential_id}"
            tables[_PROVIDERS].append(
                (one.credential_id, organization_id, namespace, "scaleway", "u", project_id, True, "k1")
            )
            tables[_SETTINGS].extend(_settings(one, project_id, data_key))
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        for statement in _TABLES:
            _copy(conn, statement, tables[statement])
        conn.execute("ANALYZE")
    return stored


_ORGANIZATIONS: LiteralString = "COPY organizations (id, name, uid) FROM STDIN"
_PROVIDERS: LiteralString = (
    "COPY providers (id, organization_id, namespace, name, uid, project_id, is_default, encryption_key_id)"
    " FROM STDIN"
)
_KEYS: LiteralString = "COPY organization_keys (organization_id, version, key_id, wrapped_key) FROM STDIN"
_SETTINGS: LiteralString = (
    "COPY provider_settings (organization_id, provider_id, key, value_text, value_ciphertext, key_version)"
    " FROM STDIN"
)
_TABLES = (_ORGANIZATIONS, _PROVIDERS, _KEYS, _SETTINGS)


def _settings(one: _Stored, project_id: str, data_key: bytes) -> Iterator[tuple[Any, ...]]:
    owner: tuple[UUID, UUID] = (one.organization_id, one.credential_id)
    yield *owner, settings.PROJECT_ID, project_id, None, None
    yield *owner, settings.ORGANIZATION_REF, project_id, None, None
    yield *owner, settings.ACCESS_KEY, "SCW" + "A" * 17, None, None
    sealed = envelope.seal_value(
        one.secret,
        by=data_key,
        organization_id=one.organization_id,
        provider_id=one.credential_id,
        key=settings.SECRET_KEY,
        version=1,
    )
    yield *owner, settings.SECRET_KEY, None, sealed, 1


def _copy(conn: psycopg.Connection[Any], statement: LiteralString, rows: Iterable[tuple[Any, ...]]) -> None:
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
