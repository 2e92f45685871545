"""`provider_for`: the only door to a tenant's cloud (S7, T3).

It reads that organization's settings from PostgreSQL, under row-level security, and nothing else: no
environment, no configuration file, no other tenant, no default. With anything missing, zero requests leave.
"""

from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from pydantic import SecretStr

from inventiv_operator.controllers.control import PositiveControl
from inventiv_operator.controllers.deployment.scene import Cloud
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.ids import CredentialId, OrganizationId
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.scaleway.factory import ClientFactory
from inventiv_operator.store import credentials, settings
from inventiv_operator.store.errors import MissingProviderCredentials
from inventiv_operator.store.keyring import KeyringFile
from inventiv_operator.store.settings import ProviderSecrets


class CredentialFrozen(Exception):
    """No create, no delete, no conclusion, until a validation passes again (T8)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class _Entry:
    cloud: Cloud
    secrets: ProviderSecrets


class Access:
    """Clients by credential; one is kept as long as its key stays the same, with its listings and
    controls.
    """

    def __init__(self, services: Services, *, factory: ClientFactory, keyring: KeyringFile) -> None:
        self._services = services
        self._factory = factory
        self._keyring = keyring
        self._entries: dict[CredentialId, _Entry] = {}

    async def provider_for(
        self, organization_id: OrganizationId, credential_id: CredentialId, *, though_frozen: bool = False
    ) -> Cloud:
        """The way to this credential's project.

        `though_frozen` is for validation alone.

        Raises:
            MissingProviderCredentials: no such credential of this organization, or no key stored for it.
            CredentialFrozen: see there.
            KeyUnavailable, DecryptionFailed: its key cannot be read; nobody else's problem.
        """
        async with self._services.db.reading(organization_id) as conn:
            row = await credentials.get(conn, credential_id)
            if row is None:
                self.forget(credential_id)
                raise MissingProviderCredentials(
                    f"credential {credential_id} is not one of this organization"
                )
            return await self.provider_of(conn, row, though_frozen=though_frozen)

    async def provider_of(
        self, conn: AsyncConnection[Any], row: CredentialRow, *, though_frozen: bool = False
    ) -> Cloud:
        """The same, within a transaction of the credential's organization."""
        try:
            secrets = await settings.read_secrets(conn, row.id, keyring=self._keyring.current())
        except MissingProviderCredentials:
            self.forget(row.id)
            raise
        if row.frozen_reason and not though_frozen:
            raise CredentialFrozen(row.frozen_reason)
        entry = self._entries.get(row.id)
        thawed = entry is not None and entry.cloud.control.is_freeze_recorded and not row.frozen_reason
        if entry is None or thawed or not _same(entry.secrets, secrets):
            entry = _Entry(cloud=self._cloud(row.organization_id, row.id, secrets), secrets=secrets)
            self._entries[row.id] = entry
        return entry.cloud

    def forget(self, credential_id: CredentialId) -> None:
        """Its key is gone, and must not stay in memory."""
        self._entries.pop(credential_id, None)

    def candidate(
        self, organization_id: OrganizationId, credential_id: CredentialId, secrets: ProviderSecrets
    ) -> Cloud:
        """A client for a key that is yet to prove itself; never kept, and its failure freezes nothing."""
        return self._cloud(organization_id, credential_id, secrets, freezes=False)

    def _cloud(
        self,
        organization_id: OrganizationId,
        credential_id: CredentialId,
        secrets: ProviderSecrets,
        *,
        freezes: bool = True,
    ) -> Cloud:
        client = self._factory.client(
            project_id=secrets.project_id,
            access_key=secrets.access_key,
            secret_key=secrets.secret_key,
            may_write=self._services.leadership.fence,  # a call may have waited long for its turn (B7)
        )
        control = PositiveControl(
            self._services,
            client,
            organization_id=organization_id,
            credential_id=credential_id,
            freezes=freezes,
        )
        return Cloud(
            organization_id=organization_id, credential_id=credential_id, client=client, control=control
        )


def _same(one: ProviderSecrets, other: ProviderSecrets) -> bool:
    return (one.project_id, one.access_key, _value(one.secret_key)) == (
        other.project_id,
        other.access_key,
        _value(other.secret_key),
    )


def _value(secret: SecretStr) -> str:
    return secret.get_secret_value()
