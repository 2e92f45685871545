"""Conditions and their reasons: how an object says how it is, and what to do about it.

The reasons are one closed set, because people's alerts match on them. `merge_conditions` is the only
way from one status to the next: it keeps the time of the last change of *status* (not of message).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from inventiv_operator.api.base import Model, Timestamp

MESSAGE_MAX_CHARS = 1024
"""What we write; the schema takes 32768, as Kubernetes' own conditions do."""


class ConditionType(StrEnum):
    READY = "Ready"
    PROGRESSING = "Progressing"
    CREDENTIAL_READY = "CredentialReady"
    EXPIRING = "Expiring"


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Every reason of every kind; `custom-resources.md` says which kind uses which."""

    READY = "Ready"
    PROGRESSING = "Progressing"
    NOT_SUPPORTED = "NotSupported"
    INVALID_SPEC = "InvalidSpec"
    DATABASE_UNAVAILABLE = "DatabaseUnavailable"
    FROZEN = "Frozen"
    DELETING = "Deleting"
    # Organization
    NAMESPACE_CONFLICT = "NamespaceConflict"
    NAMESPACE_IN_USE = "NamespaceInUse"
    DEFAULT_CONFLICT = "DefaultConflict"
    # ProviderCredential
    ORGANIZATION_MISSING = "OrganizationMissing"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - the name of a reason
    SECRET_INVALID = "SecretInvalid"  # noqa: S105 - the name of a reason
    CREDENTIAL_REJECTED = "CredentialRejected"
    CREDENTIAL_EXPIRED = "CredentialExpired"
    PERMISSION_DENIED = "PermissionDenied"
    PROJECT_MISMATCH = "ProjectMismatch"
    PROJECT_CONFLICT = "ProjectConflict"
    PROVIDER_UNREACHABLE = "ProviderUnreachable"
    KEY_UNAVAILABLE = "KeyUnavailable"
    # condition Expiring
    EXPIRES_SOON = "ExpiresSoon"
    EXPIRES_WITHIN_WEEK = "ExpiresWithinWeek"
    EXPIRES_WITHIN_DAY = "ExpiresWithinDay"
    NOT_EXPIRING = "NotExpiring"
    EXPIRY_UNKNOWN = "ExpiryUnknown"
    # Deployment
    MISSING_PROVIDER_CREDENTIALS = "MissingProviderCredentials"
    CREDENTIAL_AMBIGUOUS = "CredentialAmbiguous"
    CREDENTIAL_NOT_READY = "CredentialNotReady"
    QUOTA_EXCEEDED = "QuotaExceeded"
    PRICE_UNKNOWN = "PriceUnknown"
    INVALID_ZONE = "InvalidZone"
    INVALID_INSTANCE_TYPE = "InvalidInstanceType"
    ZONE_NOT_ALLOWED = "ZoneNotAllowed"
    INSTANCE_TYPE_NOT_ALLOWED = "InstanceTypeNotAllowed"
    IMAGE_NOT_FOUND = "ImageNotFound"
    SECRET_NOT_ALLOWED = "SecretNotAllowed"  # noqa: S105 - the name of a reason
    OUT_OF_STOCK = "OutOfStock"
    PROVIDER_QUOTA_EXCEEDED = "ProviderQuotaExceeded"
    CREATE_FAILED = "CreateFailed"
    STARTING = "Starting"
    STARTUP_TIMEOUT = "StartupTimeout"
    STARTUP_FAILED = "StartupFailed"
    NOT_READY = "NotReady"
    STOPPED = "Stopped"
    SUSPENDED = "Suspended"
    PAUSED = "Paused"
    EXPIRED = "Expired"
    LOST = "Lost"
    DELETION_STUCK = "DeletionStuck"
    RATE_LIMITED = "RateLimited"
    # condition Progressing
    COMPLETE = "Complete"
    SCALING = "Scaling"


class Condition(Model):
    """One aspect of the object's state."""

    type: Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Z][A-Za-z]*$")]
    """Which aspect, for example Ready."""
    status: ConditionStatus
    """True, False, or Unknown while nobody can tell yet."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation of the object that this was said about; smaller than metadata.generation: out of date."""
    last_transition_time: Timestamp
    """When the status last changed."""
    reason: Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Z][A-Za-z]*$")]
    """Cause in one CamelCase word, for scripts and alerts."""
    message: Annotated[str, Field(max_length=32768)]
    """Cause in a sentence, and what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the reconciler has to say now; when it began to be so is `merge_conditions`' business."""

    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str


def clip(text: str, limit: int = MESSAGE_MAX_CHARS) -> str:
    """At most `limit` characters, with an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def merge_conditions(
    old: Iterable[Condition], new: Iterable[Said], *, now: datetime, observed_generation: int
) -> tuple[Condition, ...]:
    """The conditions to write, in the order of `new`.

    The transition time of a condition is kept while its status stays the same, so that "for how long?"
    has an answer. Conditions of `old` that `new` does not mention are dropped: this is their one writer.
    """
    before = {condition.type: condition for condition in old}
    return tuple(
        Condition(
            type=said.type,
            status=said.status,
            observed_generation=observed_generation,
            last_transition_time=(
                known.last_transition_time
                if (known := before.get(said.type)) is not None and known.status == said.status
                else now
            ),
            reason=said.reason,
            message=clip(said.message),
        )
        for said in new
    )


def condition_of(conditions: Iterable[Condition], wanted: ConditionType) -> Condition | None:
    return next((condition for condition in conditions if condition.type == wanted), None)
