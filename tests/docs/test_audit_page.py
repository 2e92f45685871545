"""docs/audit.md: its list of actions is the code's, and every query on it finds what it promises."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from inventiv_operator.domain.audit import Action, AuditLine
from inventiv_operator.domain.ids import ProviderRef
from inventiv_operator.domain.intents import ATTEMPT_TAG
from inventiv_operator.domain.ledger import Fence, Origin, ResourceState
from inventiv_operator.scaleway.observer import NOT_SENT, UNKNOWN
from inventiv_operator.store import audit, ledger
from inventiv_operator.store.database import Database
from rig.fixtures import Premises, PremisesFactory
from store.conftest import Tenant, new_tenant, write_tenant

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "audit.md").read_text()
PACKAGE = REPOSITORY / "operator" / "inventiv_operator"
SERVER = "8c5f0f0e-3c1e-4d2e-9a51-6f8d1c0b7a42"
FINGERPRINT = "3f9a1c2b"
KEY = {"credentialID": str(uuid4()), "accessKey": "SCW" + "A" * 17, "fingerprint": FINGERPRINT}
_BLOCKS = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
_TOLD_APART_BY = {
    "of-an-organization": "interval '1 day'",
    "of-a-server": "AS access_key",
    "deployment-of-a-server": "FROM cloud_resources",
    "of-a-key": "'fingerprint' =",
    "unknown-outcomes": "= 'unknown'",
    "as-the-operator": "lookup_organization",
}
QUERIES = {name: next(block for block in _BLOCKS if text in block) for name, text in _TOLD_APART_BY.items()}
"""Each is asked in a test below."""


def section(title: str) -> str:
    found = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found.group(1)


# -- the words ----------------------------------------------------------------------------------------------


def test_the_actions_on_the_page_are_those_of_the_code() -> None:
    cells = re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+) \|", section("Actions"), re.MULTILINE)
    listed = [name for cell in cells for name in re.findall(r"`([a-z-]+)`", cell)]
    assert sorted(listed) == sorted(Action)


def written() -> Iterator[str]:
    """The actions that some line of code, or a function of the database, adds."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path == PACKAGE / "domain" / "audit.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Attribute(value=ast.Name(id="Action"), attr=name):
                    yield str(Action[name])
    for path in sorted((REPOSITORY / "migrations").glob("*.sql")):
        yield from re.findall(r"^\s+SELECT tenant, '([a-z-]+)'", path.read_text(), re.MULTILINE)


def test_there_is_no_action_that_nothing_writes_and_none_without_a_name() -> None:
    assert set(written()) == set(Action)


async def test_the_columns_on_the_page_are_those_of_the_table(premises: Premises) -> None:
    listed = re.findall(r"^\| `(\w+)` \|", section("Columns"), re.MULTILINE)
    with psycopg.connect(premises.place.superuser) as conn:
        found = conn.execute("SELECT * FROM action_logs LIMIT 0").description
    assert found is not None
    assert listed == [column.name for column in found]


def test_the_outcomes_and_the_tag_on_the_page_are_those_of_the_code() -> None:
    for word in (UNKNOWN, NOT_SENT, ATTEMPT_TAG):
        assert f"`{word}`" in section("Actions")


# -- the queries --------------------------------------------------------------------------------------------


@pytest.fixture
def premises(new_premises: PremisesFactory) -> Premises:
    return new_premises()


async def write_life_of_a_server(db: Database, tenant: Tenant, *, fence: Fence) -> None:
    """In the ledger and in the log: made, started, deleted; and a create that nobody knows the outcome of."""
    instance = tenant.instance()
    server = tenant.server(instance)
    now = datetime.now(UTC)
    line = AuditLine(at=now, action=Action.CLOUD_WRITE, kind="server", ref=SERVER, request_id="r", detail=KEY)
    verbs = ("create", "poweron", "terminate")
    lines = [
        replace(
            line,
            at=now - timedelta(minutes=9 - n),
            request_id=f"r-{n}",
            detail={**KEY, "verb": verb, "outcome": "20x"},
        )
        for n, verb in enumerate(verbs)
    ]
    lost = replace(
        line, ref="", request_id="", detail={**KEY, "verb": "create", "outcome": UNKNOWN, "attempt": "a-1"}
    )
    async with db.writing(tenant.organization_id, fence) as conn:
        await ledger.insert_instances(conn, [instance])
        await ledger.insert_resources(conn, [server])
        await ledger.mark_sending(conn, server.id, attempt="a-0", send_before=now)
        await ledger.record_present(conn, server.id, provider_ref=ProviderRef(SERVER), origin=Origin.CREATED)
        await ledger.advance(conn, [server.id], to=ResourceState.ABSENT, allowed={ResourceState.PRESENT})
        await audit.append_all(conn, tenant.organization_id, [*lines, lost], again=False)


@pytest.fixture
async def acme(premises: Premises) -> Tenant:
    """Beside another tenant, of whom nothing of this may show."""
    fence = Fence(shard=0, epoch=premises.take_over())
    acme, other = replace(new_tenant(), name="acme"), new_tenant()
    async with Database(premises.place.operator) as db:
        await write_tenant(db, acme, fence=fence)
        await write_tenant(db, other, fence=fence)
        await write_life_of_a_server(db, acme, fence=fence)
        async with db.writing(other.organization_id, fence) as conn:
            await audit.append(
                conn, organization_id=other.organization_id, action=Action.KEY_USED, detail=KEY
            )
    return acme


ACTIONS = ["cloud-write"] * 4 + ["namespace-claimed", "organization-opened"]
"""Of acme."""


def asked(premises: Premises, query: str, *, url: str = "") -> list[dict[str, Any]]:
    """The rows of the last statement that has any."""
    rows: list[dict[str, Any]] = []
    with psycopg.connect(url or premises.place.superuser, row_factory=psycopg.rows.dict_row) as conn:
        for statement in query.split(";\n"):
            if statement.strip():
                cursor = conn.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description is not None else rows
    return rows


async def test_what_an_organization_did(premises: Premises, acme: Tenant) -> None:
    rows = asked(premises, QUERIES["of-an-organization"])
    assert sorted(row["action"] for row in rows) == ACTIONS
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)


async def test_who_deleted_a_server(premises: Premises, acme: Tenant) -> None:
    rows = asked(premises, QUERIES["of-a-server"])
    assert [(row["verb"], row["request_id"]) for row in rows] == [
        ("create", "r-0"),
        ("poweron", "r-1"),
        ("terminate", "r-2"),
    ]
    assert {(row["organization"], row["access_key"]) for row in rows} == {("acme", KEY["accessKey"])}


async def test_the_deployment_that_a_server_belonged_to(premises: Premises, acme: Tenant) -> None:
    (row,) = asked(premises, QUERIES["deployment-of-a-server"])
    assert (row["namespace"], row["name"], row["ordinal"], row["state"]) == (
        acme.namespace,
        "llama",
        0,
        "absent",
    )


async def test_every_use_of_a_key(premises: Premises, acme: Tenant) -> None:
    rows = asked(premises, QUERIES["of-a-key"])
    assert len({row["organization"] for row in rows}) == 2
    counts = {(row["action"], row["verb"]): row["count"] for row in rows}
    assert counts == {
        ("cloud-write", "create"): 2,
        ("cloud-write", "poweron"): 1,
        ("cloud-write", "terminate"): 1,
        ("key-used", ""): 1,
    }


async def test_calls_whose_outcome_nobody_knows(premises: Premises, acme: Tenant) -> None:
    (row,) = asked(premises, QUERIES["unknown-outcomes"])
    assert (row["organization"], row["verb"], row["attempt"]) == ("acme", "create", "a-1")


async def test_the_operators_login_sees_the_organization_it_is_bound_to(
    premises: Premises, acme: Tenant
) -> None:
    query = QUERIES["as-the-operator"]
    rows = asked(premises, query, url=premises.place.operator.get_secret_value())
    assert sorted(row["action"] for row in rows) == ACTIONS
    unbound = "SELECT * FROM action_logs"
    assert asked(premises, unbound, url=premises.place.operator.get_secret_value()) == []


def test_every_query_on_the_page_is_one_of_those() -> None:
    assert sorted(QUERIES.values()) == sorted(_BLOCKS)
