"""The organization reconciler: a durable id, and the namespaces that belong to it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inventiv_operator.api.objects import OrganizationObject, parse_organization
from inventiv_operator.api.supported import unsupported_organization_fields
from inventiv_operator.controllers.services import Services
from inventiv_operator.controllers.status import ObjectStatusWriter, said_ready
from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.domain.ledger import OrganizationRow
from inventiv_operator.domain.verdict import Verdict, refused
from inventiv_operator.kube.client import KubeClient
from inventiv_operator.kube.errors import Conflict as KubeConflict
from inventiv_operator.kube.errors import NotFound as KubeNotFound
from inventiv_operator.kube.kinds import CLEANUP_FINALIZER, ORGANIZATION, ORGANIZATION_LABEL
from inventiv_operator.runtime.queue import DONE, Key, Result
from inventiv_operator.store import claims, organizations
from inventiv_operator.store.claims import ClaimOutcome
from inventiv_operator.store.errors import Conflict

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 300.0
WAIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceClaim:
    """One line of `status.namespaces`. `problem` is empty when the claim holds or the namespace is awaited."""

    name: str
    uid: str
    claimed: bool
    reason: str = ""
    problem: str = ""


class OrganizationReconciler:
    """One call is one pass over one Organization."""

    def __init__(self, services: Services, kube: KubeClient, *, status: ObjectStatusWriter) -> None:
        self._services = services
        self._kube = kube
        self._status = status

    async def reconcile(self, key: Key, *, deadline_s: float) -> Result:
        """See the module."""
        del deadline_s  # a handful of quick calls
        body = await self._kube.get(ORGANIZATION, None, key.name)
        if body is None:
            return DONE  # finished, or its finalizer was forced: what the ledger still holds keeps its credentials
        obj = parse_organization(body)
        async with self._services.db.platform() as conn:
            row = await organizations.find(conn, name=key.name)
        if obj.metadata.deletion_timestamp is not None:
            return await self._delete(body, obj, row)
        unsupported = unsupported_organization_fields(obj.spec)
        if unsupported:
            verdict = refused("NotSupported", "; ".join(unsupported))
            await self._status.write(ORGANIZATION, body, {}, said=[said_ready(verdict)])
            return DONE
        if CLEANUP_FINALIZER not in obj.metadata.finalizers:
            await self._kube.add_finalizer(ORGANIZATION, body)
            return Result(requeue_after_s=0.0)
        return await self._claim(body, obj)

    async def _claim(self, body: Mapping[str, Any], obj: OrganizationObject) -> Result:
        try:
            async with self._services.platform_writing() as conn:
                row = await organizations.upsert(
                    conn, name=obj.metadata.name, uid=obj.metadata.uid, is_default=obj.spec.default
                )
        except Conflict:
            verdict = refused(
                "DefaultConflict",
                "another Organization has default: true already; at most one may: set it to false on one of them",
            )
            await self._status.write(ORGANIZATION, body, {}, said=[said_ready(verdict)])
            return Result(requeue_after_s=LOOK_AGAIN_S)
        listed = [await self._claim_one(row.id, name) for name in obj.spec.namespaces]
        kept = await self._release_unlisted(row.id, set(obj.spec.namespaces))
        verdict = _verdict([*listed, *kept])
        for line in listed:
            if line.claimed:
                await self._label(line, obj.metadata.name)
        await self._status.write(
            ORGANIZATION,
            body,
            {
                "organizationID": str(row.id),
                "installationID": str(self._services.installation_id),
                "namespaces": [
                    {"name": line.name, "uid": line.uid or None, "claimed": line.claimed}
                    if line.uid
                    else {"name": line.name, "claimed": line.claimed}
                    for line in [*listed, *kept]
                ],
            },
            said=[said_ready(verdict)],
        )
        return Result(requeue_after_s=LOOK_AGAIN_S, organization=str(row.id))

    async def _claim_one(self, organization_id: OrganizationId, name: str) -> NamespaceClaim:
        namespace = await self._kube.get_namespace(name)
        if namespace is None:
            return NamespaceClaim(name=name, uid="", claimed=False)
        uid = str(namespace["metadata"]["uid"])
        async with self._services.platform_writing() as conn:
            outcome = await claims.claim(conn, organization_id=organization_id, namespace=name, uid=uid)
        match outcome:
            case ClaimOutcome.CLAIMED:
                return NamespaceClaim(name=name, uid=uid, claimed=True)
            case ClaimOutcome.HELD_BY_OTHER:
                return NamespaceClaim(
                    name=name,
                    uid=uid,
                    claimed=False,
                    reason="NamespaceConflict",
                    problem=f"namespace {name} belongs to another Organization; remove it there first",
                )
            case ClaimOutcome.UID_CHANGED:
                return NamespaceClaim(
                    name=name,
                    uid=uid,
                    claimed=False,
                    reason="NamespaceConflict",
                    problem=f"namespace {name} was deleted and made again (its uid is now {uid}); to claim it anew set"
                    f" the annotation inventiv.io/claim: {name}={uid}, or remove the name and add it again",
                )

    async def _release_unlisted(
        self, organization_id: OrganizationId, listed: set[str]
    ) -> list[NamespaceClaim]:
        """A namespace that is no longer named is let go when nothing of the tenant is left in it."""
        async with self._services.db.reading(organization_id) as conn:
            held = await claims.of_organization(conn, organization_id)
        kept: list[NamespaceClaim] = []
        for claim in held:
            if claim.namespace in listed:
                continue
            async with self._services.platform_writing() as conn:
                released = await claims.release(
                    conn, organization_id=organization_id, namespace=claim.namespace
                )
            if released:
                await self._unlabel(claim.namespace, claim.namespace_uid)
                continue
            kept.append(
                NamespaceClaim(
                    name=claim.namespace,
                    uid=claim.namespace_uid,
                    claimed=True,
                    reason="NamespaceInUse",
                    problem=f"namespace {claim.namespace} still holds credentials or deployments of this organization;"
                    " delete them first: until then it stays",
                )
            )
        return kept

    async def _label(self, line: NamespaceClaim, organization: str) -> None:
        """A copy for people and policies; never read by a reconciler."""
        namespace = await self._kube.get_namespace(line.name)
        if namespace is None or str(namespace["metadata"]["uid"]) != line.uid:
            return
        if (namespace["metadata"].get("labels") or {}).get(ORGANIZATION_LABEL) == organization:
            return
        await self._write_label(namespace, organization)

    async def _unlabel(self, name: str, uid: str) -> None:
        namespace = await self._kube.get_namespace(name)
        if namespace is None or str(namespace["metadata"]["uid"]) != uid:
            return
        if ORGANIZATION_LABEL in (namespace["metadata"].get("labels") or {}):
            await self._write_label(namespace, None)

    async def _write_label(self, namespace: Mapping[str, Any], value: str | None) -> None:
        metadata = namespace["metadata"]
        try:
            await self._kube.label_namespace(
                metadata["name"],
                uid=metadata["uid"],
                resource_version=metadata["resourceVersion"],
                value=value,
            )
        except (KubeConflict, KubeNotFound) as error:
            logger.debug("namespace label not written: %s", error)

    async def _delete(
        self, body: Mapping[str, Any], obj: OrganizationObject, row: OrganizationRow | None
    ) -> Result:
        if CLEANUP_FINALIZER not in obj.metadata.finalizers:
            return DONE
        if row is not None and row.uid == obj.metadata.uid:
            async with self._services.db.reading(row.id) as conn:
                left = await organizations.what_is_left(conn, row.id)
                held = await claims.of_organization(conn, row.id)
            if left:
                verdict: Verdict = refused("Deleting", f"waiting for {', '.join(left)}", phase="Deleting")
                await self._status.write(
                    ORGANIZATION,
                    body,
                    {"organizationID": str(row.id), "installationID": str(self._services.installation_id)},
                    said=[said_ready(verdict)],
                )
                return Result(requeue_after_s=WAIT_S, organization=str(row.id))
            for claim in held:
                await self._unlabel(claim.namespace, claim.namespace_uid)
            async with self._services.platform_writing() as conn:
                await organizations.close(conn, row.id)
        await self._kube.remove_finalizer(ORGANIZATION, body)
        return DONE


def _verdict(lines: Sequence[NamespaceClaim]) -> Verdict:
    problems = [line for line in lines if line.problem]
    if problems:
        return refused(problems[0].reason, "; ".join(line.problem for line in problems))
    missing = [line.name for line in lines if not line.claimed]
    if missing:
        return Verdict(
            ready=False,
            reason="Progressing",
            message=f"waiting for namespaces that do not exist yet: {', '.join(missing)}",
            phase="Progressing",
            progressing=True,
        )
    return Verdict(
        ready=True, reason="Ready", message="all namespaces are claimed", phase="Ready", progressing=False
    )
