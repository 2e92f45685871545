"""`inventiv-operator keyring ...` as real processes on a real PostgreSQL: a rotation, and a kill in its
middle.
"""

import base64
import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from inventiv_operator.store import envelope
from inventiv_operator.store.keyring import Keyring, read_keyring_file
from inventiv_operator.store.migrate import migrate
from local_stack.processes import plain_environment
from local_stack.python_commands import python_command
from store.postgres_server import (
    OPERATOR,
    OPERATOR_PASSWORD,
    OPERATOR_ROLE,
    Place,
    PostgresServer,
    empty_database,
    make_logins,
    running_server,
)

WITHIN_S = 60.0
MANY = 800
_MAKE = """
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%s) AS t (organization uuid, provider uuid, wrapped text, sealed text)
), o AS (
    INSERT INTO organizations (id, name, uid) SELECT organization, organization::text, 'u' FROM given
    RETURNING id
), p AS (
    INSERT INTO providers
        (id, organization_id, namespace, name, uid, project_id, is_default, encryption_key_id)
    SELECT provider, organization, 'n' || left(provider::text, 13), 'scaleway', 'u', provider::text, true,
        'k1'
    FROM given RETURNING id
), k AS (
    INSERT INTO organization_keys (organization_id, version, key_id, wrapped_key)
    SELECT organization, 1, 'k1', decode(wrapped, 'hex') FROM given RETURNING version
)
INSERT INTO provider_settings (organization_id, provider_id, key, value_ciphertext, key_version)
SELECT organization, provider, 'SCALEWAY_SECRET_KEY', decode(sealed, 'hex'), 1 FROM given
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    organization: UUID
    provider: UUID
    secret: str


@dataclass(frozen=True, kw_only=True)
class Shell:
    place: Place
    keyring_file: Path

    @property
    def environment(self) -> dict[str, str]:
        return plain_environment(
            os.environ,
            INVENTIV_DATABASE_URL=self.place.operator.get_secret_value(),
            INVENTIV_KEYRING_FILE=str(self.keyring_file),
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*python_command("inventiv-operator"), "keyring", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """What it said; a failure is one line."""
        process = self.start(*arguments)
        said, complained = process.communicate(timeout=WITHIN_S)
        assert process.returncode == code, (said, complained)
        for key in read_keyring_file(self.keyring_file).keys.values():
            assert base64.b64encode(key).decode() not in said + complained
        if code == 0:
            assert complained == ""
            return said
        assert len(complained.splitlines()) == 1, complained
        assert complained.startswith("inventiv-operator: ")
        return complained

    def count(self, condition: str) -> int:
        with psycopg.connect(self.place.superuser) as conn:
            row = conn.execute(f"SELECT count(*) FROM {condition}".encode()).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with running_server(tmp_path_factory.mktemp("postgres")) as running:
        make_logins(running)
        yield running


@pytest.fixture
def shell(server: PostgresServer, tmp_path: Path) -> Shell:
    place = empty_database(server, f"keyring_{uuid4().hex[:8]}")
    migrate(place.owner, operator_role=OPERATOR_ROLE)
    server.run(f"GRANT {OPERATOR_ROLE} TO {OPERATOR}")
    shell = Shell(place=place, keyring_file=tmp_path / "keyring.json")
    subprocess.run(
        [*python_command("inventiv-operator"), "keyring", "new"],
        env=shell.environment,
        check=True,
        timeout=WITHIN_S,
    )
    return shell


def make_tenants(shell: Shell, number: int) -> list[Row]:
    """Under k1, each with one stored secret."""
    keyring = read_keyring_file(shell.keyring_file)
    rows, made = [Row(organization=uuid4(), provider=uuid4(), secret=str(uuid4())) for _ in range(number)], []
    for row in rows:
        data_key = envelope.new_key()
        wrapped = envelope.wrap_data_key(
            data_key, by=keyring.keys["k1"], organization_id=row.organization, key_id="k1"
        )
        sealed = envelope.seal_value(
            row.secret,
            by=data_key,
            organization_id=row.organization,
            provider_id=row.provider,
            key="SCALEWAY_SECRET_KEY",
            version=1,
        )
        made.append(
            {
                "organization": str(row.organization),
                "provider": str(row.provider),
                "wrapped": wrapped.hex(),
                "sealed": sealed.hex(),
            }
        )
    with psycopg.connect(shell.place.superuser, autocommit=True) as conn:
        conn.execute(_MAKE, (Jsonb(made),))
    return rows


def assert_all_open(shell: Shell, rows: list[Row], keyring: Keyring) -> None:
    """Past row-level security, with nothing but the envelope."""
    with psycopg.connect(shell.place.superuser) as conn:
        found = {
            row[0]: row[1:]
            for row in conn.execute(
                "SELECT s.organization_id, k.version, k.key_id, k.wrapped_key, s.value_ciphertext"
                " FROM provider_settings s JOIN organization_keys k"
                " ON k.organization_id = s.organization_id AND k.version = s.key_version"
            )
        }
    assert len(found) == len(rows)
    for row in rows:
        version, key_id, wrapped, sealed = found[row.organization]
        data_key = envelope.unwrap_data_key(
            wrapped, by=keyring.key(key_id), organization_id=row.organization, key_id=key_id
        )
        opened = envelope.open_value(
            sealed,
            by=data_key,
            organization_id=row.organization,
            provider_id=row.provider,
            key="SCALEWAY_SECRET_KEY",
            version=version,
        )
        assert opened == row.secret


def test_a_rotation_from_the_first_command_to_the_last(shell: Shell) -> None:
    rows = make_tenants(shell, 3)
    path = shell.keyring_file
    assert shell.run("add") == f"added key k2 to {path}; promote it when every replica has this file\n"
    assert "k1 is the primary" in shell.run("remove", "k1", code=1)
    assert shell.run("promote", "k2") == (
        f"key k2 is the primary of {path} now; reencrypt when every replica has this file\n"
    )
    assert shell.run("promote", "k2") == f"key k2 is the primary of {path} already\n"
    assert "k1 is in use: 3 data keys are wrapped by it" in shell.run("remove", "k1", code=1)
    assert shell.run("reencrypt").splitlines() == [
        "3 organizations to do, to key k2",
        "re-wrapped the data keys of 3 organizations; data keys under k2 now: 3",
    ]
    assert shell.run("reencrypt", "--values").splitlines() == [
        "3 organizations to do, to key k2",
        "re-encrypted all values of 3 organizations; data keys under k2 now: 3",
    ]
    assert shell.run("reencrypt", "--values") == (
        "re-encrypted all values of 0 organizations; data keys under k2 now: 3\n"
    )
    assert "keep a copy of the earlier file" in shell.run("remove", "k1")
    assert_all_open(shell, rows, read_keyring_file(path))
    assert list(read_keyring_file(path).keys) == ["k2"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("flags", [(), ("--values",)], ids=["keys", "values"])
def test_a_run_that_is_killed_loses_nothing_and_is_taken_on(shell: Shell, flags: tuple[str, ...]) -> None:
    rows = make_tenants(shell, MANY)
    shell.run("add")
    shell.run("promote", "k2")
    done = "organization_keys WHERE key_id = 'k2'"
    process = shell.start("reencrypt", *flags)
    deadline_s = time.monotonic() + WITHIN_S
    while shell.count(done) < MANY // 10:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
    process.kill()
    process.communicate()
    after_the_kill = shell.count(done)
    assert MANY // 10 <= after_the_kill < MANY
    assert_all_open(shell, rows, read_keyring_file(shell.keyring_file))
    left = MANY - shell.count(done)  # one that was under way may have been finished by the server
    assert "is in use" in shell.run("remove", "k1", code=1)
    assert shell.run("reencrypt", *flags).startswith(f"{left} organizations to do")
    shell.run("remove", "k1")
    assert_all_open(shell, rows, read_keyring_file(shell.keyring_file))
    assert shell.count("action_logs") == MANY


def test_what_cannot_work_is_one_line(shell: Shell, tmp_path: Path) -> None:
    make_tenants(shell, 1)
    assert "has no key 'k9'; it has k1" in shell.run("promote", "k9", code=1)
    assert "already; choose another id" in shell.run("add", "k1", code=1)
    wrong = Shell(place=Place(server=shell.place.server, name="nowhere"), keyring_file=shell.keyring_file)
    for arguments in (("reencrypt",), ("remove", "k1")):
        line = wrong.run(*arguments, code=1)
        assert "has no database 'nowhere'" in line
        assert OPERATOR_PASSWORD not in line
    shell.run("add")
    document = json.loads(shell.keyring_file.read_text())
    del document["keys"]["k1"]
    (tmp_path / "without-k1").write_text(json.dumps(document | {"primary": "k2"}))
    lacking = Shell(place=shell.place, keyring_file=tmp_path / "without-k1")
    assert lacking.run("reencrypt", code=1) == (
        "inventiv-operator: 0 organizations done; left as before: 1 organization under key k1, which the"
        " keyring lacks\n"
    )
