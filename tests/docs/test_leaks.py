"""docs/leaks.md, command by command, as real processes on a real PostgreSQL and a simulator on a socket.

There is no kubelet here: `kubectl exec` is played by a program that runs the command itself.
"""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from docs.shell_blocks import Shell, blocks
from inventiv_operator.domain.ids import ProviderRef, ResourceId, Zone
from inventiv_operator.domain.leaks import Finding
from inventiv_operator.domain.ledger import Fence, NewResource, Origin, ResourceKind, ResourceState
from inventiv_operator.domain.prices import BUILT_IN
from inventiv_operator.store import ledger
from inventiv_operator.store.database import Database
from inventiv_operator.store.keyring import KeyringFile
from local_stack.places import REPOSITORY
from local_stack.processes import plain_environment
from local_stack.python_commands import python_command
from rig.fixtures import Premises, PremisesFactory
from rig.tenant import ZONE, RigTenant, new_tenant, write_tenant
from simulator.process import simulator

PAGE = REPOSITORY / "docs" / "leaks.md"
WITHIN_S = 60.0
YOURS = ("export INVENTIV_DATABASE_URL=", "export INVENTIV_KEYRING_FILE=")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A tenant with one known IP address at a simulated Scaleway."""

    tenant: RigTenant
    environment: dict[str, str]
    url: str
    installation_id: str

    def ask(self, method: str, path: str, body: object = None) -> Any:
        answer = httpx.request(
            method, f"{self.url}{path}", headers={"X-Auth-Token": self.tenant.secret_key}, json=body
        )
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def make_address(self, *tags: str) -> str:
        body = {"project": self.tenant.project_id, "type": "routed_ipv4", "tags": list(tags)}
        found: str = self.ask("POST", f"/instance/v1/zones/{ZONE}/ips", body)["ip"]["id"]
        return found

    def leaks(self, *arguments: str, code: int) -> tuple[str, str]:
        done = subprocess.run(
            [*python_command("inventiv-operator"), "leaks", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        for secret in (self.tenant.secret_key, self.tenant.access_key):
            assert secret not in done.stdout + done.stderr
        return done.stdout, done.stderr


async def _write(premises: Premises, tenant: RigTenant, *, address: str) -> None:
    fence = Fence(shard=0, epoch=premises.take_over())
    async with Database(premises.place.operator) as database:
        await write_tenant(
            database,
            tenant,
            fence=fence,
            namespace_uid=str(uuid4()),
            keyring=KeyringFile(premises.keyring).current(),
            now=datetime.now(UTC),
        )
        row = NewResource(
            id=ResourceId(uuid4()),
            organization_id=tenant.organization_id,
            credential_id=tenant.credential_id,
            deployment_id=None,
            instance_id=None,
            kind=ResourceKind.ADDRESS,
            role="ip",
            zone=Zone(ZONE),
            volume_api=None,
            size_gb=None,
            state=ResourceState.PRESENT,
            provider_ref=ProviderRef(address),
            origin=Origin.CREATED,
        )
        async with database.writing(tenant.organization_id, fence) as conn:
            await ledger.insert_resources(conn, [row])


@pytest.fixture
def place(new_premises: PremisesFactory) -> Iterator[Place]:
    premises, tenant, installation_id = new_premises(), new_tenant(), str(uuid4())
    with psycopg.connect(premises.place.superuser, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO installation (installation_id, cluster_uid) VALUES (%s, 'c')", (installation_id,)
        )
    with simulator("--port", "0") as running:
        httpx.post(f"{running.url}/_simulator/reset", json=tenant.world()).raise_for_status()
        made = Place(
            tenant=tenant,
            url=running.url,
            installation_id=installation_id,
            environment=plain_environment(
                os.environ,
                INVENTIV_DATABASE_URL=premises.place.operator.get_secret_value(),
                INVENTIV_KEYRING_FILE=str(premises.keyring),
                INVENTIV_SCALEWAY_API_URL=running.url,
            ),
        )
        address = made.make_address(f"inventiv-installation={installation_id}")
        asyncio.run(_write(premises, tenant, address=address))
        with psycopg.connect(premises.place.superuser, autocommit=True) as conn:
            conn.execute("UPDATE organizations SET name = 'acme' WHERE id = %s", (tenant.organization_id,))
        yield made


def make_programs(folder: Path) -> None:
    folder.mkdir()
    words = " ".join("'" + word.replace("'", "'\\''") + "'" for word in python_command("inventiv-operator"))
    (folder / "inventiv-operator").write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    expected = "-n inventiv-system exec deployment.apps/inventiv-operator --"
    (folder / "kubectl").write_text(
        f'#!/bin/sh\n[ "$1 $2 $3 $4 $5" = "{expected}" ] || exit 9\nshift 5\nexec "$@"\n'
    )
    for program in folder.iterdir():
        program.chmod(0o755)


def test_the_page_from_its_first_command_to_its_last(place: Place, tmp_path: Path) -> None:
    make_programs(tmp_path / "bin")
    (tmp_path / "yours").mkdir()
    environment = place.environment | {"PATH": os.pathsep.join((str(tmp_path / "bin"), os.environ["PATH"]))}
    with Shell(directory=tmp_path / "yours", environment=environment, name="docs/leaks.md") as shell:
        said = [shell.run(block, timeout_s=WITHIN_S) for block in blocks(PAGE) if block.language == "sh"]
    clean = "Nothing but known things: 1 thing of 1 organization, 0.0050 EUR per hour.\n"
    assert [text.endswith(clean) for text in said] == [True, True, True, True, False, True]
    assert "2026-11-01, our contract" in said[-1]
    assert json.loads((tmp_path / "yours" / "leaks.json").read_text())["clean"] is True


def test_the_exit_code_says_whether_somebody_should_look(place: Place) -> None:
    orphan = place.make_address(f"inventiv-installation={place.installation_id}")
    said, complained = place.leaks(code=1)
    assert complained == ""
    assert f"{orphan}" in said
    assert said.splitlines()[-1] == (
        "To look at, in 1 organization: 1 orphan; they cost 0.0050 EUR per hour,"
        " everything together 0.0100 EUR per hour."
    )
    shown = json.loads(place.leaks("--output", "json", code=1)[0])
    assert shown["summary"] == said.splitlines()[-1]
    place.ask("DELETE", f"/instance/v1/zones/{ZONE}/ips/{orphan}")
    place.leaks(code=0)


def test_what_cannot_work_is_one_line(place: Place, tmp_path: Path) -> None:
    for arguments, complaint in (
        (("--organization", "acne"), "there is no organization 'acne'; there are acme"),
        (("--keyring-file", str(tmp_path / "none")), "keyring"),
        (("--prices-file", str(tmp_path)), "INVENTIV_PRICES_FILE"),
    ):
        said, complained = place.leaks(*arguments, code=1)
        assert said == ""
        assert len(complained.splitlines()) == 1
        assert complained.startswith("inventiv-operator: ")
        assert complaint in complained


def test_only_the_readers_own_values_are_not_run() -> None:
    found = blocks(PAGE)
    assert {block.language for block in found} == {"sh", "text"}
    for block in (b for b in found if b.language == "text"):
        for line in block.text.splitlines():
            assert line.startswith(YOURS), f"docs/leaks.md, line {block.line}: nobody runs {line!r}"


def test_every_finding_is_explained_and_no_other() -> None:
    section = PAGE.read_text().partition("## What it says")[2].partition("## For machines")[0]
    assert sorted(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)) == sorted(map(str, Finding))


def test_the_built_in_prices_are_those_of_the_page() -> None:
    page = PAGE.read_text()
    for entry in BUILT_IN.entries:
        for price in (*entry.block_gb.values(), *([] if entry.ipv4 is None else [entry.ipv4])):
            assert f"| {price}" in page
    for url in re.findall(r"https://\S+", BUILT_IN.source):
        assert f"<{url}>" in page
