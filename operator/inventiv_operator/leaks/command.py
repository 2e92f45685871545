"""What the command does from its settings to its exit code.

It needs no lease and runs beside a running operator: it writes to no ledger and no project. A fence that
always refuses holds that at every seam; the one thing that it does write is a line in the audit log for each
stored key it used.
"""

import difflib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from prometheus_client import CollectorRegistry

from inventiv_operator.config import ConfigError, OperatorSettings
from inventiv_operator.controllers.access import Access
from inventiv_operator.controllers.audit_trail import AuditTrail
from inventiv_operator.controllers.ledger_writer import LedgerWriter
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.domain.intents import Timing
from inventiv_operator.domain.ledger import Fence
from inventiv_operator.domain.prices import PriceList
from inventiv_operator.leaks.prices_file import read_prices
from inventiv_operator.leaks.report import Report
from inventiv_operator.leaks.survey import Survey
from inventiv_operator.runtime.audit_metrics import AuditMetrics
from inventiv_operator.runtime.clock import Clock, SystemClock
from inventiv_operator.scaleway.factory import ClientFactory
from inventiv_operator.scaleway.gate import GateLimits
from inventiv_operator.scaleway.pace import PaceLimits
from inventiv_operator.store import credentials, installation, organizations
from inventiv_operator.store.database import Database
from inventiv_operator.store.errors import CannotStart, Fenced
from inventiv_operator.store.keyring import KeyringFile

LIMITS: Final = GateLimits(
    key=PaceLimits(rate_per_s=25.0, burst=5.0, concurrency=8),
    installation_rate_per_s=25.0,
    installation_burst=5.0,
    max_wait_s=120.0,
)
"""Beside an operator that takes up to 100 calls a second, from the 150 that provoke a 429 (api.md 1)."""
_NAMED_MAX: Final = 20


class NeverLeads:
    """Fits `services.Leadership`: nothing that changes anything ever leaves."""

    def fence(self) -> Fence:
        raise Fenced("the command leaks changes nothing")


async def find_leaks(settings: OperatorSettings, *, organization: str | None) -> Report:
    """Look at everything, or at one organization.

    Raises:
        StoreError: the database cannot be used, or has no such organization.
        ConfigError: a file of the configuration is unusable.
    """
    prices, clock = read_prices(settings.prices_file), SystemClock()
    keyring = KeyringFile(settings.keyring_file)
    keyring.current()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database_url, clock=clock))
        await database.check()
        factory = ClientFactory(
            api_url=settings.scaleway_api_url,
            timeout_s=settings.provider_timeout_s,
            clock=clock,
            registry=CollectorRegistry(),
            proxy_url=settings.https_proxy_url,
            ca_file=settings.ca_file,
            limits=LIMITS,
        )
        try:
            await stack.enter_async_context(factory)
        except ValueError as error:
            raise ConfigError(f"INVENTIV_CA_FILE: {error}") from error
        return await take(database, factory, keyring, clock=clock, prices=prices, organization=organization)


async def take(
    database: Database,
    factory: ClientFactory,
    keyring: KeyringFile,
    *,
    clock: Clock,
    prices: PriceList,
    organization: str | None = None,
) -> Report:
    """The same with the parts given. Raises StoreError."""
    async with database.platform() as conn:
        bound = await installation.read(conn)
    if bound is None:
        raise CannotStart("no operator has run on this database yet, so there is nothing to compare")
    ids = await _ids(database, organization)
    services = Services(
        db=database,
        clock=clock,
        leadership=NeverLeads(),
        # Of creates, of which there are none here.
        timing=Timing(send_window_s=0.0, provider_timeout_s=0.0, settle_s=0.0),
        installation_id=bound.id,
    )
    async with _access(services, factory, keyring) as access:
        found = await Survey(services, access, prices=prices).organizations(ids)
    return Report(installation_id=bound.id, at=clock.now(), prices=prices, organizations=found)


@asynccontextmanager
async def _access(services: Services, factory: ClientFactory, keyring: KeyringFile) -> AsyncIterator[Access]:
    writer = LedgerWriter(services)
    trail = AuditTrail(services, writer=writer, metrics=AuditMetrics(CollectorRegistry()))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(writer.close)
        stack.push_async_callback(trail.close)
        yield Access(services, factory=factory, keyring=keyring, trail=trail)


async def _ids(database: Database, name: str | None) -> list[OrganizationId]:
    """By name; those that are closed come last, as long as a credential of theirs is not."""
    async with database.platform() as conn:
        open_ones = await organizations.all_open(conn)
        if name is not None:
            found = [one.id for one in open_ones if one.name == name]
            if not found:
                raise CannotStart(_no_such(name, [one.name for one in open_ones]))
            return found
        ids = [one.id for one in open_ones]
        kept = {row.organization_id for row in await credentials.rows_to_sweep(conn)}
    return [*ids, *sorted(kept.difference(ids))]


def _no_such(name: str, names: list[str]) -> str:
    if not names:
        return f"there is no organization {name!r}: there is none at all"
    close = difflib.get_close_matches(name, names, n=_NAMED_MAX)
    shown = (close + [one for one in names if one not in close])[:_NAMED_MAX]
    more = f", and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"there is no organization {name!r}; there are {', '.join(shown)}{more}"
