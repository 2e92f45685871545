"""What all models of the three kinds share: names on the wire, bounds, and rules for the API server.

A model is written once and read three times: by `render.py` into the CRD (types, bounds and rules become
the schema, the docstring under a field becomes what `kubectl explain` prints), by `parse.py` from an
object of the API server, and by people. Every string and list has a bound, because the API server
estimates the cost of a rule from the bounds and refuses a CRD whose rules may become too dear.

Reading is tolerant where writing is strict: unknown fields are ignored here (an object may have been
stored by a newer or an older release), while the API server refuses them at the door.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.config import JsonDict

GROUP = "inventiv.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

_INITIALISMS = {"gb": "GB", "id": "ID", "ip": "IP", "vllm": "VLLM"}


def wire_name(attribute: str) -> str:
    """The name on the wire: camel case, with initialisms as Kubernetes spells them (`sizeGB`)."""
    first, *rest = attribute.split("_")
    return first + "".join(_INITIALISMS.get(word, word.capitalize()) for word in rest)


class Model(BaseModel):
    """Frozen, tolerant of unknown fields, and silent about its input when it is wrong."""

    model_config = ConfigDict(
        alias_generator=wire_name,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        # a validation error about a neighbouring field would otherwise print cloud-init or a token
        hide_input_in_errors=True,
    )


def rule(cel: str, message: str, *, field: str | None = None, optional_old: bool = False) -> JsonDict:
    """One CEL rule for the API server; `field` is the path that a refusal names, below the rule's own."""
    text: JsonDict = {"rule": " ".join(cel.split()), "message": message}
    if field is not None:
        text["fieldPath"] = field
    if optional_old:
        text["optionalOldSelf"] = True
    return text


def rules(*given: JsonDict, **extra: Any) -> JsonDict:
    """Schema extensions of a field or model: its rules, and Kubernetes' keywords with `_` for `-`."""
    keywords: JsonDict = {f"x-kubernetes-{key.replace('_', '-')}": value for key, value in extra.items()}
    if given:
        keywords["x-kubernetes-validations"] = list(given)
    return keywords


def unchanged(optional_field: str, why: str) -> JsonDict:
    """Immutability of an optional field, stated on its parent: on itself it could go and come again."""
    return rule(
        f"has(self.{optional_field}) == has(oldSelf.{optional_field})"
        f" && (!has(self.{optional_field}) || self.{optional_field} == oldSelf.{optional_field})",
        f"{optional_field} is immutable: {why}",
        field=f".{optional_field}",
    )


SET = rules(list_type="set")
"""A list without order or duplicates; several people may each own entries of it."""
ATOMIC = rules(list_type="atomic")
"""A list with an order, or one that has a single writer."""


def by_keys(*keys: str) -> JsonDict:
    """A list whose entries are told apart by these fields."""
    return rules(list_type="map", list_map_keys=list(keys))


UUID_PATTERN = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_UUID = re.compile(UUID_PATTERN)
_DECIMAL_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,6})?$"
_DECIMAL = re.compile(_DECIMAL_PATTERN + r"(?!\n)")


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def _decimal(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or _DECIMAL.match(value) is None:
        raise ValueError('expected a decimal number as a string, such as "40.00"')
    return Decimal(value)


def timestamp_text(moment: datetime) -> str:
    """RFC 3339 in UTC to the second, as Kubernetes writes its own."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Uuid = Annotated[
    str,
    Field(min_length=36, max_length=36, pattern=UUID_PATTERN),
    AfterValidator(str.lower),
]
ZoneName = Annotated[str, Field(max_length=16, pattern="^[a-z]{2}-[a-z]{3}-[0-9]{1,2}$")]
InstanceType = Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Za-z0-9][A-Za-z0-9-]*$")]
InstanceTypeGlob = Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Za-z0-9*?-]+$")]
NamespaceName = Annotated[str, Field(min_length=1, max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern="^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")]
DataKey = Annotated[str, Field(min_length=1, max_length=253, pattern="^[-._a-zA-Z0-9]+$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Euros = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    PlainSerializer(lambda value: f"{value:f}", return_type=str),
    WithJsonSchema({"type": "string", "maxLength": 16, "pattern": _DECIMAL_PATTERN}),
]
"""EUR as a decimal string: a binary float cannot hold a price."""
Timestamp = Annotated[
    AwareDatetime,
    PlainSerializer(timestamp_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 64}),
]

Body = Mapping[str, Any]
"""A Kubernetes object as JSON."""


def distinct(values: Sequence[str]) -> tuple[str, ...]:
    """In order of first appearance."""
    return tuple(dict.fromkeys(values))
