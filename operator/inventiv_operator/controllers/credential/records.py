"""What the ledger says about the key of a credential. Each change is one transaction, with its audit line."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.access import Access
from inventiv_operator.controllers.credential.key import ApiKey
from inventiv_operator.controllers.credential_lines import tell
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.audit import Action, AuditValue
from inventiv_operator.domain.ids import AccessKey
from inventiv_operator.domain.ledger import CredentialRow, ResourceState
from inventiv_operator.store import credentials, ledger, settings
from inventiv_operator.store.errors import MissingProviderCredentials
from inventiv_operator.store.keyring import KeyringFile
from inventiv_operator.store.settings import ProviderSecrets
from inventiv_operator.store.usage import CONTROL_ROLE

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That a key gives access to its project. `held_back`: why nothing new may be made all the same."""

    key: ApiKey
    expires_at: datetime | None
    held_back: Reason | None


class KeyRecords:
    def __init__(self, services: Services, *, access: Access, keyring: KeyringFile) -> None:
        self._services = services
        self._access = access
        self._keyring = keyring

    async def read(self, row: CredentialRow) -> CredentialRow:
        async with self._services.db.reading(row.organization_id) as conn:
            return await credentials.get(conn, row.id) or row

    async def stored(self, row: CredentialRow) -> ProviderSecrets | None:
        """Raises KeyUnavailable, DecryptionFailed."""
        async with self._services.db.reading(row.organization_id) as conn:
            try:
                return await settings.read_secrets(conn, row.id, keyring=self._keyring.current())
            except MissingProviderCredentials:
                return None

    async def store(
        self, row: CredentialRow, secrets: ProviderSecrets, *, before: ProviderSecrets | None
    ) -> CredentialRow:
        """The first key, or one in place of a first one that never proved itself."""
        key = key_of(secrets)
        async with self._access.replacing(row.id), self._services.writing(row.organization_id) as conn:
            key_id = await settings.write_secrets(conn, row.id, secrets, keyring=self._keyring.current())
            if before is None or not same_key(before, key):
                if row.rejected_at is not None:
                    await credentials.forget_refusal(conn, row.id)
                await tell(conn, row, Action.KEY_STORED, **_named(key), encryptionKeyID=key_id)
        return await self.read(row)

    async def accept(self, row: CredentialRow, proof: Proof) -> CredentialRow:
        """The stored key proved itself. Raises Conflict: the project is somebody else's."""
        is_news = row.validated_at is None or row.rejected_at is not None
        async with self._renewing(row), self._services.writing(row.organization_id) as conn:
            key_id = row.encryption_key_id or await settings.encryption_key_id(conn, row.organization_id)
            if is_news:
                await tell(conn, row, Action.KEY_ACCEPTED, **_named(proof.key), encryptionKeyID=key_id)
            await self._note(conn, row, proof, key_id=key_id)
        if is_news:
            _log_accepted(row, proof.key)
        return await self.read(row)

    async def replace(self, row: CredentialRow, secrets: ProviderSecrets, proof: Proof) -> CredentialRow:
        """A candidate proved itself: from here on it is the stored key, and the old one is never used again.

        Raises Conflict: the project is somebody else's.
        """
        async with (
            self._access.replacing(row.id, thaws=True),
            self._services.writing(row.organization_id) as conn,
        ):
            key_id = await settings.write_secrets(conn, row.id, secrets, keyring=self._keyring.current())
            earlier = {"earlierAccessKey": row.access_key, "earlierFingerprint": row.key_fingerprint}
            line = {**_named(proof.key), "encryptionKeyID": key_id}
            await tell(conn, row, Action.KEY_REPLACED, **line, **earlier)
            await self._note(conn, row, proof, key_id=key_id)
        _log_accepted(row, proof.key)
        return await self.read(row)

    @asynccontextmanager
    async def _renewing(self, row: CredentialRow) -> AsyncIterator[None]:
        """A credential that thaws gets a client anew; any other goes on with the one it has."""
        if row.frozen_reason or self._access.is_frozen_here(row.id):
            async with self._access.replacing(row.id, thaws=True):
                yield
        else:
            yield

    async def _note(
        self, conn: AsyncConnection[Any], row: CredentialRow, proof: Proof, *, key_id: str
    ) -> None:
        claimed = await credentials.set_validated(
            conn,
            row.id,
            ready=proof.held_back is None,
            reason=proof.held_back or "",
            validated_at=self._services.clock.now(),
            expires_at=proof.expires_at,
            key_fingerprint=proof.key.fingerprint,
            access_key=proof.key.access_key,
            encryption_key_id=key_id,
        )
        line = {**_named(proof.key), "encryptionKeyID": key_id}
        if claimed:
            await tell(conn, row, Action.PROJECT_CLAIMED, **line)
        if row.frozen_reason:
            await credentials.unfreeze(conn, row.id)
            await tell(conn, row, Action.CREDENTIAL_THAWED, **line)

    async def refuse(self, row: CredentialRow, key: ApiKey, reason: Reason) -> CredentialRow:
        """Scaleway says 401 to the stored key: nothing but validations is asked with it from here on."""
        if row.rejected_at is not None and not row.ready and row.reason == reason:
            return row
        async with (
            self._access.refusing(row.id),
            self._services.writing(row.organization_id) as conn,
        ):
            await credentials.set_not_ready(
                conn, row.id, reason=reason, rejected_at=self._services.clock.now()
            )
            if row.rejected_at is None:
                await tell(conn, row, Action.KEY_REFUSED, **_named(key), reason=str(reason))
        return await self.read(row)

    async def hold_back(
        self, row: CredentialRow, reason: Reason, *, candidate: ApiKey | None = None, is_news: bool = False
    ) -> CredentialRow:
        """Nothing new is made with it; no write when it is noted already. What exists goes on with the stored
        key. `candidate`: because of this one, which `is_news` if it was not refused before.
        """
        is_noted = not row.ready and row.reason == reason
        if is_noted and not is_news:
            return row
        async with self._services.writing(row.organization_id) as conn:
            await credentials.set_not_ready(conn, row.id, reason=reason)
            if candidate is not None and is_news:
                await tell(
                    conn,
                    row,
                    Action.KEY_REFUSED,
                    **_named(candidate),
                    encryptionKeyID="",
                    reason=str(reason),
                    isCandidate=True,
                )
        return await self.read(row)

    async def start_over(self, row: CredentialRow) -> None:
        """A frozen credential is proven by controls found anew.

        The one that was lost may have been deleted by the tenant, and must not keep the credential frozen for
        ever; a key of another project finds no new one, because it may not make one in this project.
        """
        async with self._services.writing(row.organization_id) as conn:
            await credentials.forget_zone_controls(conn, row.id)
            made = [
                resource.id
                for resource in await ledger.credential_resources(conn, row.id)
                if resource.role == CONTROL_ROLE and resource.state is ResourceState.PRESENT
            ]
            if made:
                await ledger.advance(conn, made, to=ResourceState.DELETING, allowed={ResourceState.PRESENT})


def key_of(secrets: ProviderSecrets) -> ApiKey:
    return ApiKey(access_key=AccessKey(secrets.access_key), secret_key=secrets.secret_key)


def same_key(stored: ProviderSecrets, given: ApiKey) -> bool:
    return (
        stored.access_key == given.access_key
        and stored.secret_key.get_secret_value() == given.secret_key.get_secret_value()
    )


def _named(key: ApiKey) -> dict[str, AuditValue]:
    return {"accessKey": key.access_key, "fingerprint": key.fingerprint}


def _log_accepted(row: CredentialRow, key: ApiKey) -> None:
    logger.info("key accepted", extra={"credential_id": str(row.id), "fingerprint": key.fingerprint})
