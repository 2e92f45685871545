"""Everything that can go wrong on the way to the API server.

    KubeError
    ├── NotFound       404 with a Status that says NotFound: this object is not there
    ├── Conflict       409, or a JSON patch whose test failed: somebody was faster, read again
    ├── Gone           410: a list's continuation, or a watch, is too old
    ├── Forbidden      403: names the RBAC rule that is missing
    ├── Invalid        400, 422 and other refusals of what we sent
    └── Unavailable    the outcome is unknown: sockets, timeouts, 5xx, 429, answers that are no JSON
        └── Unauthorized   401: our own credentials are refused; never a fact about an object

A body is kept only when it is a Kubernetes `Status`; any other text may hold anything and is left out.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any


class KubeError(Exception):
    """`reason` is the CamelCase reason of the Status, empty without one; `status` is the HTTP status."""

    def __init__(self, message: str, *, reason: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status


class NotFound(KubeError):
    pass


class Conflict(KubeError):
    pass


class Gone(KubeError):
    pass


class Forbidden(KubeError):
    """`rule` is what is missing, for example `patch deployments.inventiv.io/status`."""

    def __init__(self, message: str, *, rule: str, reason: str = "", status: int | None = None) -> None:
        super().__init__(message, reason=reason, status=status)
        self.rule = rule


class Invalid(KubeError):
    pass


class Unavailable(KubeError):
    """`retry_after_s` is what the server asked for, if it did."""

    def __init__(
        self, message: str, *, reason: str = "", status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, reason=reason, status=status)
        self.retry_after_s = retry_after_s


class Unauthorized(Unavailable):
    pass


_NOT_FOUND = "NotFound"
_UNKNOWN_OUTCOME = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_BY_STATUS: Mapping[int, type[KubeError]] = {
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.GONE: Gone,
}


def error_of(*, status: int, body: bytes, what: str, rule: str, retry_after: str | None = None) -> KubeError:
    """The error that an answer means.

    `what` names the call and the object ("patch Deployment acme/llama"), `rule` the RBAC rule it needs.
    """
    report = _status_of(body)
    reason = str(report.get("reason") or "")
    said = str(report.get("message") or "") or f"HTTP {status} without a Kubernetes Status"
    message = f"{what}: {said}"
    if status == HTTPStatus.UNAUTHORIZED:
        refused = f"{what}: the API server refuses the operator's own credentials (401)"
        return Unauthorized(refused, reason=reason, status=status)
    if status == HTTPStatus.FORBIDDEN:
        lacking = f"{message}; the operator's role lacks the rule: {rule}"
        return Forbidden(lacking, rule=rule, reason=reason, status=status)
    if status in _UNKNOWN_OUTCOME or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable(message, reason=reason, status=status, retry_after_s=_seconds(retry_after))
    if status == HTTPStatus.UNPROCESSABLE_ENTITY and not _names_a_field(report):
        # The answer to a JSON patch that does not apply, which is what a failed `test` is. Validation
        # always names fields.
        return Conflict(message, reason=reason, status=status)
    if status == HTTPStatus.NOT_FOUND and reason != _NOT_FOUND:
        # A proxy in between, or a path that is not served: no word of the API server's about an object.
        return Unavailable(message, reason=reason, status=status)
    return _BY_STATUS.get(status, Invalid)(message, reason=reason, status=status)


def _status_of(body: bytes) -> Mapping[str, Any]:
    try:
        report = json.loads(body)
    except ValueError:
        return {}
    return report if isinstance(report, dict) and report.get("kind") == "Status" else {}


def _names_a_field(report: Mapping[str, Any]) -> bool:
    details = report.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return isinstance(causes, list) and any(isinstance(c, dict) and c.get("field") for c in causes)


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
