"""The encryption keyring: a file of named AES keys, one of them primary, that the database never sees.

    {"primary": "k1", "keys": {"k1": "<32 bytes in base64>"}}

New data keys are wrapped by the primary; the others are there to read what they wrapped before.
"""

import base64
import binascii
import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from inventiv_operator.store import envelope
from inventiv_operator.store.errors import KeyringError, KeyUnavailable

logger = logging.getLogger(__name__)

FIRST_KEY_ID: Final = "k1"
MAX_FILE_BYTES: Final = 1 << 20
KEY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """Immutable; does not print its keys."""

    primary_id: str
    keys: Mapping[str, bytes] = field(repr=False)

    @property
    def primary(self) -> bytes:
        """32 bytes."""
        return self.keys[self.primary_id]

    def key(self, key_id: str) -> bytes:
        """Raises `KeyUnavailable`."""
        found = self.keys.get(key_id)
        if found is None:
            raise KeyUnavailable(key_id)
        return found


class KeyringFile:
    """Reads the file again when it has changed (by time, size or inode: a mounted Secret swaps a link)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keyring: Keyring | None = None

    def current(self) -> Keyring:
        """The keyring as it is now. A file that has become unreadable leaves the last good one in use.

        Raises:
            KeyringError: it could never be read.
        """
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen and self._keyring is not None:
                return self._keyring
            keyring = read_keyring_file(self._path)
        except (OSError, KeyringError) as error:
            return self._last_good(_complaint(self._path, error))
        if self._keyring is not None and keyring != self._keyring:
            # How a person knows that a changed file has arrived here (docs/rotate-the-keyring.md).
            ids = {"primary_key_id": keyring.primary_id, "key_ids": ", ".join(sorted(keyring.keys))}
            logger.info("keyring read again", extra=ids)
        self._seen, self._keyring = seen, keyring
        return keyring

    def _last_good(self, error: KeyringError) -> Keyring:
        if self._keyring is None:
            raise error from None
        if self._seen is not None:
            logger.error("keyring not read again, the last good one stays in use: %s", error)
            self._seen = None
        return self._keyring


def read_keyring_file(path: Path) -> Keyring:
    """Raises `KeyringError`: one line that quotes nothing of the content."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _complaint(path, error) from None
    return parse_keyring(path, raw)


def parse_keyring(path: Path, raw: bytes) -> Keyring:
    """The content of the file at `path`. Raises `KeyringError`, as `read_keyring_file`."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise KeyringError(f"keyring {path} is no JSON document") from None
    return _parse(path, document)


def new_keyring_file(path: Path) -> Keyring:
    """A new file with one key, mode 0600. Never overwrites.

    Raises:
        KeyringError: there is a file already, or it cannot be made.
    """
    keyring = Keyring(primary_id=FIRST_KEY_ID, keys={FIRST_KEY_ID: envelope.new_key()})
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyringError(f"{path} is there already, and a keyring is never overwritten") from None
    except OSError as error:
        raise KeyringError(f"keyring {path} cannot be made: {os.strerror(error.errno or 0)}") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(_render(keyring))
        file.flush()
        os.fsync(file.fileno())
    return keyring


def _render(keyring: Keyring) -> str:
    keys = {key_id: base64.b64encode(key).decode() for key_id, key in keyring.keys.items()}
    return json.dumps({"primary": keyring.primary_id, "keys": keys}, indent=2) + "\n"


def _parse(path: Path, document: Any) -> Keyring:
    if not isinstance(document, dict) or not isinstance(document.get("keys"), dict):
        raise KeyringError(
            f"keyring {path} has no object `keys`; make one with `inventiv-operator keyring new`"
        )
    keys = {str(key_id): _key(path, str(key_id), value) for key_id, value in document["keys"].items()}
    primary_id = document.get("primary")
    if not isinstance(primary_id, str) or primary_id not in keys:
        raise KeyringError(f"keyring {path}: `primary` names none of its keys")
    return Keyring(primary_id=primary_id, keys=keys)


def _key(path: Path, key_id: str, value: Any) -> bytes:
    if not KEY_ID.fullmatch(key_id):
        raise KeyringError(
            f"keyring {path}: a key id is 1 to 63 letters, digits, dots, dashes or underscores"
        )
    try:
        key = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != envelope.KEY_BYTES:
        raise KeyringError(f"keyring {path}: key {key_id} is not {envelope.KEY_BYTES} bytes in base64")
    return key


def _complaint(path: Path, error: OSError | KeyringError) -> KeyringError:
    if isinstance(error, KeyringError):
        return error
    return KeyringError(f"keyring {path} cannot be read: {os.strerror(error.errno or 0)}")
