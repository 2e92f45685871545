"""The fenced blocks of a page, and a shell that runs them one after another as a reader would."""

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_FENCE = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "--- end of block"
ENDS_WITHIN_S = 1.0
"""A shell that has nothing more to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """`line` is where its fence opens, counted from 1."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> tuple[Block, ...]:
    text = page.read_text()
    return tuple(
        Block(language=found["language"], text=found["text"], line=text.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(text)
    )


class BlockFailed(AssertionError):
    pass


class Shell:
    """One bash for a whole page: what a block sets, the next one knows. The first failing command ends it."""

    def __init__(self, *, directory: Path, environment: Mapping[str, str], name: str) -> None:
        self._name = name
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-euo", "pipefail"],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that a command that hangs can be ended with it
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def run(self, block: Block, *, timeout_s: float) -> str:
        """Its output, errors included.

        Raises:
            BlockFailed: a command failed, or the block did not end in time; the text names page and line.
        """
        # In braces, so that no command of the block can eat the lines behind it from standard input.
        script = f"{{\n{block.text}}} </dev/null\necho '{_END}'\n"
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write(script.encode())
        pipe.flush()
        said, ended = self._read(deadline_s=time.monotonic() + timeout_s)
        if ended:
            return said
        how = "failed" if self._process.poll() is not None else f"did not end within {timeout_s:.0f} s"
        raise BlockFailed(f"{self._name}, line {block.line}: the block {how}\n{block.text}\n{said}")

    def _read(self, *, deadline_s: float) -> tuple[str, bool]:
        pipe = self._process.stdout
        assert pipe is not None
        said = b""
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while (left_s := deadline_s - time.monotonic()) > 0:
                if not selector.select(left_s):
                    break
                piece = os.read(pipe.fileno(), 65_536)
                said += piece
                if not piece:
                    self._process.wait(timeout=ENDS_WITHIN_S)
                    break
                if said.endswith(f"{_END}\n".encode()):
                    return said.decode().removesuffix(f"{_END}\n"), True
        return said.decode(errors="replace"), False
