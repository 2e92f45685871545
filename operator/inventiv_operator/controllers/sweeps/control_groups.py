"""The end of the security groups that positive controls made.

For its own end the 204 of such a group is proof enough: it comes from this key and says that the group was
there and is not any more (L1). A 404 counts only once another control of the same zone holds, which makes a
new group; that one's 204 then ends the chain.
"""

import logging
from datetime import datetime

from inventiv_operator.controllers.control import Verdict
from inventiv_operator.controllers.deployment.scene import Cloud
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.intents import carries_attempt, is_settled
from inventiv_operator.domain.ledger import OPEN_STATES, Origin, Resource, ResourceState
from inventiv_operator.scaleway.errors import NotFound, ScalewayError
from inventiv_operator.store import ledger
from inventiv_operator.store.usage import CONTROL_ROLE

logger = logging.getLogger(__name__)


class ControlGroups:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def remove(self, cloud: Cloud, *, deadline_s: float) -> list[str]:
        """Delete those of one credential that nobody needs any more; what is left, in words (empty: nothing).

        The caller knows that nothing else of the credential is left: a control is needed until then.
        """
        left: list[str] = []
        for row in await self._rows(cloud):
            if self._services.clock.monotonic() >= deadline_s:
                left.append(f"{_name(row)}: its turn comes next")
                continue
            try:
                problem = await self._remove_one(cloud, row)
            except ScalewayError as error:
                problem = str(error)
            if problem:
                left.append(f"{_name(row)}: {problem}")
        # A control that was needed for a 404 may have made another group.
        return left or [f"{_name(row)}: its turn comes next" for row in await self._rows(cloud)]

    async def _rows(self, cloud: Cloud) -> list[Resource]:
        async with self._services.db.reading(cloud.organization_id) as conn:
            rows = await ledger.credential_resources(conn, cloud.credential_id)
        return [row for row in rows if row.role == CONTROL_ROLE and row.state in OPEN_STATES]

    async def _remove_one(self, cloud: Cloud, row: Resource) -> str:
        """Why it is not gone yet; empty: it is proven absent."""
        if row.provider_ref is None:
            return await self._settle_intent(cloud, row)
        if row.state is not ResourceState.DELETING:
            await self._advance(
                cloud, row, to=ResourceState.DELETING, allowed={ResourceState.PRESENT, ResourceState.LOST}
            )
        try:
            await cloud.client.delete_security_group(row.zone, row.provider_ref)
        except NotFound:
            # An earlier delete whose answer was lost, or somebody else's: only a control tells (L1).
            control = await cloud.control.check(row.zone, fresh=True)
            if control.verdict is not Verdict.HELD:
                return f"not found, and whether that is true is not known: {control.message}"
        await self._advance(cloud, row, to=ResourceState.ABSENT, allowed={ResourceState.DELETING})
        return ""

    async def _settle_intent(self, cloud: Cloud, row: Resource) -> str:
        """A create whose outcome is unknown: adopt what it made, or wait until it can have made nothing."""
        if row.send_before is not None:
            listed_at = self._services.clock.now()
            listing = await cloud.client.security_groups(row.zone, max_age_s=0.0)
            made = next((seen for seen in listing.items.values() if carries_attempt(seen, row)), None)
            if made is not None:
                async with self._services.writing(cloud.organization_id) as conn:
                    await ledger.record_present(conn, row.id, provider_ref=made.ref, origin=Origin.ADOPTED)
                return "it was made after all, and is deleted next"
            if not self._is_settled(row, listed_at):
                return "whether it was made is not known yet"
        await self._advance(
            cloud, row, to=ResourceState.ABSENT, allowed={ResourceState.INTENDED, ResourceState.DELETING}
        )
        return ""

    def _is_settled(self, row: Resource, listed_at: datetime) -> bool:
        return is_settled(row, listed_at=listed_at, timing=self._services.timing)

    async def _advance(
        self, cloud: Cloud, row: Resource, *, to: ResourceState, allowed: set[ResourceState]
    ) -> None:
        async with self._services.writing(cloud.organization_id) as conn:
            await ledger.advance(conn, [row.id], to=to, allowed=allowed)


def _name(row: Resource) -> str:
    return f"security group {row.provider_ref or '(id not known yet)'} in {row.zone}"
