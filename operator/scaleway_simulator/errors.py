"""The errors of the wire, as types (api.md 11).

WireError
    InvalidArguments        400 invalid_arguments
    PreconditionFailed      400 in instance v1, 412 in block v1
    DeniedAuthentication    401
    PermissionsDenied       403
    QuotasExceeded          403
    NotFound                404
    OutOfStock              412
    RateLimited             429, without a body
    ServerFailed            500
ConnectionDropped           no answer at all
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal


class ConnectionDropped(Exception):
    """The peer gets no byte of an answer. `committed` says whether the request took effect."""

    def __init__(self, *, committed: bool) -> None:
        super().__init__("connection dropped by a fault")
        self.committed = committed


class WireError(Exception):
    status: ClassVar[int] = 500

    def body(self) -> Mapping[str, Any] | None:
        """None: recorded with an empty body and without a content type."""
        raise NotImplementedError

    def headers(self) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    argument_name: str
    reason: Literal["required", "format", "constraint", "unknown"]
    help_message: str


class InvalidArguments(WireError):
    status = 400

    def __init__(self, *arguments: Argument) -> None:
        super().__init__("invalid argument(s)")
        self.arguments = arguments

    def body(self) -> Mapping[str, Any]:
        details = [
            {"argument_name": a.argument_name, "reason": a.reason, "help_message": a.help_message}
            for a in self.arguments
        ]
        return {"type": "invalid_arguments", "message": "invalid argument(s)", "details": details}


def invalid(name: str, help_message: str) -> InvalidArguments:
    return InvalidArguments(Argument(argument_name=name, reason="constraint", help_message=help_message))


def missing(*names: str) -> InvalidArguments:
    """`required`, for each of the names."""
    text = "required key not provided"
    return InvalidArguments(*(Argument(argument_name=n, reason="required", help_message=text) for n in names))


class PreconditionFailed(WireError):
    """Instance v1 answers 400, block v1 and the others 412 (api.md 11)."""

    def __init__(self, *, precondition: str, help_message: str, status: Literal[400, 412] = 400) -> None:
        super().__init__(help_message)
        self.status = status  # type: ignore[misc]  # one type of error, two statuses on the wire
        self.precondition = precondition
        self.help_message = help_message

    def body(self) -> Mapping[str, Any]:
        return {
            "type": "precondition_failed",
            "message": "precondition is not respected",
            "precondition": self.precondition,
            "help_message": self.help_message,
        }


class DeniedAuthentication(WireError):
    status = 401

    def __init__(self, reason: Literal["not_found", "expired", "invalid_argument"]) -> None:
        super().__init__(reason)
        self.reason = reason

    def body(self) -> Mapping[str, Any]:
        return {
            "message": "authentication is denied",
            "method": "api_key",
            "reason": self.reason,
            "type": "denied_authentication",
        }


class PermissionsDenied(WireError):
    status = 403

    def __init__(self, *, resource: str, action: str) -> None:
        super().__init__(f"{action} {resource}")
        self.resource = resource
        self.action = action

    def body(self) -> Mapping[str, Any]:
        return {
            "details": [{"action": self.action, "resource": self.resource}],
            "message": "insufficient permissions",
            "type": "permissions_denied",
        }


class QuotasExceeded(WireError):
    status = 403

    def __init__(self, *, resource: str, quota: int, current: int) -> None:
        super().__init__(resource)
        self.detail = {"resource": resource, "quota": quota, "current": current}

    def body(self) -> Mapping[str, Any]:
        return {"type": "quotas_exceeded", "message": "quota(s) exceeded", "details": [self.detail]}


class NotFound(WireError):
    """Also what Scaleway answers for other people's things."""

    status = 404

    def __init__(self, resource: str, resource_id: str) -> None:
        super().__init__(f"{resource} {resource_id}")
        self.resource = resource
        self.resource_id = resource_id

    def body(self) -> Mapping[str, Any]:
        return {
            "type": "not_found",
            "message": "resource is not found",
            "resource": self.resource,
            "resource_id": self.resource_id,
        }


class OutOfStock(WireError):
    status = 412

    def __init__(self, resource: str) -> None:
        super().__init__(resource)
        self.resource = resource

    def body(self) -> Mapping[str, Any]:
        return {"message": "resource is out of stock", "resource": self.resource, "type": "out_of_stock"}


class RateLimited(WireError):
    """Recorded with an empty body, no content type and no Retry-After (api.md 1)."""

    status = 429

    def body(self) -> None:
        return None

    def headers(self) -> Mapping[str, str]:
        return {"X-Envoy-Ratelimited": "true"}


class ServerFailed(WireError):
    status = 500

    def body(self) -> Mapping[str, Any]:
        return {"type": "server_error", "message": "Internal error"}


def is_uuid(text: object) -> bool:
    """36 characters in five groups; the API wants no more than that either."""
    return isinstance(text, str) and len(text) == 36 and [len(p) for p in text.split("-")] == [8, 4, 4, 4, 12]  # noqa: PLR2004


def strings(value: object, name: str) -> Sequence[str]:
    """A list of strings, null meaning empty."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise invalid(name, "not a valid value")
    return tuple(value)
