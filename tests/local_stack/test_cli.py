"""The commands as people type them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack import binaries, cli, examples
from local_stack.parts import Part
from local_stack.python_commands import python_command
from local_stack.simulator_client import SimulatorClient
from local_stack.stack import Stack


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "DATABASE_URL", "INVENTIV_SCALEWAY_API_URL", "INVENTIV_LOCAL_DIR"):
        monkeypatch.delenv(name, raising=False)


def exports(text: str) -> dict[str, str]:
    """What a shell knows after `eval` of it, apart from what it knew before."""
    look = "import os; print(chr(0).join(k + chr(61) + v for k, v in os.environ.items()))"
    show = f'eval "$TEXT"; exec "$PYTHON" -c "{look}"'
    environ = {"TEXT": text, "PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}
    shown = subprocess.run(["/bin/sh", "-c", show], env=environ, capture_output=True, text=True, check=True)
    pairs = (line.partition("=") for line in shown.stdout.rstrip("\n").split("\0"))
    return {name: value for name, _, value in pairs if name not in environ or value != environ[name]}


def test_down_where_nothing_is_up_is_no_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["down", "--directory", str(tmp_path / "none")]) == 0
    assert "there is no stack" in capsys.readouterr().out


def test_env_where_nothing_is_up_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["env", "--directory", str(tmp_path / "none")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("inventiv-local: there is no stack in")
    assert len(said.splitlines()) == 1


def test_build_compiles_nothing_where_every_program_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in binaries.PROGRAMS:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    monkeypatch.setenv("INVENTIV_LOCAL_CACHE", str(tmp_path / "cache"))
    assert cli.main(["build"]) == 0
    assert not (tmp_path / "cache" / "programs").exists()


def test_a_build_that_cannot_be_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", "/nowhere")
    assert cli.main(["build"]) == 1
    assert capsys.readouterr().err.startswith("inventiv-local: KUBEBUILDER_ASSETS=/nowhere")


def test_a_kubeconfig_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    assert cli.main(["up", "--directory", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == (
        "inventiv-local: KUBECONFIG=/nowhere/config is not a file; correct or unset it\n"
    )


@pytest.fixture(scope="module")
def borrowed(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a stack that is to use the session's cluster and database as given ones."""
    directory = tmp_path_factory.mktemp("borrowed") / "stack"
    yield directory
    made = Stack.attach(directory)
    if made is not None:
        made.down()


@pytest.fixture
def given_parts(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's cluster and database, as somebody else's."""
    kubeconfig = tmp_path / "someone-elses"
    kubeconfig.write_bytes(stack.kubeconfig.read_bytes())
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.setenv("DATABASE_URL", stack.database.admin_url)


@pytest.mark.usefixtures("given_parts")
def test_a_given_cluster_and_database_are_used_and_left(
    borrowed: Path, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = ["--directory", str(borrowed)]
    assert cli.main(["up", "--no-operator", *directory]) == 0
    assert "using the cluster of" in capsys.readouterr().out
    made = Stack.attach(borrowed)
    assert made is not None
    assert set(made.site.state.processes) == {Part.SIMULATOR}
    assert "deployments.inventiv.io" in stack.kubectl("get", "crd", "--output=name").stdout

    assert cli.main(["env", *directory]) == 0
    shell = exports(capsys.readouterr().out)
    assert shell["INVENTIV_SCALEWAY_API_URL"] == made.scaleway_url
    assert shell["PATH"].split(":")[0] == str(stack.site.program("kubectl").parent)
    operator = {"PATH": os.environ["PATH"]} | {k: v for k, v in shell.items() if k.startswith("INVENTIV_")}
    check = subprocess.run(
        [*python_command("inventiv-operator"), "migrate", "--check"],
        env=operator,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "is the one of this release" in check.stdout, check.stderr

    with SimulatorClient(made.scaleway_url) as simulator:
        known = [key["access_key"] for key in simulator.state()["keys"]]
    assert known == [examples.tenant_key().access_key]

    assert cli.main(["down", *directory]) == 0
    assert not borrowed.exists()
    assert stack.is_running(Part.APISERVER)
    assert made.database.database not in databases_of(stack)


def databases_of(stack: Stack) -> list[str]:
    import psycopg

    with psycopg.connect(stack.database.admin_url) as connection:
        return [str(row[0]) for row in connection.execute("SELECT datname FROM pg_database").fetchall()]
