"""How this project's own commands are called from the interpreter that runs us."""

import sys
import sysconfig
from pathlib import Path

_SOURCES = Path(__file__).resolve().parents[1]
_MODULES = {"inventiv-operator": "inventiv_operator.cli", "scaleway-simulator": "scaleway_simulator.cli"}


def python_command(name: str) -> tuple[str, ...]:
    """The installed script; where the project is not installed, the same entry point of this checkout."""
    installed = Path(sysconfig.get_path("scripts")) / name
    if installed.exists():
        return (str(installed),)
    start = (
        f"import sys; sys.path.insert(0, {str(_SOURCES)!r}); "
        f"from {_MODULES[name]} import main; sys.argv[0] = {name!r}; sys.exit(main())"
    )
    return (sys.executable, "-c", start)
