"""Where clients come from: one wire and one turnstile for the installation, one gate per API key.

A gate belongs to the secret key, not to the access key: that one is public, and whoever put another tenant's
into a credential of their own could close its gate (T6). The secret key may be stolen, too, so the gate is
that of one organization (see `Turnstile.gate`), and shares are by organization, however many keys it has.
"""

import hashlib
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.runtime.clock import Clock
from inventiv_operator.scaleway.caller import Caller, CallerContext
from inventiv_operator.scaleway.client import ScalewayClient
from inventiv_operator.scaleway.gate import GateLimits, Turnstile
from inventiv_operator.scaleway.metrics import ProviderMetrics
from inventiv_operator.scaleway.observer import CallObserver, WriteSink
from inventiv_operator.scaleway.permit import Permit
from inventiv_operator.scaleway.sharing import Tasks
from inventiv_operator.scaleway.wire import AiohttpWire, Wire

CONNECT_TIMEOUT_S: Final = 5.0
"""A request leaves within this time of its call, or not at all."""


class ClientFactory:
    """An async context manager; leaving it ends every call under way.

    `timeout_s` bounds one exchange, from connecting to the last byte: nothing that was sent is still on its
    way from us after it. `wire` replaces the real one in tests.
    """

    def __init__(
        self,
        *,
        api_url: str,
        timeout_s: float,
        clock: Clock,
        registry: CollectorRegistry,
        proxy_url: SecretStr | None = None,
        ca_file: Path | None = None,
        limits: GateLimits | None = None,
        observer: CallObserver | None = None,
        wire: Wire | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._own_wire = None
        if wire is None:
            wire = self._own_wire = AiohttpWire(
                api_url=api_url,
                connect_timeout_s=min(CONNECT_TIMEOUT_S, timeout_s),
                proxy_url=proxy_url,
                ca_file=ca_file,
            )
        metrics = ProviderMetrics(registry)
        self._context = CallerContext(
            wire=wire, clock=clock, metrics=metrics, observer=observer, timeout_s=timeout_s
        )
        self._turnstile = Turnstile(
            clock=clock, metrics=metrics, limits=limits or GateLimits(), jitter=jitter
        )
        self._tasks = Tasks()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Raises ValueError when the CA file is unusable."""
        async with AsyncExitStack() as stack:
            if self._own_wire is not None:
                await stack.enter_async_context(self._own_wire)
            stack.push_async_callback(self._tasks.close)
            stack.callback(self._turnstile.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def client(
        self,
        *,
        organization_id: OrganizationId,
        project_id: str,
        access_key: str,
        secret_key: SecretStr,
        permit: Permit | None = None,
        write_sink: WriteSink | None = None,
    ) -> ScalewayClient:
        """A client with listings of its own; keep it as long as its key stays the same.

        `organization_id`: out of whose share of the installation's rate it calls.
        `permit` is asked immediately before every call leaves; without one nothing holds them back.
        `write_sink` is told of every call that left and may have changed something.
        """
        caller = Caller(
            self._context,
            self._turnstile.gate(_gate_key(secret_key), organization=organization_id),
            project_id=project_id,
            access_key=access_key,
            secret_key=secret_key,
            permit=permit or Permit(),
            write_sink=write_sink,
        )
        return ScalewayClient(caller, tasks=self._tasks)


def _gate_key(secret_key: SecretStr) -> str:
    return hashlib.sha256(secret_key.get_secret_value().encode()).hexdigest()
