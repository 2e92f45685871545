"""Building and finding programs, with a compiler that is quick."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_go import FakeGo
from local_stack import binaries
from local_stack.errors import LocalStackError
from local_stack.processes import identify, is_running, wait_until

WITHIN_S = 20.0
WANTED = ("etcd", "kubectl")


@pytest.fixture
def go(tmp_path: Path) -> FakeGo:
    return FakeGo(tmp_path / "go")


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    (folder / "etcd").mkdir(parents=True)
    (folder / "go.mod").write_text("module x\n\ngo 1.26.0\n")
    (folder / "go.sum").write_text("a v1.0.0 h1:x\n")
    (folder / "etcd" / "main.go").write_text("package main\n")
    return folder


@pytest.fixture
def builder(go: FakeGo, module: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that builds, held back with its first program half written."""
    go.hold()
    code = (
        "from pathlib import Path; import os; from local_stack.binaries import find_programs; "
        f"find_programs({WANTED!r}, environ=os.environ, say=print, module=Path({str(module)!r}))"
    )
    root = str(Path(binaries.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=go.environ | {"PYTHONPATH": root}, stdout=subprocess.DEVNULL
    )
    assert wait_until(lambda: bool(go.builds), timeout_s=WITHIN_S)
    yield process
    if (go.folder / "hold").exists():
        go.go_on()
    process.kill()
    process.wait()


def find(go: FakeGo, module: Path, *, said: list[str] | None = None, **more: str) -> dict[str, Path]:
    lines = [] if said is None else said
    return binaries.find_programs(WANTED, environ=go.environ | more, say=lines.append, module=module)


def test_what_is_missing_is_built_once_and_then_found(go: FakeGo, module: Path) -> None:
    said: list[str] = []
    first = find(go, module, said=said)
    assert all(os.access(path, os.X_OK) for path in first.values())
    assert any("about five minutes" in line for line in said)
    assert find(go, module) == first
    assert len(go.builds) == 1


def test_other_dependencies_or_sources_are_built_anew(go: FakeGo, module: Path) -> None:
    first = find(go, module)
    (module / "go.sum").write_text("a v1.0.1 h1:y\n")
    second = find(go, module)
    (module / "etcd" / "main.go").write_text("package main // changed\n")
    assert len({first["etcd"], second["etcd"], find(go, module)["etcd"]}) == 3


def test_given_programs_are_used_and_only_the_others_built(go: FakeGo, module: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "etcd").write_text("#!/bin/sh\n")
    (given / "etcd").chmod(0o755)
    found = find(go, module, KUBEBUILDER_ASSETS=str(given))
    assert found["etcd"] == given / "etcd"
    assert not (found["kubectl"].parent / "etcd").exists()


def test_a_folder_of_given_programs_that_is_not_there_is_said(go: FakeGo, module: Path) -> None:
    with pytest.raises(LocalStackError, match="KUBEBUILDER_ASSETS=/nowhere is not a folder"):
        find(go, module, KUBEBUILDER_ASSETS="/nowhere")


def test_a_killed_builder_leaves_no_half_program(
    go: FakeGo, module: Path, builder: subprocess.Popen[bytes]
) -> None:
    folder = binaries.find_folder(go.environ, module)
    half = list(folder.glob("*/etcd"))
    assert [path.read_text() for path in half] == ["half"]
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    assert binaries.present_programs(WANTED, environ=go.environ, module=module) == {}
    compiler = identify(go.builds[0])
    go.go_on()
    assert wait_until(lambda: compiler is None or not is_running(compiler), timeout_s=WITHIN_S)
    assert set(find(go, module)) == set(WANTED)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "build.log", *WANTED]


def test_who_comes_second_waits_and_builds_nothing(
    go: FakeGo, module: Path, builder: subprocess.Popen[bytes]
) -> None:
    said: list[str] = []
    found: list[dict[str, Path]] = []
    second = threading.Thread(target=lambda: found.append(find(go, module, said=said)))
    second.start()
    assert wait_until(
        lambda: "waiting for another build of the same programs to finish" in said, timeout_s=WITHIN_S
    )
    go.go_on()
    second.join(timeout=WITHIN_S)
    assert set(found[0]) == set(WANTED)
    assert len(go.builds) == 1


def test_a_build_that_fails_says_where_its_output_is(go: FakeGo, module: Path) -> None:
    go.fail()
    with pytest.raises(LocalStackError, match=r"go build failed.*build\.log(.|\n)*undefined: something"):
        find(go, module)
    assert binaries.present_programs(WANTED, environ=go.environ, module=module) == {}
