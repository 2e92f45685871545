"""A Go compiler that makes small files, as fast or as slowly as a test wants."""

import os
from pathlib import Path

_SCRIPT = """\
#!/bin/sh
if [ "$1" = env ]; then echo "{version}"; exit 0; fi
out=""; names=""
while [ $# -gt 0 ]; do
  case "$1" in
    -o) out="$2"; shift ;;
    ./*) names="$names ${{1#./}}" ;;
  esac
  shift
done
echo "$$" >> "{folder}/builds"
for name in $names; do
  printf 'half' > "$out$name"
  while [ -e "{folder}/hold" ]; do sleep 0.02; done
  printf '#!/bin/sh\\nexit 0\\n' > "$out$name"
  chmod +x "$out$name"
done
if [ -e "{folder}/fail" ]; then echo "undefined: something" >&2; exit 1; fi
"""


class FakeGo:
    def __init__(self, folder: Path, *, version: str = "go1.99.0") -> None:
        self.folder = folder
        folder.mkdir()
        program = folder / "go"
        program.write_text(_SCRIPT.format(version=version, folder=folder))
        program.chmod(0o755)

    @property
    def environ(self) -> dict[str, str]:
        """With a cache of its own, and this compiler first on PATH."""
        return {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "INVENTIV_LOCAL_CACHE": str(self.folder / "cache"),
        }

    @property
    def builds(self) -> list[int]:
        """The process of every build so far."""
        log = self.folder / "builds"
        return [int(line) for line in log.read_text().split()] if log.exists() else []

    def hold(self) -> None:
        """Every build stops with its first program half written, until `go_on`."""
        (self.folder / "hold").touch()

    def go_on(self) -> None:
        (self.folder / "hold").unlink()

    def fail(self) -> None:
        (self.folder / "fail").touch()
