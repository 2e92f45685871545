"""What a stack remembers between two commands: one JSON file, readable by its user only."""

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from local_stack.errors import LocalStackError
from local_stack.processes import Process

FILE = "state.json"
LAYOUT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What is used instead of a part of our own; an empty string: our own."""

    kubeconfig: str = ""
    database_url: str = field(default="", repr=False)  # of a login that may make roles and databases
    scaleway_api_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Random per stack, so that nobody who knows one stack can talk to another."""

    admin_token: str = field(repr=False)
    controller_manager_token: str = field(repr=False)
    superuser_password: str = field(repr=False)
    owner_password: str = field(repr=False)
    operator_password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    stack_id: str
    secrets: Secrets
    outside: Outside
    ports: dict[str, int]
    processes: dict[str, Process]
    postgres_home: str = ""  # the folder of the database; empty: not made yet

    def with_process(self, part: str, process: Process | None) -> "State":
        others = {name: other for name, other in self.processes.items() if name != part}
        return replace(self, processes=others if process is None else others | {part: process})


def new_state(*, outside: Outside) -> State:
    return State(
        stack_id=secrets.token_hex(8),
        secrets=Secrets(**{name: secrets.token_hex(24) for name in Secrets.__dataclass_fields__}),
        outside=outside,
        ports={},
        processes={},
    )


def load(directory: Path) -> State | None:
    """What was saved there, None if nothing was.

    Raises LocalStackError for a file that this version cannot read.
    """
    path = directory / FILE
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _unreadable(path) from error
    try:
        if raw.pop("layout") != LAYOUT:
            raise _unreadable(path)
        return State(
            stack_id=raw["stack_id"],
            secrets=Secrets(**raw["secrets"]),
            outside=Outside(**raw["outside"]),
            ports=raw["ports"],
            processes={name: Process(**process) for name, process in raw["processes"].items()},
            postgres_home=raw["postgres_home"],
        )
    except (KeyError, TypeError, AttributeError):
        raise _unreadable(path) from None  # the cause would quote the content, secrets included


def save(directory: Path, state: State) -> None:
    write_private(directory / FILE, json.dumps({"layout": LAYOUT} | asdict(state), indent=1) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 that is there either wholly or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


@contextmanager
def locked(path: Path, *, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold this lock file; the lock dies with its process. `on_wait` is told when somebody else has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _unreadable(path: Path) -> LocalStackError:
    return LocalStackError(
        f"{path} was not written by this version of the local stack; "
        "end that stack with the version that started it, then remove its folder"
    )
