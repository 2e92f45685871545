"""docs/seed-a-credential.md, command by command, beside a running operator.

There is no kubelet here: what it would do, mount a Secret and exchange what is mounted when it changes, is
done by this test.
"""

import base64
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from docs.shell_blocks import Block, Shell, blocks
from inventiv_operator.config import OperatorSettings
from inventiv_operator.controllers.seeding import directory
from local_stack.places import REPOSITORY
from local_stack.simulator_client import SimulatorClient, new_key
from local_stack.stack import Stack
from stack_fixtures import Database, OperatorFactory

PAGE = REPOSITORY / "docs" / "seed-a-credential.md"
SECRET = ("secret/inventiv-operator-seed", "--namespace=inventiv-system")
DEPLOYMENT = ("deployment.apps/inventiv-operator", "--namespace=inventiv-system")
WITHIN_S = 120.0
YOURS = ("export SCW_ACCESS_KEY=", "export NEW_ACCESS_KEY=")


def mount(stack: Stack, mounted: Path) -> None:
    """As a kubelet: file -> ..data/file, and ..data is exchanged by a rename."""
    found = json.loads(stack.kubectl("get", *SECRET, "--output=json").stdout)
    fresh = mounted / f"..{secrets.token_hex(4)}"
    fresh.mkdir(parents=True)
    for name, value in found["data"].items():
        (fresh / name).write_bytes(base64.b64decode(value))
        if not (mounted / name).is_symlink():
            (mounted / name).symlink_to(Path("..data") / name)
    (mounted / "..next").symlink_to(fresh.name)
    (mounted / "..next").replace(mounted / "..data")


@pytest.fixture
def clean_again(clean_cluster: Stack) -> Iterator[None]:
    """Of what the page changes and does not take back."""
    yield
    clean_cluster.kubectl("delete", "namespace", "platform", "--ignore-not-found")
    clean_cluster.kubectl("delete", *DEPLOYMENT)
    clean_cluster.install()


def seed_mount(deployment: dict[str, Any]) -> tuple[str, str, str]:
    """Where it is mounted, where the operator looks for it, and what is mounted there."""
    pod = deployment["spec"]["template"]["spec"]
    (operator,) = pod["containers"]
    (at,) = (m["mountPath"] for m in operator["volumeMounts"] if m["name"] == "seed")
    (variable,) = (e["value"] for e in operator["env"] if e["name"] == "INVENTIV_SEED_DIR")
    (secret,) = (v["secret"]["secretName"] for v in pod["volumes"] if v["name"] == "seed")
    return at, variable, secret


@pytest.mark.stack
@pytest.mark.slow
@pytest.mark.usefixtures("clean_again")
def test_S3_the_page_from_its_first_command_to_its_last(
    clean_cluster: Stack,
    database: Database,
    simulator: SimulatorClient,
    operator_process: OperatorFactory,
    tmp_path: Path,
) -> None:
    first = new_key()
    second = new_key(project_id=first.project_id, organization_id=first.organization_id)
    for key in (first, second):
        simulator.add_key(key)
    mounted = tmp_path / "seed"
    operator = operator_process(INVENTIV_SEED_DIR=str(mounted), INVENTIV_LOG_LEVEL="debug")
    environment = {
        "PATH": os.pathsep.join((str(clean_cluster.site.program("kubectl").parent), os.environ["PATH"])),
        "HOME": str(tmp_path),
        "KUBECONFIG": str(clean_cluster.kubeconfig),
        "SCW_ACCESS_KEY": first.access_key,
        "SCW_SECRET_KEY": first.secret_key,
        "SCW_PROJECT_ID": first.project_id,
        "NEW_ACCESS_KEY": second.access_key,
        "NEW_SECRET_KEY": second.secret_key,
    }
    said = ""
    with Shell(directory=tmp_path, environment=environment, name="docs/seed-a-credential.md") as shell:
        for part in split_after_giving(b for b in blocks(PAGE) if b.language == "sh"):
            said += shell.run(part, timeout_s=WITHIN_S)
            if "\ngive_seed " in f"\n{part.text}":
                mount(clean_cluster, mounted)
            if "patch deployment.apps" in part.text:
                deployment = json.loads(clean_cluster.kubectl("get", *DEPLOYMENT, "--output=json").stdout)
                assert seed_mount(deployment) == (*["/etc/inventiv/seed"] * 2, "inventiv-operator-seed")
    for key in (first, second):
        assert key.secret_key not in said + operator.log
    with psycopg.connect(database.superuser_url) as conn:
        found = conn.execute("SELECT uid, state, access_key FROM providers").fetchall()
    assert found == [("", "closing", second.access_key)]


def split_after_giving(found: Iterable[Block]) -> Iterator[Block]:
    """What waits for the kubelet comes after its turn."""
    for block in found:
        before, command, after = block.text.partition("kubectl wait")
        parts = (before, command + after) if "\ngive_seed " in f"\n{before}" else (block.text,)
        for text in filter(None, parts):
            yield Block(language=block.language, text=text, line=block.line)


def test_only_the_readers_own_values_are_not_run() -> None:
    found = blocks(PAGE)
    assert {block.language for block in found} == {"sh", "text"}
    for block in (b for b in found if b.language == "text"):
        for line in block.text.splitlines():
            assert line.startswith(YOURS), f"line {block.line}: nobody runs {line!r}"


def test_the_files_are_those_of_the_code() -> None:
    text = PAGE.read_text()
    assert "INVENTIV_SEED_DIR" in text
    assert "seed_dir" in OperatorSettings.model_fields
    table = text[text.index("| file |") : text.index("One value each")]
    named = [row.split("`")[1] for row in table.splitlines() if row.startswith("| `")]
    assert named == list(directory._FORMS)
