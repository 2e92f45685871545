"""`spec.settings` of an organization or a credential, brought into `provider_settings`.

One level is changed in one transaction, with its line in the audit log, and only where it differs. The
deployments read both levels anew in every pass, so nothing has to be told to a process that runs.
"""

import logging
from dataclasses import dataclass

from inventiv_operator.api.settings import Settings
from inventiv_operator.controllers.services import Services
from inventiv_operator.domain.audit import Action, AuditValue
from inventiv_operator.domain.ids import CredentialId, OrganizationId
from inventiv_operator.domain.ledger import CredentialRow, OrganizationRow
from inventiv_operator.domain.settings import Layer, SettingChange, by_key, changes, wire_name_of
from inventiv_operator.store import audit, settings
from inventiv_operator.store.settings import SettingRefused

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What came of it. `problem`: why the settings are still those from before; empty: they are in line."""

    has_changed: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """Whose settings; `credential_id` None: the organization's own."""

    organization_id: OrganizationId
    credential_id: CredentialId | None
    kind: str
    name: str


class SettingsKeeping:
    """For the reconcilers of the two kinds that have settings."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def of_organization(self, row: OrganizationRow, given: Settings | None) -> Kept:
        """`given` None: nothing is set."""
        level = _Level(organization_id=row.id, credential_id=None, kind="organization", name=row.name)
        return await self._keep(level, given)

    async def of_credential(self, row: CredentialRow, given: Settings | None) -> Kept:
        """Its identity and its key lie in the same table and are not touched."""
        level = _Level(
            organization_id=row.organization_id,
            credential_id=row.id,
            kind="credential",
            name=row.full_name,
        )
        return await self._keep(level, given)

    async def _keep(self, level: _Level, given: Settings | None) -> Kept:
        wanted = by_key({} if given is None else given.given())
        async with self._services.db.reading(level.organization_id) as conn:
            stored = await settings.read_settings(conn, level.credential_id)
        if not changes(stored, wanted):
            return Kept()
        try:
            made = await self._replace(level, wanted)
        except SettingRefused as refusal:
            return Kept(problem=_refusal(refusal))
        keys = ", ".join(change.key for change in made)
        logger.info("settings changed", extra={"object": f"{level.kind} {level.name}", "keys": keys})
        return Kept(has_changed=bool(made))

    async def _replace(self, level: _Level, wanted: Layer) -> tuple[SettingChange, ...]:
        async with self._services.writing(level.organization_id) as conn:
            made = await settings.replace_settings(
                conn, wanted, organization_id=level.organization_id, credential_id=level.credential_id
            )
            if made:
                await audit.append(
                    conn,
                    organization_id=level.organization_id,
                    action=Action.SETTINGS_CHANGED,
                    kind=level.kind,
                    name=level.name,
                    detail=_detail(level, made),
                )
        return made


def _detail(level: _Level, made: tuple[SettingChange, ...]) -> dict[str, AuditValue]:
    """Each key with what it was and what it is; null: not set, so that the next level counts."""
    detail: dict[str, AuditValue] = {}
    if level.credential_id is not None:
        detail["credentialID"] = str(level.credential_id)
    for change in made:
        detail |= {f"{change.key}.before": change.before, f"{change.key}.after": change.after}
    return detail


def _refusal(refusal: SettingRefused) -> str:
    return (
        f"spec.settings.{wire_name_of(refusal.key)} is not within the bounds that the database keeps, so none"
        " of the settings was changed and those from before still count; give it one"
        " within the bounds that `kubectl explain` shows"
    )
