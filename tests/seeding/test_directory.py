"""The files of a seed directory: what is taken from them, and what is said about those that are no use."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from inventiv_operator.controllers.seeding import directory as module
from inventiv_operator.controllers.seeding.directory import Seed, SeedProblem, read_seed
from seeding.conftest import write_seed
from tenant_rig.bench import TestKey

PROJECT = str(uuid4())
KEY = TestKey()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_seed(tmp_path, key=KEY, project_id=PROJECT)
    return tmp_path


def seed_in(folder: Path) -> Seed:
    found = read_seed(folder)
    assert isinstance(found, Seed), found
    return found


def problem_in(folder: Path) -> SeedProblem:
    found = read_seed(folder)
    assert isinstance(found, SeedProblem), found
    return found


def test_S3_the_files_are_read_without_the_white_space_around_them(folder: Path) -> None:
    seed = seed_in(folder)
    assert (seed.project_id, seed.organization_ref) == (PROJECT, None)
    assert seed.key.access_key == KEY.access_key
    assert seed.key.secret_key.get_secret_value() == KEY.secret_key


def test_S3_the_scaleway_organization_is_optional(folder: Path) -> None:
    scaleway = str(uuid4())
    (folder / "organization_id").write_text(scaleway.upper())
    assert seed_in(folder).organization_ref == scaleway


def test_ids_are_compared_and_stored_in_lower_case(folder: Path) -> None:
    (folder / "project_id").write_text(PROJECT.upper())
    assert seed_in(folder).project_id == PROJECT


def test_S3_a_mounted_secret_is_made_of_links(tmp_path: Path) -> None:
    """As a kubelet lays it out: file -> ..data/file, ..data -> a folder with the time in its name."""
    write_seed(tmp_path / "..2026_07_01", key=KEY, project_id=PROJECT)
    (tmp_path / "..data").symlink_to("..2026_07_01")
    for name in ("project_id", "access_key", "secret_key"):
        (tmp_path / name).symlink_to(Path("..data") / name)
    assert seed_in(tmp_path).key.access_key == KEY.access_key


def test_a_pair_is_never_made_of_two_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubelet exchanges the whole Secret between the reading of one file and the next."""
    new = TestKey()
    write_seed(tmp_path / "old", key=KEY, project_id=PROJECT)
    write_seed(tmp_path / "new", key=new, project_id=PROJECT)
    link = tmp_path / "..data"
    link.symlink_to("old")
    real, read = module._content, list[str]()

    def exchanging(path: Path) -> object:
        if read[:1] and path.name == "secret_key" and "secret_key" not in read:
            link.unlink()
            link.symlink_to("new")
        read.append(path.name)
        return real(path)

    monkeypatch.setattr(module, "_content", exchanging)
    key = seed_in(link).key
    assert (key.access_key, key.secret_key.get_secret_value()) == (new.access_key, new.secret_key)


def test_a_directory_that_never_rests_is_said_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module._content

    def changing(path: Path) -> object:
        (folder / "secret_key").write_text(str(uuid4()))
        return real(path)

    monkeypatch.setattr(module, "_content", changing)
    assert "its files change all the time" in problem_in(folder).message


def remove(folder: Path) -> None:
    (folder / "access_key").unlink()


def dangle(folder: Path) -> None:
    (folder / "access_key").unlink()
    (folder / "access_key").symlink_to("nowhere")


def loop(folder: Path) -> None:
    (folder / "access_key").unlink()
    (folder / "access_key").symlink_to("access_key")


def pipe(folder: Path) -> None:
    (folder / "access_key").unlink()
    os.mkfifo(folder / "access_key")


def nest(folder: Path) -> None:
    (folder / "access_key").unlink()
    (folder / "access_key").mkdir()


def put(name: str, content: bytes) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return spoil


SECRET = "hunter2-hunter2-hunter2"
FAULTS = [
    pytest.param(remove, "SecretMissing", "file access_key is missing", id="missing"),
    pytest.param(dangle, "SecretMissing", "file access_key is missing", id="a-link-to-nothing"),
    pytest.param(loop, "SecretInvalid", "file access_key cannot be read: Too many levels", id="a-loop"),
    pytest.param(pipe, "SecretInvalid", "file access_key is not a regular file", id="a-pipe"),
    pytest.param(nest, "SecretInvalid", "file access_key is not a regular file", id="a-directory"),
    pytest.param(put("access_key", b""), "SecretInvalid", "file access_key does not hold SCW", id="empty"),
    pytest.param(
        put("access_key", SECRET.encode()), "SecretInvalid", "file access_key does not hold SCW", id="no-key"
    ),
    pytest.param(
        put("secret_key", SECRET.encode()),
        "SecretInvalid",
        "file secret_key does not hold a UUID",
        id="secret",
    ),
    pytest.param(
        put("secret_key", f"{KEY.secret_key}\n{SECRET}".encode()),
        "SecretInvalid",
        "file secret_key does not hold a UUID",
        id="two-lines",
    ),
    pytest.param(
        put("project_id", SECRET.encode()),
        "SecretInvalid",
        "file project_id does not hold a UUID",
        id="project",
    ),
    pytest.param(
        put("organization_id", SECRET.encode()),
        "SecretInvalid",
        "file organization_id does not hold a UUID",
        id="scaleway-organization",
    ),
    pytest.param(
        put("secret_key", b"\xff\xfe\x00"),
        "SecretInvalid",
        "file secret_key is not text in UTF-8",
        id="binary",
    ),
    pytest.param(
        put("secret_key", b"x" * 4097),
        "SecretInvalid",
        "file secret_key has more than 4096 bytes",
        id="large",
    ),
]


@pytest.mark.parametrize(("spoil", "reason", "says"), FAULTS)
def test_S3_each_fault_names_directory_and_file_and_shows_nothing(
    folder: Path, spoil: Callable[[Path], None], reason: str, says: str
) -> None:
    spoil(folder)
    problem = problem_in(folder)
    assert problem.reason == reason
    assert problem.message.startswith(f"seed directory {folder}: ")
    assert says in problem.message
    for value in (SECRET, KEY.access_key, KEY.secret_key, PROJECT):
        assert value not in problem.message
        assert value not in repr(problem)


def test_S3_a_file_that_may_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so a mode of 0 would prove nothing here."""
    real = os.open

    def refusing(path: Path, flags: int) -> int:
        if path.name == "secret_key":
            raise PermissionError(errno.EACCES, KEY.secret_key)
        return real(path, flags)

    monkeypatch.setattr(os, "open", refusing)
    assert problem_in(folder).message.endswith(": file secret_key cannot be read: Permission denied")


def test_S3_every_file_at_fault_is_named_at_once(folder: Path) -> None:
    (folder / "access_key").unlink()
    (folder / "secret_key").write_text(SECRET)
    problem = problem_in(folder)
    assert "file access_key is missing; file secret_key does not hold" in problem.message
    assert problem.reason == "SecretInvalid"


def test_S3_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    problem = problem_in(tmp_path / "seed")
    assert problem.message == f"seed directory {tmp_path / 'seed'} does not exist"
    assert problem.reason == "SecretMissing"
    (tmp_path / "seed").write_text("")
    assert problem_in(tmp_path / "seed").message.endswith("is not a directory")


def test_a_seed_does_not_print_its_key(folder: Path) -> None:
    assert KEY.secret_key not in repr(read_seed(folder))
