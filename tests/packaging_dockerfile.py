"""A Dockerfile as a list of instructions, and its build stage run without an engine.

Only what ours uses is understood; anything else is an error, so that the test cannot skip a step in silence.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_STEP_WITHIN_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    stage: int  # from 0
    word: str  # FROM, RUN, COPY ...
    text: str


def instructions(dockerfile: Path) -> tuple[Instruction, ...]:
    """In order, continuation lines joined, comments left out."""
    stage = -1
    found: list[Instruction] = []
    for line in _logical_lines(dockerfile.read_text().splitlines()):
        word, _, text = line.partition(" ")
        stage += word == "FROM"
        found.append(Instruction(stage=stage, word=word, text=text.strip()))
    return tuple(found)


def _logical_lines(lines: Sequence[str]) -> Iterator[str]:
    pending = ""
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        pending += line.strip()
        if pending.endswith("\\"):
            pending = pending[:-1].rstrip() + " "
            continue
        yield pending
        pending = ""


class BuildStage:
    """Carries a stage out below `root`: its absolute paths are paths there, its context is `context`."""

    def __init__(self, *, context: Path, root: Path, python: str) -> None:
        self._context = context
        self._root = root
        self._directory = root
        self._environment = {
            name: os.environ[name]
            for name in os.environ
            if name in {"HOME", "LANG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"}
            or name.startswith("PIP_")
            or name.lower().endswith("_proxy")
        }
        shims = root / "shims"
        shims.mkdir(parents=True)
        # not a link: the interpreter of a virtual environment would not find its packages, pip among them
        (shims / "python").write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
        (shims / "python").chmod(0o755)
        self._environment["PATH"] = f"{shims}:/usr/local/bin:/usr/bin:/bin"

    def carry_out(self, steps: Sequence[Instruction]) -> None:
        for step in steps:
            match step.word:
                case "FROM":
                    continue
                case "ENV":
                    given = dict(part.split("=", 1) for part in shlex.split(step.text))
                    given.pop("PIP_NO_CACHE_DIR", None)  # the cache of whoever runs the tests may be used
                    self._environment |= given
                case "WORKDIR":
                    self._directory = self._inside(step.text)
                    self._directory.mkdir(parents=True, exist_ok=True)
                case "COPY":
                    self._copy(step.text.split())
                case "RUN":
                    self._run(step.text)
                case _:
                    raise AssertionError(f"{step.word} in a build stage is not understood here")

    def _inside(self, path: str) -> Path:
        return self._root / path.lstrip("/") if path.startswith("/") else self._directory / path

    def _copy(self, parts: Sequence[str]) -> None:
        assert not parts[0].startswith("--")
        *sources, target = parts
        for source in sources:
            origin = self._context / source
            assert origin.exists(), f"COPY {source}: not in the build context (see .dockerignore)"
            destination = self._inside(target)
            if origin.is_dir():
                shutil.copytree(origin, destination, dirs_exist_ok=True)
            else:
                destination = destination / origin.name if target.endswith("/") else destination
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(origin, destination)

    def _run(self, command: str) -> None:
        for absolute in ("/opt/", "/wheels"):
            command = command.replace(f" {absolute}", f" {self._root}{absolute}")
            if command.startswith(absolute):
                command = f"{self._root}{command}"
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_STEP_WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def build_context(checkout: Path, target: Path) -> None:
    """What an engine would be sent: .dockerignore that denies all and names exceptions, as ours does."""
    lines = [
        line
        for line in (checkout / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert lines[0] == "*"
    allowed = [line[1:] for line in lines if line.startswith("!")]
    assert {line for line in lines[1:] if not line.startswith("!")} == {"**/__pycache__", "**/*.pyc"}
    left_out = shutil.ignore_patterns("__pycache__", "*.pyc")
    for pattern in allowed:
        matches = list(checkout.glob(pattern))
        assert matches, f".dockerignore: !{pattern} names nothing"
        for match in matches:
            destination = target / match.relative_to(checkout)
            destination.parent.mkdir(parents=True, exist_ok=True)
            if match.is_dir():
                shutil.copytree(match, destination, ignore=left_out)
            else:
                shutil.copy2(match, destination)
