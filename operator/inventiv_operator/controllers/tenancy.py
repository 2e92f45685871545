"""Whose namespace it is, and which credential serves a deployment in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inventiv_operator.api.objects import InvalidSpec, parse_credential
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.tenant_objects import Lists
from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.domain.ledger import CredentialRow, DeploymentRow
from inventiv_operator.kube.kinds import CREDENTIAL
from inventiv_operator.store import claims, credentials, ledger, seeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """No credential to use; the reason is one of the contract's."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A namespace as it was read just now, and whose it is."""

    organization_id: OrganizationId
    namespace_uid: str


class Tenancy:
    """Answers from the ledger, never from a label (T1)."""

    def __init__(self, services: Services, objects: Lists) -> None:
        self._services = services
        self._objects = objects

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

    async def home(self, namespace: Mapping[str, Any] | None) -> Home | None:
        """Of a namespace that was read live; None: there is none, or it is nobody's. One that was made anew
        inherits nothing.
        """
        if namespace is None:
            return None
        metadata = namespace["metadata"]
        uid = str(metadata["uid"])
        owner = await self.owner(str(metadata["name"]), namespace_uid=uid)
        return None if owner is None else Home(organization_id=owner, namespace_uid=uid)

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
        """The named credential of the namespace, or its one default, or the organization's seeded one (S3).

        Raises:
            KubeError: whether the namespace has a default of its own cannot be said now.
        """
        async with self._services.db.reading(organization_id) as conn:
            rows = [
                row
                for row in await credentials.in_namespace(conn, namespace=namespace)
                if row.state == "open" and (row.name == name if name else row.is_default)
            ]
            spare = None if rows or name else await seeded.find(conn, organization_id)
        if spare is not None and not await self._has_default(namespace):
            return spare
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

    async def _has_default(self, namespace: str) -> bool:
        """Whether an object of the namespace is meant to serve it, also one that has no key yet: a deployment
        keeps the credential it began with, so the seeded one must not get ahead of it.
        """
        listed = await self._objects.list(CREDENTIAL, namespace=namespace)
        return any(_is_default(item) for item in listed.items)


def _is_default(body: dict[str, Any]) -> bool:
    try:
        return parse_credential(body).spec.default
    except InvalidSpec:
        return True  # what it was meant to be cannot be read
