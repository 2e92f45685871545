"""Fixtures of real parts: one stack per session, a database per module, a simulator per test.

`stack`             a running API server and PostgreSQL, started when the first test asks for it
`installed_stack`   the same with CRDs, RBAC and policies applied
`database`          a fresh, migrated database for this module
`clean_cluster`     the stack with none of our objects in it, for this module
`simulator`         a fresh simulator process for this test, with its control interface
`operator_process`  a factory of real `inventiv-operator run` processes against all of these

A session that was killed leaves its processes running; the next one finds and ends them.
"""

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from local_stack import installation, processes
from local_stack.errors import LocalStackError
from local_stack.parts import ANSWER_FOR_INSTANCES, Part, operator_environment
from local_stack.ports import LOOPBACK, free_port, is_listening
from local_stack.processes import MARKER, Command, Process, marker, plain_environment
from local_stack.python_commands import python_command
from local_stack.simulator_client import SimulatorClient
from local_stack.stack import Stack
from local_stack.state import Outside

BASE_PARTS = (Part.ETCD, Part.APISERVER, Part.CONTROLLER_MANAGER, Part.POSTGRES)
_COVERAGE_VARIABLES = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
_SIMULATOR_WITHIN_S = 30.0
_OPERATOR_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """This run of pytest: its folder, and the id that its processes carry."""

    directory: Path
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database with the schema and nothing in it. The superuser is for looking past row-level security."""

    name: str
    owner_url: str
    operator_url: str
    superuser_url: str


@pytest.fixture(scope="session")
def test_session() -> Iterator[Session]:
    home = Path(tempfile.gettempdir()) / f"inventiv-tests-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    for left_behind in home.iterdir():
        _sweep(left_behind)
    session = Session(directory=home / f"{os.getpid()}", id=secrets.token_hex(8))
    session.directory.mkdir(mode=0o700)
    me = processes.identify(os.getpid())
    assert me is not None
    owner = {"pid": me.pid, "start_mark": me.start_mark, "id": session.id}
    (session.directory / "owner.json").write_text(json.dumps(owner))
    yield session
    _end(session.directory, session_id=session.id)


@pytest.fixture(scope="session")
def stack(test_session: Session, request: pytest.FixtureRequest) -> Stack:
    return Stack.up(
        test_session.directory / "stack",
        parts=BASE_PARTS,
        outside=Outside(),
        install=False,
        say=_teller(request.config),
    )


@pytest.fixture(scope="session")
def installed_stack(stack: Stack) -> Stack:
    stack.install()
    return stack


@contextmanager
def fresh_database(stack: Stack) -> Iterator[Database]:
    """Dropped at the end, also when a test stopped the server."""
    name = f"test_{secrets.token_hex(6)}"
    stack.new_database(name)
    server = stack.database
    yield Database(
        name=name,
        owner_url=server.owner_url(name),
        operator_url=server.operator_url(name),
        superuser_url=server.superuser_url(name),
    )
    if not stack.is_running(Part.POSTGRES):
        stack.start(Part.POSTGRES)
    server.drop_database(name)


@pytest.fixture(scope="module")
def database(stack: Stack) -> Iterator[Database]:
    with fresh_database(stack) as made:
        yield made


@pytest.fixture(scope="module")
def clean_cluster(installed_stack: Stack) -> Iterator[Stack]:
    remove_our_objects(installed_stack)
    yield installed_stack
    if installed_stack.is_running(Part.APISERVER):
        remove_our_objects(installed_stack)


@pytest.fixture
def simulator(test_session: Session) -> Iterator[SimulatorClient]:
    """Without keys and projects: `reset` or `add_key` make them."""
    port = free_port()
    part = f"simulator-{port}"
    process = processes.spawn(
        Command(
            argv=(
                *(*python_command("scaleway-simulator"), "--host", LOOPBACK, "--port", str(port)),
                ANSWER_FOR_INSTANCES,
            ),
            directory=test_session.directory,
            log=test_session.directory / f"{part}.log",
            environment=plain_environment(os.environ, **{MARKER: marker(test_session.id, part)}),
        )
    )
    processes.wait_until(
        lambda: is_listening(port) or not processes.is_running(process), timeout_s=_SIMULATOR_WITHIN_S
    )
    if not processes.is_running(process):
        pytest.fail(f"the simulator ended:\n{(test_session.directory / f'{part}.log').read_text()}")
    with SimulatorClient(f"http://{LOOPBACK}:{port}") as client:
        yield client
    processes.kill(process)


class OperatorProcess:
    """A real `inventiv-operator run` that may be killed and started again, always with the same settings."""

    def __init__(self, *, command: Command, port: int) -> None:
        self._command = command
        self._process: Process | None = None
        self.url = f"http://{LOOPBACK}:{port}"

    @property
    def log(self) -> str:
        """Everything that any of its lives wrote."""
        return self._command.log.read_text() if self._command.log.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and processes.is_running(self._process)

    def start(self, *, wait: bool = True) -> None:
        """With `wait`, until it says that it is ready."""
        assert not self.is_running
        self._process = processes.spawn(self._command)
        if wait:
            self.wait_ready()

    def wait_ready(self, *, timeout_s: float = _OPERATOR_WITHIN_S) -> None:
        processes.wait_until(lambda: self.is_ready() or not self.is_running, timeout_s=timeout_s, poll_s=0.05)
        if not self.is_running or not self.is_ready():
            what = "is not ready" if self.is_running else "ended"
            pytest.fail(f"the operator {what}; {self.readiness()}\n{self.log[-4000:]}")

    def is_ready(self) -> bool:
        return self.readiness().startswith("200")

    def readiness(self) -> str:
        """Status and body of /readyz."""
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=2.0, trust_env=False)
        except httpx.HTTPError as error:
            return str(error)
        return f"{answer.status_code} {answer.text}"

    def metrics(self) -> str:
        return httpx.get(f"{self.url}/metrics", timeout=2.0, trust_env=False).text

    def kill_9(self) -> None:
        if self._process is not None:
            processes.kill(self._process)

    def stop(self) -> None:
        if self._process is not None:
            processes.end(self._process, grace_s=30.0)

    def restart(self, *, kill: bool = True, wait: bool = True) -> None:
        if kill:
            self.kill_9()
        else:
            self.stop()
        self.start(wait=wait)

    def wait_ended(self, *, timeout_s: float = 30.0) -> bool:
        return processes.wait_until(lambda: not self.is_running, timeout_s=timeout_s)


OperatorFactory = Callable[..., OperatorProcess]


@pytest.fixture
def operator_process(
    test_session: Session, clean_cluster: Stack, database: Database, simulator: SimulatorClient
) -> Iterator[OperatorFactory]:
    """`operator_process(INVENTIV_SETTLE_S="1", start=False)`: variables by name, over those of the stack."""
    site = clean_cluster.site
    installation.make_keyring(site.keyring, environ=os.environ)
    made: list[OperatorProcess] = []

    def make(*, start: bool = True, wait: bool = True, **variables: str) -> OperatorProcess:
        port = free_port()
        part = f"operator-{port}"
        own = operator_environment(
            site,
            database_url=database.operator_url,
            scaleway_url=simulator.url,
            kubeconfig=site.operator_kubeconfig,
        )
        own["INVENTIV_HTTP_PORT"] = str(port)
        measured = {name: os.environ[name] for name in _COVERAGE_VARIABLES if name in os.environ}
        own |= measured | variables | {MARKER: marker(test_session.id, part)}
        operator = OperatorProcess(
            command=Command(
                argv=(*python_command("inventiv-operator"), "run"),
                directory=test_session.directory,
                log=test_session.directory / f"{part}.log",
                environment=plain_environment(os.environ, **own),
            ),
            port=port,
        )
        made.append(operator)
        if start:
            operator.start(wait=wait)
        return operator

    yield make
    for operator in made:
        operator.stop()


def remove_our_objects(stack: Stack) -> None:
    """Every object of our kinds, and their namespaces. Nobody runs who would take finalizers off."""
    for kind in reversed(installation.KINDS):
        listed = json.loads(stack.kubectl("get", kind, "--all-namespaces", "--output=json").stdout)
        for item in listed["items"]:
            metadata = item["metadata"]
            where = [f"--namespace={metadata['namespace']}"] if "namespace" in metadata else []
            target = (kind, metadata["name"], *where)
            stack.kubectl("delete", *target, "--wait=false", "--ignore-not-found")
            if metadata.get("finalizers"):
                no_finalizers = '{"metadata":{"finalizers":null}}'
                stack.kubectl("patch", *target, "--type=merge", f"--patch={no_finalizers}", check=False)
    kept = {"default", "kube-node-lease", "kube-public", "kube-system", installation.NAMESPACE}
    names = stack.kubectl("get", "namespaces", "--output=jsonpath={.items[*].metadata.name}").stdout.split()
    if others := sorted(set(names) - kept):
        stack.kubectl("delete", "namespace", *others, "--timeout=60s")


def _teller(config: pytest.Config) -> Callable[[str], None]:
    """Progress of a first build goes past the capture: it takes minutes."""
    capture = config.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        if capture is None:
            return
        with capture.global_and_fixture_disabled():
            print(f"\n[local stack] {line}", end="", flush=True)  # noqa: T201

    return tell


def _sweep(directory: Path) -> None:
    """End what a killed session left behind; leave a living one alone."""
    try:
        owner = json.loads((directory / "owner.json").read_text())
    except (OSError, ValueError):
        return
    if not processes.is_running(Process(pid=owner["pid"], start_mark=owner["start_mark"])):
        _end(directory, session_id=owner["id"])


def _end(directory: Path, *, session_id: str) -> None:
    for process in processes.marked(session_id):
        processes.kill(process)
    for state in sorted(directory.glob("*/state.json")):  # the session's stack, and those of single tests
        try:
            stack = Stack.attach(state.parent)
        except LocalStackError:
            return
        if stack is not None:
            stack.down()
    shutil.rmtree(directory, ignore_errors=True)
