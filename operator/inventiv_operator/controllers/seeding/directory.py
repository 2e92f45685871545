"""The files that a credential is seeded from, checked for their form before anything else sees them.

No value is ever part of a message: what does not look like a key may be anything.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from inventiv_operator.api.base import is_uuid
from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.credential.key import ApiKey, KeyPlace, is_access_key
from inventiv_operator.domain.ids import AccessKey, ProjectId

PROJECT_ID: Final = "project_id"
ACCESS_KEY: Final = "access_key"
SECRET_KEY: Final = "secret_key"  # noqa: S105 (the name of a file)
ORGANIZATION_ID: Final = "organization_id"
_A_UUID: Final = ("a UUID", is_uuid)
_FORMS: Final[dict[str, tuple[str, Callable[[str], bool]]]] = {
    PROJECT_ID: _A_UUID,
    ACCESS_KEY: ("SCW and 17 upper-case letters or digits", is_access_key),
    SECRET_KEY: _A_UUID,
    ORGANIZATION_ID: _A_UUID,
}
_OPTIONAL: Final = frozenset({ORGANIZATION_ID})
MAX_FILE_BYTES: Final = 4096
PLACE: Final = KeyPlace(
    key=f"the files {ACCESS_KEY} and {SECRET_KEY} of the seed directory",
    project=f"file {PROJECT_ID} of the seed directory",
    organization=f"file {ORGANIZATION_ID} of the seed directory",
    shows_values=False,
)
_READINGS: Final = 5
"""How often a directory that changes meanwhile is read before it is said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """What the files say. `organization_ref` is Scaleway's organization; None: no such file."""

    project_id: ProjectId
    key: ApiKey
    organization_ref: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedProblem:
    """Why there is nothing to use; the message names the directory and each file that is at fault."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong with one file, as the end of a sentence about it."""

    what: str
    is_missing: bool = False


_Content = SecretStr | _Fault


def read_seed(directory: Path) -> Seed | SeedProblem:
    """The seed, or what is wrong with it. Links are followed: a mounted Secret is made of them.

    A mounted Secret is exchanged as a whole while it may be read here, so what counts is what two readings in
    a row agree on: never the access key of one pair with the secret key of another.
    """
    found = _contents(directory)
    for _ in range(_READINGS):
        before, found = found, _contents(directory)
        if before == found:
            return _seed_of(directory, found)
    return SeedProblem(
        reason=Reason.SECRET_INVALID,
        message=f"seed directory {directory}: its files change all the time; let them come to rest",
    )


def _contents(directory: Path) -> dict[str, _Content] | _Fault:
    """By name of the file."""
    try:
        if not stat.S_ISDIR(directory.stat().st_mode):
            return _Fault("is not a directory")
    except FileNotFoundError:
        return _Fault("does not exist", is_missing=True)
    except OSError as error:
        return _Fault(f"cannot be read: {_words(error)}")
    return {name: _content(directory / name) for name in _FORMS}


def _content(path: Path) -> _Content:
    try:
        raw = _bytes(path)
        return raw if isinstance(raw, _Fault) else SecretStr(raw.decode().strip())
    except FileNotFoundError:
        return _Fault("is missing", is_missing=True)
    except OSError as error:
        return _Fault(f"cannot be read: {_words(error)}")
    except UnicodeDecodeError:
        return _Fault("is not text in UTF-8")


def _bytes(path: Path) -> bytes | _Fault:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hold us up
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return _Fault("is not a regular file")
        raw = os.read(descriptor, MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    return raw if len(raw) <= MAX_FILE_BYTES else _Fault(f"has more than {MAX_FILE_BYTES} bytes")


def _words(error: OSError) -> str:
    return os.strerror(error.errno or 0)


def _seed_of(directory: Path, found: dict[str, _Content] | _Fault) -> Seed | SeedProblem:
    if isinstance(found, _Fault):
        return SeedProblem(reason=_reason([found]), message=f"seed directory {directory} {found.what}")
    faults = {name: fault for name, content in found.items() if (fault := _fault_of(name, content))}
    if faults:
        said = "; ".join(f"file {name} {fault.what}" for name, fault in faults.items())
        return SeedProblem(
            reason=_reason(list(faults.values())), message=f"seed directory {directory}: {said}"
        )
    text = {n: c.get_secret_value() for n, c in found.items() if isinstance(c, SecretStr)}
    organization_ref = text.get(ORGANIZATION_ID)
    return Seed(
        project_id=ProjectId(text[PROJECT_ID].lower()),
        key=ApiKey(access_key=AccessKey(text[ACCESS_KEY]), secret_key=SecretStr(text[SECRET_KEY])),
        organization_ref=None if organization_ref is None else organization_ref.lower(),
    )


def _fault_of(name: str, content: _Content) -> _Fault | None:
    if isinstance(content, _Fault):
        return None if content.is_missing and name in _OPTIONAL else content
    expected, fits = _FORMS[name]
    if fits(content.get_secret_value()):
        return None
    return _Fault(f"does not hold {expected} (its content is not shown)")


def _reason(faults: list[_Fault]) -> Reason:
    return Reason.SECRET_MISSING if all(fault.is_missing for fault in faults) else Reason.SECRET_INVALID
