"""What the audit log tells: `docs/audit.md` explains every action, and a test holds the two alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

AuditValue = str | int | bool | None


class Action(StrEnum):
    """`action` of a line: the thing, and what became of it."""

    CLOUD_WRITE = "cloud-write"  # a call that may change something left for the provider
    KEY_USED = "key-used"
    KEY_STORED = "key-stored"
    KEY_ACCEPTED = "key-accepted"
    KEY_REPLACED = "key-replaced"
    KEY_REFUSED = "key-refused"
    KEY_DESTROYED = "key-destroyed"
    CREDENTIAL_SEEDED = "credential-seeded"
    CREDENTIAL_FROZEN = "credential-frozen"
    CREDENTIAL_THAWED = "credential-thawed"
    CREDENTIAL_CLOSING = "credential-closing"
    RESOURCES_ABANDONED = "resources-abandoned"
    SETTINGS_CHANGED = "settings-changed"
    ORGANIZATION_OPENED = "organization-opened"
    ORGANIZATION_CLOSED = "organization-closed"
    NAMESPACE_CLAIMED = "namespace-claimed"
    NAMESPACE_RENEWED = "namespace-renewed"
    NAMESPACE_RELEASED = "namespace-released"
    PROJECT_CLAIMED = "project-claimed"
    PROJECT_RELEASED = "project-released"
    DATA_KEY_REWRAPPED = "rewrap-data-key"  # the names of migration 0008
    DATA_KEY_REPLACED = "replace-data-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """One line, of something that happened at `at`. `ref` and `request_id`: the provider's. No secrets."""

    at: datetime
    action: Action
    kind: str = ""
    name: str = ""
    ref: str = ""
    request_id: str = ""
    detail: Mapping[str, AuditValue] = field(default_factory=dict)
