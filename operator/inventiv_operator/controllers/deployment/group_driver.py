"""Takes the security group of one deployment and zone to its rules, or to proven absence."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from psycopg import AsyncConnection

from inventiv_operator.controllers.deployment.removal_steps import absence
from inventiv_operator.controllers.deployment.scene import Cloud
from inventiv_operator.controllers.deployment.taken_ids import HeldElsewhere, held_elsewhere
from inventiv_operator.controllers.ledger_writer import Operation, Writes
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.cloud import IngressRule, SeenSecurityGroup
from inventiv_operator.domain.group_plan import (
    RULES_UNKNOWN,
    AdoptGroup,
    BeginGroupDeletion,
    CreateGroup,
    DeleteGroup,
    ForgetGroupAttempt,
    GroupDone,
    GroupFacts,
    GroupStep,
    IntendGroup,
    NoteGroupAbsent,
    SetRules,
    noted_rules,
    plan_group,
    plan_group_removal,
    rules_hash,
)
from inventiv_operator.domain.ids import DeploymentId, ProviderRef, ResourceId, Zone
from inventiv_operator.domain.intents import (
    ATTEMPT_TAG,
    DEPLOYMENT_TAG,
    INSTALLATION_TAG,
    ORGANIZATION_TAG,
    born_after_intent,
    carries_attempt,
)
from inventiv_operator.domain.ledger import (
    TRANSITIONS,
    NewResource,
    Origin,
    Resource,
    ResourceKind,
    ResourceState,
)
from inventiv_operator.domain.sight import Gone, Listed, NotListed, Unknown
from inventiv_operator.domain.start_record import STOCK_RETRY_S
from inventiv_operator.domain.waits import POLL_S, RETRY_S, Wait, patience_s
from inventiv_operator.scaleway.errors import (
    Ambiguous,
    Denied,
    ForeignProject,
    NotFound,
    QuotaExceeded,
    Rejected,
    ScalewayError,
    SendWindowClosed,
    Withdrawn,
)
from inventiv_operator.store import ledger
from inventiv_operator.store.errors import IdTaken

logger = logging.getLogger(__name__)

GROUP_ROLE = "group"
MAX_STEPS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDriven:
    """`row` None: it is proven absent. `wait` None: done, so servers may use it, or nothing is left."""

    row: Resource | None
    wait: Wait | None


class GroupDriver:
    """One deployment and zone, one pass."""

    def __init__(
        self,
        services: Services,
        writer: Writes,
        cloud: Cloud,
        *,
        deployment_id: DeploymentId,
        zone: Zone,
        name: str,
        tags: tuple[str, ...] = (),
    ) -> None:
        """`tags` are the tenant's; ours come in front."""
        self._services = services
        self._writer = writer
        self._cloud = cloud
        self._deployment_id = deployment_id
        self._zone = zone
        self._name = name
        self._tags = tags

    async def ensure(self, row: Resource | None, rules: Sequence[IngressRule]) -> GroupDriven:
        """Until servers may be made in it, or it has to wait."""
        wanted = rules_hash(rules)

        def plan(facts: GroupFacts) -> GroupStep:
            now = self._services.clock.now()
            return plan_group(facts, wanted_rules_hash=wanted, now=now, timing=self._services.timing)

        return await self._drive(row, plan, rules=rules)

    async def remove(self, row: Resource) -> GroupDriven:
        """Until it is proven absent, or has to wait."""

        def plan(facts: GroupFacts) -> GroupStep:
            now = self._services.clock.now()
            return plan_group_removal(facts, now=now, timing=self._services.timing)

        return await self._drive(row, plan, rules=())

    async def settle(self, row: Resource) -> GroupDriven:
        """Until it is known what an open create came to, and a deletion that was begun is over; a group that
        is there stays as it is.
        """

        def plan(facts: GroupFacts) -> GroupStep:
            if facts.row is None or (
                facts.row.provider_ref is not None and facts.row.state is not ResourceState.DELETING
            ):
                return GroupDone()
            now = self._services.clock.now()
            return plan_group_removal(facts, now=now, timing=self._services.timing)

        return await self._drive(row, plan, rules=())

    async def verify(self, row: Resource) -> None:
        """A server could not be made in it: when it is gone, say so, and the next pass makes another."""
        facts = GroupFacts(row=row, sight=NotListed(), candidate=None, listed_at=None)
        try:
            facts = await self._look(facts)
        except ScalewayError as error:
            logger.info("security group not verified", extra={"error": str(error)})
            return
        if isinstance(facts.sight, Gone):
            await self._advance(row, ResourceState.ABSENT)

    async def _drive(  # noqa: PLR0911 (a ladder)
        self, row: Resource | None, plan: Callable[[GroupFacts], GroupStep], *, rules: Sequence[IngressRule]
    ) -> GroupDriven:
        facts = await self._observe(row)
        refused: dict[type[GroupStep], Wait] = {}
        for _ in range(MAX_STEPS):
            step = plan(facts)
            if isinstance(step, GroupDone):
                return GroupDriven(row=facts.row, wait=None)
            if isinstance(step, Wait):
                return GroupDriven(row=facts.row, wait=step)
            if type(step) in refused:
                return GroupDriven(row=facts.row, wait=refused[type(step)])
            if self._cloud.control.broken:
                wait = Wait(reason="Frozen", after_s=None, message=self._cloud.control.broken)
                return GroupDriven(row=facts.row, wait=wait)
            try:
                facts = await self._perform(step, facts, rules=rules)
            except HeldElsewhere as error:
                return GroupDriven(row=facts.row, wait=error.wait)
            except ScalewayError as error:
                logger.info("step refused", extra={"step": type(step).__name__, "error": str(error)})
                facts, wait = await self._after_error(step, facts, error)
                return GroupDriven(row=facts.row, wait=wait)
            if isinstance(step, DeleteGroup) and isinstance(facts.sight, Listed):
                refused[DeleteGroup] = Wait(reason="Deleting", message="the security group is still there")
        return GroupDriven(row=facts.row, wait=Wait(reason="Queued", after_s=RETRY_S))

    async def _observe(self, row: Resource | None) -> GroupFacts:
        """Only an open intent needs a listing; a group whose id is known is asked for by its id when it
        matters.
        """
        if row is None or row.provider_ref is not None or not row.attempts:
            return GroupFacts(row=row, sight=NotListed(), candidate=None, listed_at=None)
        try:
            listing = await self._cloud.client.security_groups(self._zone, max_age_s=0.0)
        except ScalewayError as error:
            sight = Unknown(reason=error.reason, message=str(error))
            return GroupFacts(row=row, sight=sight, candidate=None, listed_at=None)
        age_s = self._services.clock.monotonic() - listing.started_s
        return GroupFacts(
            row=row,
            sight=NotListed(),
            candidate=_candidate(row, listing.items.values()),
            listed_at=self._services.clock.now() - timedelta(seconds=age_s),
        )

    async def _perform(  # noqa: PLR0911 (one line per step)
        self, step: GroupStep, facts: GroupFacts, *, rules: Sequence[IngressRule]
    ) -> GroupFacts:
        match step:
            case IntendGroup():
                return replace(facts, row=await self._intend(), sight=NotListed())
            case CreateGroup():
                return await self._create(facts, rules)
            case ForgetGroupAttempt():
                return replace(facts, row=await self._forget(_row(facts)))
            case AdoptGroup(seen=seen):
                row = await self._record(_row(facts), seen.ref, Origin.ADOPTED)
                return replace(facts, row=row, candidate=None)
            case SetRules():
                return await self._set_rules(facts, rules)
            case BeginGroupDeletion():
                return replace(facts, row=await self._advance(_row(facts), ResourceState.DELETING))
            case DeleteGroup():
                return await self._delete(facts)
            case NoteGroupAbsent():
                await self._advance(_row(facts), ResourceState.ABSENT)
                return replace(facts, row=None, sight=NotListed())
            case _:
                raise AssertionError(f"no such step: {step}")

    async def _intend(self) -> Resource:
        new = NewResource(
            id=ResourceId(uuid4()),
            organization_id=self._cloud.organization_id,
            credential_id=self._cloud.credential_id,
            deployment_id=self._deployment_id,
            instance_id=None,
            kind=ResourceKind.SECURITY_GROUP,
            role=GROUP_ROLE,
            zone=self._zone,
            volume_api=None,
            size_gb=None,
        )

        async def note(conn: AsyncConnection[Any]) -> None:
            await ledger.insert_resources(conn, [new])

        await self._write(note)
        return new.as_row(now=self._services.clock.now())

    async def _create(self, facts: GroupFacts, rules: Sequence[IngressRule]) -> GroupFacts:
        row = _row(facts)
        attempt = uuid4().hex
        send_before = self._services.clock.now() + timedelta(seconds=self._services.timing.send_window_s)

        async def announce(conn: AsyncConnection[Any]) -> None:
            await ledger.mark_sending(conn, row.id, attempt=attempt, send_before=send_before)

        await self._write(announce)
        seen = await self._cloud.client.create_security_group(
            self._zone,
            name=self._name,
            tags=(
                f"{INSTALLATION_TAG}={self._services.installation_id}",
                f"{ORGANIZATION_TAG}={self._cloud.organization_id}",
                f"{DEPLOYMENT_TAG}={self._deployment_id}",
                f"{ATTEMPT_TAG}={attempt}",
                *self._tags,
            ),
            send_before=send_before,
        )
        # A new group has no rules: where none are wanted, it is as it should be.
        digest = rules_hash(()) if not rules else None
        return replace(facts, row=await self._record(row, seen.ref, Origin.CREATED, prepared_hash=digest))

    async def _record(
        self, row: Resource, ref: ProviderRef, origin: Origin, *, prepared_hash: str | None = None
    ) -> Resource:
        """With a `prepared_hash`, its rules are the wanted ones already."""

        async def note(conn: AsyncConnection[Any]) -> None:
            await ledger.record_present(conn, row.id, provider_ref=ref, origin=origin)
            if prepared_hash is not None:
                await ledger.mark_prepared(conn, [row.id], prepared_hash=prepared_hash)

        try:
            await self._write(note)
        except IdTaken as error:
            raise await held_elsewhere(self._writer, row, ref, what="security group") from error
        now = self._services.clock.now()
        present = replace(row, provider_ref=ref, state=ResourceState.PRESENT, origin=origin, changed_at=now)
        if prepared_hash is None:
            return present
        return replace(present, prepared_at=now, prepared_hash=prepared_hash)

    async def _forget(self, row: Resource) -> Resource:

        async def note(conn: AsyncConnection[Any]) -> None:
            await ledger.clear_send(conn, row.id)

        await self._write(note)
        return replace(row, send_before=None)

    async def _set_rules(self, facts: GroupFacts, rules: Sequence[IngressRule]) -> GroupFacts:
        """Noted before the call too: one whose outcome is unknown must not pass for the rules that were set
        before it.
        """
        row = _row(facts)

        async def announce(conn: AsyncConnection[Any]) -> None:
            await ledger.mark_preparing(conn, row.id, prepared_hash=RULES_UNKNOWN)

        await self._write(announce)
        try:
            await self._cloud.client.set_security_group_rules(self._zone, _ref(facts), rules)
        except NotFound:
            return await self._look(facts)
        now = self._services.clock.now()
        digest = noted_rules(row, rules_hash(rules), now=now, timing=self._services.timing)

        async def note(conn: AsyncConnection[Any]) -> None:
            await ledger.mark_prepared(conn, [row.id], prepared_hash=digest)

        await self._write(note)
        prepared = replace(row, prepared_at=now, prepared_hash=digest)
        return replace(facts, row=prepared)

    async def _delete(self, facts: GroupFacts) -> GroupFacts:
        try:
            await self._cloud.client.delete_security_group(self._zone, _ref(facts))
        except NotFound:
            logger.debug("security group was gone already", extra={"group_ref": _ref(facts)})
        return await self._look(facts)

    async def _advance(self, row: Resource, to: ResourceState) -> Resource:
        allowed = {state for state, targets in TRANSITIONS.items() if to in targets}

        async def note(conn: AsyncConnection[Any]) -> None:
            await ledger.advance(conn, [row.id], to=to, allowed=allowed)

        await self._write(note)
        return replace(row, state=to, changed_at=self._services.clock.now())

    async def _write(self, operation: Operation) -> None:
        await self._writer.write(self._cloud.organization_id, operation)

    async def _look(self, facts: GroupFacts) -> GroupFacts:
        try:
            seen = await self._cloud.client.get_security_group(self._zone, _ref(facts))
        except NotFound:
            return replace(facts, sight=await absence(self._cloud.control, self._zone))
        return replace(facts, sight=Listed(seen))

    async def _after_error(
        self, step: GroupStep, facts: GroupFacts, error: ScalewayError
    ) -> tuple[GroupFacts, Wait]:
        if isinstance(error, ForeignProject):
            await self._cloud.control.freeze(str(error))  # T8
        if isinstance(step, CreateGroup):
            if isinstance(error, Ambiguous | ForeignProject):
                return facts, Wait(reason="CreateSettling", after_s=POLL_S, message=str(error))
            facts = replace(facts, row=await self._forget(_row(facts)))  # a definite answer: nothing was made
            if isinstance(error, SendWindowClosed):
                return facts, Wait(reason="RateLimited", after_s=0.1, message=str(error))
        if isinstance(error, Withdrawn):
            return facts, Wait(reason=error.reason, after_s=0.1, message=str(error))
        if isinstance(error, Denied | Rejected | QuotaExceeded):
            return facts, Wait(reason=error.reason, after_s=STOCK_RETRY_S, message=str(error))
        after_s = RETRY_S
        if isinstance(step, DeleteGroup):
            # A delete right after its rules were set was answered 500, and 204 two seconds later (api.md 7);
            # a refusal means that servers are in it, and the tenant's own may stay there for long.
            after_s = patience_s(_row(facts).changed_at, now=self._services.clock.now())
        return facts, Wait(reason=error.reason, after_s=error.retry_after_s or after_s, message=str(error))


def _candidate(row: Resource, groups: Iterable[SeenSecurityGroup]) -> SeenSecurityGroup | None:
    """The one that one of our own attempts made: its tag is the proof. Of several, the oldest that is not
    older than the intent: a copy that somebody made of its tags is younger.
    """
    proven = [seen for seen in groups if carries_attempt(seen, row)]
    return min(
        proven,
        key=lambda seen: (not born_after_intent(seen, row), seen.created_at or row.created_at),
        default=None,
    )


def _row(facts: GroupFacts) -> Resource:
    if facts.row is None:
        raise AssertionError("planned for a group that the ledger does not hold")
    return facts.row


def _ref(facts: GroupFacts) -> ProviderRef:
    ref = _row(facts).provider_ref
    if ref is None:
        raise AssertionError("planned for a group whose id is not known")
    return ref
