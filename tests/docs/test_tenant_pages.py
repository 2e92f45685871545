"""The life of a tenant, page by page and command by command: onboard, rotate the key, lose it, give up.

What is done in Scaleway's console (keys made, deleted, revoked) is done here in the simulator, and the 24
hours for which a key must have been refused are put into the past in the database.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from docs.shell_blocks import Block, Shell, blocks
from local_stack import processes
from local_stack.places import REPOSITORY
from local_stack.simulator_client import SimulatorClient, TenantKey, new_key
from local_stack.stack import Stack
from stack_fixtures import Database, OperatorFactory

PAGES = ("onboard-a-tenant.md", "rotate-a-key.md", "when-a-key-was-revoked.md")
WITHIN_S = 120.0
YOURS = ("export SCW_ACCESS_KEY=", "export NEW_ACCESS_KEY=", "export VALID_ACCESS_KEY=")


def same_project(key: TenantKey) -> TenantKey:
    return new_key(project_id=key.project_id, organization_id=key.organization_id)


@pytest.fixture
def no_second_namespace(clean_cluster: Stack) -> Iterator[None]:
    """The one that is made and made again on the page."""
    yield
    clean_cluster.kubectl("delete", "namespace", "acme-lab", "--ignore-not-found")


@pytest.mark.stack
@pytest.mark.slow
@pytest.mark.usefixtures("no_second_namespace")
def test_the_pages_from_the_first_command_to_the_last(
    clean_cluster: Stack,
    database: Database,
    simulator: SimulatorClient,
    operator_process: OperatorFactory,
    tmp_path: Path,
) -> None:
    first = new_key()
    second, third = same_project(first), same_project(first)
    simulator.add_key(first)
    operator = operator_process(INVENTIV_WATCHDOG_INTERVAL_S="1", INVENTIV_LOG_FORMAT="json")
    environment = {
        "PATH": os.pathsep.join((str(clean_cluster.site.program("kubectl").parent), os.environ["PATH"])),
        "HOME": str(tmp_path),
        "KUBECONFIG": str(clean_cluster.kubeconfig),
        "SCW_ACCESS_KEY": first.access_key,
        "SCW_SECRET_KEY": first.secret_key,
        "SCW_PROJECT_ID": first.project_id,
        "NEW_ACCESS_KEY": second.access_key,
        "NEW_SECRET_KEY": second.secret_key,
        "VALID_ACCESS_KEY": third.access_key,
        "VALID_SECRET_KEY": third.secret_key,
    }

    def says(kind: str, name: str, reason: str) -> bool:
        path = '{.status.conditions[?(@.type=="Ready")].reason}'
        found = clean_cluster.kubectl("get", kind, name, "--namespace=acme", f"--output=jsonpath={path}")
        return found.stdout == reason

    def revoke(key: TenantKey) -> None:
        simulator.someone_else("keys", key.access_key, "revoke")

        def is_noticed() -> bool:
            return says("icred", "scaleway", "CredentialRejected") and says(
                "idep", "hello", "CredentialNotReady"
            )

        assert processes.wait_until(is_noticed, timeout_s=WITHIN_S), operator.log[-3000:]

    def refused_since_yesterday() -> None:
        with psycopg.connect(database.superuser_url) as conn:
            done = conn.execute("UPDATE providers SET rejected_at = rejected_at - interval '25 hours'")
            assert done.rowcount == 1

    before: dict[str, Callable[[], None]] = {
        "kubectl -n acme patch secret scaleway ": lambda: simulator.add_key(second),
        "kubectl -n acme patch secret scaleway-next ": lambda: simulator.add_key(third),
        "kubectl -n acme describe icred scaleway\nkubectl -n acme get idep,icred\n": lambda: revoke(second),
        "kubectl -n acme delete idep --all": lambda: revoke(third),
        "kubectl -n acme wait icred/scaleway --for=delete": refused_since_yesterday,
    }
    said: dict[str, str] = {}
    with Shell(directory=tmp_path, environment=environment, name="docs/onboard-a-tenant.md and on") as shell:
        for page in PAGES:
            for block in commands_of(page):
                for beginning in [text for text in before if block.text.startswith(text)]:
                    before.pop(beginning)()
                said[page] = said.get(page, "") + shell.run(block, timeout_s=WITHIN_S)
    assert before == {}, "a block that something had to happen before is not on the pages any more"
    assert_said(said, last=third)
    billed = simulator.billed()["servers"]
    assert len(billed) == 1  # given up, and said so: nobody could delete it
    assert billed[0]["id"] in said[PAGES[2]]
    everything = "".join(said.values()) + operator.log
    for key in (first, second, third):
        assert key.secret_key not in everything


def assert_said(said: dict[str, str], *, last: TenantKey) -> None:
    onboard, rotate, revoked = (said[page] for page in PAGES)
    for expected in ("organization.inventiv.io/acme condition met", "inventiv.io/organization=acme", "1/1"):
        assert expected in onboard
    assert rotate.count("condition met") == 4  # the fingerprint, Ready, the generation, Ready
    for expected in (
        "the key of ProviderCredential scaleway is refused by Scaleway (401)",
        "the annotation inventiv.io/abandon is not honoured",
        "ResourcesAbandoned",
        last.access_key,
    ):
        assert expected in revoked


def commands_of(page: str) -> list[Block]:
    return [block for block in blocks(REPOSITORY / "docs" / page) if block.language == "sh"]


@pytest.mark.parametrize("page", PAGES)
def test_only_the_readers_own_values_are_not_run(page: str) -> None:
    found = blocks(REPOSITORY / "docs" / page)
    assert {block.language for block in found} <= {"sh", "text", "mermaid"}
    assert sum(block.language == "sh" for block in found) >= 4
    for block in (b for b in found if b.language == "text"):
        for line in block.text.splitlines():
            assert line.startswith(YOURS), f"docs/{page}, line {block.line}: nobody runs {line!r}"
