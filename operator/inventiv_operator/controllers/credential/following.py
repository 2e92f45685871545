"""The row of a ProviderCredential follows its object: uid, `default`, zones, settings. Not the key."""

from dataclasses import dataclass
from uuid import uuid4

from inventiv_operator.api.credential import CredentialSpec
from inventiv_operator.api.objects import CredentialObject
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.settings_keeping import SettingsKeeping
from inventiv_operator.controllers.tenancy import Home
from inventiv_operator.domain.ids import CredentialId, Zone
from inventiv_operator.domain.ledger import CredentialRow
from inventiv_operator.store import credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """The row as it is now. `is_new_to_deployments`: they would do something else with it than before.

    `problem`: what of the spec could not be followed; empty: nothing.
    """

    row: CredentialRow
    is_new_to_deployments: bool
    problem: str


def allowed_zones(spec: CredentialSpec) -> tuple[Zone, ...] | None:
    """None: everywhere."""
    return None if spec.zones is None else tuple(Zone(name) for name in spec.zones)


class Following:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = SettingsKeeping(services)

    async def follow(
        self,
        obj: CredentialObject,
        spec: CredentialSpec,
        *,
        row: CredentialRow | None,
        home: Home,
    ) -> Followed:
        """`row` None: the object has none yet, and one is opened. An object made anew takes its row over.
        `home` is the namespace as it is now.

        Raises:
            Conflict: the row is on its way out, or the namespace is not the organization's any more.
        """
        zones = allowed_zones(spec)
        before = row
        if row is None or (row.uid, row.is_default, row.zones) != (obj.metadata.uid, spec.default, zones):
            row = await self._write(obj, spec, row=row, home=home, zones=zones)
        kept = await self._settings.of_credential(row, spec.settings)
        return Followed(
            row=row,
            is_new_to_deployments=kept.has_changed or (before is not None and before.zones != zones),
            problem=kept.problem,
        )

    async def _write(
        self,
        obj: CredentialObject,
        spec: CredentialSpec,
        *,
        row: CredentialRow | None,
        home: Home,
        zones: tuple[Zone, ...] | None,
    ) -> CredentialRow:
        async with self._services.writing(home.organization_id) as conn:
            return await credentials.open_credential(
                conn,
                id=CredentialId(uuid4()) if row is None else row.id,
                organization_id=home.organization_id,
                namespace=obj.metadata.namespace,
                namespace_uid=home.namespace_uid,
                name=obj.metadata.name,
                uid=obj.metadata.uid,
                project_id=spec.project_id,
                is_default=spec.default,
                zones=zones,
            )
