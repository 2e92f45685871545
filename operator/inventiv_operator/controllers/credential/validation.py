"""Whether a key gives access to the project it is said to be for: the positive control, asked anew.

A key with rights on instances and block storage only must pass, so nothing else is required of it; when it
ends and what its default project is are facts that may stay unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.control import ControlResult, Verdict
from inventiv_operator.controllers.credential.key import IN_SECRET, KeyPlace
from inventiv_operator.controllers.deployment.scene import Cloud
from inventiv_operator.domain.expiry import has_ended
from inventiv_operator.domain.ids import ProjectId, Zone
from inventiv_operator.runtime.clock import Clock

WELL_KNOWN_ZONES = tuple(Zone(name) for name in ("fr-par-1", "fr-par-2", "nl-ams-1", "pl-waw-1"))
"""Where a key is tried that has nothing anywhere yet; the next one when an endpoint does not know the
zone.
"""
_SAYS_ENOUGH = frozenset(
    {
        Reason.CREDENTIAL_REJECTED,
        Reason.CREDENTIAL_EXPIRED,
        Reason.PERMISSION_DENIED,
        Reason.RATE_LIMITED,
    }
)
"""Reasons that another zone would only repeat."""
PATIENCE_S = 3.0
"""An endpoint that takes longer to say nothing is away, and not without this zone."""


class Finding(StrEnum):
    VALID = "valid"
    REFUSED = "refused"  # a clear no to the key itself: 401
    DENIED = "denied"  # 403: for a fresh key perhaps not yet (api.md, section 10)
    ELSEWHERE = "elsewhere"  # it sees another project than the one it is said to be for
    UNKNOWN = "unknown"  # the provider did not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """`expires_at` None: never, or not known."""

    finding: Finding
    reason: Reason
    message: str
    expires_at: datetime | None = None


def zones_to_try(used: Sequence[Zone], *, allowed: Sequence[Zone] | None = None) -> tuple[Zone, ...]:
    """Where something of ours is comes first, then where the credential may be used; None: everywhere.

    The question may leave a control group behind, so it is asked nowhere else.
    """
    others = WELL_KNOWN_ZONES if allowed is None else allowed
    return (*used, *(zone for zone in others if zone not in used))


async def validate(
    cloud: Cloud,
    *,
    zones: Sequence[Zone],
    project_id: ProjectId,
    scaleway_organization: str | None = None,
    known_end: datetime | None,
    clock: Clock,
    place: KeyPlace = IN_SECRET,
) -> Validation:
    """Ask in the first of `zones` that the endpoint knows. `scaleway_organization`: that the project is said
    to be of. `known_end`: of the key, from an earlier validation. `place`: where people find the key.
    """
    result = ControlResult(verdict=Verdict.UNKNOWN, message="no zone to ask in")
    began_s = clock.monotonic()
    for zone in zones:
        result = await cloud.control.check(zone, fresh=True)
        is_away = clock.monotonic() - began_s > PATIENCE_S
        if result.verdict is not Verdict.UNKNOWN or result.reason in _SAYS_ENOUGH or is_away:
            break
    if result.verdict is Verdict.HELD and _is_another(result.scaleway_organization, scaleway_organization):
        return Validation(
            finding=Finding.ELSEWHERE,
            reason=Reason.PROJECT_MISMATCH,
            message=f"{place.the_project(project_id)} is of Scaleway organization"
            f" {result.scaleway_organization}, but"
            f" {place.says_otherwise(place.organization, scaleway_organization)}:"
            " correct it, or leave it out",
        )
    if result.verdict is Verdict.HELD:
        return await _held(cloud, project_id, known_end=known_end, now=clock.now(), place=place)
    if result.verdict is Verdict.BROKEN:
        return await _broken(cloud, result, project_id, place)
    return _unknown(result, known_end=known_end, now=clock.now(), place=place)


def _is_another(seen: str, said: str | None) -> bool:
    return bool(seen) and said is not None and seen.lower() != said.lower()


async def _held(
    cloud: Cloud, project_id: ProjectId, *, known_end: datetime | None, now: datetime, place: KeyPlace
) -> Validation:
    """A look-up that brings nothing leaves a known end as it is, unless the key has just outlived it."""
    facts = await cloud.client.key_facts()
    if not facts.known:
        end = None if has_ended(known_end, now=now) else known_end
    elif has_ended(facts.expires_at, now=now):  # by our clock, and within seconds by Scaleway's
        return _refused(is_over=True, place=place)
    else:
        end = facts.expires_at
    return Validation(
        finding=Finding.VALID,
        reason=Reason.READY,
        message=f"the key gives access to project {project_id}",
        expires_at=end,
    )


async def _broken(cloud: Cloud, result: ControlResult, project_id: ProjectId, place: KeyPlace) -> Validation:
    """It answers, but not for this project: another project's key, or one that lacks the rights."""
    facts = await cloud.client.key_facts()
    if facts.default_project_id not in {None, project_id}:
        return Validation(
            finding=Finding.ELSEWHERE,
            reason=Reason.PROJECT_MISMATCH,
            message=f"the key's project is {facts.default_project_id}, but"
            f" {place.says_otherwise(place.project, project_id)}; put a key of that project into {place.key}"
            f" ({result.message})",
        )
    if result.reason == Reason.PERMISSION_DENIED:
        return Validation(finding=Finding.DENIED, reason=Reason.PERMISSION_DENIED, message=_denied(result))
    return Validation(
        finding=Finding.ELSEWHERE,
        reason=Reason.PROJECT_MISMATCH,
        message=f"the key does not see {place.the_project(project_id)}: {result.message}",
    )


def _unknown(
    result: ControlResult, *, known_end: datetime | None, now: datetime, place: KeyPlace
) -> Validation:
    match result.reason:
        case Reason.CREDENTIAL_REJECTED | Reason.CREDENTIAL_EXPIRED:
            is_over = result.reason == Reason.CREDENTIAL_EXPIRED or has_ended(known_end, now=now)
            return _refused(is_over=is_over, place=place)
        case Reason.PERMISSION_DENIED:
            return Validation(
                finding=Finding.DENIED, reason=Reason.PERMISSION_DENIED, message=_denied(result)
            )
        case _:
            return Validation(
                finding=Finding.UNKNOWN,
                reason=Reason.PROVIDER_UNREACHABLE,
                message=f"Scaleway gave no clear answer, it is asked again: {result.message}",
            )


def _refused(*, is_over: bool, place: KeyPlace) -> Validation:
    what = "has expired" if is_over else "is refused by Scaleway (401)"
    return Validation(
        finding=Finding.REFUSED,
        reason=Reason.CREDENTIAL_EXPIRED if is_over else Reason.CREDENTIAL_REJECTED,
        message=f"the key {what}; put a valid one into {place.key}",
    )


def _denied(result: ControlResult) -> str:
    return (
        "the key lacks rights on instances (InstancesFullAccess) or block storage (BlockStorageFullAccess)"
        " in this"
        f" project: {result.message}"
    )
