"""The reader of pages itself: a page whose commands fail must not pass."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.shell_blocks import Block, BlockFailed, Shell, blocks


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with Shell(directory=tmp_path, environment={"PATH": "/usr/bin:/bin"}, name="page.md") as made:
        yield made


def block(text: str) -> Block:
    return Block(language="sh", text=text, line=7)


def test_what_one_block_sets_the_next_one_knows(shell: Shell) -> None:
    assert shell.run(block('NAME=acme\nhi() { echo "hi $1"; }\n'), timeout_s=10.0) == ""
    assert shell.run(block('hi "$NAME"\n'), timeout_s=10.0) == "hi acme\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("false\necho on\n", id="a-command-before-the-last"),
        pytest.param("false | cat\n", id="inside-a-pipe"),
        pytest.param("echo $NOBODY_SET_THIS\n", id="an-unknown-variable"),
        pytest.param("exit 0\n", id="the-end-of-the-shell"),
    ],
)
def test_a_block_that_fails_says_where(shell: Shell, text: str) -> None:
    with pytest.raises(BlockFailed, match=r"page\.md, line 7: the block failed"):
        shell.run(block(text), timeout_s=10.0)


def test_a_block_that_hangs_says_where(shell: Shell) -> None:
    with pytest.raises(BlockFailed, match="line 7: the block did not end within 0 s"):
        shell.run(block("exec sleep 600\n"), timeout_s=0.3)


def test_a_command_cannot_eat_the_lines_after_it(shell: Shell) -> None:
    assert shell.run(block("cat\necho still here\n"), timeout_s=10.0) == "still here\n"


def test_blocks_are_found_with_their_language_and_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```sh\necho 1\n```\n\n```\nplain\n```\n")
    assert blocks(page) == (
        Block(language="sh", text="echo 1\n", line=3),
        Block(language="", text="plain\n", line=7),
    )
