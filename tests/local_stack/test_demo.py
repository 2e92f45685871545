"""`make demo`, as a new user sees it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local_stack import demo, processes
from local_stack.errors import LocalStackError
from local_stack.places import REPOSITORY
from local_stack.stack import Stack
from local_stack.state import Outside

WITHIN_S = 400.0


@pytest.mark.stack
@pytest.mark.slow
def test_the_demo_shows_what_it_promises_and_cleans_up(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "INVENTIV"))}
    done = subprocess.run(
        [sys.executable, "-m", "local_stack.cli", "demo", "--directory", str(tmp_path / "demo")],
        env=environ | {"PYTHONPATH": str(REPOSITORY / "operator"), "KUBECONFIG": "/nowhere"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    for shown in (
        "the demo makes a cluster of its own",
        "ok: exactly 2 servers are billed",
        "kill -9",
        "ok: exactly 3 servers are billed",
        "ok: each had its cloud-init before it was first powered on",
        "ok: the simulator bills nothing: 0 servers, 0 volumes, 0 ips, 0 security groups",
        "Done: nothing is left",
    ):
        assert shown in done.stdout
    assert not (tmp_path / "demo").exists()
    assert str(tmp_path).encode() not in _command_lines()


def test_a_stack_that_does_not_come_up_is_a_failed_demo_that_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl"):
        (given / name).write_text("#!/bin/sh\necho cannot\nexit 1\n")
        (given / name).chmod(0o755)
    environ = dict(os.environ) | {"KUBEBUILDER_ASSETS": str(given)}
    assert demo.run(tmp_path / "demo", environ=environ, outside=Outside(), keep=False) == 1
    assert "etcd ended; its log is" in capsys.readouterr().out
    assert Stack.attach(tmp_path / "demo") is None
    assert str(tmp_path / "demo").encode() not in _command_lines()


def test_without_the_simulator_there_is_no_demo(tmp_path: Path) -> None:
    outside = Outside(scaleway_api_url="http://127.0.0.1:9")
    with pytest.raises(LocalStackError, match="unset INVENTIV_SCALEWAY_API_URL"):
        demo.run(tmp_path / "demo", environ=os.environ, outside=outside, keep=False)


def _command_lines() -> bytes:
    """Of every process but ours."""
    found = b""
    for folder in Path("/proc").glob("[0-9]*"):
        process = processes.identify(int(folder.name))
        if process is not None and process.pid != os.getpid():
            try:
                found += (folder / "cmdline").read_bytes() + b"\n"
            except OSError:
                continue
    return found
