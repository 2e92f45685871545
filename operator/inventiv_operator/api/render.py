"""Render the CRDs from the models: `python -m inventiv_operator.api.render [--check] [DIRECTORY]`.

The files are committed, and `--check` fails when they are not what the models say.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from inventiv_operator.api.definitions import DEFINITIONS, custom_resource_definition

_HEADER = (
    "# Rendered from the models in operator/inventiv_operator/api by `make crds`: change them, not this.\n"
)
_LINE_LENGTH = 110
_CHECKOUT = Path(__file__).resolve().parents[3]


class _Dumper(yaml.SafeDumper):
    """Without anchors: one constant that two fields share is written twice."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def rendered_files() -> Mapping[str, str]:
    """The text of each CRD by file name."""
    return {
        f"{definition.name}.yaml": _HEADER + _yaml(custom_resource_definition(definition))
        for definition in DEFINITIONS
    }


def drift(directory: Path, files: Mapping[str, str]) -> list[str]:
    """The names of files that are missing, differ, or have no model any more."""
    on_disk = {path.name for path in directory.glob("*.yaml")} - {"kustomization.yaml"}
    differing = {
        name
        for name, text in files.items()
        if name not in on_disk or (directory / name).read_text(encoding="utf-8") != text
    }
    return sorted(differing | (on_disk - files.keys()))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Render the CRDs from the models.")
    parser.add_argument("directory", nargs="?", type=Path, default=_CHECKOUT / "crds")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 when a file is out of date"
    )
    options = parser.parse_args(arguments)
    files = rendered_files()
    if options.check:
        stale = drift(options.directory, files)
        if stale:
            sys.stderr.write(f"out of date in {options.directory}: {', '.join(stale)}; run `make crds`\n")
        return 1 if stale else 0
    options.directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (options.directory / name).write_text(text, encoding="utf-8")
    return 0


def _yaml(document: Mapping[str, Any]) -> str:
    text: str = yaml.dump(
        dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_LINE_LENGTH
    )
    return text


if __name__ == "__main__":
    sys.exit(main())
