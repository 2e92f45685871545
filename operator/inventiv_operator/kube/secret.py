"""A Secret whose values do not print."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pydantic import SecretBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretData:
    """`data[key].get_secret_value()` is the one way to the bytes; keys that are no base64 are left out."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    type: str
    labels: Mapping[str, str]
    data: Mapping[str, SecretBytes] = field(repr=False)


def secret_of(body: Mapping[str, Any]) -> SecretData:
    metadata = body["metadata"]
    data: dict[str, SecretBytes] = {}
    for key, encoded in (body.get("data") or {}).items():
        try:
            data[key] = SecretBytes(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError, TypeError):
            continue  # the API server admits only base64
    return SecretData(
        namespace=str(metadata["namespace"]),
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        resource_version=str(metadata["resourceVersion"]),
        type=str(body.get("type") or ""),
        labels=MappingProxyType(dict(metadata.get("labels") or {})),
        data=MappingProxyType(data),
    )
