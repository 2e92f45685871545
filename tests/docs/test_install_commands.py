"""docs/install.md, command by command, in an empty cluster and on an empty PostgreSQL server.

Where the page has a kubelet start the operator's pod, `Pod` does what a kubelet would: it reads the
Deployment and its Secrets from the API server, and runs the containers' commands with what they say.
"""

import base64
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from docs.shell_blocks import Block, Shell, blocks
from inventiv_operator.config import WITHOUT_EFFECT, OperatorSettings
from local_stack import cluster, installation, postgres, processes
from local_stack.parts import Part, operator_environment
from local_stack.places import REPOSITORY
from local_stack.ports import LOOPBACK, free_port
from local_stack.processes import MARKER, Command, Process, marker, plain_environment
from local_stack.python_commands import python_command
from local_stack.simulator_client import SimulatorClient, new_key
from local_stack.stack import Stack
from local_stack.state import Outside
from stack_fixtures import BASE_PARTS, Session

PAGE = REPOSITORY / "docs" / "install.md"
IMAGE = "registry.example.com/inventiv-operator"
VERSION = "0.1.0-of-this-checkout"
NAMESPACE = "inventiv-system"
WITHIN_S = 240.0  # for one block, on a busy machine
_USED = ("manifests", "crds", "examples")
_YOURS = ("docker ", "export ", "kubectl -n inventiv-system port-forward", "READYZ=")


@dataclass(slots=True, kw_only=True)
class Pod:
    """The operator's pod, as far as a machine without containers can have one."""

    stack: Stack
    session: Session
    folder: Path
    port: int = field(default_factory=free_port)
    starts: int = 0
    _process: Process | None = None

    def roll_out(self) -> None:
        """End the old pod and start one of the Deployment as it is now; then say so in its status."""
        self.end()
        deployment = self._get("deployment.apps/inventiv-operator")
        pod = deployment["spec"]["template"]["spec"]
        (migrate,), (operator,) = pod["initContainers"], pod["containers"]
        assert {migrate["image"], operator["image"]} == {f"{IMAGE}:{VERSION}"}
        installation.run_operator_command(
            *migrate["args"], environment=plain_environment(os.environ, **self._variables(migrate))
        )
        self._start(operator, volumes=pod["volumes"])
        self._report(deployment)

    def end(self) -> None:
        if self._process is not None:
            processes.end(self._process, grace_s=30.0)

    def _start(self, container: Mapping[str, Any], *, volumes: list[dict[str, Any]]) -> None:
        self.starts += 1
        variables = self._variables(container)
        (keyring,) = (m for m in container["volumeMounts"] if m["name"] == "keyring")
        (secret,) = (v["secret"]["secretName"] for v in volumes if v["name"] == "keyring")
        mounted = self.mount(secret)
        assert variables["INVENTIV_KEYRING_FILE"].startswith(keyring["mountPath"])
        variables["INVENTIV_KEYRING_FILE"] = variables["INVENTIV_KEYRING_FILE"].replace(
            keyring["mountPath"], str(mounted)
        )
        of_this_machine = operator_environment(
            self.stack.site,
            database_url="",
            scaleway_url=self.stack.scaleway_url,
            kubeconfig=self._kubeconfig(),
        )
        environment = of_this_machine | variables | {"INVENTIV_HTTP_PORT": str(self.port)}
        environment[MARKER] = marker(self.session.id, f"installed-operator-{self.port}")
        log = self.folder / f"operator-{self.starts}.log"
        self._process = process = processes.spawn(
            Command(
                argv=(*python_command("inventiv-operator"), *container["args"]),
                directory=self.folder,
                log=log,
                environment=plain_environment(os.environ, **environment),
            )
        )

        def is_settled() -> bool:
            return "operator started" in log.read_text() or not processes.is_running(process)

        processes.wait_until(is_settled, timeout_s=60.0)
        assert processes.is_running(process), log.read_text()

    def _variables(self, container: Mapping[str, Any]) -> dict[str, str]:
        return {item["name"]: item.get("value") or self._secret_value(item) for item in container["env"]}

    def _secret_value(self, item: Mapping[str, Any]) -> str:
        source = item["valueFrom"]["secretKeyRef"]
        return base64.b64decode(self._get(f"secret/{source['name']}")["data"][source["key"]]).decode()

    def mount(self, secret: str) -> Path:
        """What the kubelet does again within two minutes whenever the Secret changes."""
        folder = self.folder / "mounted"
        folder.mkdir(exist_ok=True)
        for name, value in self._get(f"secret/{secret}")["data"].items():
            (folder / name).write_bytes(base64.b64decode(value))
        return folder

    def _kubeconfig(self) -> Path:
        path = self.folder / "service-account.kubeconfig"
        site = self.stack.site
        cluster.write_kubeconfig(
            path,
            server=site.url(Part.APISERVER, scheme="https"),
            authority=(site.certificates / "ca.crt").read_bytes(),
            user="inventiv-operator",
            token=self.stack.kubectl(
                "create", "token", "inventiv-operator", f"--namespace={NAMESPACE}"
            ).stdout.strip(),
        )
        return path

    def _report(self, deployment: Mapping[str, Any]) -> None:
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            **dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1),
        }
        self.stack.kubectl(
            "patch",
            "deployment.apps/inventiv-operator",
            f"--namespace={NAMESPACE}",
            "--subresource=status",
            "--type=merge",
            f"--patch={json.dumps({'status': status})}",
        )

    def _get(self, name: str) -> dict[str, Any]:
        answer = self.stack.kubectl("get", name, f"--namespace={NAMESPACE}", "--output=json")
        found: dict[str, Any] = json.loads(answer.stdout)
        return found


@pytest.fixture
def empty_cluster(test_session: Session) -> Iterator[Stack]:
    """Of its own: what is installed here is removed again, CRDs included."""
    made = Stack.up(
        test_session.directory / "install",
        parts=(*BASE_PARTS, Part.SIMULATOR),
        outside=Outside(),
        install=False,
        simulator_options=("--latency-ms", "1", "--boot-s", "1"),
    )
    yield made
    made.down()


@pytest.fixture
def pod(empty_cluster: Stack, test_session: Session, tmp_path: Path) -> Iterator[Pod]:
    folder = tmp_path / "pod"
    folder.mkdir()
    made = Pod(stack=empty_cluster, session=test_session, folder=folder)
    yield made
    made.end()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the page uses, for it writes into the current folder."""
    folder = tmp_path / "checkout"
    for name in _USED:
        shutil.copytree(REPOSITORY / name, folder / name)
    return folder


def reader_environment(stack: Stack, *, bin_folder: Path, readyz: str) -> dict[str, str]:
    """The variables that the `text` blocks leave to the reader, and the programs that the page asks for."""
    bin_folder.mkdir()
    (bin_folder / "inventiv-operator").write_text(_script(python_command("inventiv-operator")))
    (bin_folder / "inventiv-operator").chmod(0o755)
    login = conninfo_to_dict(stack.database.admin_url)
    folders = (
        str(bin_folder),
        str(stack.site.program("kubectl").parent),
        str(postgres.bin_folder(stack.site.postgres_home)),
    )
    return {
        "PATH": os.pathsep.join((*folders, os.environ["PATH"])),
        "HOME": str(bin_folder.parent),
        "KUBECONFIG": str(stack.kubeconfig),
        "IMAGE": IMAGE,
        "VERSION": VERSION,
        "PGHOST": LOOPBACK,
        "PGPORT": str(login["port"]),
        "PGUSER": str(login["user"]),
        "PGPASSWORD": str(login["password"]),
        "PGSSLMODE": "disable",
        "EGRESS_CIDR": "203.0.113.7/32",
        "READYZ": readyz,
    }


def _script(argv: tuple[str, ...]) -> str:
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in argv)
    return f'#!/bin/sh\nexec {quoted} "$@"\n'


@pytest.mark.stack
@pytest.mark.slow
def test_the_page_from_its_first_command_to_its_last(
    empty_cluster: Stack, pod: Pod, checkout: Path, tmp_path: Path
) -> None:
    stack, key = empty_cluster, new_key()
    environment = reader_environment(
        stack, bin_folder=tmp_path / "bin", readyz=f"http://{LOOPBACK}:{pod.port}/readyz"
    ) | {
        "SCW_ACCESS_KEY": key.access_key,
        "SCW_SECRET_KEY": key.secret_key,
        "SCW_PROJECT_ID": key.project_id,
    }
    said: list[str] = []
    with (
        SimulatorClient(stack.scaleway_url) as simulator,
        Shell(directory=checkout, environment=environment, name="docs/install.md") as shell,
    ):
        simulator.add_key(key)
        for block in (b for b in blocks(PAGE) if b.language == "sh"):
            for part in split_before_rollout(block):
                if part.text.startswith(ROLLOUT):
                    pod.roll_out()
                said.append(shell.run(part, timeout_s=WITHIN_S))
            if "idep/llama" in block.text:
                assert len(simulator.billed()["servers"]) == 2
            if "give_keyring\n" in block.text:
                pod.mount("inventiv-operator-keyring")
            if "overlays/strict" in block.text:
                assert_refused_outside_of_organizations(stack)
        assert not any(simulator.billed_count().values())
    everything = "\n".join(said)
    assert pod.starts == 2
    for expected in (
        "applied 0001",
        "is the one of this release",
        "[+]database ok",
        "was bound already",
        "2/2",
    ):
        assert expected in everything
    for secret in (key.secret_key, environment["PGPASSWORD"]):
        assert secret not in everything
    assert not stack.kubectl("get", "crd,clusterroles,validatingadmissionpolicies", "-o=name").stdout.count(
        "inventiv"
    )


ROLLOUT = "kubectl -n inventiv-system rollout status"


def split_before_rollout(block: Block) -> list[Block]:
    """A rollout is waited for after the kubelet had its turn."""
    before, command, after = block.text.partition(ROLLOUT)
    parts = (before, command + after)
    return [Block(language=block.language, text=text, line=block.line) for text in parts if text]


def assert_refused_outside_of_organizations(stack: Stack) -> None:
    """A policy takes effect a moment after it was changed."""
    manifest = (REPOSITORY / "examples/tenant/3-deployment.yaml").read_text().replace("acme", "default")
    said = ""

    def is_refused() -> bool:
        nonlocal said
        done = stack.kubectl("create", "--dry-run=server", "--filename=-", stdin=manifest, check=False)
        said = done.stderr
        return done.returncode != 0

    assert processes.wait_until(is_refused, timeout_s=30.0, poll_s=0.25)
    assert "belongs to no Organization" in said


def test_only_what_needs_a_registry_a_kubelet_or_the_readers_own_values_is_not_run() -> None:
    found = blocks(PAGE)
    assert {block.language for block in found} == {"sh", "text"}
    for block in (b for b in found if b.language == "text"):
        for line in block.text.splitlines():
            assert line.startswith(_YOURS), f"docs/install.md, line {block.line}: nobody runs {line!r}"
    assert sum(b.language == "sh" for b in found) >= 12


def test_a_variable_of_the_reader_is_named_on_the_page() -> None:
    page = PAGE.read_text()
    given = "".join(b.text for b in blocks(PAGE) if b.language == "text")
    run = "".join(b.text for b in blocks(PAGE) if b.language == "sh")
    used = set(re.findall(r"\$(\w+)", run))
    made = set(re.findall(r"^(\w+)=", run, re.MULTILINE))
    assert used - made == {name for name in used - made if re.search(rf"\b{name}=", given)}, page


def test_the_settings_are_those_of_the_code() -> None:
    """What is read and used is in the table; what is read and not used yet is named below it."""
    text = PAGE.read_text()
    section = text[text.index("### Settings") : text.index("### When it does not start")]
    table, _, without_effect = section.partition("Accepted, and without effect")
    listed = {name for row in re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE) for name in _names(row)}
    package = REPOSITORY / "operator" / "inventiv_operator"
    code = "".join(path.read_text() for path in sorted(package.rglob("*.py")) if path.name != "config.py")
    fields = set(OperatorSettings.model_fields)
    used = {name for name in fields if re.search(rf"settings\.{name}\b", code)}
    assert fields - used == WITHOUT_EFFECT
    assert listed == {name.upper() for name in used}
    assert set(_names(without_effect)) == {name.upper() for name in WITHOUT_EFFECT}


def _names(text: str) -> list[str]:
    return re.findall(r"`([A-Z_]+)`", text)
