"""The image, as far as it can be tried without an engine: its text, and its build stage carried out."""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from packaging_dockerfile import BuildStage, build_context, instructions

CHECKOUT = Path(__file__).resolve().parents[2]
DOCKERFILE = CHECKOUT / "Dockerfile"
_COMMAND_WITHIN_S = 60.0


def test_hadolint_has_no_complaint() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run(
        [hadolint, DOCKERFILE], capture_output=True, text=True, timeout=_COMMAND_WITHIN_S, check=False
    )
    assert done.returncode == 0, done.stdout


def test_base_images_have_a_version_and_both_stages_the_same() -> None:
    bases = [step.text.split()[0] for step in instructions(DOCKERFILE) if step.word == "FROM"]
    assert len(bases) == 2
    assert len(set(bases)) == 1, "the virtual environment links to the interpreter of its own stage"
    assert re.fullmatch(r"python:3\.\d+(\.\d+)?-slim-\w+", bases[0])


def test_the_last_stage_is_not_root_and_installs_nothing() -> None:
    last = [step for step in instructions(DOCKERFILE) if step.stage == 1]
    by_word = {step.word: step.text for step in last}
    user, _, group = by_word["USER"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert by_word["ENTRYPOINT"] == '["inventiv-operator"]'
    assert not [step for step in last if step.word == "RUN" and " install" in step.text]
    assert [step.text for step in last if step.word == "COPY"] == ["--from=build /opt/inventiv /opt/inventiv"]


def test_everything_is_installed_by_hash_or_is_our_own_wheel() -> None:
    commands = [
        command.strip()
        for step in instructions(DOCKERFILE)
        if step.word == "RUN"
        for command in step.text.split("&&")
    ]
    installs = [command for command in commands if " install " in command]
    assert len(installs) == 3
    for command in installs:
        assert "--require-hashes --only-binary=:all:" in command or "--no-deps --no-index" in command


def test_the_build_tools_are_locked_as_for_development() -> None:
    """requirements/build.txt repeats entries of dev.txt: version and hashes."""
    ours, all_entries = (_locked(CHECKOUT / "requirements" / name) for name in ("build.txt", "dev.txt"))
    assert "hatchling" in ours
    assert {name: all_entries.get(name) for name in ours} == ours


def _locked(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    entries = {}
    for block in re.split(r"\n(?=[a-z0-9])", "\n" + path.read_text()):
        head = re.match(r"([a-z0-9._-]+)(?:\[[a-z,-]+\])?==([^ \\\n]+)", block)
        if head:
            entries[head[1]] = (head[2], frozenset(re.findall(r"sha256:[0-9a-f]{64}", block)))
    return entries


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file system that the build stage leaves."""
    context = tmp_path_factory.mktemp("context")
    root = tmp_path_factory.mktemp("image")
    build_context(CHECKOUT, context)
    stage = BuildStage(context=context, root=root, python=sys.executable)
    stage.carry_out([step for step in instructions(DOCKERFILE) if step.stage == 0])
    return root


def _run(image: Path, program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [image / "opt/inventiv/bin" / program, *arguments],
        cwd=cwd,
        env={"PATH": f"{image}/opt/inventiv/bin:/usr/bin:/bin", "HOME": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_COMMAND_WITHIN_S,
        check=False,
    )


@pytest.mark.slow
class TestTheBuiltImage:
    def test_the_command_is_there(self, image: Path, tmp_path: Path) -> None:
        done = _run(image, "inventiv-operator", "--help", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        for command in ("run", "migrate", "bind", "keyring"):
            assert command in done.stdout

    def test_every_migration_is_in_the_wheel(self, image: Path, tmp_path: Path) -> None:
        (installed,) = image.glob("opt/inventiv/lib/python*/site-packages/inventiv_operator/migrations")
        in_the_checkout = {path.name: path.read_bytes() for path in (CHECKOUT / "migrations").glob("*.sql")}
        assert in_the_checkout
        assert {path.name: path.read_bytes() for path in installed.glob("*.sql")} == in_the_checkout

    def test_migrate_says_what_it_misses_in_one_line(self, image: Path, tmp_path: Path) -> None:
        done = _run(image, "inventiv-operator", "migrate", cwd=tmp_path)
        assert done.returncode == 1
        assert "INVENTIV_MIGRATION_DATABASE_URL" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1

    def test_the_migration_tool_came_along(self, image: Path, tmp_path: Path) -> None:
        assert "dbmate" in _run(image, "dbmate", "--version", cwd=tmp_path).stdout

    def test_every_module_can_be_imported(self, image: Path, tmp_path: Path) -> None:
        """Something that only the development environment has would show here."""
        code = (
            "import importlib, pkgutil, inventiv_operator\n"
            "for module in pkgutil.walk_packages(inventiv_operator.__path__, 'inventiv_operator.'):\n"
            "    module.name.endswith('__main__') or importlib.import_module(module.name)"
        )
        done = _run(image, "python", "-W", "error::SyntaxWarning", "-c", code, cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    def test_there_are_no_build_tools_simulator_or_tests(self, image: Path) -> None:
        (packages,) = image.glob("opt/inventiv/lib/python*/site-packages")
        names = {path.name for path in packages.iterdir()}
        assert not names & {"pip", "setuptools", "hatchling", "scaleway_simulator", "local_stack", "pytest"}
        assert "inventiv_operator" in names
