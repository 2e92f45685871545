"""What a ProviderCredential's status says, from its row and what it is used for."""

from datetime import datetime, timedelta
from typing import Any

from inventiv_operator.api.base import timestamp_text
from inventiv_operator.api.conditions import ConditionStatus, ConditionType, Reason, Said
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.store.usage import CredentialUsage

EXPIRES_SOON = timedelta(days=14)


def status_fields(row: CredentialRow | None, usage: CredentialUsage | None) -> dict[str, Any]:
    """Everything but the conditions; a field that is None is left out."""
    if row is None:
        return {}
    return {
        "credentialID": str(row.id),
        "accessKey": row.access_key or None,
        "keyFingerprint": row.key_fingerprint or None,
        "expiresAt": None if row.expires_at is None else timestamp_text(row.expires_at),
        "lastValidatedAt": None if row.validated_at is None else timestamp_text(row.validated_at),
        "encryptionKeyID": row.encryption_key_id or None,
        "resources": None
        if usage is None
        else {
            "servers": usage.servers,
            "volumes": usage.volumes,
            "ips": usage.ips,
            "securityGroups": usage.security_groups,
        },
    }


def said_ready(*, ready: bool | None, reason: Reason, message: str) -> Said:
    """`ready` None: under way, and nobody has to do anything about it."""
    status = ConditionStatus.UNKNOWN if ready is None else ConditionStatus(str(ready))
    return Said(type=ConditionType.READY, status=status, reason=reason, message=message)


def said_expiring(row: CredentialRow | None, *, now: datetime) -> Said:
    if row is None or row.expires_at is None:
        return Said(
            type=ConditionType.EXPIRING,
            status=ConditionStatus.UNKNOWN,
            reason=Reason.EXPIRY_UNKNOWN,
            message="Scaleway names no end of this key: it has none, or the key may not look itself up",
        )
    end = timestamp_text(row.expires_at)
    if row.expires_at - now <= EXPIRES_SOON:
        return Said(
            type=ConditionType.EXPIRING,
            status=ConditionStatus.TRUE,
            reason=Reason.EXPIRES_SOON,
            message=f"the key ends at {end}; put a new one into the Secret before",
        )
    return Said(
        type=ConditionType.EXPIRING,
        status=ConditionStatus.FALSE,
        reason=Reason.NOT_EXPIRING,
        message=f"the key ends at {end}",
    )
