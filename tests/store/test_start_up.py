"""The proof at start-up: right database, schema, role and cluster; and "wrong" told from "away"."""

import socket
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from inventiv_operator.store import connecting, installation
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import (
    BypassesRowSecurity,
    CannotStart,
    DatabaseMisconfigured,
    DatabaseUnavailable,
    OtherCluster,
    SchemaMismatch,
)
from store.conftest import is_alone
from store.postgres_server import (
    OPERATOR,
    OPERATOR_PASSWORD,
    OPERATOR_ROLE,
    OWNER,
    OWNER_PASSWORD,
    SUPERUSER_PASSWORD,
    Place,
    PostgresServer,
    empty_database,
)


async def check(url: str) -> None:
    async with Database(SecretStr(url)) as database:
        await database.check()


async def refused(url: str, kind: type[CannotStart], match: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        await check(url)
    said = str(caught.value)
    assert "\n" not in said
    for secret in (OPERATOR_PASSWORD, OWNER_PASSWORD, SUPERUSER_PASSWORD):
        assert secret not in said


async def test_the_operators_own_login_passes(place: Place) -> None:
    await check(place.operator.get_secret_value())


async def test_a_superuser_is_refused(place: Place) -> None:
    await refused(place.superuser, BypassesRowSecurity, "'postgres', which bypasses row-level security")


async def test_the_owner_is_refused(place: Place) -> None:
    await refused(place.owner.get_secret_value(), BypassesRowSecurity, "owns table")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        pytest.param("ALTER ROLE {role} BYPASSRLS", "bypasses", id="bypassrls"),
        pytest.param("ALTER ROLE {role} SUPERUSER", "bypasses", id="superuser"),
        pytest.param("GRANT postgres TO {role}", "can become, 'postgres'", id="member-of-superuser"),
        pytest.param(f"GRANT {OWNER} TO {{role}}", "owns table", id="member-of-owner"),
    ],
)
async def test_T2_a_role_that_row_level_security_does_not_bind_is_refused(
    place: Place, make: str, complaint: str
) -> None:
    role = f"role_{uuid4().hex[:8]}"
    place.server.run(f"CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT {OPERATOR_ROLE} TO {role}")
    place.server.run(make.format(role=role))
    await refused(place.server.url(place.name, role, "p"), BypassesRowSecurity, complaint)


async def test_a_login_outside_of_the_role_is_told_what_to_do(place: Place) -> None:
    role = f"role_{uuid4().hex[:8]}"
    place.server.run(f"CREATE ROLE {role} LOGIN PASSWORD 'p'")
    await refused(place.server.url(place.name, role, "p"), SchemaMismatch, "INVENTIV_OPERATOR_ROLE")


async def test_a_schema_that_was_not_migrated_is_refused(server: PostgresServer) -> None:
    place = empty_database(server, f"bare_{uuid4().hex[:8]}")
    await refused(place.operator.get_secret_value(), SchemaMismatch, "run `inventiv-operator migrate`")


async def test_an_unknown_database_is_wrong(server: PostgresServer) -> None:
    url = server.url("nowhere", OPERATOR, OPERATOR_PASSWORD)
    await refused(url, DatabaseMisconfigured, "has no database 'nowhere'")


@pytest.mark.parametrize(
    ("user", "password"),
    [
        pytest.param(OPERATOR, "wrong", id="password"),
        pytest.param(OPERATOR, "", id="no-password"),
        pytest.param("stranger", "p", id="user"),
        pytest.param(OPERATOR_ROLE, "p", id="no-login"),
    ],
)
async def test_a_refused_login_is_wrong(place: Place, user: str, password: str) -> None:
    await refused(
        place.server.url(place.name, user, password),
        DatabaseMisconfigured,
        f"refused the login of user '{user}'",
    )


async def test_a_database_that_lets_nobody_in_is_wrong(own_place: Place) -> None:
    own_place.server.run(f"REVOKE CONNECT ON DATABASE {own_place.name} FROM PUBLIC")
    await refused(own_place.operator.get_secret_value(), DatabaseMisconfigured, "does not let user")


async def test_a_server_without_the_tls_that_is_asked_for_is_wrong(place: Place) -> None:
    url = f"{place.operator.get_secret_value()} sslmode=require"
    await refused(url, DatabaseMisconfigured, "TLS")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://u:pa%zzss@h/x", id="percent"),
        pytest.param("postgresql://u:pass@h:x y/x", id="port"),
        pytest.param("password=pass nonsense", id="no-pair"),
        pytest.param("keyword=pass", id="unknown-keyword"),
    ],
)
def test_a_malformed_url_is_wrong_and_not_quoted(url: str) -> None:
    with pytest.raises(DatabaseMisconfigured) as caught:
        Database(SecretStr(url))
    assert "pass@" not in str(caught.value).replace("password@", "")
    assert "zz" not in str(caught.value)
    assert is_alone(caught.value)


async def test_a_value_that_libpq_does_not_accept_is_wrong(place: Place) -> None:
    url = f"{place.operator.get_secret_value()} sslmode=nonsense"
    await refused(url, DatabaseMisconfigured, "does not accept|cannot be reached by TLS|malformed")


async def test_nobody_there_is_waited_for(place: Place) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        for where in (f"127.0.0.1 port={nobody.getsockname()[1]}", "host.invalid", "/nowhere"):
            with pytest.raises(DatabaseUnavailable):
                await check(f"host={where} user=u password=p dbname=x")


async def test_a_server_that_says_nothing_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(DatabaseUnavailable):
            await check(f"host=127.0.0.1 port={port} user=u password=p dbname=x connect_timeout=1")


@pytest.mark.parametrize(
    "text",
    [
        "FATAL:  the database system is starting up",
        "FATAL:  the database system is shutting down",
        "FATAL:  sorry, too many clients already",
        "FATAL:  remaining connection slots are reserved",
        "server closed the connection unexpectedly",
        "FATAL:  Passwort-Authentifizierung für Benutzer »u« fehlgeschlagen",
    ],
)
def test_what_is_not_recognised_is_waited_for(text: str) -> None:
    assert type(connecting.classify(psycopg.OperationalError(text), {})) is DatabaseUnavailable


# -- the cluster -------------------------------------------------------------------------------------------


async def test_L9_an_empty_database_is_bound_once_and_another_cluster_is_refused(own_place: Place) -> None:
    async with Database(own_place.operator) as db, db.platform() as conn:
        assert await installation.read(conn) is None
        bound = await installation.bind(conn, "cluster-a")
        assert await installation.bind(conn, "cluster-a") == bound == await installation.read(conn)
        with pytest.raises(OtherCluster, match="cluster-a, this one has cluster-b"):
            await installation.bind(conn, "cluster-b")
        moved = await installation.bind(conn, "cluster-b", move=True)
        assert (moved.id, moved.cluster_uid) == (bound.id, "cluster-b")  # the tags stay true
        with pytest.raises(OtherCluster):
            await installation.bind(conn, "cluster-a")


async def test_L9_of_two_clusters_that_bind_at_once_one_is_refused(own_place: Place) -> None:
    async with Database(own_place.operator) as db, db.platform() as one, db.platform() as two:
        await installation.bind(one, "cluster-a")
        with pytest.raises(OtherCluster):
            await installation.bind(two, "cluster-b")
