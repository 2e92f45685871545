"""One credential after another: list its project in every zone, then read the ledger, then compare.

The way to a project is `provider_for`, as for everything else. What stands in the way of one credential is a
line of its report and no end of the run; the others are looked at all the same.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final
from uuid import UUID

from inventiv_operator.controllers.access import Access, CredentialFrozen, CredentialWithheld
from inventiv_operator.controllers.deployment.scene import Cloud
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.cloud import STOPPED, SeenServer, ServerType
from inventiv_operator.domain.ids import DeploymentId, OrganizationId, ProviderRef, Zone
from inventiv_operator.domain.intents import DEPLOYMENT_TAG
from inventiv_operator.domain.leaks import (
    Comparison,
    LedgerView,
    Listed,
    ListName,
    Thing,
    compare,
    tags_of_ours,
    things_unknown,
)
from inventiv_operator.domain.ledger import CredentialRow, Resource, ResourceKind, ResourceState
from inventiv_operator.domain.prices import FREE, PriceList, cost_of
from inventiv_operator.domain.sight import Unknown
from inventiv_operator.leaks.looking import look
from inventiv_operator.leaks.report import CredentialReport, OrganizationReport, Priced
from inventiv_operator.scaleway.errors import ScalewayError
from inventiv_operator.scaleway.zones import ZONES
from inventiv_operator.store import inventory, ledger
from inventiv_operator.store.errors import (
    DecryptionFailed,
    KeyUnavailable,
    MissingProviderCredentials,
    StoreError,
)

AT_ONCE: Final = 4
"""Organizations that are looked at side by side."""

Types = Mapping[Zone, Mapping[str, ServerType] | None]
Key = tuple[ResourceKind, Zone, ProviderRef | None]


class Survey:
    """Reads, and nothing else."""

    def __init__(self, services: Services, access: Access, *, prices: PriceList) -> None:
        self._services = services
        self._access = access
        self._prices = prices

    async def organizations(self, ids: Sequence[OrganizationId]) -> tuple[OrganizationReport, ...]:
        """In the same order.

        Raises:
            StoreError: the database went away; what was found by then is not told.
        """
        free = asyncio.Semaphore(AT_ONCE)

        async def one(organization_id: OrganizationId) -> OrganizationReport:
            async with free:
                return await self._organization(organization_id)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(organization_id)) for organization_id in ids]
        except ExceptionGroup as errors:
            expected, others = errors.split(StoreError)
            if expected is None or others is not None:
                raise
            raise expected.exceptions[0] from None
        return tuple(task.result() for task in tasks)

    async def _organization(self, organization_id: OrganizationId) -> OrganizationReport:
        async with self._services.db.reading(organization_id) as conn:
            name = await inventory.organization_name(conn, organization_id)
            rows = await inventory.living_credentials(conn)
        told: dict[str, set[Key]] = {}
        reports = []
        for row in rows:
            report = await self._credential(row, told=told.get(row.project_id))
            if report.zones:
                told.setdefault(row.project_id, set()).update(_keys(report.things))
            reports.append(report)
        return OrganizationReport(id=organization_id, name=name, credentials=tuple(reports))

    async def _credential(self, row: CredentialRow, *, told: set[Key] | None) -> CredentialReport:
        """`told`: what another credential of the same project has shown already; None: there is none."""
        async with self._services.db.reading(row.organization_id) as conn:
            used = await inventory.zones_of(conn, row.id)
        cloud = await self._open(row)
        if isinstance(cloud, Unknown):
            if cloud.reason == "MissingProviderCredentials" and not used:
                note = "no key is stored yet, and nothing was ever begun with it"
                return CredentialReport(credential=row, things=(), note=note)
            return await self._blind(row, cloud)
        zones = (*used, *(zone for zone in ZONES if zone not in used))
        looked = await look(cloud.client, zones, clock=self._services.clock)
        if looked.refused is not None:
            return await self._blind(row, looked.refused)
        view = await self._ledger(row, looked.listed.values())
        found = compare(
            {**looked.listed, **looked.unlisted},
            view,
            installation_id=self._services.installation_id,
            now=self._services.clock.now(),
        )
        return CredentialReport(
            credential=row,
            things=await self._priced(cloud, _untold(found, told)),
            unlisted=tuple(sorted(looked.unlisted.items(), key=lambda pair: _place(pair[0]))),
            zones=tuple(sorted({name.zone for name in looked.listed})),
            foreign=found.foreign if told is None else 0,
        )

    async def _open(self, row: CredentialRow) -> Cloud | Unknown:
        try:
            return await self._access.provider_for(row.organization_id, row.id)
        except CredentialFrozen as error:
            return Unknown(reason="Frozen", message=error.reason)
        except CredentialWithheld as error:
            return Unknown(reason="CredentialRejected", message=str(error))
        except MissingProviderCredentials as error:
            return Unknown(reason="MissingProviderCredentials", message=str(error))
        except (KeyUnavailable, DecryptionFailed) as error:
            return Unknown(reason="KeyUnavailable", message=str(error))

    async def _blind(self, row: CredentialRow, why: Unknown) -> CredentialReport:
        view = await self._ledger(row, ())
        things = await self._priced(None, things_unknown(view, why))
        return CredentialReport(credential=row, things=things, problem=why)

    async def _ledger(self, row: CredentialRow, listed: Iterable[Listed]) -> LedgerView:
        """After the listings. What things name is looked up in this organization alone."""
        seen = [one for each in listed for one in each.items.values()]
        async with self._services.db.reading(row.organization_id) as conn:
            rows = await ledger.credential_resources(conn, row.id)
            named = await inventory.rows_named(conn, [one.ref for one in seen])
            tags = (tags_of_ours(one).get(DEPLOYMENT_TAG) for one in seen)
            deployments = await inventory.deployments(conn, _deployment_ids(rows, tags))
            instances = {one.instance_id for one in rows if one.instance_id is not None}
            names = await inventory.instance_names(conn, instances)
        return LedgerView(rows=rows, named=named, deployments=deployments, instance_names=names)

    async def _priced(self, cloud: Cloud | None, things: Sequence[Thing]) -> tuple[Priced, ...]:
        types: dict[Zone, Mapping[str, ServerType] | None] = {}
        for thing in things:
            if cloud is not None and _needs_catalog(thing) and thing.zone not in types:
                types[thing.zone] = await _types_of(cloud, thing.zone)
        return tuple(Priced(thing=thing, eur_per_hour=self._price(thing, types)) for thing in things)

    def _price(self, thing: Thing, types: Types) -> Decimal | None:
        if thing.seen is None:
            return FREE if _costs_nothing_unseen(thing) else None
        return cost_of(thing.seen, thing.zone, prices=self._prices, types=types.get(thing.zone))


def _needs_catalog(thing: Thing) -> bool:
    return isinstance(thing.seen, SeenServer) and thing.seen.state != STOPPED


def _costs_nothing_unseen(thing: Thing) -> bool:
    """A security group, and what no call has ever been sent for."""
    row = thing.row
    never_sent = row is not None and row.state is ResourceState.INTENDED and row.send_before is None
    return thing.kind is ResourceKind.SECURITY_GROUP or never_sent


async def _types_of(cloud: Cloud, zone: Zone) -> Mapping[str, ServerType] | None:
    try:
        return await cloud.client.server_types(zone)
    except ScalewayError:
        return None


def _deployment_ids(rows: Iterable[Resource], tags: Iterable[str | None]) -> set[DeploymentId]:
    ids = {row.deployment_id for row in rows if row.deployment_id is not None}
    for tag in tags:
        with contextlib.suppress(ValueError):
            if tag is not None:
                ids.add(DeploymentId(UUID(tag)))
    return ids


def _untold(found: Comparison, told: set[Key] | None) -> tuple[Thing, ...]:
    """Rows are this credential's own; what is in the project without one is said once."""
    if not told:
        return found.things
    return tuple(thing for thing in found.things if thing.row is not None or _key(thing) not in told)


def _keys(things: Iterable[Priced]) -> set[Key]:
    return {_key(priced.thing) for priced in things}


def _key(thing: Thing) -> Key:
    return thing.kind, thing.zone, thing.ref


def _place(name: ListName) -> tuple[str, str, str]:
    return name.zone, name.kind, name.api or ""
