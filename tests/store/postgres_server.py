"""A private PostgreSQL for the tests of the store, apart from the stack: it is cut off and restarted here."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from local_stack import postgres
from local_stack.ports import LOOPBACK, free_port

SUPERUSER_PASSWORD = "superuser-of-the-tests"
OWNER = "inventiv_owner"
OWNER_PASSWORD = "owner/of the@tests?#%"
OPERATOR_ROLE = "inventiv_operator"
OPERATOR = "operator_login"
OPERATOR_PASSWORD = "operator/of the@tests?#%"


@dataclass(kw_only=True)
class PostgresServer:
    """One server process; databases and roles are the callers' business."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        owner = postgres.account()
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                postgres.argv(self.home, port=self.port),
                cwd=self.home,
                env={"HOME": str(self.home), "PATH": os.environ.get("PATH", os.defpath)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=owner.uid,
                group=owner.gid,
                extra_groups=None if owner.uid is None else [],
            )
        deadline_s = time.monotonic() + 30
        while not postgres.answers(self.url("postgres", "postgres", SUPERUSER_PASSWORD)):
            assert self.process.poll() is None, (self.home / "log").read_text()
            assert time.monotonic() < deadline_s, "PostgreSQL does not answer"
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast shutdown; SIGQUIT: as after a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=30)
            self.process = None

    def url(self, database: str, user: str, password: str, *, port: int | None = None) -> str:
        return make_conninfo(
            host=LOOPBACK, port=port or self.port, dbname=database, user=user, password=password
        )

    def superuser(self, database: str = "postgres") -> str:
        return self.url(database, "postgres", SUPERUSER_PASSWORD)

    def run(self, statement: sql.Composed | str, database: str = "postgres") -> None:
        with psycopg.connect(self.superuser(database), autocommit=True) as conn:
            conn.execute(statement.encode() if isinstance(statement, str) else statement)


@dataclass(frozen=True, kw_only=True)
class Place:
    """One database and the ways into it; the passwords are of the kind that has to be quoted in a URL."""

    server: PostgresServer
    name: str

    @property
    def owner(self) -> SecretStr:
        return SecretStr(self.server.url(self.name, OWNER, OWNER_PASSWORD))

    @property
    def operator(self) -> SecretStr:
        return SecretStr(self.server.url(self.name, OPERATOR, OPERATOR_PASSWORD))

    @property
    def superuser(self) -> str:
        return self.server.superuser(self.name)

    def operator_by(self, port: int) -> SecretStr:
        """The operator's way through a proxy."""
        return SecretStr(self.server.url(self.name, OPERATOR, OPERATOR_PASSWORD, port=port))


def make_logins(server: PostgresServer) -> None:
    for name, password, rights in (
        (OWNER, OWNER_PASSWORD, "CREATEROLE"),
        (OPERATOR, OPERATOR_PASSWORD, ""),
    ):
        statement = sql.SQL("CREATE ROLE {} LOGIN {} PASSWORD {}")
        server.run(statement.format(sql.Identifier(name), sql.SQL(rights), sql.Literal(password)))


def empty_database(server: PostgresServer, name: str, *, template: str | None = None) -> Place:
    statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
    server.run(
        statement.format(sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(template or "template1"))
    )
    return Place(server=server, name=name)


@contextlib.contextmanager
def running_server(directory: Path) -> Iterator[PostgresServer]:
    home = postgres.make_home(directory)
    try:
        postgres.initialize(home, password=SUPERUSER_PASSWORD)
        server = PostgresServer(home=home, port=free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)
