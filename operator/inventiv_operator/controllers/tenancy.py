"""Whose namespace it is, and which credential serves a deployment in it."""

from dataclasses import dataclass

from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.domain.ledger import CredentialRow, DeploymentRow
from inventiv_operator.store import claims, credentials, ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """No credential to use; the reason is one of the contract's."""

    reason: str
    message: str


class Tenancy:
    """Answers from the ledger, never from a label (T1)."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def owner(self, namespace: str, *, namespace_uid: str | None = None) -> OrganizationId | None:
        """The organization that the namespace belongs to; None when nobody claims it (or claims another
        namespace of that name: one that was deleted and made anew has another uid).
        """
        async with self._services.db.platform() as conn:
            claim = await claims.organization_of(conn, namespace)
        if claim is None:
            return None
        if namespace_uid is not None and claim.namespace_uid != namespace_uid:
            return None
        return claim.organization_id

    async def deployment_rows(self, namespace: str, name: str) -> tuple[DeploymentRow, ...]:
        """What the ledger still holds under this name, whoever owns it; closed rows are left out."""
        async with self._services.db.platform() as conn:
            owners = await ledger.owners_of_deployment(conn, namespace=namespace, name=name)
        rows: list[DeploymentRow] = []
        for organization_id in owners:
            async with self._services.db.reading(organization_id) as conn:
                rows += await ledger.get_deployment(conn, namespace=namespace, name=name)
        return tuple(rows)

    async def credential_for(
        self, organization_id: OrganizationId, *, namespace: str, name: str | None
    ) -> CredentialRow | Refused:
        """The named credential of the namespace, or its one default."""
        async with self._services.db.reading(organization_id) as conn:
            rows = [
                row
                for row in await credentials.in_namespace(conn, namespace=namespace)
                if row.state == "open" and (row.name == name if name else row.is_default)
            ]
        if not rows:
            wanted = f"ProviderCredential {name!r}" if name else "ProviderCredential with default: true"
            return Refused(
                reason="MissingProviderCredentials",
                message=f"namespace {namespace} has no usable {wanted}: apply one, or see its condition",
            )
        if len(rows) > 1:
            names = ", ".join(sorted(row.name for row in rows))
            return Refused(
                reason="CredentialAmbiguous",
                message=f"namespace {namespace} has several defaults ({names}): name one in credentialRef",
            )
        return rows[0]
