"""Every test that the page names exists, so that no line of it rests on nothing."""

import re

from local_stack.places import REPOSITORY

PAGE = REPOSITORY / "docs" / "threat-model.md"
_NAMED = re.compile(r"`(test_\w+)`")
_DEFINED = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)


def test_every_test_that_it_names_exists() -> None:
    named = set(_NAMED.findall(PAGE.read_text()))
    assert len(named) > 15
    defined = {
        name
        for file in (REPOSITORY / "tests").rglob("test_*.py")
        for name in _DEFINED.findall(file.read_text())
    }
    assert named <= defined, f"named on the page, and in no file: {sorted(named - defined)}"


def test_every_line_of_the_table_names_one() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) >= 15
    header, *lines = rows
    assert header.endswith("| tests |")
    assert [line for line in lines if not _NAMED.search(line)] == []
