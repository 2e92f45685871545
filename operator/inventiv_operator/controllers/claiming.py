"""Which namespaces an organization holds: rows with the namespace's uid, and a label as a copy (T1)."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inventiv_operator.api.conditions import Reason
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.tenant_objects import TenantObjects
from inventiv_operator.domain.ledger import OrganizationRow
from inventiv_operator.domain.verdict import Verdict, refused
from inventiv_operator.kube.errors import Conflict as KubeConflict
from inventiv_operator.kube.errors import NotFound as KubeNotFound
from inventiv_operator.kube.kinds import ORGANIZATION_LABEL
from inventiv_operator.store import claims
from inventiv_operator.store.claims import ClaimOutcome

logger = logging.getLogger(__name__)

CLAIM_ANNOTATION = "inventiv.io/claim"
"""`acme=<uid>`, several with commas: the platform's word that a namespace made anew is to be claimed
again.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceClaim:
    """One line of `status.namespaces`. `uid` empty: it does not exist; `problem` empty: it holds, or is
    awaited.
    """

    name: str
    uid: str
    claimed: bool
    reason: Reason = Reason.PROGRESSING
    problem: str = ""

    def as_status(self) -> dict[str, Any]:
        return {"name": self.name, **({"uid": self.uid} if self.uid else {}), "claimed": self.claimed}


class Claiming:
    def __init__(self, services: Services, kube: TenantObjects) -> None:
        self._services = services
        self._kube = kube

    async def settle(
        self, row: OrganizationRow, wanted: Sequence[str], *, annotations: Mapping[str, str]
    ) -> list[NamespaceClaim]:
        """Claim what is named and let go of what is not; one line for each, in the order of the spec."""
        held = await self._held(row)
        anew = _claimed_anew(annotations)
        lines: list[NamespaceClaim] = []
        for name in wanted:
            namespace = await self._kube.get_namespace(name)
            if namespace is None:
                # A claim on one that was deleted stays: whoever makes the name again does not inherit it.
                lines.append(NamespaceClaim(name=name, uid="", claimed=False))
                continue
            line = await self._claim(row, namespace, held=held.get(name), anew=anew.get(name))
            lines.append(line)
            if line.claimed and line.uid == namespace["metadata"]["uid"]:
                await self._label(namespace, row.name)
        for name, uid in held.items():
            if name not in wanted and (kept := await self._let_go(row, name, uid)) is not None:
                lines.append(kept)
        return lines

    async def release_all(self, row: OrganizationRow) -> None:
        for name, uid in (await self._held(row)).items():
            await self._let_go(row, name, uid)

    async def _held(self, row: OrganizationRow) -> dict[str, str]:
        """Namespace to the uid it was claimed with."""
        async with self._services.db.reading(row.id) as conn:
            return {c.namespace: c.namespace_uid for c in await claims.of_organization(conn, row.id)}

    async def _claim(
        self, row: OrganizationRow, namespace: Mapping[str, Any], *, held: str | None, anew: str | None
    ) -> NamespaceClaim:
        name, uid = str(namespace["metadata"]["name"]), str(namespace["metadata"]["uid"])
        if held == uid:
            return NamespaceClaim(name=name, uid=uid, claimed=True)
        if held is not None and anew == uid and not await self._release(row, name):
            # Credentials or deployments of the earlier one are left, lost ones perhaps: they come along.
            await self._renew(row, name, uid)
        async with self._services.writing(row.id) as conn:
            outcome = await claims.claim(conn, organization_id=row.id, namespace=name, uid=uid)
        match outcome:
            case ClaimOutcome.CLAIMED:
                logger.info("namespace claimed", extra={"claimed_namespace": name, "namespace_uid": uid})
                return NamespaceClaim(name=name, uid=uid, claimed=True)
            case ClaimOutcome.HELD_BY_OTHER:
                problem = f"namespace {name} belongs to another Organization; remove it there first"
            case ClaimOutcome.UID_CHANGED:
                problem = (
                    f"namespace {name} was deleted and made again: claimed was uid {held}, its uid is now"
                    f" {uid};"
                    f" to claim it anew set the annotation {CLAIM_ANNOTATION}: {name}={uid}, or remove the"
                    " name and"
                    " add it again"
                )
        return NamespaceClaim(
            name=name, uid=uid, claimed=False, reason=Reason.NAMESPACE_CONFLICT, problem=problem
        )

    async def _let_go(self, row: OrganizationRow, name: str, uid: str) -> NamespaceClaim | None:
        """None: it is let go. A namespace with something of the tenant in it stays claimed."""
        if not await self._release(row, name):
            return _in_use(name, uid, "was removed from spec.namespaces, but")
        namespace = await self._kube.get_namespace(name)
        if namespace is not None and str(namespace["metadata"]["uid"]) == uid:
            await self._label(namespace, None)
        return None

    async def _release(self, row: OrganizationRow, name: str) -> bool:
        async with self._services.writing(row.id) as conn:
            released = await claims.release(conn, organization_id=row.id, namespace=name)
        if released:
            logger.info("namespace released", extra={"claimed_namespace": name})
        return released

    async def _renew(self, row: OrganizationRow, name: str, uid: str) -> None:
        async with self._services.writing(row.id) as conn:
            await claims.renew(conn, organization_id=row.id, namespace=name, uid=uid)
        logger.info("claim follows the namespace", extra={"claimed_namespace": name, "namespace_uid": uid})

    async def _label(self, namespace: Mapping[str, Any], value: str | None) -> None:
        """A copy for people and policies; never read by a reconciler."""
        metadata = namespace["metadata"]
        if (metadata.get("labels") or {}).get(ORGANIZATION_LABEL) == value:
            return
        try:
            await self._kube.label_namespace(
                metadata["name"],
                uid=metadata["uid"],
                resource_version=metadata["resourceVersion"],
                value=value,
            )
        except (KubeConflict, KubeNotFound) as error:
            logger.debug("namespace label not written", extra={"error": str(error)})


def verdict_on(lines: Sequence[NamespaceClaim]) -> Verdict:
    """The condition Ready of the organization."""
    problems = [line for line in lines if line.problem]
    if problems:
        return refused(problems[0].reason, "; ".join(line.problem for line in problems))
    awaited = [line.name for line in lines if not line.claimed]
    if awaited:
        message = f"waiting for namespaces that do not exist yet: {', '.join(awaited)}"
        return Verdict(
            ready=False, reason=Reason.PROGRESSING, message=message, phase="Progressing", progressing=True
        )
    return Verdict(
        ready=True,
        reason=Reason.READY,
        message="all namespaces are claimed",
        phase="Ready",
        progressing=False,
    )


def _in_use(name: str, uid: str, what: str) -> NamespaceClaim:
    return NamespaceClaim(
        name=name,
        uid=uid,
        claimed=True,
        reason=Reason.NAMESPACE_IN_USE,
        problem=f"namespace {name} {what} it still holds credentials or deployments of this organization;"
        " delete them"
        " first: until then it stays as it is",
    )


def _claimed_anew(annotations: Mapping[str, str]) -> dict[str, str]:
    pairs = (part.partition("=") for part in annotations.get(CLAIM_ANNOTATION, "").split(","))
    return {name.strip(): uid.strip() for name, _, uid in pairs if uid.strip()}
