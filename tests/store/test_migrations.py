"""From an empty database to the schema that the code expects, by the real dbmate."""

import os
import subprocess
import threading
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from inventiv_operator.store import migrate as module
from inventiv_operator.store import schema
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import DatabaseMisconfigured, DatabaseUnavailable, SchemaMismatch
from inventiv_operator.store.migrate import MigrationFailed, check, migrate, migrations_folder
from store.postgres_server import (
    OPERATOR,
    OPERATOR_ROLE,
    OWNER,
    OWNER_PASSWORD,
    Place,
    PostgresServer,
    empty_database,
)


@pytest.fixture
def empty(server: PostgresServer) -> Place:
    return empty_database(server, f"empty_{uuid4().hex[:8]}")


def files() -> list[Path]:
    return sorted(migrations_folder().glob("*.sql"))


def test_the_code_expects_the_files_that_there_are() -> None:
    assert tuple(file.name.split("_")[0] for file in files()) == schema.VERSIONS


def test_no_file_offers_a_way_down() -> None:
    for file in files():
        down = file.read_text().split("-- migrate:down")[1]
        assert "RAISE EXCEPTION" in down


def test_an_empty_database_is_brought_to_the_head_once(empty: Place) -> None:
    with pytest.raises(SchemaMismatch, match=r"version none .* run `inventiv-operator migrate`"):
        check(empty.owner)
    assert migrate(empty.owner, operator_role=OPERATOR_ROLE).applied == schema.VERSIONS
    check(empty.owner)
    assert migrate(empty.owner, operator_role=OPERATOR_ROLE).applied == ()


def test_two_at_once_apply_everything_once(empty: Place) -> None:
    done: list[object] = []

    def run() -> None:
        try:
            done.append(migrate(empty.owner, operator_role=f"role_of_{empty.name}"))
        except Exception as error:  # noqa: BLE001 (looked at below)
            done.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [type(one).__name__ for one in done] == ["Migrated"] * 3, done
    check(empty.owner)


def test_a_database_half_way_is_taken_on(empty: Place, tmp_path: Path) -> None:
    for file in files()[:3]:
        (tmp_path / file.name).write_text(file.read_text())
    run_dbmate(empty, tmp_path)
    with pytest.raises(SchemaMismatch, match="version 0003"):
        check(empty.owner)
    assert migrate(empty.owner, operator_role=OPERATOR_ROLE).applied == schema.VERSIONS[3:]


def run_dbmate(place: Place, folder: Path) -> None:
    with psycopg.connect(place.owner.get_secret_value(), autocommit=True) as conn:
        url = module._dbmate_url(conn)
    subprocess.run(
        [module._dbmate(), "--no-dump-schema", "--migrations-dir", str(folder), "migrate"],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url},
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize("version", [f"{int(schema.VERSIONS[-1]) + 1:04}", "9999"])
async def test_a_schema_of_a_later_release_is_left_alone(own_place: Place, version: str) -> None:
    own_place.server.run(f"INSERT INTO schema_migrations VALUES ('{version}')", own_place.name)
    with pytest.raises(SchemaMismatch, match=f"version {version}, which this release does not know"):
        check(own_place.owner)
    with pytest.raises(SchemaMismatch, match=version):
        migrate(own_place.owner, operator_role=OPERATOR_ROLE)
    async with Database(own_place.operator) as db:
        with pytest.raises(SchemaMismatch, match=version):
            await db.check()


def test_the_role_is_made_when_missing_without_login(empty: Place) -> None:
    role = f"role_of_{empty.name}"
    migrate(empty.owner, operator_role=role)
    with psycopg.connect(empty.superuser) as conn:
        found = conn.execute(
            "SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = %s",
            (role,),
        ).fetchone()
    assert found == (False, False, False, False)


def test_rights_that_the_operator_should_not_have_are_taken_back(own_place: Place) -> None:
    own_place.server.run(f"GRANT ALL ON action_logs TO {OPERATOR_ROLE}", own_place.name)
    migrate(own_place.owner, operator_role=OPERATOR_ROLE)
    with psycopg.connect(own_place.superuser) as conn:
        found = conn.execute(
            "SELECT has_table_privilege(%(r)s, 'action_logs', 'DELETE'),"
            " has_any_column_privilege(%(r)s, 'action_logs', 'INSERT')",
            {"r": OPERATOR_ROLE},
        ).fetchone()
    assert found == (False, True)


def test_an_owner_without_createrole_needs_the_role_to_be_there(server: PostgresServer) -> None:
    name = f"plain_{uuid4().hex[:8]}"
    server.run(f"CREATE ROLE {name} LOGIN PASSWORD 'p'")
    server.run(f"CREATE DATABASE {name} OWNER {name}")
    url = SecretStr(server.url(name, name, "p"))
    migrate_error = pytest.raises(
        DatabaseMisconfigured, match="CREATEROLE while there is no role 'nobody_yet'"
    )
    with migrate_error:
        migrate(url, operator_role="nobody_yet")
    assert migrate(url, operator_role=OPERATOR_ROLE).applied == ()  # the files were applied the first time


def test_somebody_who_does_not_own_the_tables_is_told_so(own_place: Place) -> None:
    with pytest.raises(DatabaseMisconfigured, match="lacks a right"):
        migrate(own_place.operator, operator_role=OPERATOR_ROLE)


def test_a_migration_that_fails_is_one_line_without_the_password(
    empty: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "-- migrate:up\nSELECT nonsense;\n-- migrate:down\n"
    (tmp_path / "0001_broken.sql").write_text(broken)
    monkeypatch.setattr(module, "migrations_folder", lambda: tmp_path)
    with pytest.raises(MigrationFailed, match='column "nonsense" does not exist') as caught:
        migrate(empty.owner, operator_role=OPERATOR_ROLE)
    assert "\n" not in str(caught.value)
    assert OWNER_PASSWORD not in str(caught.value)


def test_the_password_is_neither_an_argument_nor_taken_from_elsewhere(
    empty: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a `.env` file, or a variable of the driver's, have a say."""
    (tmp_path / ".env").write_text("DATABASE_URL=postgres://nobody@127.0.0.1:1/nowhere\n")
    monkeypatch.chdir(tmp_path)
    for name, value in {"PGPASSWORD": "x", "PGUSER": "y", "DBMATE_MIGRATIONS_TABLE": "z"}.items():
        monkeypatch.setenv(name, value)
    real, seen = subprocess.run, list[list[str]]()

    def spying(arguments: list[str], **options: object) -> object:
        seen.append(arguments)
        return real(arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", spying)
    migrate(empty.owner, operator_role=OPERATOR_ROLE)
    assert len(seen) == 1
    assert not any("owner" in argument for argument in seen[0])


def test_dbmate_is_told_the_way_that_worked(empty: Place) -> None:
    """Its driver takes TLS for granted where libpq tries, and knows none of the forms but a URL."""
    with psycopg.connect(empty.owner.get_secret_value(), autocommit=True) as conn:
        url = module._dbmate_url(conn)
    owner = f"{OWNER}:owner%2Fof%20the%40tests%3F%23%25"
    assert url == f"postgres://{owner}@127.0.0.1:{empty.server.port}/{empty.name}?sslmode=disable"


@pytest.mark.parametrize(
    "url", ["postgresql://u:p@h:port/x", "host=", "::", "postgresql://u:%zz@h/x", "keyword=1", "a b c"]
)
def test_a_malformed_url_is_one_line_that_quotes_nothing(url: str) -> None:
    for run in (check, lambda given: migrate(given, operator_role=OPERATOR_ROLE)):
        with pytest.raises((DatabaseMisconfigured, DatabaseUnavailable)) as caught:
            run(SecretStr(url))
        assert "zz" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_wheel_carries_the_migrations() -> None:
    configuration = (migrations_folder().parent / "pyproject.toml").read_text()
    assert '"migrations" = "inventiv_operator/migrations"' in configuration


def test_an_installation_without_migrations_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "__file__", str(tmp_path / "a" / "b" / "store" / "migrate.py"))
    with pytest.raises(MigrationFailed, match="not part of this installation"):
        migrations_folder()


def test_the_operator_logs_in_as_a_member_of_the_role(own_place: Place) -> None:
    with psycopg.connect(own_place.superuser) as conn:
        found = conn.execute("SELECT pg_has_role(%s, %s, 'USAGE')", (OPERATOR, OPERATOR_ROLE)).fetchone()
    assert found == (True,)
    assert make_conninfo(own_place.operator.get_secret_value())
