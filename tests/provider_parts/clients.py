"""A client whose provider is a test's own, with limits that do not get into the way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from inventiv_operator.domain.ids import OrganizationId, Zone
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.scaleway.client import ScalewayClient
from inventiv_operator.scaleway.factory import ClientFactory
from inventiv_operator.scaleway.gate import GateLimits
from inventiv_operator.scaleway.observer import CallObserver, WriteSink
from inventiv_operator.scaleway.pace import PaceLimits
from inventiv_operator.scaleway.permit import Permit
from inventiv_operator.scaleway.wire import Wire

ORGANIZATION = OrganizationId(UUID("22222222-2222-4222-8222-222222222222"))
OTHER_ORGANIZATION = OrganizationId(UUID("33333333-3333-4333-8333-333333333333"))
PROJECT = "105bdce1-64c0-48ab-899d-868455867ecf"
OTHER_PROJECT = "fa1e3217-dc80-42ac-85c3-3f034b78b552"
ACCESS_KEY = "SCWABCDEFGHIJKLMNOPQ"
SECRET = "11111111-2222-3333-4444-555555555555"
ZONE = Zone("fr-par-2")

WIDE_OPEN = GateLimits(
    key=PaceLimits(rate_per_s=1e6, burst=1e6, concurrency=1000),
    installation_rate_per_s=1e6,
    installation_burst=1e6,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    factory: ClientFactory
    client: ScalewayClient
    registry: CollectorRegistry
    secret: SecretStr


@asynccontextmanager
async def client_of(
    wire: Wire | None,
    clock: Clock,
    *,
    api_url: str = "http://scaleway.test",
    timeout_s: float = 30.0,
    limits: GateLimits = WIDE_OPEN,
    observer: CallObserver | None = None,
    secret: str = SECRET,
    permit: Permit | None = None,
    write_sink: WriteSink | None = None,
) -> AsyncIterator[Made]:
    registry = CollectorRegistry()
    async with ClientFactory(
        api_url=api_url,
        timeout_s=timeout_s,
        clock=clock,
        registry=registry,
        limits=limits,
        observer=observer,
        wire=wire,
        jitter=lambda: 1.0,
    ) as factory:
        client = factory.client(
            organization_id=ORGANIZATION,
            project_id=PROJECT,
            access_key=ACCESS_KEY,
            secret_key=SecretStr(secret),
            permit=permit,
            write_sink=write_sink,
        )
        yield Made(factory=factory, client=client, registry=registry, secret=SecretStr(secret))
