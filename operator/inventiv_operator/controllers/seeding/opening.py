"""Filling the default organization's credential, where it has none (S3)."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.credential_lines import tell
from inventiv_operator.controllers.seeding.directory import PROJECT_ID, Seed, SeedProblem, read_seed
from inventiv_operator.controllers.seeding.warning import SeedWarnings
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.tenant_objects import Lists
from inventiv_operator.domain.audit import Action
from inventiv_operator.domain.ids import CredentialId
from inventiv_operator.domain.ledger import OrganizationRow
from inventiv_operator.kube.kinds import CREDENTIAL
from inventiv_operator.store import seeded, settings
from inventiv_operator.store.errors import Conflict, DecryptionFailed, KeyUnavailable
from inventiv_operator.store.keyring import KeyringFile
from inventiv_operator.store.settings import ProviderSecrets

logger = logging.getLogger(__name__)

OPENING: Final = "opening"
"""Topic of the warnings about a credential that is not there yet."""


class SeedOpening:
    """Safe to repeat, also for two replicas that start at once: the fence and the ledger decide."""

    def __init__(
        self,
        services: Services,
        kube: Lists,
        *,
        keyring: KeyringFile,
        directory: Path | None,
        warnings: SeedWarnings,
    ) -> None:
        self._services = services
        self._kube = kube
        self._keyring = keyring
        self._directory = directory
        self._warnings = warnings

    async def open_for(self, organization: OrganizationRow, namespaces: Sequence[str]) -> SeedProblem | None:
        """Fill the credential if the organization is the default and has none; what stands in the way, if
        anything does.

        `namespaces` are those it holds. An object in one of them is its credential, also while it has no
        usable Secret: then nothing is filled behind its back.

        Raises:
            KubeError: the objects cannot be listed now.
        """
        problem = None
        if self._directory is not None and await self._lacks_one(organization, namespaces):
            seed = read_seed(self._directory)
            problem = seed if isinstance(seed, SeedProblem) else await self._open(organization, seed)
        if problem is None:
            self._warnings.is_fine(organization.id, OPENING)
        else:
            self._warnings.say(organization.id, OPENING, problem.message)
        return problem

    async def _lacks_one(self, organization: OrganizationRow, namespaces: Sequence[str]) -> bool:
        if not organization.is_default:
            return False
        async with self._services.db.reading(organization.id) as conn:
            if await seeded.has_open_credential(conn, organization.id):
                return False
        for namespace in namespaces:
            listed = await self._kube.list(CREDENTIAL, namespace=namespace, metadata_only=True)
            if listed.items:
                return False
        return True

    async def _open(self, organization: OrganizationRow, seed: Seed) -> SeedProblem | None:
        """The row and its key in one transaction: one without the other would be of no use to anybody."""
        secrets = ProviderSecrets(
            project_id=seed.project_id,
            organization_ref=seed.organization_ref,
            access_key=seed.key.access_key,
            secret_key=seed.key.secret_key,
        )
        try:
            async with self._services.writing(organization.id) as conn:
                row = await seeded.open_seeded(
                    conn,
                    id=CredentialId(uuid4()),
                    organization_id=organization.id,
                    project_id=seed.project_id,
                )
                if row is None:
                    return None
                key_id = await settings.write_secrets(conn, row.id, secrets, keyring=self._keyring.current())
                await tell(
                    conn,
                    row,
                    Action.CREDENTIAL_SEEDED,
                    accessKey=seed.key.access_key,
                    fingerprint=seed.key.fingerprint,
                    encryptionKeyID=key_id,
                )
        except (KeyUnavailable, DecryptionFailed) as error:
            return self._problem(Reason.KEY_UNAVAILABLE, f"its key cannot be stored: {error}")
        except Conflict as error:
            if error.constraint != seeded.HELD_BY_OTHER:
                raise
            return self._problem(
                Reason.PROJECT_CONFLICT,
                f"file {PROJECT_ID} names a project that is in use by another Organization already; a project"
                " belongs to the first that proves access to it",
            )
        logger.info("credential seeded", extra={"credential_id": str(row.id)})
        return None

    def _problem(self, reason: Reason, what: str) -> SeedProblem:
        return SeedProblem(reason=reason, message=f"seed directory {self._directory}: {what}")
