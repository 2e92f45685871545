"""The commands as real processes: what cannot work ends in one clear line and exit code 1."""

import os
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from local_stack.parts import operator_environment
from local_stack.processes import plain_environment
from local_stack.python_commands import python_command
from local_stack.stack import Stack
from stack_fixtures import Database

pytestmark = pytest.mark.stack

WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """Runs commands with everything set right, but for what a test changes."""

    environment: dict[str, str]
    folder: Path
    stack: Stack
    database: Database
    changes: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*python_command("inventiv-operator"), *arguments],
            env=self.environment | self.changes | changes,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )

    def one_line(self, *arguments: str, **changes: str) -> str:
        """The one line of a command that cannot work."""
        done = self.run(*arguments, **changes)
        assert done.returncode == 1, done
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("inventiv-operator: "), done.stderr
        assert done.stdout == ""
        return lines[0]


@pytest.fixture
def shell(installed_stack: Stack, database: Database, tmp_path: Path) -> Shell:
    site = installed_stack.site
    keyring = tmp_path / "keyring.json"
    environment = plain_environment(
        os.environ,
        **operator_environment(
            site,
            database_url=database.operator_url,
            scaleway_url="http://127.0.0.1:1",
            kubeconfig=site.operator_kubeconfig,
        ),
    )
    environment |= {
        "INVENTIV_KEYRING_FILE": str(keyring),
        "INVENTIV_HTTP_PORT": "0",
        "INVENTIV_MIGRATION_DATABASE_URL": database.owner_url,
    }
    shell = Shell(environment=environment, folder=tmp_path, stack=installed_stack, database=database)
    assert shell.run("keyring", "new").returncode == 0
    return shell


def elsewhere(url: str, *, database: str) -> str:
    return url.rsplit("/", 1)[0] + f"/{database}"


Change = Callable[[Shell], dict[str, str]]


def _unmigrated(shell: Shell) -> dict[str, str]:
    name = f"{shell.database.name}_empty"
    shell.stack.database.make_database(name)
    return {"INVENTIV_DATABASE_URL": shell.stack.database.operator_url(name)}


def _rubbish_keyring(shell: Shell) -> dict[str, str]:
    path = shell.folder / "rubbish"
    path.write_text("hunter2")
    return {"INVENTIV_KEYRING_FILE": str(path)}


def _of_another_cluster(shell: Shell) -> dict[str, str]:
    with psycopg.connect(shell.database.superuser_url) as conn:
        conn.execute(
            "INSERT INTO installation (installation_id, cluster_uid) VALUES (gen_random_uuid(), 'other')"
        )
    return {}


BAD_STARTS: list[tuple[str, Change, str]] = [
    ("malformed-url", lambda _: {"INVENTIV_DATABASE_URL": "postgresql://[x/y"}, "INVENTIV_DATABASE_URL"),
    ("no-url", lambda _: {"INVENTIV_DATABASE_URL": ""}, "INVENTIV_DATABASE_URL is required"),
    (
        "unknown-database",
        lambda shell: {"INVENTIV_DATABASE_URL": elsewhere(shell.database.operator_url, database="nowhere")},
        "has no database 'nowhere'",
    ),
    (
        "refused-login",
        lambda shell: {"INVENTIV_DATABASE_URL": shell.database.operator_url.replace("@", "x@", 1)},
        "refused the login",
    ),
    ("not-migrated", _unmigrated, "run `inventiv-operator migrate`"),
    (
        "missing-keyring",
        lambda _: {"INVENTIV_KEYRING_FILE": "/nowhere/keyring"},
        "/nowhere/keyring cannot be read",
    ),
    ("rubbish-keyring", _rubbish_keyring, "is no JSON document"),
    (
        "bypasses-row-security",
        lambda shell: {"INVENTIV_DATABASE_URL": shell.database.superuser_url},
        "row-level security",
    ),
    ("owns-the-tables", lambda shell: {"INVENTIV_DATABASE_URL": shell.database.owner_url}, "own"),
    ("other-cluster", _of_another_cluster, "belongs to the cluster with kube-system uid other"),
    ("no-kubeconfig", lambda _: {"KUBECONFIG": "/nowhere/config"}, "/nowhere/config"),
    (
        "short-settling",
        lambda _: {"INVENTIV_SCALEWAY_API_URL": "https://api.scaleway.com"},
        "INVENTIV_SETTLE_S",
    ),
]


@pytest.mark.parametrize(
    ("change", "says"), [pytest.param(change, says, id=name) for name, change, says in BAD_STARTS]
)
def test_a_bad_start_is_one_line_and_exit_code_1(shell: Shell, change: Change, says: str) -> None:
    line = shell.one_line("run", **change(shell))
    assert says in line
    for url in (shell.database.operator_url, shell.database.owner_url):
        assert url.split(":")[2].split("@")[0] not in line  # no password
    assert "hunter2" not in line


def test_a_taken_port_is_one_line(shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        assert "INVENTIV_HTTP_PORT" in shell.one_line("run", INVENTIV_HTTP_PORT=str(taken.getsockname()[1]))


def test_the_environment_of_others_changes_nothing(shell: Shell) -> None:
    """T3: an installation with SCW_* and PG* in its environment behaves as one without."""
    done = shell.run(
        "bind", SCW_SECRET_KEY="x", PGHOST="nowhere.invalid", PGPASSWORD="x", HTTPS_PROXY="http://127.0.0.1:1"
    )
    assert done.returncode == 0, done.stderr


def test_migrate_is_repeatable_and_checks(shell: Shell) -> None:
    empty = _unmigrated(shell)["INVENTIV_DATABASE_URL"].rsplit("/", 1)[1]
    url = shell.stack.database.owner_url(empty)
    assert "migrate" in shell.one_line("migrate", "--check", INVENTIV_MIGRATION_DATABASE_URL=url)
    first = shell.run("migrate", INVENTIV_MIGRATION_DATABASE_URL=url)
    assert (first.returncode, first.stdout.startswith("applied 0001")) == (0, True), first
    assert (
        shell.run("migrate", INVENTIV_MIGRATION_DATABASE_URL=url).stdout
        == "the database schema is up to date\n"
    )
    assert shell.run("migrate", "--check", INVENTIV_MIGRATION_DATABASE_URL=url).returncode == 0
    assert "INVENTIV_MIGRATION_DATABASE_URL" in shell.one_line("migrate", INVENTIV_MIGRATION_DATABASE_URL="")


def test_bind_does_it_by_itself_on_an_empty_database_and_asks_otherwise(shell: Shell) -> None:
    first = shell.run("bind")
    assert (first.returncode, "is bound to" in first.stdout) == (0, True), first
    assert "was bound already" in shell.run("bind").stdout
    with psycopg.connect(shell.database.superuser_url) as conn:
        conn.execute("UPDATE installation SET cluster_uid = 'other'")
    assert "nothing was changed" in shell.one_line("bind")
    assert "nothing was changed" not in shell.run("bind", "--yes").stdout
    assert "was bound already" in shell.run("bind").stdout


def test_L9_bind_renews_the_uids_of_claimed_namespaces(shell: Shell) -> None:
    shell.stack.kubectl("create", "namespace", "moved")
    with psycopg.connect(shell.database.superuser_url) as conn:
        conn.execute(
            "INSERT INTO installation (installation_id, cluster_uid) VALUES (gen_random_uuid(), 'other')"
        )
        conn.execute(
            "WITH o AS (INSERT INTO organizations (id, name, uid) VALUES (gen_random_uuid(), 'acme', 'u')"
            " RETURNING id) INSERT INTO namespace_claims (organization_id, namespace, namespace_uid)"
            " SELECT id, 'moved', 'uid-of-the-old-cluster' FROM o"
        )
    assert "namespaces with a new uid: 1" in shell.run("bind", "--yes").stdout
    uid = shell.stack.kubectl("get", "namespace", "moved", "-o", "jsonpath={.metadata.uid}").stdout
    with psycopg.connect(shell.database.superuser_url) as conn:
        held = conn.execute("SELECT namespace_uid FROM namespace_claims WHERE released_at IS NULL").fetchall()
    assert held == [(uid,)]


def test_a_keyring_is_made_once_and_never_overwritten(shell: Shell) -> None:
    path = shell.folder / "another"
    done = shell.run("keyring", "new", INVENTIV_KEYRING_FILE=str(path))
    assert (done.returncode, path.stat().st_mode & 0o777) == (0, 0o600)
    content = path.read_text()
    assert "never overwritten" in shell.one_line("keyring", "new", INVENTIV_KEYRING_FILE=str(path))
    assert path.read_text() == content
