"""The terminator: every thing that is on its way out, or whose object may be gone, is looked at again in
time.

A loop over the ledger, not timers on objects: those stop when an object is being deleted, which is when they
would matter, and objects that are gone have none. It only puts keys on the queue; reconcilers and sweeps do
the work.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection

from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.waking import Enqueue
from inventiv_operator.domain.ids import CredentialId, OrganizationId
from inventiv_operator.domain.ledger import DeploymentState
from inventiv_operator.kube.kinds import CREDENTIAL, DEPLOYMENT, ORGANIZATION
from inventiv_operator.runtime.queue import Key, Lane, SweepKey
from inventiv_operator.store import credentials, ledger, organizations
from inventiv_operator.store.errors import StoreError

logger = logging.getLogger(__name__)

TERMINATOR = "terminator"
SEEDED = "seeded"
"""The sweeps: of credentials on their way out, and of those that have no object to drive them."""


Living = Callable[[], Collection[Key] | None]
"""The keys of the last complete list of the API server; None: nothing was listed yet, so nothing is taken
for gone.
"""


class Terminator:
    def __init__(self, services: Services, *, enqueue: Enqueue, living: Living) -> None:
        self._services = services
        self._enqueue = enqueue
        self._living = living
        self._hurried = asyncio.Event()

    async def run(self, *, interval_s: float, is_leader: Callable[[], bool]) -> None:
        """Look for ever, while this process leads; what cannot be read now is read next time."""
        while True:
            self._hurried.clear()
            if is_leader():
                try:
                    await self.look()
                except StoreError as error:
                    logger.info("terminator put off", extra={"error": str(error)})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval_s):
                    await self._hurried.wait()

    def hurry(self) -> None:
        """Have `run` look at once: this process leads now."""
        self._hurried.set()

    async def look(self) -> None:
        """Enqueue what is closing, lost or seeded, and what is open without a listed object: the reconciler
        asks for it live.
        """
        living = self._living()
        async with self._services.db.platform() as conn:
            deployments = await ledger.pending_deployments(conn)
            rows = await credentials.rows_to_sweep(conn)
            tenants = await organizations.all_open(conn)
        for organization_id, namespace, name, state in deployments:
            key = Key(DEPLOYMENT.kind, namespace, name)
            # A lost one may have had deletions under way; one at rest costs a read, and no call.
            is_leaving = state in {DeploymentState.CLOSING, DeploymentState.LOST}
            if is_leaving or (state == DeploymentState.OPEN and _may_be_gone(key, living)):
                self._enqueue(key, organization=str(organization_id), lane=Lane.DELETE)
        for tenant in tenants:
            if _may_be_gone(key := Key(ORGANIZATION.kind, "", tenant.name), living):
                self._enqueue(key, organization=str(tenant.id), lane=Lane.DELETE)
        for organization_id, credential_id, namespace, name, state in rows:
            if state != "open":
                self._enqueue(
                    sweep_key(organization_id, credential_id),
                    organization=str(organization_id),
                    lane=Lane.DELETE,
                )
            elif not namespace:
                self._enqueue(seeded_key(organization_id, credential_id), organization=str(organization_id))
            elif _may_be_gone(key := Key(CREDENTIAL.kind, namespace, name), living):
                self._enqueue(key, organization=str(organization_id), lane=Lane.DELETE)


def sweep_key(organization_id: OrganizationId, credential_id: CredentialId) -> SweepKey:
    return SweepKey(TERMINATOR, str(organization_id), str(credential_id))


def seeded_key(organization_id: OrganizationId, credential_id: CredentialId) -> SweepKey:
    return SweepKey(SEEDED, str(organization_id), str(credential_id))


def _may_be_gone(key: Key, living: Collection[Key] | None) -> bool:
    return living is not None and key not in living
