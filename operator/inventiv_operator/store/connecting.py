"""One connection outside the pool, for start-up and for `migrate`: tells "not there" from "wrong".

libpq gives no SQLSTATE when a connection cannot be made, only a text, so the text is read: here and nowhere
else. What is not recognised (a server that speaks another language, a proxy's own words) counts as "not
there".
"""

import re
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from inventiv_operator.store.errors import (
    CannotStart,
    DatabaseMisconfigured,
    DatabaseUnavailable,
    StoreError,
)

CONNECT_TIMEOUT_S: Final = 5

_REFUSED_LOGIN = re.compile(
    r"password authentication failed"
    r"|no password supplied|password is empty|fe_sendauth"
    r"|role \".*\" does not exist"
    r"|(Peer|Ident|GSSAPI|LDAP|PAM|RADIUS|certificate|Bearer) authentication failed"
    r"|no pg_hba.conf entry|pg_hba.conf rejects"
    r"|is not permitted to log in"
)
_UNKNOWN_DATABASE = re.compile(r"database \".*\" does not exist")
_FORBIDDEN_DATABASE = re.compile(r"permission denied for database")
_UNACCEPTABLE = re.compile(r"invalid \S+ value|invalid integer value|invalid port number")
_TLS = re.compile(r"server does not support SSL|certificate verify failed|root certificate file")

PARAMETERS: Final[dict[str, Any]] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "application_name": "inventiv-operator",
    # A silent network is noticed within half a minute, also in the middle of a statement.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def parameters_of(url: SecretStr) -> dict[str, Any]:
    """The parts of a connection string, with our own where it is silent.

    Raises:
        DatabaseMisconfigured: malformed; the text quotes nothing.
    """
    try:
        given = conninfo_to_dict(url.get_secret_value())
    except (psycopg.Error, UnicodeError):
        raise DatabaseMisconfigured(
            "the database URL is malformed; expected for example postgresql://user:password@host:5432/database"
        ) from None
    return {**PARAMETERS, **{name: value for name, value in given.items() if value is not None}}


async def connect(url: SecretStr) -> AsyncConnection[tuple[Any, ...]]:
    """A connection in autocommit.

    Raises:
        DatabaseMisconfigured, DatabaseUnavailable
    """
    parameters = parameters_of(url)
    try:
        return await AsyncConnection.connect(**parameters, autocommit=True)
    except psycopg.Error as error:
        raise classify(error, parameters) from None


def connect_blocking(url: SecretStr) -> Connection[tuple[Any, ...]]:
    """The same for commands that have no event loop."""
    parameters = parameters_of(url)
    try:
        return Connection.connect(**parameters, autocommit=True)
    except psycopg.Error as error:
        raise classify(error, parameters) from None


def classify(error: psycopg.Error, parameters: dict[str, Any]) -> StoreError:
    """What a failed attempt to connect means."""
    text = str(error)
    where = _where(parameters)
    misconfigured: CannotStart | None = None
    if _UNKNOWN_DATABASE.search(text):
        misconfigured = DatabaseMisconfigured(
            f"PostgreSQL at {where} has no database {_shown(parameters, 'dbname')}"
        )
    elif _REFUSED_LOGIN.search(text):
        misconfigured = DatabaseMisconfigured(
            f"PostgreSQL at {where} refused the login of user {_shown(parameters, 'user')};"
            " check user, password and pg_hba.conf"
        )
    elif _FORBIDDEN_DATABASE.search(text):
        misconfigured = DatabaseMisconfigured(
            f"PostgreSQL at {where} does not let user {_shown(parameters, 'user')} into database"
            f" {_shown(parameters, 'dbname')}"
        )
    elif _TLS.search(text):
        misconfigured = DatabaseMisconfigured(
            f"PostgreSQL at {where} cannot be reached by TLS as sslmode and sslrootcert ask for"
        )
    elif isinstance(error, psycopg.ProgrammingError) or _UNACCEPTABLE.search(text):
        misconfigured = DatabaseMisconfigured("the database URL holds a value that libpq does not accept")
    return misconfigured or DatabaseUnavailable(f"PostgreSQL at {where} cannot be reached")


def _where(parameters: dict[str, Any]) -> str:
    host = parameters.get("host") or parameters.get("hostaddr") or "the local socket"
    port = parameters.get("port") or 5432
    return f"{host}:{port}"


def _shown(parameters: dict[str, Any], name: str) -> str:
    return repr(str(parameters.get(name) or "(default)"))
