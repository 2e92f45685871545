"""The security groups of one deployment in one pass: one for each zone it is, or was, in."""

from collections.abc import Sequence

from inventiv_operator.controllers.deployment.group_driver import GROUP_ROLE, GroupDriver
from inventiv_operator.controllers.deployment.scene import Cloud
from inventiv_operator.controllers.ledger_writer import Writes
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.cloud import IngressRule
from inventiv_operator.domain.ids import ProviderRef, Zone
from inventiv_operator.domain.ledger import DeploymentRow, Resource, ResourceState
from inventiv_operator.domain.waits import Wait


class Groups:
    """Holds the rows as they are after each step."""

    def __init__(
        self,
        services: Services,
        writer: Writes,
        cloud: Cloud,
        deployment: DeploymentRow,
        rows: Sequence[Resource],
    ) -> None:
        self._services = services
        self._writer = writer
        self._cloud = cloud
        self._deployment = deployment
        self._rows = {row.id: row for row in rows if row.role == GROUP_ROLE}

    @property
    def rows(self) -> tuple[Resource, ...]:
        """Those that are not proven absent."""
        return tuple(self._rows.values())

    def refs(self) -> dict[Zone, ProviderRef]:
        """The groups that servers may be made in."""
        return {
            row.zone: row.provider_ref
            for row in self._rows.values()
            if row.provider_ref is not None
            and row.prepared_at is not None
            and row.state is ResourceState.PRESENT
        }

    async def ensure(self, zone: Zone, rules: Sequence[IngressRule], *, tags: tuple[str, ...]) -> Wait | None:
        """Until servers may be made in this zone, or what that waits for."""
        in_zone = [row for row in self._rows.values() if row.zone == zone]
        row = next((row for row in in_zone if row.state is not ResourceState.DELETING), None)
        driven = await self._driver(zone, tags=tags).ensure(row, rules)
        self._replace(row, driven.row)
        return driven.wait

    async def verify(self, zone: Zone) -> None:
        """A server could not be made there: see whether its group is still there."""
        for row in self.rows:
            if row.zone == zone and row.provider_ref is not None:
                await self._driver(zone).verify(row)

    async def remove(self, *, keep: frozenset[Zone] = frozenset()) -> Wait | None:
        """All but those of `keep`, and those already on their way out; what that waits for, if anything."""
        waits = []
        for row in self.rows:
            if row.zone in keep and row.state is not ResourceState.DELETING:
                continue
            driven = await self._driver(row.zone).remove(row)
            self._replace(row, driven.row)
            if driven.wait is not None:
                waits.append(driven.wait)
        return waits[0] if waits else None

    async def settle(self) -> Wait | None:
        """What was begun, and nothing else; what that waits for, if anything."""
        waits = []
        for row in self.rows:
            driven = await self._driver(row.zone).settle(row)
            self._replace(row, driven.row)
            if driven.wait is not None:
                waits.append(driven.wait)
        return waits[0] if waits else None

    def _driver(self, zone: Zone, *, tags: tuple[str, ...] = ()) -> GroupDriver:
        return GroupDriver(
            self._services,
            self._writer,
            self._cloud,
            deployment_id=self._deployment.id,
            zone=zone,
            name=f"{self._deployment.namespace}-{self._deployment.name}",
            tags=tags,
        )

    def _replace(self, before: Resource | None, after: Resource | None) -> None:
        if before is not None:
            self._rows.pop(before.id, None)
        if after is not None:
            self._rows[after.id] = after
