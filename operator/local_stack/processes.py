"""Start processes that outlive us, and end only those we started.

A pid alone proves nothing: it may have been given to somebody else. A process is ours when its pid *and* its
start time are the recorded ones, or when its environment carries the random marker of the stack (that finds
what was started but never recorded, because we were killed in between).
"""

import errno
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MARKER = "INVENTIV_LOCAL_PART"
POLL_S = 0.02
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process for all time: `start_mark` is the boot and the clock tick it was started at."""

    pid: int
    start_mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    argv: tuple[str, ...]
    directory: Path
    log: Path
    environment: Mapping[str, str] = field(repr=False)
    user: int | None = None  # the uid to run as; None: ours
    group: int | None = None  # its gid; given together with the uid


class _Detached(subprocess.Popen[bytes]):
    """A child that is meant to outlive the object, so no warning when the object goes first."""

    def __del__(self) -> None:
        pass


def plain_environment(environ: Mapping[str, str], **more: str) -> dict[str, str]:
    """What a part gets to see: no proxy, no cloud credentials, nothing of the shell that it does not need."""
    return {name: environ[name] for name in _PASSED_ON if name in environ} | more


def marker(stack_id: str, part: str) -> str:
    return f"{stack_id}:{part}"


def spawn(command: Command) -> Process:
    """Start it in a session of its own, with its output appended to its log.

    Raises OSError when the program cannot be started.
    """
    with os.fdopen(os.open(command.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        child = _Detached(
            command.argv,
            cwd=command.directory,
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=command.user,
            group=command.group,
            extra_groups=None if command.user is None else [],
        )
    # Ours and not yet waited for, so the pid is still its own even if it has ended already.
    return Process(pid=child.pid, start_mark=_start_mark(child.pid) or "ended")


def is_running(process: Process) -> bool:
    _reap(process.pid)
    return _start_mark(process.pid) == process.start_mark


def send(process: Process, signal_number: signal.Signals) -> bool:
    """Signal that very process; False when it is gone. A pidfd cannot come to mean another one in between."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_running(process):
            return False
        signal.pidfd_send_signal(handle, signal_number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def end(process: Process, *, first: signal.Signals = signal.SIGTERM, grace_s: float = 10.0) -> None:
    """Ask it to stop, and kill it when it has not after `grace_s`. Returns when it is gone."""
    if send(process, first) and not wait_until(lambda: not is_running(process), timeout_s=grace_s):
        send(process, signal.SIGKILL)
        wait_until(lambda: not is_running(process), timeout_s=10.0)


def kill(process: Process) -> None:
    end(process, first=signal.SIGKILL)


def marked(stack_id: str, part: str | None = None) -> Iterator[Process]:
    """Every process of this user that carries the marker of that stack (and part), recorded or not."""
    wanted = f"{MARKER}={marker(stack_id, part or '')}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError as error:  # gone in the meantime, or somebody else's
            if error.errno in {errno.ENOENT, errno.ESRCH, errno.EACCES, errno.EPERM}:
                continue
            raise
        found = any(value == wanted if part else value.startswith(wanted) for value in variables)
        mark = _start_mark(int(folder.name)) if found else None
        if mark is not None:
            yield Process(pid=int(folder.name), start_mark=mark)


def identify(pid: int) -> Process | None:
    """The process that has this pid now, or None."""
    mark = _start_mark(pid)
    return None if mark is None else Process(pid=pid, start_mark=mark)


def children(process: Process) -> tuple[Process, ...]:
    """Its direct children; empty when it is gone."""
    listing = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        pids = [int(pid) for pid in listing.read_text().split()]
    except OSError:
        return ()
    return tuple(child for child in map(identify, pids) if child is not None)


def wait_until(condition: Callable[[], bool], *, timeout_s: float, poll_s: float = POLL_S) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        select.select([], [], [], poll_s)
    return True


def _start_mark(pid: int) -> str | None:
    """Boot id and start tick; None when there is no such process or only its corpse."""
    try:
        # The second field is the program's name in parentheses and may itself contain spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    state, start_tick = fields[0], fields[19]
    return None if state in {"Z", "X"} else f"{boot}/{start_tick}"


def _reap(pid: int) -> None:
    """Bury it if it was our own child, so that its number is free again."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
