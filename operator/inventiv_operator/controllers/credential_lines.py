"""Lines of the audit log about one credential, each in the transaction of what it tells."""

from typing import Any, Final

from psycopg import AsyncConnection

from inventiv_operator.domain.audit import Action, AuditValue
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.store import audit

OF_A_PROJECT: Final = frozenset({Action.PROJECT_CLAIMED, Action.PROJECT_RELEASED})


async def tell(conn: AsyncConnection[Any], row: CredentialRow, action: Action, **detail: AuditValue) -> None:
    """About the stored key, where `detail` does not say otherwise. Never a secret."""
    await audit.append(
        conn,
        organization_id=row.organization_id,
        action=action,
        kind="credential",
        name=row.full_name,
        ref=row.project_id if action in OF_A_PROJECT else "",
        detail={
            "credentialID": str(row.id),
            "projectID": row.project_id,
            "accessKey": row.access_key,
            "fingerprint": row.key_fingerprint,
            "encryptionKeyID": row.encryption_key_id,
            **detail,
        },
    )
