"""The count of failed starts, and when the next one may be (L6, B3).

A deployment of a hundred instances with a bad image fails a hundred times within seconds. That is one failed
start of the template, not a hundred: failures that come while the next start is being held back are of the
same wave and count once.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

BACKOFF_FIRST_S = 60.0
BACKOFF_CAP_S = 3600.0
STOCK_RETRY_S = 120.0
"""Stock and quotas come back in their own time: a condition with a long retry."""
UNCOUNTED = frozenset({"OutOfStock", "ProviderQuotaExceeded", "PermissionDenied", "CredentialRejected"})
"""Refusals that say nothing about the template: they are retried for ever, but not often."""
MESSAGE_MAX_CHARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRecord:
    """Part of a deployment's row. `failures` are in a row, for one template."""

    failures: int
    next_start_at: datetime | None
    reason: str
    message: str
    reset_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldBack:
    """Why nothing new is started; an empty reason: nothing speaks against it."""

    reason: str  # "", StartupFailed or BackingOff
    wait_s: float | None


FREE = HoldBack(reason="", wait_s=None)


def hold_back(record: StartRecord, *, max_failures: int, now: datetime) -> HoldBack:
    """Whether a start may be made now."""
    if record.failures >= max_failures:
        return HoldBack(reason="StartupFailed", wait_s=None)
    if record.next_start_at is not None and record.next_start_at > now:
        return HoldBack(reason="BackingOff", wait_s=(record.next_start_at - now).total_seconds())
    return FREE


def after_failure(record: StartRecord, *, reason: str, message: str, now: datetime) -> StartRecord:
    """The record after a start that failed or was refused."""
    said = replace(record, reason=reason, message=message[:MESSAGE_MAX_CHARS])
    if record.next_start_at is not None and record.next_start_at > now:
        return said  # of the same wave
    if reason in UNCOUNTED:
        return replace(said, next_start_at=now + timedelta(seconds=STOCK_RETRY_S))
    failures = record.failures + 1
    return replace(said, failures=failures, next_start_at=now + timedelta(seconds=_delay_s(failures)))


def after_ready(record: StartRecord) -> StartRecord:
    """One became ready: the template is good. A wait for stock or quota goes on all the same."""
    if record.failures == 0:
        return record
    return replace(record, failures=0, next_start_at=None, reason="", message="")


def after_reset(*, reset_token: str) -> StartRecord:
    """A new spec, or a new value of `inventiv.io/reconcile-at`."""
    return StartRecord(failures=0, next_start_at=None, reason="", message="", reset_token=reset_token)


def _delay_s(failures: int) -> float:
    """1, 2, 4 ... 60 minutes after the first, second, third ... failure in a row."""
    return min(BACKOFF_CAP_S, BACKOFF_FIRST_S * 2.0 ** max(0, failures - 1))
