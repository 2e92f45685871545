"""S7 and T3: `provider_for` is the only way to a client, and nothing of a tenant comes from the environment.

Read from the source itself, so that a second door is noticed before anybody walks through it.
"""

import ast
import functools
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "operator" / "inventiv_operator"

MAKES_A_CLIENT = {"client": {"controllers/access.py"}}
"""Methods of that name that are called, and where: `ClientFactory.client`."""
CONSTRUCTORS = {
    "ScalewayClient": {"scaleway/factory.py"},
    "Caller": {"scaleway/factory.py"},
    "AiohttpWire": {"scaleway/factory.py"},
    # One for each process: it has no key, only the way to the API.
    "ClientFactory": {"bootstrap.py", "leaks/command.py"},
    # What decrypts a stored key. `Access` makes clients of it; the others compare it with what is offered.
    "read_secrets": {
        "controllers/access.py",
        "controllers/credential/records.py",
        "controllers/seeding/keeping.py",
    },
}
ENVIRONMENT = {
    "config.py": "INVENTIV_* alone",
    "kube/access.py": "where the cluster is: KUBECONFIG, KUBERNETES_SERVICE_HOST",
    "store/migrate.py": "PATH, HOME and TMPDIR for the migration tool",
}
"""Who may look at the environment, and for what."""
HOME_FOLDER = {"kube/access.py": "the kubeconfig"}


@functools.cache
def sources() -> tuple[tuple[str, tuple[ast.AST, ...]], ...]:
    """Every node of every module."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return tuple(
        (str(path.relative_to(PACKAGE)), tuple(ast.walk(ast.parse(path.read_text())))) for path in paths
    )


def places(found: Callable[[ast.AST], bool]) -> set[str]:
    return {name for name, nodes in sources() if any(found(node) for node in nodes)}


def calls(name: str, *, as_method: bool = False) -> Callable[[ast.AST], bool]:
    def found(node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return False
        match node.func:
            case ast.Attribute(attr=attr):
                return attr == name
            case ast.Name(id=bare):
                return bare == name and not as_method
        return False

    return found


def is_path_home(node: ast.AST) -> bool:
    """`Path.home`, by whatever way it was imported."""
    match node:
        case ast.Attribute(attr="home", value=ast.Name(id=owner) | ast.Attribute(attr=owner)):
            return owner.endswith("Path")
    return False


def mentions(*words: str) -> Callable[[ast.AST], bool]:
    """As a name, an attribute or an import; not in a text."""

    def found(node: ast.AST) -> bool:
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name):
                return name in words
            case ast.ImportFrom(names=names) | ast.Import(names=names):
                return any(alias.name.rpartition(".")[2] in words for alias in names)
        return False

    return found


@pytest.mark.parametrize("name", MAKES_A_CLIENT)
def test_S7_clients_are_made_behind_the_one_door(name: str) -> None:
    assert places(calls(name, as_method=True)) == MAKES_A_CLIENT[name]


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_S7_nobody_builds_the_parts_of_one_by_hand(name: str) -> None:
    assert places(calls(name)) == CONSTRUCTORS[name]


def test_T3_the_environment_is_read_in_known_places_for_known_things() -> None:
    assert places(mentions("environ", "getenv", "environb")) == set(ENVIRONMENT)


def test_T3_the_home_folder_is_read_in_known_places_for_known_things() -> None:
    found = (places(calls(name)) for name in ("expanduser", "expandvars"))
    assert places(is_path_home).union(*found) == set(HOME_FOLDER)


def test_T3_no_library_that_looks_for_access_by_itself_is_imported() -> None:
    imported = places(
        lambda node: (
            (
                isinstance(node, ast.ImportFrom)
                and (node.module or "").partition(".")[0] in {"scaleway", "scaleway_core", "scaleway_async"}
            )
            or (
                isinstance(node, ast.Import)
                and any(alias.name.partition(".")[0].startswith("scaleway") for alias in node.names)
            )
        )
    )
    assert imported == set()
