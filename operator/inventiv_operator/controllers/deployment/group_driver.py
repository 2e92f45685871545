"""Takes the security group of one deployment and zone to its rules, or to proven absence."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

from inventiv_operator.controllers.control import Verdict
from inventiv_operator.controllers.deployment.scene import Cloud
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.cloud import IngressRule
from inventiv_operator.domain.group_plan import (
    AdoptGroup,
    BeginGroupDeletion,
    CreateGroup,
    DeleteGroup,
    ForgetGroupAttempt,
    GroupDone,
    GroupFacts,
    GroupStep,
    IntendGroup,
    LookAtGroup,
    NoteGroupAbsent,
    SetRules,
    plan_group,
    plan_group_removal,
    rules_hash,
)
from inventiv_operator.domain.ids import DeploymentId, ProviderRef, ResourceId, Zone
from inventiv_operator.domain.instance_plan import POLL_S, Wait
from inventiv_operator.domain.intents import (
    ATTEMPT_TAG,
    DEPLOYMENT_TAG,
    INSTALLATION_TAG,
    ORGANIZATION_TAG,
    born_after_intent,
    carries_attempt,
)
from inventiv_operator.domain.ledger import NewResource, Origin, Resource, ResourceKind, ResourceState
from inventiv_operator.domain.sight import Gone, Listed, NotListed, Unknown
from inventiv_operator.scaleway.errors import (
    Ambiguous,
    NotFound,
    Precondition,
    ScalewayError,
    SendWindowClosed,
)
from inventiv_operator.store import ledger

logger = logging.getLogger(__name__)

GROUP_ROLE = "group"
MAX_STEPS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDriven:
    """`ref` is set when servers may use the group; `wait` None: done."""

    ref: ProviderRef | None
    wait: Wait | None


class GroupDriver:
    """One deployment and zone, one pass."""

    def __init__(
        self, services: Services, cloud: Cloud, *, deployment_id: DeploymentId, zone: Zone, name: str
    ) -> None:
        self._services = services
        self._cloud = cloud
        self._deployment_id = deployment_id
        self._zone = zone
        self._name = name

    async def ensure(self, row: Resource | None, rules: Sequence[IngressRule]) -> GroupDriven:
        """Until servers may be made in it, or it has to wait."""
        wanted = rules_hash(rules)
        facts = await self._observe(row)
        for _ in range(MAX_STEPS):
            step = plan_group(
                facts,
                wanted_rules_hash=wanted,
                now=self._services.clock.now(),
                timing=self._services.timing,
            )
            if isinstance(step, GroupDone):
                ref = None if facts.row is None else facts.row.provider_ref
                return GroupDriven(ref=ref, wait=None)
            if isinstance(step, Wait):
                return GroupDriven(ref=None, wait=step)
            try:
                facts = await self._perform(step, facts, rules=rules, rules_digest=wanted)
            except ScalewayError as error:
                return GroupDriven(ref=None, wait=await self._after_error(step, facts, error))
        return GroupDriven(ref=None, wait=Wait(reason="Queued", after_s=POLL_S * 5))

    async def remove(self, row: Resource) -> GroupDriven:
        """Until it is proven absent, or has to wait."""
        facts = await self._observe(row)
        for _ in range(MAX_STEPS):
            step = plan_group_removal(
                facts, now=self._services.clock.now(), timing=self._services.timing
            )
            if isinstance(step, GroupDone):
                return GroupDriven(ref=None, wait=None)
            if isinstance(step, Wait):
                return GroupDriven(ref=None, wait=step)
            try:
                facts = await self._perform(step, facts, rules=(), rules_digest="")
            except ScalewayError as error:
                return GroupDriven(ref=None, wait=await self._after_error(step, facts, error))
        return GroupDriven(ref=None, wait=Wait(reason="Queued", after_s=POLL_S * 5))

    async def _observe(self, row: Resource | None) -> GroupFacts:
        """Only an open intent needs a listing; a group whose id is known is asked for by its id when it matters."""
        if row is None or row.provider_ref is not None or row.send_before is None:
            return GroupFacts(row=row, sight=NotListed(), candidate=None, listed_at=None)
        listed_at = self._services.clock.now()
        try:
            listing = await self._cloud.client.security_groups(self._zone, max_age_s=0.0)
        except ScalewayError as error:
            sight = Unknown(reason=error.reason, message=str(error))
            return GroupFacts(row=row, sight=sight, candidate=None, listed_at=None)
        fits = [
            seen
            for seen in listing.items.values()
            if carries_attempt(seen, row) and born_after_intent(seen, row)
        ]
        return GroupFacts(
            row=row, sight=NotListed(), candidate=fits[0] if fits else None, listed_at=listed_at
        )

    async def _perform(  # noqa: PLR0911 (one line per step)
        self, step: GroupStep, facts: GroupFacts, *, rules: Sequence[IngressRule], rules_digest: str
    ) -> GroupFacts:
        match step:
            case IntendGroup():
                return replace(facts, row=await self._intend())
            case CreateGroup():
                return await self._create(facts)
            case ForgetGroupAttempt():
                return replace(facts, row=await self._forget(_row(facts)))
            case AdoptGroup(seen=seen):
                return replace(
                    facts, row=await self._record(_row(facts), seen.ref, Origin.ADOPTED), candidate=None
                )
            case SetRules():
                return await self._set_rules(facts, rules, rules_digest)
            case BeginGroupDeletion():
                return replace(facts, row=await self._advance(_row(facts), ResourceState.DELETING))
            case LookAtGroup():
                return await self._look(facts)
            case DeleteGroup():
                await self._cloud.client.delete_security_group(self._zone, _ref(facts))
                return await self._look(facts)
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
        async with self._services.writing(self._cloud.organization_id) as conn:
            await ledger.insert_resources(conn, [new])
        return new.as_row(now=self._services.clock.now())

    async def _create(self, facts: GroupFacts) -> GroupFacts:
        row = _row(facts)
        attempt = uuid4().hex
        send_before = self._services.clock.now() + timedelta(seconds=self._services.timing.send_window_s)
        async with self._services.writing(row.organization_id) as conn:
            await ledger.mark_sending(conn, row.id, attempt=attempt, send_before=send_before)
        seen = await self._cloud.client.create_security_group(
            self._zone,
            name=self._name,
            tags=(
                f"{INSTALLATION_TAG}={self._services.installation_id}",
                f"{ORGANIZATION_TAG}={self._cloud.organization_id}",
                f"{DEPLOYMENT_TAG}={self._deployment_id}",
                f"{ATTEMPT_TAG}={attempt}",
            ),
            send_before=send_before,
        )
        return replace(facts, row=await self._record(row, seen.ref, Origin.CREATED))

    async def _record(self, row: Resource, ref: ProviderRef, origin: Origin) -> Resource:
        async with self._services.writing(row.organization_id) as conn:
            await ledger.record_present(conn, row.id, provider_ref=ref, origin=origin)
        return replace(row, provider_ref=ref, state=ResourceState.PRESENT, origin=origin)

    async def _forget(self, row: Resource) -> Resource:
        async with self._services.writing(row.organization_id) as conn:
            await ledger.clear_send(conn, row.id)
        return replace(row, send_before=None)

    async def _set_rules(
        self, facts: GroupFacts, rules: Sequence[IngressRule], rules_digest: str
    ) -> GroupFacts:
        row = _row(facts)
        try:
            await self._cloud.client.set_security_group_rules(self._zone, _ref(facts), rules)
        except NotFound:
            return await self._look(facts)
        async with self._services.writing(row.organization_id) as conn:
            await ledger.mark_prepared(conn, [row.id], prepared_hash=rules_digest)
        prepared = replace(row, prepared_at=self._services.clock.now(), prepared_hash=rules_digest)
        return replace(facts, row=prepared)

    async def _advance(self, row: Resource, to: ResourceState) -> Resource:
        allowed = {ResourceState.INTENDED, ResourceState.PRESENT, ResourceState.DELETING} - {to}
        async with self._services.writing(row.organization_id) as conn:
            await ledger.advance(conn, [row.id], to=to, allowed=allowed)
        return replace(row, state=to)

    async def _look(self, facts: GroupFacts) -> GroupFacts:
        try:
            seen = await self._cloud.client.get_security_group(self._zone, _ref(facts))
        except NotFound:
            result = await self._cloud.control.check(self._zone)
            if result.verdict is Verdict.HELD:
                return replace(facts, sight=Gone())
            return replace(facts, sight=Unknown(reason="ControlFailed", message=result.message))
        return replace(facts, sight=Listed(seen))

    async def _after_error(self, step: GroupStep, facts: GroupFacts, error: ScalewayError) -> Wait:
        if isinstance(step, CreateGroup):
            if isinstance(error, Ambiguous):
                return Wait(reason="CreateSettling", after_s=POLL_S, message=str(error))
            await self._forget(_row(facts))  # a definite answer: nothing was made
            if isinstance(error, SendWindowClosed):
                return Wait(reason="RateLimited", after_s=0.1)
        if isinstance(step, DeleteGroup) and isinstance(error, NotFound):
            return Wait(reason="Deleting", after_s=0.1)  # the next pass looks, with its control
        # A delete right after its rules were set was answered 500, and 204 two seconds later (api.md 7).
        after_s = POLL_S if isinstance(error, Precondition) or isinstance(step, DeleteGroup) else POLL_S * 5
        return Wait(reason=error.reason, after_s=error.retry_after_s or after_s, message=str(error))


def _row(facts: GroupFacts) -> Resource:
    if facts.row is None:
        raise AssertionError("planned for a group that the ledger does not hold")
    return facts.row


def _ref(facts: GroupFacts) -> ProviderRef:
    ref = _row(facts).provider_ref
    if ref is None:
        raise AssertionError("planned for a group whose id is not known")
    return ref
