"""docs/rotate-the-keyring.md, command by command, beside a running operator with a tenant.

There is no kubelet here: what it would do, bring a changed Secret into the pod and show the pod's log, is
done by this test.
"""

import base64
import json
import os
from pathlib import Path

import psycopg
import pytest

from docs.shell_blocks import Shell, blocks
from inventiv_operator.store.keyring import new_keyring_file, read_keyring_file
from local_stack import processes, sample_tenant
from local_stack.api_client import ApiClient, is_ready
from local_stack.places import REPOSITORY
from local_stack.python_commands import python_command
from local_stack.simulator_client import SimulatorClient, new_key
from local_stack.stack import Stack
from stack_fixtures import Database, OperatorFactory

PAGE = REPOSITORY / "docs" / "rotate-the-keyring.md"
SECRET = ("secret/inventiv-operator-keyring", "--namespace=inventiv-system")
WITHIN_S = 120.0
YOURS = ("export OLD=", "export OPERATOR_URL=")


def bring_into_the_pod(stack: Stack, mounted: Path) -> None:
    """As a kubelet: under another name first, then by a rename."""
    found = json.loads(stack.kubectl("get", *SECRET, "--output=json").stdout)
    fresh = mounted.with_suffix(".fresh")
    fresh.write_bytes(base64.b64decode(found["data"]["keyring"]))
    fresh.replace(mounted)


def make_programs(stack: Stack, folder: Path, *, log: Path) -> None:
    """`kubectl logs` needs a kubelet; everything else is kubectl's own."""
    folder.mkdir()
    kubectl = folder / "kubectl"
    kubectl.write_text(
        f'#!/bin/sh\ncase " $* " in *" logs "*) exec cat "{log}" ;; esac\n'
        f'exec "{stack.site.program("kubectl")}" "$@"\n'
    )
    operator = folder / "inventiv-operator"
    words = " ".join("'" + word.replace("'", "'\\''") + "'" for word in python_command("inventiv-operator"))
    operator.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    for program in (kubectl, operator):
        program.chmod(0o755)


@pytest.mark.stack
@pytest.mark.slow
def test_the_page_from_its_first_command_to_its_last(
    clean_cluster: Stack,
    database: Database,
    simulator: SimulatorClient,
    operator_process: OperatorFactory,
    tmp_path: Path,
) -> None:
    mounted, key, folder = tmp_path / "mounted-keyring", new_key(), tmp_path / "yours"
    folder.mkdir()
    first = new_keyring_file(mounted)
    clean_cluster.kubectl(
        "create",
        "secret",
        "generic",
        "inventiv-operator-keyring",
        SECRET[1],
        f"--from-file=keyring={mounted}",
    )
    simulator.add_key(key)
    operator = operator_process(
        INVENTIV_KEYRING_FILE=str(mounted), INVENTIV_WATCHDOG_INTERVAL_S="1", INVENTIV_LOG_FORMAT="json"
    )
    make_programs(clean_cluster, tmp_path / "bin", log=operator._command.log)
    environment = {
        "PATH": os.pathsep.join((str(tmp_path / "bin"), os.environ["PATH"])),
        "HOME": str(tmp_path),
        "KUBECONFIG": str(clean_cluster.kubeconfig),
        "OLD": "k1",
        "NEW": "k2",
        "OPERATOR_URL": database.operator_url,
    }
    said: list[str] = []
    try:
        with (
            ApiClient(clean_cluster.site) as api,
            Shell(directory=folder, environment=environment, name="docs/rotate-the-keyring.md") as shell,
        ):
            api.apply(*sample_tenant.everything("acme", key))
            api.apply(sample_tenant.deployment("acme", "llama"))

            def is_well() -> bool:
                credential = api.get("ProviderCredential", sample_tenant.CREDENTIAL, namespace="acme")
                return is_ready(credential) and is_ready(api.get("Deployment", "llama", namespace="acme"))

            assert processes.wait_until(is_well, timeout_s=WITHIN_S), operator.log[-3000:]
            pid = operator.pid
            for block in (b for b in blocks(PAGE) if b.language == "sh"):
                said.append(shell.run(block, timeout_s=WITHIN_S))
                if block.text.endswith("give_keyring\n"):
                    bring_into_the_pod(clean_cluster, mounted)
            assert operator.pid == pid
            assert is_well()
            api.delete("Deployment", "llama", namespace="acme")  # by the key that is read now
            assert processes.wait_until(
                lambda: api.get("Deployment", "llama", namespace="acme") is None, timeout_s=WITHIN_S
            ), operator.log[-3000:]
    finally:
        clean_cluster.kubectl("delete", *SECRET, "--ignore-not-found")
    everything = "\n".join(said)
    for expected in (
        "added key k2",
        "data keys under k2 now: 1",
        "re-encrypted all values of 1 organization;",
        "removed key k1",
    ):
        assert expected in everything
    assert "KeyUnavailable" not in operator.log
    last = read_keyring_file(mounted)
    assert (last.primary_id, list(last.keys)) == ("k2", ["k2"])
    for secret in (*first.keys.values(), *last.keys.values()):
        assert base64.b64encode(secret).decode() not in everything + operator.log
    with psycopg.connect(database.superuser_url) as conn:
        assert conn.execute("SELECT key_id, version FROM organization_keys").fetchall() == [("k2", 2)]
        assert conn.execute("SELECT DISTINCT encryption_key_id FROM providers").fetchall() == [("k2",)]
    assert list(folder.iterdir()) == []


def test_only_the_readers_own_values_are_not_run() -> None:
    found = blocks(PAGE)
    assert {block.language for block in found} == {"sh", "text"}
    for block in (b for b in found if b.language == "text"):
        for line in block.text.splitlines():
            assert line.startswith(YOURS), (
                f"docs/rotate-the-keyring.md, line {block.line}: nobody runs {line!r}"
            )
    assert sum(b.language == "sh" for b in found) >= 8
