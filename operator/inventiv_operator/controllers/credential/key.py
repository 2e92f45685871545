"""The API key in a Secret: checked for its form before anything else sees it.

No value of the Secret is ever part of a message: what does not look like a key may be anything, such as a
password that was pasted into the wrong field.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from pydantic import SecretStr

from inventiv_operator.api.base import is_uuid
from inventiv_operator.api.conditions import Reason
from inventiv_operator.api.credential import SecretReference
from inventiv_operator.domain.ids import AccessKey
from inventiv_operator.kube.secret import SecretData

_ACCESS_KEY = re.compile(r"SCW[A-Z0-9]{17}")
_FINGERPRINT_DIGITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A pair that has the form of one; whether Scaleway accepts it is another question."""

    access_key: AccessKey
    secret_key: SecretStr

    @property
    def fingerprint(self) -> str:
        """The first 8 hex digits of the SHA-256 of the secret key: enough to tell two keys apart."""
        return sha256(self.secret_key.get_secret_value().encode()).hexdigest()[:_FINGERPRINT_DIGITS]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPlace:
    """Where key and project are written down, in the words of a message to whoever can change them.

    `shows_values`: what is written there may be repeated; in a file there may be anything.
    """

    key: str
    project: str
    organization: str
    shows_values: bool = True

    def the_project(self, project_id: str) -> str:
        return f"project {project_id}" if self.shows_values else f"the project of {self.project}"

    def says_otherwise(self, where: str, value: str | None) -> str:
        return f"{where} is {value}" if self.shows_values else f"{where} names another"


IN_SECRET = KeyPlace(key="the Secret", project="spec.projectID", organization="spec.organizationID")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyProblem:
    """Why there is no key to use; `reason` is one of the contract's."""

    reason: Reason
    message: str


def read_key(secret: SecretData | None, reference: SecretReference) -> ApiKey | KeyProblem:
    """The key that `reference` points to. White space around a value, such as a final newline, is cut off."""
    if secret is None:
        return KeyProblem(
            reason=Reason.SECRET_MISSING,
            message=f"Secret {reference.name} is not in this namespace; make it with the keys"
            f" {reference.access_key_key} and {reference.secret_key_key}",
        )
    access_key = _text(secret, reference.access_key_key)
    secret_key = _text(secret, reference.secret_key_key)
    problems = [
        *_complaint(
            access_key, reference.access_key_key, "SCW and 17 upper-case letters or digits", is_access_key
        ),
        *_complaint(secret_key, reference.secret_key_key, "a UUID", is_uuid),
    ]
    if problems or access_key is None or secret_key is None:
        return KeyProblem(
            reason=Reason.SECRET_INVALID, message=f"Secret {reference.name}: {'; '.join(problems)}"
        )
    return ApiKey(access_key=AccessKey(access_key), secret_key=SecretStr(secret_key))


def _text(secret: SecretData, key: str) -> str | None:
    """None: the Secret has no such key."""
    value = secret.data.get(key)
    return None if value is None else value.get_secret_value().decode("utf-8", "replace").strip()


def is_access_key(text: str) -> bool:
    return _ACCESS_KEY.fullmatch(text) is not None


def _complaint(text: str | None, key: str, expected: str, fits: Callable[[str], bool]) -> list[str]:
    if text is None:
        return [f"key {key} is missing"]
    return [] if fits(text) else [f"the value of {key} is not {expected} (it is not shown)"]
