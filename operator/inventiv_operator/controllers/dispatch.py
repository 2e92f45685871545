"""From a key on the queue to the controller that knows it, and from a seam's error to what happens next.

Only the leader works; on becoming it everything is put on the queue again. Errors of a seam that is away
(database, API server) are no defects: the key backs off with a quiet line, and the object says so where it
can.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from inventiv_operator.controllers.namespaces import NamespaceIndex
from inventiv_operator.controllers.outage import OutageNotes
from inventiv_operator.controllers.waking import Enqueue, Waking
from inventiv_operator.domain.ids import CredentialId, OrganizationId
from inventiv_operator.kube.errors import Conflict as KubeConflict
from inventiv_operator.kube.errors import KubeError
from inventiv_operator.kube.kinds import CREDENTIAL, DEPLOYMENT, NAMESPACE, ORGANIZATION, SECRET
from inventiv_operator.runtime.queue import DONE, Key, Lane, QueueKey, Result, SweepKey
from inventiv_operator.store.errors import Conflict, DatabaseBusy, DatabaseUnavailable, Fenced, StoreError

logger = logging.getLogger(__name__)

AGAIN = Result(back_off=True)
STAND_BY = Result(requeue_after_s=30.0)
"""Without the lease nothing is done, and nothing is dropped: the lease may come back unnoticed."""


class Reconciler(Protocol):
    async def reconcile(self, key: Key, *, deadline_s: float) -> Result: ...


class Sweep(Protocol):
    async def sweep(
        self, organization_id: OrganizationId, credential_id: CredentialId, *, deadline_s: float
    ) -> Result: ...


class Standing(Protocol):
    """Whether this process may work."""

    @property
    def is_leader(self) -> bool: ...
    @property
    def database_away(self) -> str:
        """Why the database cannot be asked; empty: it can."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Controllers:
    organization: Reconciler
    credential: Reconciler
    deployment: Reconciler
    sweeps: Mapping[str, Sweep]


class Dispatcher:
    """The queue's process."""

    def __init__(
        self,
        controllers: Controllers,
        *,
        standing: Standing,
        outage: OutageNotes,
        index: NamespaceIndex,
        waking: Waking,
        enqueue: Enqueue,
    ) -> None:
        self._by_kind: dict[str, Callable[..., Awaitable[Result]]] = {
            ORGANIZATION.kind: controllers.organization.reconcile,
            CREDENTIAL.kind: controllers.credential.reconcile,
            DEPLOYMENT.kind: controllers.deployment.reconcile,
            SECRET.kind: self._secret,
            NAMESPACE.kind: self._namespace,
        }
        self._sweeps = controllers.sweeps
        self._standing = standing
        self._outage = outage
        self._index = index
        self._waking = waking
        self._enqueue = enqueue

    async def __call__(self, key: QueueKey, *, deadline_s: float) -> Result:
        """One step; raises only what is a defect."""
        if not self._standing.is_leader:
            return await self._idle(key)
        try:
            if isinstance(key, SweepKey):
                return await self._sweep(key, deadline_s=deadline_s)
            return await self._by_kind[key.kind](key, deadline_s=deadline_s)
        except (KubeError, Conflict, Fenced, DatabaseUnavailable) as error:
            return await self._put_off(key, error)

    async def _put_off(self, key: QueueKey, error: KubeError | StoreError) -> Result:
        extra = {"error": str(error)}
        match error:
            case Fenced():
                logger.info("step given up: this process does not lead any more", extra=extra)
                return STAND_BY
            case Conflict(constraint=constraint):
                logger.info(
                    "step put off: a row moved on meanwhile", extra={**extra, "constraint": constraint}
                )
            case KubeConflict():
                logger.debug("step put off: the object moved on meanwhile", extra=extra)
            case DatabaseBusy():
                logger.info("step put off: the database is busy", extra=extra)
            case DatabaseUnavailable():
                logger.info("step put off: the database is away", extra=extra)
                await self._say_outage(key, str(error))
            case _:
                logger.info("step put off: the API server did not do it", extra=extra)
        return AGAIN

    # -- without the lease -----------------------------------------------------------------------------------

    async def _idle(self, key: QueueKey) -> Result:
        """Another process leads, or nobody can because the database is away: only then is something said."""
        if why := self._standing.database_away:
            await self._say_outage(key, why)
        return STAND_BY

    async def _say_outage(self, key: QueueKey, why: str) -> None:
        if isinstance(key, SweepKey):
            return
        try:
            await self._outage.say(key, why)
        except KubeError as error:
            logger.debug("outage not said", extra={"error": str(error)})

    # -- keys that stand for others --------------------------------------------------------------------------

    async def _secret(self, key: Key, *, deadline_s: float) -> Result:
        del deadline_s
        self._waking.credentials_of(key.namespace, secret=key.name)
        return DONE

    async def _namespace(self, key: Key, *, deadline_s: float) -> Result:
        """An Organization may wait for it, or have to notice that it is another one now."""
        del deadline_s
        for organization in self._index.organizations_of(key.name):
            self._enqueue(Key(ORGANIZATION.kind, "", organization), lane=Lane.CREATE)
        return DONE

    async def _sweep(self, key: SweepKey, *, deadline_s: float) -> Result:
        return await self._sweeps[key.sweep].sweep(
            OrganizationId(UUID(key.organization)), CredentialId(UUID(key.credential)), deadline_s=deadline_s
        )
