"""The stack on real parts: one of the session, and smaller ones that are taken apart."""

import os
import re
import shutil
import signal
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from local_stack import binaries, cluster, processes
from local_stack.errors import LocalStackError
from local_stack.kubectl import Kubectl
from local_stack.parts import Part
from local_stack.stack import Stack
from local_stack.state import Outside

API = (Part.ETCD, Part.APISERVER)
NOBODY = 65_534


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, stack: Stack) -> Iterator[Stack]:
    """A second stack beside the session's, with nothing but an API server."""
    directory = tmp_path_factory.mktemp("stacks") / "second"
    yield up(directory)
    attached = Stack.attach(directory)
    if attached is not None:
        attached.down()


def up(directory: Path, *, parts: tuple[Part, ...] = API, **environ: str) -> Stack:
    return Stack.up(
        directory, parts=parts, outside=Outside(), install=False, environ=dict(os.environ) | environ
    )


def pids(stack: Stack) -> dict[str, int]:
    return {part: process.pid for part, process in stack.site.state.processes.items()}


def kubectl_with(stack: Stack, kubeconfig: Path) -> Kubectl:
    return Kubectl(
        program=stack.site.program("kubectl"),
        kubeconfig=kubeconfig,
        environ=os.environ,
        cache=stack.site.directory / "cache",
    )


def test_up_again_leaves_alone_what_runs(api: Stack) -> None:
    again = up(api.site.directory)
    assert pids(again) == pids(api)
    assert again.site.state.ports == api.site.state.ports
    assert again.site.state.secrets == api.site.state.secrets


def test_a_dead_part_is_started_again_and_nothing_else(api: Stack) -> None:
    api.kubectl("create", "namespace", "kept")
    before = pids(api)
    api.kill(Part.APISERVER)
    assert not api.is_running(Part.APISERVER)
    after = pids(up(api.site.directory))
    assert after[Part.ETCD] == before[Part.ETCD]
    assert after[Part.APISERVER] != before[Part.APISERVER]
    api.kubectl("get", "namespace", "kept")


def test_a_part_that_was_started_and_never_written_down_is_found(api: Stack) -> None:
    before = pids(api)
    supervisor = up(api.site.directory)._supervisor
    supervisor.remember(supervisor.site.state.with_process(Part.APISERVER, None))
    again = up(api.site.directory)
    assert Part.APISERVER not in pids(again)
    found = [process.pid for process in processes.marked(api.site.state.stack_id, Part.APISERVER)]
    assert len(found) == 1
    assert before[Part.ETCD] == pids(again)[Part.ETCD]


def test_two_stacks_cannot_talk_to_each_other(stack: Stack, api: Stack, tmp_path: Path) -> None:
    first, second = stack.site, api.site
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.get_server_certificate(
            ("127.0.0.1", first.state.ports[Part.APISERVER]), ca_certs=str(second.certificates / "ca.crt")
        )
    mixed = tmp_path / "mixed.kubeconfig"
    cluster.write_kubeconfig(
        mixed,
        server=first.url(Part.APISERVER, scheme="https"),
        authority=(first.certificates / "ca.crt").read_bytes(),
        user="admin",
        token=second.state.secrets.admin_token,
    )
    refused = kubectl_with(stack, mixed)("get", "namespaces", check=False)
    assert refused.returncode != 0
    assert "must be logged in" in refused.stderr
    other_client = ssl.create_default_context(cafile=str(first.certificates / "ca.crt"))
    other_client.load_cert_chain(second.certificates / "client.crt", second.certificates / "client.key")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{first.url(Part.ETCD, scheme='https')}/health", verify=other_client, trust_env=False)


def test_nobody_gets_in_without_a_token(stack: Stack) -> None:
    site = stack.site
    trusted = ssl.create_default_context(cafile=str(site.certificates / "ca.crt"))
    answer = httpx.get(f"{site.url(Part.APISERVER, scheme='https')}/api", verify=trusted, trust_env=False)
    assert answer.status_code == httpx.codes.UNAUTHORIZED
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{site.url(Part.ETCD, scheme='https')}/health", verify=trusted, trust_env=False)
    wrong = re.sub(":[^:@]*@", ":wrong@", site.database.admin_url)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_only_the_user_can_read_what_lets_one_in(api: Stack) -> None:
    site = api.site
    assert site.directory.stat().st_mode & 0o077 == 0
    for path in (
        site.kubeconfig,
        site.tokens,
        site.directory / "state.json",
        site.certificates / "server.key",
    ):
        assert path.stat().st_mode & 0o077 == 0


def test_everything_listens_on_this_machine_only(stack: Stack) -> None:
    ours = {f"{port:04X}" for port in stack.site.state.ports.values()}
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].rpartition(":")
            if fields[3] == "0A" and port in ours:  # 0A: listening
                addresses.add(address)
    assert addresses == {"0100007F"}


def test_the_namespaced_is_deleted_with_its_namespace(stack: Stack) -> None:
    stack.kubectl("create", "namespace", "passing")
    stack.kubectl("create", "configmap", "thing", "--namespace=passing")
    stack.kubectl("delete", "namespace", "passing", "--timeout=60s")
    assert stack.kubectl("get", "configmap", "--namespace=passing", "--output=name").stdout == ""


def test_the_operators_token_is_not_an_administrators(installed_stack: Stack) -> None:
    assert (
        installed_stack.operator_kubectl("get", "deployments.inventiv.io", "--all-namespaces").returncode == 0
    )
    refused = installed_stack.operator_kubectl("delete", "namespace", "default", check=False)
    assert "system:serviceaccount:inventiv-system:inventiv-operator" in refused.stderr
    assert "forbidden" in refused.stderr


def test_a_killed_database_comes_back_with_what_it_held(stack: Stack) -> None:
    url = stack.database.admin_url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS survives AS SELECT 42 AS answer")
        stack.kill(Part.POSTGRES)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    stack.start(Part.POSTGRES)
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute("SELECT answer FROM survives").fetchone() == (42,)
        connection.execute("DROP TABLE survives")


def test_given_programs_are_run(tmp_path: Path, stack: Stack) -> None:
    given = tmp_path / "given"
    given.mkdir()
    for name in (binaries.ETCD, binaries.APISERVER, binaries.KUBECTL):
        (given / name).symlink_to(stack.site.program(name))
    own = up(tmp_path / "stack", KUBEBUILDER_ASSETS=str(given))
    try:
        for part in API:
            command = Path(f"/proc/{pids(own)[part]}/cmdline").read_bytes().split(b"\0")[0]
            assert command == str(given / part).encode()
    finally:
        own.down()


def test_down_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    parts = (*API, Part.POSTGRES)
    stack = up(tmp_path / "stack", parts=parts)
    stack_id, home = stack.site.state.stack_id, stack.site.postgres_home
    started = list(stack.site.state.processes.values())
    assert len(started) == len(parts)
    stack.down()
    assert list(processes.marked(stack_id)) == []
    assert not any(processes.is_running(process) for process in started)
    assert not home.exists()
    assert not (tmp_path / "stack").exists()


def test_down_finds_what_was_never_written_down(tmp_path: Path) -> None:
    stack = up(tmp_path / "stack", parts=(Part.ETCD, Part.POSTGRES))
    stack_id, started = stack.site.state.stack_id, list(stack.site.state.processes.values())
    for part in (Part.ETCD, Part.POSTGRES):
        stack._supervisor.remember(stack.site.state.with_process(part, None))
    forgotten = Stack.attach(tmp_path / "stack")
    assert forgotten is not None
    forgotten.down()
    assert list(processes.marked(stack_id)) == []
    assert not any(processes.is_running(process) for process in started)


def test_a_part_that_does_not_start_is_named_with_its_log(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "etcd").write_text("#!/bin/sh\necho no disk left\nexit 1\n")
    (given / "etcd").chmod(0o755)
    with pytest.raises(LocalStackError, match=r"etcd ended; its log is .*etcd\.log:\n  no disk left"):
        up(tmp_path / "stack", parts=(Part.ETCD,), KUBEBUILDER_ASSETS=str(given))


@pytest.mark.skipif(os.geteuid() != 0, reason="we are an ordinary user already: every other test shows it")
def test_an_ordinary_user_can_run_it_all(stack: Stack) -> None:
    """In a fork, because the interpreter itself may lie where only root can look."""
    home = Path(tempfile.mkdtemp(prefix="inventiv-ordinary-"))
    try:
        given = home / "given"
        given.mkdir()
        for name in (binaries.ETCD, binaries.APISERVER, binaries.CONTROLLER_MANAGER, binaries.KUBECTL):
            shutil.copy(stack.site.program(name), given / name)
        for path in (home, given):
            os.chown(path, NOBODY, NOBODY)
        said = _as_nobody(home, KUBEBUILDER_ASSETS=str(given))
    finally:
        shutil.rmtree(home)
    assert said == "up, kube-system, answer 1, down"


def _as_nobody(home: Path, **environ: str) -> str:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        said = "nothing"
        try:
            os.close(read_end)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.chdir(home)
            said = _live_through_a_stack(home, environ | {"PATH": os.environ["PATH"], "HOME": str(home)})
        except BaseException as error:  # noqa: BLE001  -- a fork of pytest must not go on as pytest
            said = repr(error)
        finally:
            os.write(write_end, said.encode())
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def _live_through_a_stack(home: Path, environ: dict[str, str]) -> str:
    parts = (Part.ETCD, Part.APISERVER, Part.CONTROLLER_MANAGER, Part.POSTGRES)
    stack = Stack.up(home / "stack", parts=parts, outside=Outside(), install=False, environ=environ)
    said = ["up"]
    try:
        said.append(
            stack.kubectl("get", "namespace", "kube-system", "--output=jsonpath={.metadata.name}").stdout
        )
        with psycopg.connect(stack.database.admin_url) as connection:
            said.append(f"answer {connection.execute('SELECT 1').fetchall()[0][0]}")
    finally:
        stack.down()
    left = [path for path in home.iterdir() if path.name not in {"given", "stack.lock"}]
    said.append("down" if not left else f"left {left}")
    return ", ".join(said)
