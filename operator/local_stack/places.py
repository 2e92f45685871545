"""Where things are kept: what can be rebuilt in the cache, what belongs to one stack in its own folder."""

from collections.abc import Mapping
from pathlib import Path

from local_stack.errors import LocalStackError

REPOSITORY = Path(__file__).resolve().parents[2]
GO_MODULE = Path(__file__).resolve().parent / "go"
MANIFESTS = REPOSITORY / "manifests" / "base"

CACHE_VARIABLE = "INVENTIV_LOCAL_CACHE"
STACK_VARIABLE = "INVENTIV_LOCAL_DIR"
NAME = "inventiv-operator"


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Where built binaries are kept, shared by all stacks of this user."""
    if given := environ.get(CACHE_VARIABLE):
        return Path(given).absolute()
    return _base(environ, variable="XDG_CACHE_HOME", default=".cache") / NAME


def stack_directory(environ: Mapping[str, str]) -> Path:
    """The folder of the stack that commands act on when no other is named."""
    if given := environ.get(STACK_VARIABLE):
        return Path(given).absolute()
    return _base(environ, variable="XDG_STATE_HOME", default=".local/state") / NAME / "local"


def _base(environ: Mapping[str, str], *, variable: str, default: str) -> Path:
    given = environ.get(variable, "")
    if given.startswith("/"):  # the XDG specification: a relative path is to be ignored
        return Path(given)
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        raise LocalStackError(
            f"neither {variable} nor HOME names an absolute folder; "
            f"set one of them, or {STACK_VARIABLE} and {CACHE_VARIABLE}"
        )
    return Path(home) / default
