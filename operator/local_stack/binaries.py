"""The programs of the cluster: given by the user, or built once from pinned sources and kept in the cache.

The folder in the cache is named for everything that goes into the build, so another release never meets the
old programs. A program appears there by one rename, so it is there wholly or not at all, whoever was killed.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local_stack import places, toolchain
from local_stack.errors import LocalStackError
from local_stack.processes import wait_until
from local_stack.state import locked

ETCD = "etcd"
APISERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
KUBECTL = "kubectl"
PROGRAMS = (ETCD, APISERVER, CONTROLLER_MANAGER, KUBECTL)

GIVEN_VARIABLE = "KUBEBUILDER_ASSETS"
# kubectl refuses to talk of a server whose version is the unstamped default.
FLAGS = ("-trimpath", "-ldflags", "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3")
_DRAFT = ".draft-"
_TELL_EVERY_S = 15.0
_PACKAGES = 2700  # of the whole build on an empty cache, Kubernetes 1.36
_LOG_LINES = 8

Say = Callable[[str], None]


def find_programs(
    wanted: Sequence[str],
    *,
    environ: Mapping[str, str],
    say: Say,
    module: Path = places.GO_MODULE,
) -> dict[str, Path]:
    """A path for each program: from the given folder, from the cache, or built now (minutes, the first time).

    Raises LocalStackError when there is no Go to build with, or the build fails.
    """
    found = present_programs(wanted, environ=environ, module=module)
    missing = [name for name in wanted if name not in found]
    if missing:
        folder = find_folder(environ, module)
        _build_together(missing, folder, environ=environ, say=say, module=module)
        found |= _present(wanted, folder, found)
    return found


def present_programs(
    wanted: Sequence[str] = PROGRAMS, *, environ: Mapping[str, str], module: Path = places.GO_MODULE
) -> dict[str, Path]:
    """Those that are there without building anything: given ones first."""
    found = _given(wanted, environ)
    return found | _present(wanted, find_folder(environ, module), found)


def find_folder(environ: Mapping[str, str], module: Path) -> Path:
    return places.cache_directory(environ) / "programs" / build_key(module)


def build_key(module: Path) -> str:
    """A name for what would be built: sources, locked dependencies, flags and machine."""
    digest = hashlib.sha256(f"{FLAGS} {platform.system()} {platform.machine()}".encode())
    for path in sorted([module / "go.mod", module / "go.sum", *module.glob("*/*.go")]):
        digest.update(f"{path.relative_to(module)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _given(wanted: Sequence[str], environ: Mapping[str, str]) -> dict[str, Path]:
    if not (folder := environ.get(GIVEN_VARIABLE)):
        return {}
    if not Path(folder).is_dir():
        raise LocalStackError(f"{GIVEN_VARIABLE}={folder} is not a folder; correct or unset it")
    return _present(wanted, Path(folder).absolute(), {})


def _present(wanted: Sequence[str], folder: Path, found: Mapping[str, Path]) -> dict[str, Path]:
    paths = {name: folder / name for name in wanted if name not in found}
    return {name: path for name, path in paths.items() if os.access(path, os.X_OK) and path.is_file()}


def _build_together(
    missing: Sequence[str], folder: Path, *, environ: Mapping[str, str], say: Say, module: Path
) -> None:
    """Build under a lock; who waited for it finds the other's programs and builds nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(
        folder / ".lock", on_wait=lambda: say("waiting for another build of the same programs to finish")
    ):
        missing = [name for name in missing if name not in _present(missing, folder, {})]
        if not missing:
            return
        for abandoned in folder.glob(f"{_DRAFT}*"):  # of a builder that was killed
            shutil.rmtree(abandoned, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=folder))
        try:
            _build(missing, draft, environ=environ, say=say, module=module)
            for name in missing:
                (draft / name).rename(folder / name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _build(
    missing: Sequence[str], draft: Path, *, environ: Mapping[str, str], say: Say, module: Path
) -> None:
    go = toolchain.find_go(environ, module=module)
    version = ".".join(map(str, go.version))
    say(f"building {', '.join(missing)} with Go {version}: about five minutes on two cores, once")
    log = draft.parent / "build.log"
    began_at = time.monotonic()
    with log.open("wb") as output:
        build = subprocess.Popen(
            [go.program, "build", "-v", *FLAGS, "-o", f"{draft}/", *(f"./{name}" for name in missing)],
            cwd=module,
            env=_build_environment(environ, go),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while not wait_until(lambda: build.poll() is not None, timeout_s=_TELL_EVERY_S, poll_s=0.2):
                say(f"  {_progress(log)}, {time.monotonic() - began_at:.0f} s")
        finally:
            if build.poll() is None:  # interrupted: leave no compiler behind
                build.terminate()
                build.wait()
    if build.returncode != 0:
        last = "\n  ".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
        raise LocalStackError(f"go build failed, the whole output is in {log}; its end:\n  {last}")
    say(f"  built in {time.monotonic() - began_at:.0f} s, kept in {draft.parent}")


def _build_environment(environ: Mapping[str, str], go: toolchain.Go) -> dict[str, str]:
    """The user's, for proxies and module mirrors, but for this machine and with this compiler."""
    settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOOS": "", "GOARCH": ""}
    if not environ.get("HOME"):
        cache = places.cache_directory(environ)
        settings |= {"GOCACHE": f"{cache}/go-build", "GOPATH": f"{cache}/go"}
    own_root = {name: value for name, value in environ.items() if name != "GOROOT"}
    return {**own_root, **settings, "PATH": f"{go.program.parent}:{environ.get('PATH', '')}"}


def _progress(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    downloads = sum(line.startswith("go: downloading") for line in lines)
    compiled = len(lines) - downloads
    if not compiled:
        return f"{downloads} modules downloaded" if downloads else "reading the sources"
    return f"{compiled} of about {_PACKAGES} packages compiled"
