import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from local_stack import processes
from local_stack.processes import MARKER, Command, Process

WITHIN_S = 10.0
FOR_EVER = "import time\nwhile True: time.sleep(60)"
DEAF = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n"
    + FOR_EVER
)


@pytest.fixture
def stack_id() -> Iterator[str]:
    made = uuid4().hex
    yield made
    for process in processes.marked(made):
        processes.kill(process)


def start(stack_id: str, tmp_path: Path, *, code: str = FOR_EVER, part: str = "thing") -> Process:
    variables = {MARKER: processes.marker(stack_id, part)}
    return processes.spawn(
        Command(
            argv=(sys.executable, "-c", code),
            directory=tmp_path,
            log=tmp_path / "log",
            environment=processes.plain_environment(os.environ, **variables),
        )
    )


def test_a_process_is_found_by_its_marker_alone(stack_id: str, tmp_path: Path) -> None:
    process = start(stack_id, tmp_path)
    other = start(stack_id, tmp_path, part="other")
    assert processes.wait_until(lambda: len(list(processes.marked(stack_id))) == 2, timeout_s=WITHIN_S)
    assert list(processes.marked(stack_id, "thing")) == [process]
    assert set(processes.marked(stack_id)) == {process, other}
    assert list(processes.marked(uuid4().hex)) == []


def test_the_same_pid_with_another_start_is_somebody_else(stack_id: str, tmp_path: Path) -> None:
    process = start(stack_id, tmp_path)
    reused = Process(pid=process.pid, start_mark="another boot/1")
    assert not processes.is_running(reused)
    assert not processes.send(reused, signal.SIGKILL)
    assert processes.is_running(process)


def test_who_does_not_listen_is_killed(stack_id: str, tmp_path: Path) -> None:
    process = start(stack_id, tmp_path, code=DEAF)
    log = tmp_path / "log"
    assert processes.wait_until(lambda: "deaf" in log.read_text(), timeout_s=WITHIN_S)
    processes.end(process, grace_s=0.2)
    assert not processes.is_running(process)


def test_a_process_outlives_who_started_it(stack_id: str, tmp_path: Path) -> None:
    root = str(Path(processes.__file__).parents[1])
    code = (
        f"import sys; sys.path.insert(0, {root!r})\n"
        "from pathlib import Path\nfrom local_stack.processes import *\n"
        f"here = Path({str(tmp_path)!r})\n"
        f"spawn(Command(argv=(sys.executable, '-c', {FOR_EVER!r}), directory=here, log=here / 'log', "
        f"environment={{MARKER: marker({stack_id!r}, 'thing')}}))\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert processes.wait_until(lambda: len(list(processes.marked(stack_id))) == 1, timeout_s=WITHIN_S)


def test_a_part_sees_nothing_of_the_callers_shell_that_it_does_not_need() -> None:
    shell = {
        "PATH": "/bin",
        "HOME": "/root",
        "SCW_SECRET_KEY": "x",
        "HTTPS_PROXY": "http://p",
        "KUBECONFIG": "/k",
    }
    assert processes.plain_environment(shell, MINE="1") == {"PATH": "/bin", "HOME": "/root", "MINE": "1"}


def test_a_command_does_not_print_its_environment(tmp_path: Path) -> None:
    command = Command(argv=("x",), directory=tmp_path, log=tmp_path, environment={"TOKEN": "geheim"})
    assert "geheim" not in repr(command)
