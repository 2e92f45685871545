"""A PostgreSQL for the session, with one migrated database, and a keyring."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from inventiv_operator.store.keyring import new_keyring_file
from inventiv_operator.store.migrate import migrate
from store.postgres_server import (
    OPERATOR,
    OPERATOR_ROLE,
    Place,
    empty_database,
    make_logins,
    running_server,
)

_numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """Where processes of the rig live."""

    place: Place
    keyring: Path

    def take_over(self) -> int:
        """The next epoch, for ever; whoever led before is fenced from here on. Waits for writes under way."""
        with psycopg.connect(self.place.superuser, autocommit=True) as conn:
            conn.execute("UPDATE operator_lease SET expires_at = '-infinity'")
            row = conn.execute("SELECT take_lease(0, gen_random_uuid()::text, '10 years')").fetchone()
        assert row is not None
        assert row[0] is not None
        return int(row[0])


@pytest.fixture(scope="session")
def rig_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with running_server(tmp_path_factory.mktemp("rig")) as server:
        make_logins(server)
        place = empty_database(server, "rig")
        migrate(place.owner, operator_role=OPERATOR_ROLE)
        server.run(f"GRANT {OPERATOR_ROLE} TO {OPERATOR}")
        yield place


@pytest.fixture(scope="session")
def rig_keyring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keyring") / "keyring.json"
    new_keyring_file(path)
    return path


PremisesFactory = Callable[[], Premises]


@pytest.fixture
def new_premises(rig_template: Place, rig_keyring: Path) -> PremisesFactory:
    """Makes databases that nobody else uses."""

    def make() -> Premises:
        place = empty_database(rig_template.server, f"rig_{next(_numbers)}", template=rig_template.name)
        return Premises(place=place, keyring=rig_keyring)

    return make


@pytest.fixture(scope="session")
def shared_premises(rig_template: Place, rig_keyring: Path) -> Premises:
    """Shared by tests that each make a tenant of their own, one after the other."""
    place = empty_database(rig_template.server, "rig_shared", template=rig_template.name)
    return Premises(place=place, keyring=rig_keyring)
