"""A deployment on its way out: until the ledger shows everything proven absent. There is no time-out into
"deleted".
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from inventiv_operator.controllers.deployment.deployment_pass import PassResult, is_anything_under_way
from inventiv_operator.controllers.deployment.desk import Desk, Reading, anything_open, record_of
from inventiv_operator.controllers.deployment.prices import prices_of
from inventiv_operator.controllers.deployment.status import Prices, StatusFacts, standings_of
from inventiv_operator.controllers.tenancy import Refused
from inventiv_operator.domain.instance_facts import going
from inventiv_operator.domain.ledger import (
    OPEN_STATES,
    DeploymentRow,
    DeploymentState,
    InstanceState,
    Resource,
    ResourceKind,
    ResourceState,
)
from inventiv_operator.domain.verdict import Standing, Verdict
from inventiv_operator.domain.waits import POLL_S, Wait
from inventiv_operator.runtime.queue import DONE, Key, Lane, Result
from inventiv_operator.store import ledger

logger = logging.getLogger(__name__)

STUCK_AFTER_S = 900.0
"""A deletion that has been under way for so long needs a person; it goes on all the same."""
STUCK = "DeletionStuck"
SHOWN = 8
DEAREST_FIRST = tuple(ResourceKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """`done`: nothing is left. Otherwise when to look again, and what to say meanwhile."""

    done: bool
    wait_s: float
    facts: StatusFacts


class Removal:
    """Drives rows that are `closing`; whether their object still exists does not matter."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def begin(self, row: DeploymentRow) -> None:
        """Its deletion was seen; from here on there is no way back."""
        if row.state is DeploymentState.CLOSING:
            return
        async with self._desk.services.writing(row.organization_id) as conn:
            await ledger.set_deployment_state(conn, row.id, to=DeploymentState.CLOSING)

    async def advance(self, row: DeploymentRow, *, key: Key, deadline_s: float) -> Remains:
        """One pass towards nothing left."""
        desk = self._desk
        reading = await desk.read(row)
        # By instance, not by key: a new deployment of the same name may be under way already.
        desk.readiness.drop(i.id for i in reading.ledger.instances)
        if not anything_open(reading.ledger):
            return await self._close(row, reading)
        cloud = reading.cloud
        if isinstance(cloud, Refused):
            rows, said = reading.ledger.resources, f"waiting: {cloud.message}"
            verdict = self._verdict(rows, said=said, reason=cloud.reason)
            standings = standings_of(reading.ledger)
            return self._left(reading, verdict, standings, wait_s=desk.intervals.steady_s)
        one = desk.new_pass(cloud, reading.ledger, key=key, record=record_of(row), deadline_s=deadline_s)
        result = await one.remove(going(desk.services.timing))
        if _nothing_left(result):
            after = await desk.read(row)  # what the ledger says counts, not what this pass believes
            if not anything_open(after.ledger):
                return await self._close(row, after)
            reading = after
        wait_s, said, reason = _next(result)
        verdict = self._verdict(_rows_left(result), said=said, reason=reason)
        standings = tuple(
            Standing(facts=d.facts, wait=d.wait)
            for d in result.driven
            if d.facts.instance.state is not InstanceState.GONE
        )
        prices = await prices_of(cloud, standings)
        return self._left(reading, verdict, standings, wait_s=wait_s, prices=prices)

    async def settle(self, row: DeploymentRow, *, key: Key, deadline_s: float) -> Result:
        """One pass for a row that is `lost`: what had begun is brought to its end, what runs is left alone.

        Wants no other pass once nothing is under way.
        """
        desk, organization = self._desk, str(row.organization_id)
        reading = await desk.read(row)
        cloud = reading.cloud
        desk.in_flight.retire(i.id for i in reading.ledger.instances)
        if not is_anything_under_way(reading.ledger):
            return DONE
        if isinstance(cloud, Refused):
            return Result(
                requeue_after_s=desk.intervals.steady_s, organization=organization, lane=Lane.DELETE
            )
        one = desk.new_pass(cloud, reading.ledger, key=key, record=record_of(row), deadline_s=deadline_s)
        after_s = _next(await one.settle())[0]
        return Result(requeue_after_s=after_s, organization=organization, lane=Lane.DELETE)

    async def _close(self, row: DeploymentRow, reading: Reading) -> Remains:
        async with self._desk.services.writing(row.organization_id) as conn:
            await ledger.set_deployment_state(conn, row.id, to=DeploymentState.CLOSED)
        logger.info("deployment closed: nothing of it is left", extra={"deployment_id": str(row.id)})
        verdict = _deleting("Deleting", "nothing is left")
        facts = StatusFacts(verdict=verdict, row=row, credential=reading.credential, standings=())
        return Remains(done=True, wait_s=0.0, facts=facts)

    def _left(
        self,
        reading: Reading,
        verdict: Verdict,
        standings: tuple[Standing, ...],
        *,
        wait_s: float,
        prices: Prices | None = None,
    ) -> Remains:
        facts = StatusFacts(
            verdict=verdict,
            row=reading.ledger.deployment,
            credential=reading.credential,
            standings=standings,
            prices=prices,
        )
        return Remains(done=False, wait_s=wait_s, facts=facts)

    def _verdict(self, rows: Sequence[Resource], *, said: str, reason: str = "") -> Verdict:
        since = min((row.changed_at for row in rows if row.state is ResourceState.DELETING), default=None)
        age_s = 0.0 if since is None else (self._desk.services.clock.now() - since).total_seconds()
        word = STUCK if age_s > STUCK_AFTER_S else reason or "Deleting"
        left = f"still there: {_summary(rows)}"
        return _deleting(word, f"{said}; {left}" if said else left)


def _deleting(reason: str, message: str) -> Verdict:
    return Verdict(ready=False, reason=reason, message=message, phase="Deleting", progressing=True)


def _nothing_left(result: PassResult) -> bool:
    gone = all(d.facts.instance.state is InstanceState.GONE for d in result.driven)
    return gone and not result.groups


def _rows_left(result: PassResult) -> list[Resource]:
    """What is not proven absent, as this pass left it."""
    servers = [d.facts.server for d in result.driven if d.facts.server is not None]
    volumes = [volume for d in result.driven for volume in d.facts.volumes]
    return [*servers, *volumes, *result.groups]


def _next(result: PassResult) -> tuple[float, str, str]:
    """When to look again, what is waited for in words, and the reason where a person must settle it."""
    waits: list[Wait] = [d.wait for d in result.driven if d.facts.instance.state is not InstanceState.GONE]
    if result.group_wait is not None:
        waits.append(result.group_wait)
    after_s = min((w.after_s for w in waits if w.after_s is not None), default=POLL_S)
    stuck = next((w for w in waits if w.reason == STUCK), None)
    if stuck is not None:
        return after_s, stuck.message, stuck.reason
    return after_s, next((w.message for w in waits if w.message), ""), ""


def _summary(rows: Sequence[Resource]) -> str:
    parts = [
        f"{row.kind} {row.provider_ref or '(id not known yet)'} in {row.zone}"
        for row in sorted(rows, key=lambda row: DEAREST_FIRST.index(row.kind))
        if row.state in OPEN_STATES
    ]
    shown = ", ".join(parts[:SHOWN])
    return shown + (f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else "")
