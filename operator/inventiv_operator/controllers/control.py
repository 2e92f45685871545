"""The positive control: what makes a 404 a proof (L1), and what freezes a credential (T8).

Scaleway answers 404 for other people's things too. So absence counts only while the same key, in the same
zone and within the last minute, could see something that is known to exist: the project's default security
group, or, where there is none, an empty group of ours that is made for this and stands in the ledger like
everything else.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import uuid4

from inventiv_operator.controllers.credential_lines import tell
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.audit import Action
from inventiv_operator.domain.cloud import SeenSecurityGroup
from inventiv_operator.domain.ids import CredentialId, OrganizationId, ProviderRef, ResourceId, Zone
from inventiv_operator.domain.intents import (
    ATTEMPT_TAG,
    INSTALLATION_TAG,
    ORGANIZATION_TAG,
    carries_attempt,
    is_settled,
)
from inventiv_operator.domain.ledger import NewResource, Origin, Resource, ResourceKind, ResourceState
from inventiv_operator.scaleway.client import ScalewayClient
from inventiv_operator.scaleway.errors import (
    Ambiguous,
    Denied,
    ForeignProject,
    NotFound,
    ScalewayError,
)
from inventiv_operator.store import credentials, ledger

logger = logging.getLogger(__name__)

CONTROL_VALID_S = 5.0
"""L1 asks for a minute. But a key may lose its rights, or its project, between a control and the 404 that it
is to back; so a conclusion costs a call every five seconds while things are being deleted, none at rest.
"""
UNKNOWN_VALID_S = 2.0
CONTROL_ROLE = "control"


class Verdict(StrEnum):
    HELD = "held"
    UNKNOWN = "unknown"  # no control to be had now: nothing may be concluded
    BROKEN = (
        "broken"  # a control known to exist is gone, or belongs to somebody else: the credential is frozen
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlResult:
    """`reason` is the contract's, of the error that stood in the way; empty without one.
    `scaleway_organization`: that the project is of, where the control said so.
    """

    verdict: Verdict
    message: str = ""
    reason: str = ""
    scaleway_organization: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """An answer, and until when it stands (monotonic seconds)."""

    result: ControlResult
    until_s: float


class PositiveControl:
    """The control of one credential, zone by zone. One per client, so that a new key proves itself anew."""

    def __init__(
        self,
        services: Services,
        client: ScalewayClient,
        *,
        organization_id: OrganizationId,
        credential_id: CredentialId,
        freezing: Callable[[str], AbstractAsyncContextManager[None]] | None,
    ) -> None:
        """`freezing` is entered around the transaction that freezes the credential; None: of a key that is
        yet to prove itself, and whose failure says nothing about the one in use.
        """
        self._services = services
        self._client = client
        self._organization_id = organization_id
        self._credential_id = credential_id
        self._freezing = freezing
        self._known: dict[Zone, _Known] = {}
        self._locks: dict[Zone, asyncio.Lock] = {}
        self.broken = ""
        """Why the credential was frozen since this was made, so that no call leaves; empty: it was not."""

    async def check(self, zone: Zone, *, fresh: bool = False) -> ControlResult:
        """Whether a 404 in this zone proves something now; asks the provider once in a while.

        A broken control freezes the credential before this returns. `fresh` asks in any case: for a
        validation.
        """
        async with self._locks.setdefault(zone, asyncio.Lock()):
            known = self._known.get(zone)
            now_s = self._services.clock.monotonic()
            if not fresh and self.broken:
                return ControlResult(verdict=Verdict.BROKEN, message=self.broken)
            if not fresh and known is not None and now_s < known.until_s:
                return known.result
            result = await self._try(zone)
            if result.verdict is Verdict.BROKEN:
                await self.freeze(result.message)
                return result
            if not fresh and self.broken:  # by another zone's control meanwhile
                return ControlResult(verdict=Verdict.BROKEN, message=self.broken)
            # A "cannot tell" is remembered too, or two hundred instances that wait for it ask two hundred
            # times.
            valid_s = CONTROL_VALID_S if result.verdict is Verdict.HELD else UNKNOWN_VALID_S
            self._known[zone] = _Known(result=result, until_s=now_s + valid_s)
            return result

    async def freeze(self, message: str) -> None:
        """No create, no delete, no conclusion with this credential until a validation passes again (T8)."""
        if self._freezing is None:
            return
        self.broken = message
        async with self._freezing(message), self._services.writing(self._organization_id) as conn:
            before = await credentials.get(conn, self._credential_id)
            await credentials.freeze(conn, self._credential_id, reason=message)
            if before is not None and not before.frozen_reason:
                logger.error(
                    "credential frozen", extra={"credential_id": str(self._credential_id), "detail": message}
                )
                await tell(conn, before, Action.CREDENTIAL_FROZEN, why=message)

    async def _try(self, zone: Zone) -> ControlResult:
        try:
            return await self._ask(zone)
        except ForeignProject as error:
            return ControlResult(verdict=Verdict.BROKEN, message=str(error), reason=error.reason)
        except ScalewayError as error:  # a refused key included: that is the validation's to say
            return ControlResult(verdict=Verdict.UNKNOWN, message=str(error), reason=error.reason)

    async def _ask(self, zone: Zone) -> ControlResult:
        async with self._services.db.reading(self._organization_id) as conn:
            known = await credentials.zone_control(conn, self._credential_id, zone=zone)
        if known is not None:
            return await self._see_again(zone, known)
        default = await self._client.default_security_group(zone)
        if default is not None:
            seen = await self._client.get_security_group(zone, default.ref)
            await self._remember(zone, default.ref)
            return _held(seen)
        return await self._own_control(zone)

    async def _see_again(self, zone: Zone, known: ProviderRef) -> ControlResult:
        try:
            seen = await self._client.get_security_group(zone, known)
        except NotFound:
            return ControlResult(
                verdict=Verdict.BROKEN,
                message=f"security group {known} in {zone}, known to exist, is no longer found with this key:"
                " it sees another project, or the group was deleted",
            )
        return _held(seen)

    async def _remember(self, zone: Zone, ref: ProviderRef) -> None:
        async with self._services.writing(self._organization_id) as conn:
            await credentials.remember_zone_control(conn, self._credential_id, zone=zone, ref=ref)

    # -- the control that we make ourselves ------------------------------------------------------------------

    async def _own_control(self, zone: Zone) -> ControlResult:
        """An empty group of ours: a 201 with our project is as good as a 200 for something known."""
        row = await self._own_row(zone)
        if row.provider_ref is not None:
            return await self._see_again(zone, row.provider_ref)
        if row.send_before is not None:
            adopted = await self._resolve_open_intent(zone, row)
            if adopted is not None:
                return adopted
        attempt = uuid4().hex
        async with self._services.writing(self._organization_id) as conn:
            send_before = self._services.clock.now() + timedelta(seconds=self._services.timing.send_window_s)
            await ledger.mark_sending(conn, row.id, attempt=attempt, send_before=send_before)
        try:
            group = await self._client.create_security_group(
                zone,
                name=f"inventiv-control-{row.id.hex[:8]}",
                tags=(
                    f"{INSTALLATION_TAG}={self._services.installation_id}",
                    f"{ORGANIZATION_TAG}={self._organization_id}",
                    f"{ATTEMPT_TAG}={attempt}",
                ),
                send_before=send_before,
            )
        except Denied as error:
            await self._unsend(row.id)
            return ControlResult(
                verdict=Verdict.BROKEN,
                message=f"making the control group in {zone} was refused: {error}",
                reason=error.reason,
            )
        except (Ambiguous, ForeignProject):
            raise  # it may have been made: the intent stays open until it is settled
        except ScalewayError:
            await self._unsend(row.id)
            raise
        async with self._services.writing(self._organization_id) as conn:
            await ledger.record_present(conn, row.id, provider_ref=group.ref, origin=Origin.CREATED)
        return _held(group)

    async def _own_row(self, zone: Zone) -> Resource:
        async with self._services.writing(self._organization_id) as conn:
            rows = await ledger.credential_resources(conn, self._credential_id)
            for row in rows:
                if row.role == CONTROL_ROLE and row.zone == zone and row.state is not ResourceState.DELETING:
                    return row
            new = NewResource(
                id=ResourceId(uuid4()),
                organization_id=self._organization_id,
                credential_id=self._credential_id,
                deployment_id=None,
                instance_id=None,
                kind=ResourceKind.SECURITY_GROUP,
                role=CONTROL_ROLE,
                zone=zone,
                volume_api=None,
                size_gb=None,
            )
            await ledger.insert_resources(conn, [new])
            rows = await ledger.credential_resources(conn, self._credential_id)
        return next(row for row in rows if row.id == new.id)

    async def _resolve_open_intent(self, zone: Zone, row: Resource) -> ControlResult | None:
        """The outcome of an earlier create; None: settled, nothing came of it, so another may be sent."""
        listed_at = self._services.clock.now()
        listing = await self._client.security_groups(zone, max_age_s=0.0)
        for seen in listing.items.values():
            if carries_attempt(seen, row):
                async with self._services.writing(self._organization_id) as conn:
                    await ledger.record_present(conn, row.id, provider_ref=seen.ref, origin=Origin.ADOPTED)
                return _held(seen)
        if not is_settled(row, listed_at=listed_at, timing=self._services.timing):
            return ControlResult(verdict=Verdict.UNKNOWN, message="the control group is still being made")
        await self._unsend(row.id)
        return None

    async def _unsend(self, resource_id: ResourceId) -> None:
        async with self._services.writing(self._organization_id) as conn:
            await ledger.clear_send(conn, resource_id)


def _held(group: SeenSecurityGroup) -> ControlResult:
    return ControlResult(verdict=Verdict.HELD, scaleway_organization=group.scaleway_organization)
