"""What the parts of the deployment controller work with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import AsyncConnection

from inventiv_operator.controllers.access import Access, CredentialWithheld, Look
from inventiv_operator.controllers.deployment.deployment_pass import DeploymentPass
from inventiv_operator.controllers.deployment.in_flight import InFlight
from inventiv_operator.controllers.deployment.instance_driver import Driven
from inventiv_operator.controllers.deployment.readiness import ReadinessMemory
from inventiv_operator.controllers.deployment.scene import Cloud
from inventiv_operator.controllers.deployment.status import StatusWriter
from inventiv_operator.controllers.ledger_writer import Writes
from inventiv_operator.controllers.objects import Objects
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.tenancy import Refused, Tenancy
from inventiv_operator.domain.ledger import OPEN_STATES as OPEN_RESOURCES
from inventiv_operator.domain.ledger import CredentialRow, DeploymentLedger, DeploymentRow, InstanceState
from inventiv_operator.domain.settings import StoredSettings
from inventiv_operator.domain.start_record import StartRecord
from inventiv_operator.runtime.queue import Key
from inventiv_operator.store import claims, credentials, ledger, settings
from inventiv_operator.store.errors import DecryptionFailed, KeyUnavailable, MissingProviderCredentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Seconds. `steady_s`: how often a deployment at rest is looked at."""

    steady_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one transaction said. `cloud` is the way to its project, or why there is none now."""

    ledger: DeploymentLedger
    credential: CredentialRow | None  # None: not one of this organization
    settings: StoredSettings
    is_at_home: bool  # the namespace is still of the organization that it was begun for
    cloud: Cloud | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One per pass, which ends with the epoch it began under. `probe_cidrs`: where readiness probes come
    from, let in by every group.
    """

    services: Services
    kube: Objects
    access: Access
    tenancy: Tenancy
    readiness: ReadinessMemory
    status: StatusWriter
    writer: Writes
    in_flight: InFlight[Driven]
    probe_cidrs: Sequence[str]
    intervals: Intervals

    async def read(self, row: DeploymentRow) -> Reading:
        look = self.access.look(row.credential_id)
        async with self.services.db.reading(row.organization_id) as conn:
            snapshot = await ledger.read_ledger(conn, row.id)
            credential = await credentials.get(conn, row.credential_id)
            stored = await settings.read_levels(conn, row.credential_id)
            is_at_home = await claims.holds(
                conn, organization_id=row.organization_id, namespace=row.namespace
            )
            cloud = await self._cloud(conn, credential, look)
        return Reading(
            ledger=snapshot, credential=credential, settings=stored, is_at_home=is_at_home, cloud=cloud
        )

    async def _cloud(
        self, conn: AsyncConnection[Any], credential: CredentialRow | None, look: Look
    ) -> Cloud | Refused:
        if credential is None:
            gone = "the ProviderCredential that was pinned is not one of this organization"
            return Refused(reason="MissingProviderCredentials", message=gone)
        try:
            cloud = await self.access.provider_of(conn, credential, look=look)
            return replace(cloud, client=cloud.client.under(self.services.leadership.fence))
        except MissingProviderCredentials as error:
            return Refused(reason="MissingProviderCredentials", message=str(error))
        except CredentialWithheld as error:
            return Refused(reason=str(error.condition), message=str(error))
        except (KeyUnavailable, DecryptionFailed) as error:
            message = f"the stored key of {credential.title} cannot be read: {error}"
            return Refused(reason="CredentialNotReady", message=message)

    def new_pass(
        self, cloud: Cloud, snapshot: DeploymentLedger, *, key: Key, record: StartRecord, deadline_s: float
    ) -> DeploymentPass:
        return DeploymentPass(
            self.services,
            cloud,
            key=key,
            readiness=self.readiness,
            writer=self.writer,
            in_flight=self.in_flight,
            snapshot=snapshot,
            record=record,
            deadline_s=deadline_s,
        )


def record_of(row: DeploymentRow) -> StartRecord:
    return StartRecord(
        failures=row.start_failures,
        next_start_at=row.next_start_at,
        reason=row.start_reason,
        message=row.start_message,
        reset_token=row.reset_token,
    )


def anything_open(snapshot: DeploymentLedger) -> bool:
    """Whether anything of it may still exist (L5)."""
    return any(row.state in OPEN_RESOURCES for row in snapshot.resources) or any(
        i.state is not InstanceState.GONE for i in snapshot.instances
    )
