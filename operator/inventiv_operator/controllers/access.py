"""`provider_for`: the only door to a tenant's cloud (S7, T3).

It reads that organization's settings from PostgreSQL, under row-level security, and nothing else: no
environment, no configuration file, no other tenant, no default. With anything missing, zero requests leave.

A client is handed out for a whole pass. So a key that is replaced, refused, frozen or destroyed is taken away
from everybody who holds a client of it (`replacing`, `refusing`, `freezing`, `forget`), and what was read
from the ledger before such a change makes no client after it (`Look`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

from psycopg import AsyncConnection
from pydantic import SecretStr

from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.audit_trail import AuditTrail, CredentialTrail
from inventiv_operator.controllers.control import PositiveControl
from inventiv_operator.controllers.credential.key import ApiKey
from inventiv_operator.controllers.deployment.scene import Cloud
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.ids import AccessKey, CredentialId, OrganizationId
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.scaleway.factory import CONNECT_TIMEOUT_S, ClientFactory
from inventiv_operator.scaleway.permit import Permit
from inventiv_operator.store import credentials, settings
from inventiv_operator.store.errors import Conflict, MissingProviderCredentials
from inventiv_operator.store.keyring import KeyringFile
from inventiv_operator.store.settings import ProviderSecrets


class CredentialWithheld(Exception):
    """There is a key, and nothing may be asked with it now. `condition`: what a Deployment says of it."""

    condition = Reason.CREDENTIAL_NOT_READY


class CredentialFrozen(CredentialWithheld):
    """No create, no delete, no conclusion, until a validation passes again (T8)."""

    condition = Reason.FROZEN

    def __init__(self, reason: str) -> None:
        super().__init__(f"the credential is frozen: {reason}")
        self.reason = reason


class KeyRefused(CredentialWithheld):
    """Scaleway answers 401 to the stored key; only a validation asks again."""

    def __init__(self, row: CredentialRow) -> None:
        where = "into its Secret" if row.namespace else "in its place"
        super().__init__(
            f"the key of {row.title} is refused by Scaleway (401); put a valid key of the same project"
            f" {where}, or, to give up what is left, delete the {row.object_kind} and set its annotation"
            " inventiv.io/abandon"
        )


class KeyChanging(Conflict):
    """Its key, or its standing, changes at this moment: look again."""


@dataclass(slots=True, eq=False)
class _Entry:
    """What this process holds of one credential. `frozen`: why, as long as the ledger does not say so yet."""

    cloud: Cloud | None = None
    secrets: ProviderSecrets | None = None
    frozen: str = ""
    changing: int = 0
    changes: int = 0
    working: WeakSet[Permit] = field(default_factory=WeakSet)
    proving: WeakSet[Permit] = field(default_factory=WeakSet)

    def take_back(self, why: str, *, reason: str) -> None:
        """No call of a client that was handed out for work leaves any more."""
        for permit in list(self.working):
            permit.withdraw(why, reason=reason)
        self.cloud = self.secrets = None

    @contextmanager
    def change(self) -> Iterator[None]:
        """Around a transaction; nobody is given a client meanwhile."""
        self.changing += 1
        try:
            yield
        finally:
            self.changing -= 1
            self.changes += 1


@dataclass(frozen=True, slots=True)
class Look:
    """Taken before a credential is read: says whether what was read still holds."""

    entry: _Entry
    changes: int

    def check(self) -> None:
        """Raises KeyChanging."""
        if self.entry.changing or self.entry.changes != self.changes:
            raise KeyChanging("the key of the credential is being changed")


class Access:
    """Clients by credential; one is kept as long as its key stays the same, with its listings and
    controls.
    """

    def __init__(
        self,
        services: Services,
        *,
        factory: ClientFactory,
        keyring: KeyringFile,
        trail: AuditTrail,
        doubt: Callable[[CredentialRow], object] | None = None,
    ) -> None:
        """`doubt` is told when a call was answered 401, or a credential frozen: have its key validated."""
        self._services = services
        self._factory = factory
        self._keyring = keyring
        self._trail = trail
        self._doubt = doubt
        self._entries: dict[CredentialId, _Entry] = {}

    # -- the door --------------------------------------------------------------------------------------------

    async def provider_for(self, organization_id: OrganizationId, credential_id: CredentialId) -> Cloud:
        """The way to this credential's project.

        Raises:
            MissingProviderCredentials: no such credential of this organization, or no key stored for it.
            CredentialWithheld: it is frozen, or its key refused.
            KeyUnavailable, DecryptionFailed: its key cannot be read; nobody else's problem.
            KeyChanging: look again.
        """
        look = self.look(credential_id)
        async with self._services.db.reading(organization_id) as conn:
            row = await self._row(conn, credential_id)
            return await self.provider_of(conn, row, look=look)

    async def provider_of(self, conn: AsyncConnection[Any], row: CredentialRow, *, look: Look) -> Cloud:
        """The same, within a transaction of the credential's organization; `look` is older than `row`."""
        secrets = await self._secrets(conn, row.id)
        look.check()  # nothing is waited for from here on
        entry = look.entry
        if why := row.frozen_reason or entry.frozen:
            raise CredentialFrozen(why)
        if row.rejected_at is not None:
            raise KeyRefused(row)
        if entry.cloud is None or entry.secrets is None or not _same(entry.secrets, secrets):
            entry.take_back("its key was replaced", reason=Reason.PROGRESSING)
            permit = self._permit(on_rejected=lambda: self._doubts(row))
            entry.working.add(permit)
            entry.cloud, entry.secrets = self._cloud(row, secrets, permit, freezes=True), secrets
            self._trail_of(row, secrets).used(encryption_key_id=row.encryption_key_id)
        return entry.cloud

    def look(self, credential_id: CredentialId) -> Look:
        """To be taken before the row that is handed to `provider_of` is read."""
        entry = self._entries.setdefault(credential_id, _Entry())
        return Look(entry, entry.changes)

    # -- validation ------------------------------------------------------------------------------------------

    async def for_validation(
        self, organization_id: OrganizationId, credential_id: CredentialId, *, freezes: bool
    ) -> Cloud:
        """A client of the stored key to validate it with: also where nothing else may be asked. Never kept.

        `freezes=False`: its failure freezes nothing, because the key never proved itself.

        Raises: as `provider_for`, but for CredentialWithheld.
        """
        look = self.look(credential_id)
        async with self._services.db.reading(organization_id) as conn:
            row = await self._row(conn, credential_id)
            secrets = await self._secrets(conn, credential_id)
        look.check()
        return self._proving(look.entry, row, secrets, freezes=freezes)

    def candidate(self, row: CredentialRow, secrets: ProviderSecrets) -> Cloud:
        """A client for a key that is yet to prove itself; never kept, and its failure freezes nothing."""
        return self._proving(self.look(row.id).entry, row, secrets, freezes=False)

    def _proving(
        self, entry: _Entry, row: CredentialRow, secrets: ProviderSecrets, *, freezes: bool
    ) -> Cloud:
        permit = self._permit(on_rejected=None)
        entry.proving.add(permit)
        return self._cloud(row, secrets, permit, freezes=freezes)

    # -- changes ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def replacing(self, credential_id: CredentialId, *, thaws: bool = False) -> AsyncIterator[None]:
        """Around the transaction that replaces or destroys its key: afterwards the old one is never used.

        Every client of it that was handed out is done for, and what is on its way is waited for: a request
        leaves within the time for a connection, or not at all. Whether the transaction commits or not, the
        next one who asks gets a client of what is stored then. `thaws`: it also notes that a validation
        passed.
        """
        entry = self.look(credential_id).entry
        with entry.change():
            permits = [*entry.working, *entry.proving]
            for permit in permits:
                permit.withdraw("its key was replaced", reason=Reason.PROGRESSING)
            # Before anything is waited for: a step may be cut there, and a withdrawn client must not stay.
            entry.take_back("its key was replaced", reason=Reason.PROGRESSING)
            await asyncio.gather(*(permit.drained(within_s=CONNECT_TIMEOUT_S) for permit in permits))
            yield
            if thaws:
                entry.frozen = ""

    @asynccontextmanager
    async def freezing(self, row: CredentialRow, message: str) -> AsyncIterator[None]:
        """Around the transaction that freezes it: from here on nothing leaves but a validation (T8).

        Also when the transaction fails: then it is frozen in this process.
        """
        entry = self.look(row.id).entry
        entry.frozen = message
        if entry.cloud is not None:
            entry.cloud.control.broken = message
        entry.take_back(f"the credential is frozen: {message}", reason=Reason.FROZEN)
        self._doubts(row)
        with entry.change():
            yield
            entry.frozen = ""

    @asynccontextmanager
    async def refusing(self, credential_id: CredentialId) -> AsyncIterator[None]:
        """Around the transaction that notes that its key is refused: nobody hammers on."""
        entry = self.look(credential_id).entry
        with entry.change():
            entry.take_back("its key is refused by Scaleway", reason=Reason.CREDENTIAL_REJECTED)
            yield

    def is_frozen_here(self, credential_id: CredentialId) -> bool:
        """It could not be written down yet."""
        entry = self._entries.get(credential_id)
        return entry is not None and bool(entry.frozen)

    def forget(self, credential_id: CredentialId) -> None:
        """Its key is gone: it must not stay in memory, and whoever holds a client of it is stopped."""
        self._drop(credential_id, "its key was destroyed")

    def let_go(self) -> None:
        """Of every key: this process does not lead any more, and does not hear of it when one is replaced."""
        for credential_id in tuple(self._entries):
            self._drop(credential_id, "this process does not lead any more")

    def _drop(self, credential_id: CredentialId, why: str) -> None:
        entry = self._entries.pop(credential_id, None)
        if entry is None:
            return
        entry.changes += 1
        entry.take_back(why, reason=Reason.PROGRESSING)
        for permit in list(entry.proving):
            permit.withdraw(why, reason=Reason.PROGRESSING)

    # -- shared ----------------------------------------------------------------------------------------------

    async def _row(self, conn: AsyncConnection[Any], credential_id: CredentialId) -> CredentialRow:
        row = await credentials.get(conn, credential_id)
        if row is None:
            self.forget(credential_id)
            raise MissingProviderCredentials(f"credential {credential_id} is not one of this organization")
        return row

    async def _secrets(self, conn: AsyncConnection[Any], credential_id: CredentialId) -> ProviderSecrets:
        try:
            return await settings.read_secrets(conn, credential_id, keyring=self._keyring.current())
        except MissingProviderCredentials:
            self.forget(credential_id)
            raise

    def _doubts(self, row: CredentialRow) -> None:
        if self._doubt is not None:
            self._doubt(row)

    def _permit(self, *, on_rejected: Callable[[], object] | None) -> Permit:
        """A call may have waited long for its turn: whether we lead is asked when it leaves (B7)."""
        return Permit(may_write=self._services.leadership.fence, on_rejected=on_rejected)

    def _cloud(self, row: CredentialRow, secrets: ProviderSecrets, permit: Permit, *, freezes: bool) -> Cloud:
        client = self._factory.client(
            organization_id=row.organization_id,
            project_id=secrets.project_id,
            access_key=secrets.access_key,
            secret_key=secrets.secret_key,
            permit=permit,
            write_sink=self._trail_of(row, secrets),
        )
        control = PositiveControl(
            self._services,
            client,
            organization_id=row.organization_id,
            credential_id=row.id,
            freezing=(lambda message: self.freezing(row, message)) if freezes else None,
        )
        return Cloud(
            organization_id=row.organization_id, credential_id=row.id, client=client, control=control
        )

    def _trail_of(self, row: CredentialRow, secrets: ProviderSecrets) -> CredentialTrail:
        key = ApiKey(access_key=AccessKey(secrets.access_key), secret_key=secrets.secret_key)
        return CredentialTrail(
            trail=self._trail,
            organization_id=row.organization_id,
            credential_id=row.id,
            credential_name=row.full_name,
            project_id=row.project_id,
            access_key=key.access_key,
            fingerprint=key.fingerprint,
        )


def _same(one: ProviderSecrets, other: ProviderSecrets) -> bool:
    return (one.project_id, one.access_key, _value(one.secret_key)) == (
        other.project_id,
        other.access_key,
        _value(other.secret_key),
    )


def _value(secret: SecretStr) -> str:
    return secret.get_secret_value()
