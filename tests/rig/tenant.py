"""One tenant with a ready credential, straight into the ledger; and a deployment of its own."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from inventiv_operator.domain.ids import CredentialId, OrganizationId
from inventiv_operator.domain.ledger import Fence
from inventiv_operator.store import claims, credentials, organizations, settings
from inventiv_operator.store.database import Database
from inventiv_operator.store.keyring import Keyring
from inventiv_operator.store.settings import ProviderSecrets

ZONE = "fr-par-2"
TYPE = "L4-1-24G"
CLOUD_INIT = "#cloud-config\npackages: [nginx]\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class RigTenant:
    organization_id: OrganizationId
    credential_id: CredentialId
    namespace: str
    project_id: str
    access_key: str
    secret_key: str

    def world(self) -> dict[str, Any]:
        """What the simulator must know of it."""
        return {
            "projects": [{"id": self.project_id}],
            "keys": [
                {
                    "access_key": self.access_key,
                    "secret_key": self.secret_key,
                    "project_id": self.project_id,
                }
            ],
        }


def new_tenant() -> RigTenant:
    return RigTenant(
        organization_id=OrganizationId(uuid4()),
        credential_id=CredentialId(uuid4()),
        namespace=f"tenant-{uuid4().hex[:12]}",
        project_id=str(uuid4()),
        access_key=f"SCW{uuid4().hex[:17].upper()}",
        secret_key=str(uuid4()),
    )


async def write_tenant(
    db: Database, tenant: RigTenant, *, fence: Fence, namespace_uid: str, keyring: Keyring, now: datetime
) -> None:
    async with db.writing(tenant.organization_id, fence) as conn:
        await organizations.upsert(
            conn, id=tenant.organization_id, name=tenant.namespace, uid=str(uuid4()), is_default=False
        )
        await claims.claim(
            conn, organization_id=tenant.organization_id, namespace=tenant.namespace, uid=namespace_uid
        )
        await credentials.open_credential(
            conn,
            id=tenant.credential_id,
            organization_id=tenant.organization_id,
            namespace=tenant.namespace,
            namespace_uid=namespace_uid,
            name="scaleway",
            uid=str(uuid4()),
            project_id=tenant.project_id,
            is_default=True,
        )
        secrets = ProviderSecrets(
            project_id=tenant.project_id,
            organization_ref=None,
            access_key=tenant.access_key,
            secret_key=SecretStr(tenant.secret_key),
        )
        key_id = await settings.write_secrets(conn, tenant.credential_id, secrets, keyring=keyring)
        await credentials.set_validated(
            conn,
            tenant.credential_id,
            ready=True,
            reason="Ready",
            validated_at=now,
            expires_at=None,
            key_fingerprint="3f9a1c2b",
            access_key=tenant.access_key,
            encryption_key_id=key_id,
        )


def deployment_spec(replicas: int = 1, **changes: Any) -> dict[str, Any]:
    """With a cloud-init, so that what must come before the first power-on is there to be seen."""
    return {
        "replicas": replicas,
        "placement": [{"zone": ZONE, "instanceType": TYPE}],
        "image": "ubuntu_jammy_gpu_os_12",
        "cloudInit": {"inline": CLOUD_INIT},
        **changes,
    }
