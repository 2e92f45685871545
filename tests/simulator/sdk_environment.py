"""A virtual environment with the official SDK, made once per lock file.

The SDK wants an older python-dateutil than the project's own dependencies do, so it cannot be among them.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "scaleway-sdk.txt"


def sdk_python() -> Path:
    """The interpreter of that environment; installs it when the lock has changed.

    Raises:
        RuntimeError: pip failed; its own words.
    """
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = ROOT / ".venv-scaleway-sdk" / digest
    home.mkdir(parents=True, exist_ok=True)
    python, done = home / "bin" / "python", home / ".installed"
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            _run(sys.executable, "-m", "venv", str(home))
            _run(str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK))
            done.touch()
    return python


def _run(*command: str) -> None:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{finished.stdout}{finished.stderr}")
