"""The stored key of one credential: taken in, proven, replaced. Every change is one transaction.

The first key is stored before it is proven, because proving may make a control group, and what is made must
stay deletable. Later keys are candidates: they replace the stored one in the transaction that notes their
proof.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.access import Access
from inventiv_operator.controllers.credential.key import IN_SECRET, ApiKey, KeyPlace
from inventiv_operator.controllers.credential.schedule import ValidationSchedule
from inventiv_operator.controllers.credential.validation import Finding, Validation, validate
from inventiv_operator.controllers.deployment.scene import Cloud
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.ids import CredentialId, ProjectId, Zone
from inventiv_operator.domain.ledger import CredentialRow, ResourceState
from inventiv_operator.store import credentials, ledger, settings
from inventiv_operator.store.errors import Conflict, MissingProviderCredentials
from inventiv_operator.store.keyring import KeyringFile
from inventiv_operator.store.settings import ProviderSecrets
from inventiv_operator.store.usage import CONTROL_ROLE

logger = logging.getLogger(__name__)

_AGAIN_IN_S = {
    Finding.REFUSED: 120.0,
    Finding.ELSEWHERE: 120.0,
    Finding.DENIED: 60.0,
    Finding.UNKNOWN: 10.0,
}
_GRACE_POLL_S = 5.0
PROJECT_TAKEN = (
    "the project of {place} is already in use by another Organization; a project belongs to the first that"
    " proves access to it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the Secret holds now, and how to try it. `leaving`: the credential is being deleted, so a new key
    is of interest only where the stored one no longer serves.
    """

    key: ApiKey
    generation: int
    scaleway_organization: str | None
    zones: Sequence[Zone]
    place: KeyPlace = IN_SECRET
    leaving: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidOfKey:
    """What the condition Ready says about the key; `ready` None: under way."""

    ready: bool | None
    reason: Reason
    message: str


PROVEN = SaidOfKey(ready=True, reason=Reason.READY, message="the key gives access to the project")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyState:
    """How it stands with the key. `row` is as it is in the ledger now."""

    row: CredentialRow
    said: SaidOfKey
    again_in_s: float


class Custody:
    def __init__(
        self, services: Services, *, access: Access, keyring: KeyringFile, schedule: ValidationSchedule
    ) -> None:
        self._services = services
        self._access = access
        self._keyring = keyring
        self._schedule = schedule
        self._noted: dict[CredentialId, SaidOfKey] = {}

    async def keep(self, row: CredentialRow, offer: Offer) -> KeyState:
        """Bring the stored key in line with the offered one, and prove it when it is time.

        Raises:
            KeyUnavailable, DecryptionFailed: the stored key cannot be read.
        """
        secrets = _secrets(row, offer)
        stored = await self._stored(row)
        is_candidate = (
            stored is not None and row.validated_at is not None and not _same_key(stored, offer.key)
        )
        noted = self._noted.get(row.id, PROVEN)
        if offer.leaving and not is_candidate and not row.frozen_reason:
            return KeyState(row=row, said=noted, again_in_s=0.0)
        if not is_candidate and stored != secrets:
            await self._store(row, secrets)
        due_s = self._schedule.due_in_s(
            row.id,
            offer.key,
            generation=offer.generation,
            age_s=None if is_candidate else self._proof_age_s(row),
        )
        is_undone = noted.ready and not offer.leaving and (not row.ready or bool(row.frozen_reason))
        if due_s > 0 and not is_undone:
            return KeyState(row=row, said=noted, again_in_s=due_s)
        cloud = (
            self._access.candidate(row.organization_id, row.id, secrets)
            if is_candidate or row.validated_at is None  # one that was never proven has nothing to freeze
            else await self._access.provider_for(row.organization_id, row.id, though_frozen=True)
        )
        state = await self._prove(row, offer, cloud=cloud, is_candidate=is_candidate)
        self._noted[row.id] = state.said
        return state

    async def _stored(self, row: CredentialRow) -> ProviderSecrets | None:
        async with self._services.db.reading(row.organization_id) as conn:
            try:
                return await settings.read_secrets(conn, row.id, keyring=self._keyring.current())
            except MissingProviderCredentials:
                return None

    async def _store(self, row: CredentialRow, secrets: ProviderSecrets) -> None:
        async with self._services.writing(row.organization_id) as conn:
            await settings.write_secrets(conn, row.id, secrets, keyring=self._keyring.current())

    def _proof_age_s(self, row: CredentialRow) -> float | None:
        """Age of a proof that still stands; None: there is none."""
        if not row.ready or row.validated_at is None:
            return None
        return (self._services.clock.now() - row.validated_at).total_seconds()

    async def _prove(self, row: CredentialRow, offer: Offer, *, cloud: Cloud, is_candidate: bool) -> KeyState:
        if row.frozen_reason and not is_candidate:
            await self._start_over(row)
        found = await validate(
            cloud,
            zones=offer.zones,
            project_id=ProjectId(row.project_id),
            known_end=None if is_candidate else row.expires_at,
            clock=self._services.clock,
            place=offer.place,
        )
        if found.finding is Finding.VALID:
            return await self._accept(row, offer, found, is_candidate=is_candidate)
        return await self._decline(row, found, is_candidate=is_candidate)

    async def _start_over(self, row: CredentialRow) -> None:
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

    async def _accept(
        self, row: CredentialRow, offer: Offer, found: Validation, *, is_candidate: bool
    ) -> KeyState:
        try:
            async with self._services.writing(row.organization_id) as conn:
                encryption_key_id = row.encryption_key_id
                if is_candidate or not encryption_key_id:
                    encryption_key_id = await settings.write_secrets(
                        conn, row.id, _secrets(row, offer), keyring=self._keyring.current()
                    )
                await credentials.set_validated(
                    conn,
                    row.id,
                    ready=not offer.leaving,
                    reason=Reason.DELETING if offer.leaving else "",
                    validated_at=self._services.clock.now(),
                    expires_at=found.expires_at,
                    key_fingerprint=offer.key.fingerprint,
                    access_key=offer.key.access_key,
                    encryption_key_id=encryption_key_id,
                )
                if row.frozen_reason:
                    await credentials.unfreeze(conn, row.id)
        except Conflict:
            taken = Validation(
                finding=Finding.ELSEWHERE,
                reason=Reason.PROJECT_CONFLICT,
                message=PROJECT_TAKEN.format(place=offer.place.project),
            )
            return await self._decline(row, taken, is_candidate=is_candidate)
        if is_candidate or row.validated_at is None:
            logger.info(
                "key accepted", extra={"credential_id": str(row.id), "fingerprint": offer.key.fingerprint}
            )
        return KeyState(
            row=await self.read(row),
            said=PROVEN,
            again_in_s=self._schedule.asked(row.id, again_in_s=None),
        )

    async def _decline(self, row: CredentialRow, found: Validation, *, is_candidate: bool) -> KeyState:
        """Nothing new is made until a key is proven; what exists is watched and deleted with the stored
        one.
        """
        if found.finding is Finding.DENIED and self._schedule.is_fresh(row.id):
            message = f"a fresh key may be refused for up to two minutes; so far: {found.message}"
            return KeyState(
                row=row,
                said=SaidOfKey(ready=None, reason=Reason.PROGRESSING, message=message),
                again_in_s=self._schedule.asked(row.id, again_in_s=_GRACE_POLL_S),
            )
        again_in_s = self._schedule.asked(row.id, again_in_s=_AGAIN_IN_S[found.finding])
        said = SaidOfKey(ready=False, reason=found.reason, message=found.message)
        if found.finding is not Finding.UNKNOWN:  # which would say nothing about the key
            await self.set_not_ready(row, found.reason, is_refused=found.finding is not Finding.ELSEWHERE)
            row = await self.read(row)
            said = _with_consequences(said, row, is_candidate=is_candidate)
        return KeyState(row=row, said=said, again_in_s=again_in_s)

    async def set_not_ready(self, row: CredentialRow, reason: Reason, *, is_refused: bool = False) -> None:
        """Note it in the ledger, where the deployments read it; no write when it is noted already."""
        if not row.ready and row.reason == reason:
            return
        rejected_at = self._services.clock.now() if is_refused and row.rejected_at is None else None
        async with self._services.writing(row.organization_id) as conn:
            await credentials.set_not_ready(conn, row.id, reason=reason, rejected_at=rejected_at)

    async def read(self, row: CredentialRow) -> CredentialRow:
        async with self._services.db.reading(row.organization_id) as conn:
            return await credentials.get(conn, row.id) or row

    def forget(self, credential_id: CredentialId) -> None:
        """Of a credential that is gone nothing is kept in memory."""
        self._noted.pop(credential_id, None)
        self._schedule.forget(credential_id)


def _with_consequences(said: SaidOfKey, row: CredentialRow, *, is_candidate: bool) -> SaidOfKey:
    if is_candidate:
        return replace(
            said,
            message=f"{said.message}; the earlier key stays in use for watching and deleting, nothing new"
            " is made",
        )
    if row.frozen_reason and row.validated_at is not None:
        return replace(
            said,
            reason=Reason.FROZEN,
            message=f"{said.message}; nothing is made, deleted or concluded until the key is proven again",
        )
    return said


def _secrets(row: CredentialRow, offer: Offer) -> ProviderSecrets:
    return ProviderSecrets(
        project_id=ProjectId(row.project_id),
        organization_ref=offer.scaleway_organization,
        access_key=offer.key.access_key,
        secret_key=offer.key.secret_key,
    )


def _same_key(stored: ProviderSecrets, given: ApiKey) -> bool:
    return (
        stored.access_key == given.access_key
        and stored.secret_key.get_secret_value() == given.secret_key.get_secret_value()
    )
