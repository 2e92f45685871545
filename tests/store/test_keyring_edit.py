"""Changes to a keyring file: whatever happens, no key is lost."""

import base64
import errno
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventiv_operator.store.errors import KeyringError
from inventiv_operator.store.keyring import KeyringFile, new_keyring_file, read_keyring_file
from inventiv_operator.store.keyring_edit import add_key, promote_key, removing_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "keyring.json"
    new_keyring_file(made)
    return made


def remove_key(path: Path, key_id: str) -> None:
    with removing_key(path, key_id):
        pass


def left_over(path: Path) -> list[str]:
    return [one.name for one in path.parent.iterdir() if one != path]


def test_a_key_is_added_promoted_and_removed(path: Path) -> None:
    first = read_keyring_file(path)
    assert add_key(path) == "k2"
    added = read_keyring_file(path)
    assert (added.primary_id, added.keys["k1"], len(added.keys["k2"])) == ("k1", first.primary, 32)
    assert promote_key(path, "k2")
    assert not promote_key(path, "k2")
    promoted = read_keyring_file(path)
    assert (promoted.primary_id, promoted.keys) == ("k2", added.keys)
    remove_key(path, "k1")
    assert read_keyring_file(path).keys == {"k2": added.keys["k2"]}
    assert left_over(path) == []


def test_an_id_may_be_chosen_and_is_never_used_twice(path: Path) -> None:
    assert add_key(path, "year-2027") == "year-2027"
    assert add_key(path) == "k2"
    remove_key(path, "k2")
    assert add_key(path) == "k3"
    for taken in ("k1", "k2", "year-2027"):
        with pytest.raises(KeyringError, match=f"key {taken} .* already"):
            add_key(path, taken)
    for wrong in ("", "-x", "a b", "x" * 64, "ü"):
        if wrong:
            with pytest.raises(KeyringError, match="a key id is"):
                add_key(path, wrong)
    assert sorted(read_keyring_file(path).keys) == ["k1", "k3", "year-2027"]


def test_the_primary_and_what_is_not_there_are_not_removed(path: Path) -> None:
    add_key(path)
    before = path.read_bytes()
    with pytest.raises(KeyringError, match="k1 is the primary"):
        remove_key(path, "k1")
    with pytest.raises(KeyringError, match="has no key 'k9'; it has k1, k2"):
        remove_key(path, "k9")
    with pytest.raises(KeyringError, match="has no key 'k9'"):
        promote_key(path, "k9")
    assert path.read_bytes() == before


def test_a_proof_that_fails_leaves_the_key_where_it_is(path: Path) -> None:
    add_key(path)
    before = path.read_bytes()
    with pytest.raises(TimeoutError), removing_key(path, "k2"):
        raise TimeoutError
    assert path.read_bytes() == before
    assert left_over(path) == []


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o440])
def test_mode_owner_and_link_stay(path: Path, tmp_path: Path, mode: int) -> None:
    path.chmod(mode)
    link = tmp_path / "link"
    link.symlink_to(path.name)
    if os.geteuid() == 0:
        os.chown(path, 65532, 65531)
    before = path.stat()
    add_key(link)
    after = path.stat()
    assert stat.S_IMODE(after.st_mode) == mode
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert link.is_symlink()
    assert after.st_ino != before.st_ino
    assert sorted(read_keyring_file(link).keys) == ["k1", "k2"]


def test_what_else_the_file_says_stays(path: Path) -> None:
    document = json.loads(path.read_text()) | {"comment": "kept in the safe"}
    path.write_text(json.dumps(document))
    add_key(path)
    assert json.loads(path.read_text())["comment"] == "kept in the safe"


def test_two_changes_at_once_lose_no_key(path: Path) -> None:
    with (
        removing_key(path, add_key(path)),
        pytest.raises(KeyringError, match="somebody else is changing") as caught,
    ):
        add_key(path)
    assert "\n" not in str(caught.value)
    made: list[str] = []

    def add() -> None:
        while True:
            try:
                made.append(add_key(path))
            except KeyringError:
                continue
            return

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(read_keyring_file(path).keys) == sorted({"k1", *made})
    assert len(set(made)) == 8


def test_an_editor_that_takes_no_lock_is_noticed(path: Path) -> None:
    add_key(path)
    with pytest.raises(KeyringError, match="changed by somebody else meanwhile"), removing_key(path, "k2"):
        path.write_text(path.read_text() + "\n")
    assert sorted(read_keyring_file(path).keys) == ["k1", "k2"]


def test_a_name_given_twice_is_not_guessed_at(path: Path) -> None:
    one, two = (base64.b64encode(letter * 32).decode() for letter in (b"a", b"b"))
    path.write_text(f'{{"primary": "k1", "keys": {{"k1": "{one}", "k1": "{two}"}}}}')
    before = path.read_bytes()
    with pytest.raises(KeyringError, match="two values by one name"):
        add_key(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("step", ["fsync", "fchmod", "replace"])
def test_a_disk_that_fails_leaves_the_old_file(
    path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "x")

    before = path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(Path if step == "replace" else os, step, fail)
        with pytest.raises(KeyringError, match="cannot be changed: No space left on device"):
            add_key(path)
    assert path.read_bytes() == before
    assert left_over(path) == []


def test_the_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []
    real: dict[str, Any] = {"fsync": os.fsync, "replace": Path.replace}

    def noting(name: str, *arguments: Any) -> Any:
        did.append(name)
        return real[name](*arguments)

    monkeypatch.setattr(os, "fsync", lambda descriptor: noting("fsync", descriptor))
    monkeypatch.setattr(Path, "replace", lambda one, other: noting("replace", one, other))
    add_key(path)
    assert did == ["fsync", "replace", "fsync"]


def test_a_new_file_that_lacks_a_key_does_not_take_the_place_of_the_old_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    real = json.dumps

    def forgetful(document: Any, **options: Any) -> str:
        return real(document | {"keys": {"k2": document["keys"]["k2"]}, "primary": "k2"}, **options)

    monkeypatch.setattr(json, "dumps", forgetful)
    with pytest.raises(KeyringError, match="was not changed"):
        add_key(path)
    assert path.read_bytes() == before


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="cannot be read: No such file or directory"):
        add_key(tmp_path / "nowhere")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(KeyringError, match="cannot be read"):
        add_key(tmp_path / "a")
    (tmp_path / "rubbish").write_text("hunter2")
    with pytest.raises(KeyringError, match="no JSON document") as caught:
        add_key(tmp_path / "rubbish")
    assert "hunter2" not in str(caught.value)


def test_a_reader_of_the_file_follows_every_change(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    file = KeyringFile(path)
    assert file.current().primary_id == "k1"
    add_key(path)
    assert sorted(file.current().keys) == ["k1", "k2"]
    promote_key(path, "k2")
    assert file.current().primary_id == "k2"
    said = [(r.message, r.primary_key_id, r.key_ids) for r in caplog.records]  # type: ignore[attr-defined]
    assert said == [("keyring read again", "k1", "k1, k2"), ("keyring read again", "k2", "k1, k2")]
    assert all(base64.b64encode(key).decode() not in caplog.text for key in file.current().keys.values())


steps = st.one_of(
    st.tuples(st.just("add"), st.none()),
    st.tuples(st.sampled_from(["add", "promote", "remove"]), st.sampled_from(["k1", "k2", "k3", "k4"])),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, max_size=12))
def test_no_sequence_of_changes_loses_a_key_that_was_not_removed(
    tmp_path: Path, sequence: list[tuple[str, str | None]]
) -> None:
    path = tmp_path / f"keyring-{os.urandom(4).hex()}"
    known = dict(new_keyring_file(path).keys)
    ever: dict[str, bytes] = dict(known)
    for what, key_id in sequence:
        try:
            if what == "add":
                added = add_key(path, key_id)
                assert added not in ever
                known[added] = ever[added] = read_keyring_file(path).keys[added]
            elif what == "promote":
                promote_key(path, key_id or "")
            else:
                remove_key(path, key_id or "")
                del known[key_id or ""]
        except KeyringError:
            pass
        assert read_keyring_file(path).keys == known
