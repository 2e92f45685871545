"""Changes to a keyring file: add a key, make another one the primary, remove one.

The file is replaced as a whole, by a rename, with its mode and owner: whoever reads it meanwhile reads the
old one or the new one. Two changes at once would lose one of two keys, so the second is refused. Ids of
removed keys are remembered in the file, because backups of the database may name them: an id is never used
twice.
"""

import base64
import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from inventiv_operator.store import envelope
from inventiv_operator.store.errors import KeyringError
from inventiv_operator.store.keyring import (
    KEY_ID,
    MAX_FILE_BYTES,
    Keyring,
    parse_keyring,
    read_keyring_file,
)

_NUMBERED: Final = re.compile(r"k(\d{1,9})")
_TRIES: Final = 10


def add_key(path: Path, key_id: str | None = None) -> str:
    """A new random key that protects nothing yet; its id, which is the next number when none is given.

    Raises:
        KeyringError: the id is, or was, in use, or is none; or see `_editing`.
    """
    with _editing(path) as edit:
        known = {*edit.keyring.keys, *edit.removed}
        new_id = key_id or _next_id(known)
        if not KEY_ID.fullmatch(new_id):
            raise KeyringError("a key id is 1 to 63 letters, digits, dots, dashes or underscores")
        if new_id in known:
            was = "was removed from" if new_id in edit.removed else "is in"
            raise KeyringError(f"key {new_id} {was} keyring {path} already; choose another id")
        edit.document["keys"][new_id] = base64.b64encode(envelope.new_key()).decode()
        edit.save()
    return new_id


def promote_key(path: Path, key_id: str) -> bool:
    """From now on it wraps new data keys. False: it was the primary already.

    Raises:
        KeyringError: there is no such key; or see `_editing`.
    """
    with _editing(path) as edit:
        edit.demand(key_id)
        if edit.keyring.primary_id == key_id:
            return False
        edit.document["primary"] = key_id
        edit.save()
    return True


@contextlib.contextmanager
def removing_key(path: Path, key_id: str) -> Iterator[Keyring]:
    """The key is gone when the body ends without an error; the body proves that nothing needs it.

    Nobody else changes the file meanwhile. What is yielded still has the key.

    Raises:
        KeyringError: there is no such key, or it is the primary; or see `_editing`.
    """
    with _editing(path) as edit:
        edit.demand(key_id)
        if edit.keyring.primary_id == key_id:
            raise KeyringError(f"key {key_id} is the primary of keyring {path}; promote another one first")
        yield edit.keyring
        del edit.document["keys"][key_id]
        edit.document["removed"] = [*edit.removed, key_id]
        edit.save(without=key_id)


@dataclass(slots=True, kw_only=True)
class _Edit:
    """A keyring file that is ours to change. `document` is what `save` writes."""

    path: Path
    keyring: Keyring
    document: dict[str, Any]
    stat: os.stat_result

    @property
    def removed(self) -> list[str]:
        found = self.document.get("removed", [])
        return [str(one) for one in found] if isinstance(found, list) else []

    def demand(self, key_id: str) -> None:
        if key_id not in self.keyring.keys:
            ids = ", ".join(sorted(self.keyring.keys))
            raise KeyringError(f"keyring {self.path} has no key {key_id!r}; it has {ids}")

    def save(self, *, without: str | None = None) -> None:
        """Replace the file, once the new one is proven to hold every key that it should."""
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            self._write(temporary)
            expected = {name: key for name, key in self.keyring.keys.items() if name != without}
            written = read_keyring_file(temporary).keys
            if any(written.get(name) != key for name, key in expected.items()):
                raise KeyringError(f"keyring {self.path} was not changed: the new file lacks a key")
            if _identity(self.path.stat()) != _identity(self.stat):
                raise KeyringError(f"keyring {self.path} was changed by somebody else meanwhile; try again")
            temporary.replace(self.path)
            _flush_folder(self.path.parent)
        except OSError as error:
            raise KeyringError(
                f"keyring {self.path} cannot be changed: {os.strerror(error.errno or 0)}"
            ) from None
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _write(self, temporary: Path) -> None:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            own = os.fstat(descriptor)
            if (own.st_uid, own.st_gid) != (self.stat.st_uid, self.stat.st_gid):
                os.fchown(descriptor, self.stat.st_uid, self.stat.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(self.stat.st_mode))
            file.write(json.dumps(self.document, indent=2) + "\n")
            file.flush()
            os.fsync(descriptor)


@contextlib.contextmanager
def _editing(path: Path) -> Iterator[_Edit]:
    """The file, locked against other changes.

    Raises:
        KeyringError: no keyring, not to be written, or somebody else is changing it.
    """
    with contextlib.ExitStack() as stack:  # what the body raises is not about the file
        yield _open(path, stack)


def _open(path: Path, stack: contextlib.ExitStack) -> _Edit:
    try:
        real = path.resolve(strict=True)  # a link stays a link
        file = _locked(real, stack)
        raw, found = file.read(MAX_FILE_BYTES + 1), os.fstat(file.fileno())
    except BlockingIOError:
        raise KeyringError(f"somebody else is changing keyring {path}; try again") from None
    except (OSError, RuntimeError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else "links in a circle"
        raise KeyringError(f"keyring {path} cannot be read: {reason}") from None
    keyring = parse_keyring(real, raw)
    document = json.loads(raw, object_pairs_hook=_each_once)
    return _Edit(path=real, keyring=keyring, document=document, stat=found)


def _locked(real: Path, stack: contextlib.ExitStack) -> IO[bytes]:
    """The lock is the file's own: after a rename it is another's, so look whether it is still there."""
    for _ in range(_TRIES):
        file = stack.enter_context(real.open("rb"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _identity(os.fstat(file.fileno())) == _identity(real.stat()):
            return file
    raise BlockingIOError(errno.EAGAIN, "the file keeps changing")


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values by one name a reader sees the last; writing it again would lose the first."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise KeyringError("the keyring has two values by one name; leave one of them, and try again")
    return found


def _flush_folder(folder: Path) -> None:
    """Without this a power cut may bring the old file back, after something relied on the new one."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _next_id(known: set[str]) -> str:
    numbers = [int(found.group(1)) for name in known if (found := _NUMBERED.fullmatch(name))]
    return f"k{max(numbers, default=0) + 1}"
