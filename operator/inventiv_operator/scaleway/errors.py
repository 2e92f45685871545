"""Everything that can go wrong on the way to Scaleway.

    ScalewayError
    ├── NotFound            404 of type `not_found` for the very id that was asked for; it means gone only
    │                       under a positive control (L1)
    ├── Rejected            401: the key is unknown, revoked or expired
    ├── Denied              403: the key lacks a right (up to two minutes after a change of rights, api.md 10)
    ├── QuotaExceeded       the provider's own quota of the project or organization
    ├── OutOfStock          on create, or only at power-on
    ├── Precondition        not in this state: read it again before the next step
    ├── Conflict            a transient state, or a thing that exists already
    ├── RateLimited         429, or our own gate is closed: nothing was done
    ├── InvalidArguments    the same request would be refused again
    │   └── ImageNotFound   no such label or image for this zone and type
    ├── ForeignProject      an answer carries a project that is not the credential's (T8)
    ├── SendWindowClosed    `send_before` had passed: nothing was sent
    ├── Withdrawn           this client may not be used any more: nothing was sent, repeat it with another one
    ├── Unavailable         nothing is known: sockets, time-outs, 5xx, answers that make no sense; of a write:
    │   │                   it was not sent
    │   └── NotOffered      there is no such list in this zone, or no such zone: about no object, no proof
    └── Ambiguous           a write whose outcome is unknown: look before repeating

Only `Ambiguous` leaves open whether a write happened. The type in the body decides, then the status; texts
never do. A text of the provider is kept only when it comes in its own form of error, and is cut.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

TEXT_MAX_CHARS: Final = 256
RETRY_AFTER_MAX_S: Final = 300.0


class ScalewayError(Exception):
    """`reason` is a reason of the contract; `request_id` is the provider's, for its support."""

    reason_by_default = "ProviderUnreachable"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        retry_after_s: float | None = None,
        request_id: str = "",
        resource: str = "",
    ) -> None:
        super().__init__(message)
        self.reason = reason or self.reason_by_default
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.resource = resource  # what the provider says it is about, such as `instance_server`


class NotFound(ScalewayError):
    reason_by_default = "Progressing"


class Rejected(ScalewayError):
    reason_by_default = "CredentialRejected"


class Denied(ScalewayError):
    reason_by_default = "PermissionDenied"


class QuotaExceeded(ScalewayError):
    reason_by_default = "ProviderQuotaExceeded"


class OutOfStock(ScalewayError):
    reason_by_default = "OutOfStock"


class Precondition(ScalewayError):
    reason_by_default = "Progressing"


class Conflict(ScalewayError):
    reason_by_default = "Progressing"


class RateLimited(ScalewayError):
    reason_by_default = "RateLimited"


class InvalidArguments(ScalewayError):
    reason_by_default = "CreateFailed"


class ImageNotFound(InvalidArguments):
    reason_by_default = "ImageNotFound"


class ForeignProject(ScalewayError):
    reason_by_default = "ProjectMismatch"


class SendWindowClosed(ScalewayError):
    reason_by_default = "RateLimited"


class Withdrawn(ScalewayError):
    reason_by_default = "Progressing"


class Unavailable(ScalewayError):
    pass


class NotOffered(Unavailable):
    pass


class Ambiguous(ScalewayError):
    pass


READS: Final = frozenset({"GET", "HEAD"})


def unknown_outcome(
    method: str, message: str, *, request_id: str = "", retry_after_s: float | None = None
) -> Unavailable | Ambiguous:
    """A read that failed says nothing; a write may have happened."""
    kind = Unavailable if method in READS else Ambiguous
    return kind(message, request_id=request_id, retry_after_s=retry_after_s)


_BY_TYPE: Final[Mapping[str, type[ScalewayError]]] = {
    "denied_authentication": Rejected,
    "permissions_denied": Denied,
    "authorization_required": Denied,  # until 2024-12
    "quotas_exceeded": QuotaExceeded,
    "out_of_stock": OutOfStock,
    "precondition_failed": Precondition,  # 400 in instance v1, 412 elsewhere
    "resource_locked": Precondition,
    "locked": Precondition,
    "transient_state": Conflict,
    "already_exists": Conflict,
    "too_many_requests": RateLimited,
    "invalid_arguments": InvalidArguments,
    "invalid_request_error": InvalidArguments,  # until 2024-12
}
_BY_STATUS: Final[Mapping[int, type[ScalewayError]]] = {
    HTTPStatus.UNAUTHORIZED: Rejected,
    HTTPStatus.FORBIDDEN: Denied,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.PRECONDITION_FAILED: Precondition,
    HTTPStatus.LOCKED: Precondition,
    HTTPStatus.TOO_MANY_REQUESTS: RateLimited,
}
_GONE_TYPES: Final = frozenset({"not_found", "unknown_resource"})  # the second until 2023-08
_BELIEVED_IN_A_5XX: Final = frozenset({"out_of_stock", "quotas_exceeded", "too_many_requests"})
_DEFINITE_REFUSALS: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.NOT_ACCEPTABLE,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)


def refusal(
    *,
    status: int,
    body: bytes,
    method: str,
    what: str,
    asked_ref: str = "",
    request_id: str = "",
    retry_after: str | None = None,
) -> ScalewayError:
    """The error that an answer other than 2xx means.

    `what` names the call for people ("create server web-0 in fr-par-2"); `asked_ref` is the id in the path,
    when the call is about one: a 404 that is about another id says nothing about this one.
    """
    report = _report_of(body)
    kind = report.get("type")
    message = f"{what}: {_said(status, report)}{f' (request {request_id})' if request_id else ''}"
    resource = _cut(report.get("resource"))
    wait_s = _seconds(retry_after) or _seconds(report.get("reset_seconds"))
    if status == HTTPStatus.NOT_FOUND:
        if kind not in _GONE_TYPES or not _is_about(report, asked_ref):
            return unknown_outcome(method, message, request_id=request_id)
        return NotFound(message, request_id=request_id, resource=resource)
    found = _BY_TYPE.get(kind) if isinstance(kind, str) else None
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and kind not in _BELIEVED_IN_A_5XX:
        found = None
    elif found is None:
        found = _BY_STATUS.get(status)
    if found is None and status in _DEFINITE_REFUSALS:
        found = InvalidArguments
    if found is None:  # 5xx, 3xx, 408, 410, statuses nobody has heard of
        return unknown_outcome(method, message, request_id=request_id, retry_after_s=wait_s)
    reason = "CredentialExpired" if found is Rejected and report.get("reason") == "expired" else ""
    return found(message, reason=reason, request_id=request_id, retry_after_s=wait_s, resource=resource)


def _report_of(body: bytes) -> Mapping[str, Any]:
    """The provider's own form of error; anything else may hold anything and is left out."""
    try:
        report = json.loads(body) if body else None
    except (ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) and isinstance(report.get("type"), str) else {}


def _is_about(report: Mapping[str, Any], asked_ref: str) -> bool:
    named = report.get("resource_id")
    return not asked_ref or not named or str(named).lower() == asked_ref.lower()


def _said(status: int, report: Mapping[str, Any]) -> str:
    if not report:
        return f"HTTP {status} without an error that we know"
    parts = [f"{status} {_cut(report.get('type'))}"]
    for name in ("precondition", "help_message", "message", "resource", "reason", "current_state"):
        text = _cut(report.get(name))
        if text and text not in parts:
            parts.append(text)
    return ": ".join((parts[0], ", ".join((*parts[1:], *_details(report))))).removesuffix(": ")


def _details(report: Mapping[str, Any]) -> list[str]:
    """`details` in its three forms: arguments, rights, quotas."""
    found = report.get("details")
    lines = []
    for detail in found[:4] if isinstance(found, list) else ():
        if not isinstance(detail, dict):
            continue
        subject = _cut(detail.get("argument_name") or detail.get("resource"))
        rest = " ".join(
            _cut(detail[name])
            for name in ("action", "reason", "help_message", "quota", "current")
            if detail.get(name) is not None
        )
        lines.append(f"{subject} ({rest})")
    return lines


def _cut(value: object) -> str:
    if not isinstance(value, str | int | float):
        return ""
    text = "".join(char if char.isprintable() else " " for char in str(value))
    return text if len(text) <= TEXT_MAX_CHARS else f"{text[:TEXT_MAX_CHARS]}..."


def _seconds(value: object) -> float | None:
    try:
        seconds = float(value) if isinstance(value, str | int | float) else 0.0
    except ValueError:
        return None
    return min(seconds, RETRY_AFTER_MAX_S) if seconds > 0 else None
