"""docs/conditions.md against the code: every reason that can be said is explained, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from inventiv_operator.api.conditions import Reason

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "conditions.md").read_text()
PACKAGE = REPOSITORY / "operator" / "inventiv_operator"
VALUES = frozenset(str(reason) for reason in Reason)


def in_code() -> dict[str, list[str]]:
    """Reason to the places that say it: by the enum, or as the bare word that crosses the seams.

    `api/` only defines words, phases of the same name among them.
    """
    places: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "api"):
            continue
        for word, line in _words(ast.parse(path.read_text())):
            places.setdefault(word, []).append(f"{path.relative_to(PACKAGE)}:{line}")
    return places


def _words(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="Reason"), attr=name):
                yield str(Reason[name]), node.lineno
            case ast.Constant(value=str() as text) if text in VALUES:
                yield text, node.lineno


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found.group(1)


def explained(text: str = PAGE) -> list[str]:
    """The first column of every table."""
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def test_every_reason_that_can_be_said_is_explained_and_no_other() -> None:
    said = in_code()
    missing = {reason: places[0] for reason, places in said.items() if reason not in explained()}
    assert not missing, "docs/conditions.md lacks"
    assert set(explained()) == set(said), "docs/conditions.md explains what nothing says"


def test_what_is_not_said_yet_is_named_and_complete() -> None:
    named = set(re.findall(r"`(\w+)`", section("Not said by this release")))
    assert named == VALUES - in_code().keys()


@pytest.mark.parametrize("kind", ["Deployment", "ProviderCredential", "Organization"])
def test_a_kind_explains_a_reason_once_and_with_something_to_do(kind: str) -> None:
    rows = re.findall(r"^\| `\w+` \|.*$", section(kind), re.MULTILINE)
    names = explained(section(kind))
    assert len(rows) == len(set(names)) == len(names)
    assert {"Ready", "InvalidSpec", "DatabaseUnavailable", "Deleting"} <= set(names)
    assert all(len(cell.strip()) > 1 for row in rows for cell in row.strip("|").split("|"))


def test_a_reason_in_the_description_of_a_field_exists() -> None:
    """What kubectl explain prints about reasons is the same vocabulary."""
    described = [
        word
        for path in sorted((REPOSITORY / "crds").glob("*.yaml"))
        for word in re.findall(r"reason ([A-Z][a-z]+[A-Z]\w+)", path.read_text())
    ]
    assert set(described) <= VALUES
