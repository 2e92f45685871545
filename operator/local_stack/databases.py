"""Logins and databases on a server, ours or a given one.

The operator logs in as a member of the role that `migrate` grants to; the owner of the tables is another.
Both names carry the stack's id, so that two stacks may share one given server.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import LiteralString
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from local_stack.errors import LocalStackError
from local_stack.state import Secrets

OPERATOR_ROLE = "inventiv_operator"
_CONNECT_WITHIN_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A PostgreSQL server and who we are on it."""

    admin_url: str = field(repr=False)
    stack_id: str
    secrets: Secrets = field(repr=False)

    @property
    def owner(self) -> str:
        return f"inventiv_owner_{self.stack_id}"

    @property
    def operator(self) -> str:
        return f"inventiv_login_{self.stack_id}"

    @property
    def database(self) -> str:
        """The one that `up` prepares."""
        return f"inventiv_{self.stack_id}"

    @property
    def template(self) -> str:
        """Migrated and otherwise empty, to be copied; nobody connects to it."""
        return f"inventiv_template_{self.stack_id}"

    def owner_url(self, database: str = "") -> str:
        return self._url(database or self.database, self.owner, self.secrets.owner_password)

    def operator_url(self, database: str = "") -> str:
        return self._url(database or self.database, self.operator, self.secrets.operator_password)

    def superuser_url(self, database: str = "") -> str:
        given = conninfo_to_dict(self.admin_url)
        return self._url(
            database or self.database, str(given.get("user", "")), str(given.get("password") or "")
        )

    def make_logins(self) -> None:
        """The role, the owner and the operator's login; changes nothing where they exist."""
        with self._administration() as connection:
            self._make_role(connection, OPERATOR_ROLE, sql.SQL("NOLOGIN"))
            for login, password in (
                (self.owner, self.secrets.owner_password),
                (self.operator, self.secrets.operator_password),
            ):
                options = sql.SQL("LOGIN PASSWORD {}").format(sql.Literal(password))
                self._make_role(connection, login, options)
            connection.execute(
                sql.SQL("GRANT {} TO {}").format(sql.Identifier(OPERATOR_ROLE), sql.Identifier(self.operator))
            )
            # A creator that is no superuser has to be a member of the owner to give it a database.
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(self.owner)))

    def make_database(self, name: str, *, template: str = "template1") -> None:
        """Nothing happens when it exists; the template must not be in use."""
        with self._administration() as connection:
            if _exists(connection, "SELECT FROM pg_database WHERE datname = %s", name):
                return
            statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(self.owner), sql.Identifier(template)
            )
            connection.execute(statement)

    def drop_database(self, name: str) -> None:
        """Whoever is connected to it is disconnected."""
        with self._administration() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def forget(self) -> None:
        """Take away what this stack made on a server that goes on; the shared role stays."""
        self.drop_database(self.database)
        self.drop_database(self.template)
        with self._administration() as connection:
            for login in (self.operator, self.owner):
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(login)))

    def _administration(self) -> psycopg.Connection[tuple[object, ...]]:
        try:
            return psycopg.connect(self.admin_url, autocommit=True, connect_timeout=_CONNECT_WITHIN_S)
        except psycopg.Error as error:
            raise LocalStackError(f"the database does not let us in: {_first_line(error)}") from None

    def _make_role(
        self, connection: psycopg.Connection[tuple[object, ...]], name: str, options: sql.Composable
    ) -> None:
        if not _exists(connection, "SELECT FROM pg_roles WHERE rolname = %s", name):
            connection.execute(sql.SQL("CREATE ROLE {} ").format(sql.Identifier(name)) + options)

    def _url(self, database: str, user: str, password: str) -> str:
        return make_url(conninfo_to_dict(self.admin_url), database=database, user=user, password=password)


def make_url(given: Mapping[str, object], *, database: str, user: str, password: str) -> str:
    """A URL, whatever form the given connection string had: the migration tool reads no other."""
    rest = {
        name: str(value)
        for name, value in given.items()
        if value is not None and name not in {"host", "port", "user", "password", "dbname"}
    }
    host, port = str(given.get("host") or "localhost"), str(given.get("port") or 5432)
    if host.startswith("/"):  # the folder of a unix socket
        rest["host"], host = host, ""
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    query = f"?{urlencode(rest, quote_via=quote)}" if rest else ""
    return f"postgresql://{login}@{host}:{port}/{quote(database, safe='')}{query}"


def _exists(connection: psycopg.Connection[tuple[object, ...]], statement: LiteralString, name: str) -> bool:
    return connection.execute(statement, [name]).fetchone() is not None


def _first_line(error: psycopg.Error) -> str:
    """What libpq says names host, port, user and reason, never the password."""
    return str(error).strip().splitlines()[0]
