import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from inventiv_operator.store.errors import KeyringError, KeyUnavailable
from inventiv_operator.store.keyring import KeyringFile, new_keyring_file, read_keyring_file

ONE, TWO = (base64.b64encode(letter * 32).decode() for letter in (b"a", b"b"))


def write(path: Path, document: Any) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_a_new_keyring_is_private_random_and_readable(tmp_path: Path) -> None:
    made = new_keyring_file(tmp_path / "keyring")
    assert stat.S_IMODE((tmp_path / "keyring").stat().st_mode) == 0o600
    assert read_keyring_file(tmp_path / "keyring") == made
    assert len(made.primary) == 32
    assert made.primary != new_keyring_file(tmp_path / "other").primary


def test_a_keyring_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keyring"
    path.write_text("precious")
    with pytest.raises(KeyringError, match="there already"):
        new_keyring_file(path)
    assert path.read_text() == "precious"
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(KeyringError):
        new_keyring_file(tmp_path / "link")


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="No such file or directory"):
        new_keyring_file(tmp_path / "no" / "keyring")


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        pytest.param("not json " + ONE, "no JSON", id="text"),
        pytest.param("\x00\xff", "no JSON", id="binary"),
        pytest.param("[" * 100_000, "no JSON", id="deep"),
        pytest.param([], "no object `keys`", id="list"),
        pytest.param({"primary": "k1"}, "no object `keys`", id="no-keys"),
        pytest.param({"keys": {"k1": ONE}}, "`primary` names none", id="no-primary"),
        pytest.param({"primary": "k2", "keys": {"k1": ONE}}, "`primary` names none", id="unknown-primary"),
        pytest.param({"primary": ["k1"], "keys": {"k1": ONE}}, "`primary` names none", id="primary-type"),
        pytest.param({"primary": "k1", "keys": {"k1": ONE[:-4]}}, "k1 is not 32 bytes", id="short"),
        pytest.param({"primary": "k1", "keys": {"k1": "!" + ONE}}, "k1 is not 32 bytes", id="no-base64"),
        pytest.param({"primary": "k1", "keys": {"k1": 7}}, "k1 is not 32 bytes", id="number"),
        pytest.param({"primary": "", "keys": {"": ONE}}, "a key id is", id="empty-id"),
    ],
)
def test_a_file_that_is_no_keyring_is_one_line_without_its_content(
    tmp_path: Path, document: Any, complaint: str
) -> None:
    path = write(tmp_path / "keyring", document)
    with pytest.raises(KeyringError, match=complaint) as caught:
        KeyringFile(path).current()
    assert "\n" not in str(caught.value)
    assert ONE[:8] not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="cannot be read: No such file or directory"):
        KeyringFile(tmp_path / "keyring").current()


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    path = write(tmp_path / "keyring", {"primary": "k1", "keys": {"k1": ONE}})
    file = KeyringFile(path)
    before = file.current()
    assert file.current() is before
    write(path, {"primary": "k2", "keys": {"k1": ONE, "k2": TWO}})
    after = file.current()
    assert (after.primary_id, after.key("k1"), after.key("k2")) == ("k2", b"a" * 32, b"b" * 32)
    assert before.primary_id == "k1"


def test_a_mounted_secret_swaps_a_link(tmp_path: Path) -> None:
    """Same size and, within the clock's grain, the same time: the inode tells."""
    folders = [tmp_path / name for name in ("..1", "..2")]
    for folder, key in zip(folders, (ONE, TWO), strict=True):
        folder.mkdir()
        write(folder / "keyring", {"primary": "k1", "keys": {"k1": key}})
        os.utime(folder / "keyring", ns=(1, 1))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "keyring").symlink_to("..data/keyring")
    file = KeyringFile(tmp_path / "keyring")
    assert file.current().primary == b"a" * 32
    (tmp_path / "swap").symlink_to("..2")
    (tmp_path / "swap").rename(tmp_path / "..data")
    assert file.current().primary == b"b" * 32


def test_a_file_that_breaks_under_way_leaves_the_last_good_one_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "keyring", {"primary": "k1", "keys": {"k1": ONE}})
    file = KeyringFile(path)
    before = file.current()
    write(path, "{")
    assert file.current() is before
    assert file.current() is before
    path.unlink()
    assert file.current() is before
    assert [record.levelname for record in caplog.records] == ["ERROR"]  # once
    write(path, {"primary": "k1", "keys": {"k1": TWO}})
    assert file.current().primary == b"b" * 32


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    keyring = new_keyring_file(tmp_path / "keyring")
    with pytest.raises(KeyUnavailable, match="lacks key k9") as caught:
        keyring.key("k9")
    assert caught.value.key_id == "k9"


def test_a_keyring_does_not_print_its_keys(tmp_path: Path) -> None:
    write(tmp_path / "keyring", {"primary": "k1", "keys": {"k1": ONE}})
    assert repr(read_keyring_file(tmp_path / "keyring")) == "Keyring(primary_id='k1')"
