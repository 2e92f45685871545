"""The envelope around a tenant's secrets: AES-256-GCM, a data key per organization, wrapped by a key of the
keyring.

Associated data ties a ciphertext to its place: `organization | key id` for a data key, `organization |
provider | key | version` for a value, each part preceded by its length. Moved to another row, or with one bit
flipped, it does not decrypt (T7).
"""

import os
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from inventiv_operator.store.errors import DecryptionFailed

KEY_BYTES: Final = 32
_FORMAT: Final = b"\x01"  # one byte ahead of everything, for the day the format changes
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16


def new_key() -> bytes:
    """32 random bytes."""
    return AESGCM.generate_key(bit_length=8 * KEY_BYTES)


def wrap_data_key(data_key: bytes, *, by: bytes, organization_id: UUID, key_id: str) -> bytes:
    """What `organization_keys` keeps."""
    return _seal(by, data_key, _bound_to(str(organization_id), key_id))


def unwrap_data_key(wrapped: bytes, *, by: bytes, organization_id: UUID, key_id: str) -> bytes:
    """Raises `DecryptionFailed`."""
    return _open(by, wrapped, _bound_to(str(organization_id), key_id))


def seal_value(
    text: str, *, by: bytes, organization_id: UUID, provider_id: UUID, key: str, version: int
) -> bytes:
    """What `provider_settings` keeps. `version` is that of the data key."""
    return _seal(by, text.encode(), _place(organization_id, provider_id, key, version))


def open_value(
    sealed: bytes, *, by: bytes, organization_id: UUID, provider_id: UUID, key: str, version: int
) -> str:
    """Raises `DecryptionFailed`."""
    return _open(by, sealed, _place(organization_id, provider_id, key, version)).decode()


def _place(organization_id: UUID, provider_id: UUID, key: str, version: int) -> bytes:
    return _bound_to(str(organization_id), str(provider_id), key, str(version))


def _bound_to(*parts: str) -> bytes:
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def _seal(key: bytes, plain: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return _FORMAT + nonce + AESGCM(key).encrypt(nonce, plain, associated)


def _open(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    if sealed[:1] != _FORMAT or len(sealed) < 1 + _NONCE_BYTES + _TAG_BYTES:
        raise DecryptionFailed("a stored secret is not in a format that this release knows")
    nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, body, associated)
    except InvalidTag:
        raise DecryptionFailed(
            "a stored secret was altered, or belongs to another row; restore the row from a backup, or have a"
            " new key put in its place"
        ) from None
