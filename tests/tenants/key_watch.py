"""Which key every call carried, on whose behalf, and whether it was still the one to carry.

Two facts are compared at the moment a request leaves: what the operator was bound to when it was handed the
client (`Access`), and what is in the header. Who owns which key, and what is stored, is known here from the
tenants themselves and from the ledger's commits.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs

from inventiv_operator.domain.ids import CredentialId, OrganizationId
from inventiv_operator.scaleway.wire import Wire, WireAnswer
from scaleway_simulator.calls import LoggedCall
from scaleway_simulator.world import World

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PROVING = re.compile(r"/instance/v1/zones/[^/]+/security_groups|/iam/|/account/")
"""Where a key that is yet to prove itself is tried."""


class Role(StrEnum):
    """What a client was asked for."""

    WORK = "work"
    VALIDATION = "validation"  # of the stored key
    CANDIDATE = "candidate"  # of a key that the Secret offers instead


@dataclass(frozen=True, slots=True, kw_only=True)
class SentCall:
    method: str
    path: str
    access_key: str | None  # None: of no tenant
    tenant: int | None


@dataclass(slots=True)
class Tenancy:
    """What the tenants of one sequence are known by. Keys are known by their secret."""

    projects: dict[str, int] = field(default_factory=dict)
    namespaces: dict[str, int] = field(default_factory=dict)
    owners: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Secret key to whose it is, and its access key."""


class KeyWatch:
    """Of one sequence."""

    def __init__(self, tenancy: Tenancy, world: World) -> None:
        self.tenancy = tenancy
        self.world = world
        self.sent: list[SentCall] = []
        self.violations: list[str] = []
        self.organizations: dict[OrganizationId, int] = {}
        self.swaps = 0
        self._of_credential: dict[CredentialId, int] = {}
        self._stored: dict[CredentialId, str] = {}
        self._incoming: dict[CredentialId, str] = {}
        self._now_in_secrets: dict[tuple[int, str], str] = {}
        self._offered: dict[int, set[str]] = defaultdict(set)

    # -- what tenants do -----------------------------------------------------------------------------------

    def offered(self, tenant: int, secret_name: str, secret_key: str | None) -> None:
        """A Secret of the tenant says this now; None: it is gone."""
        if secret_key is None:
            self._now_in_secrets.pop((tenant, secret_name), None)
            return
        self._now_in_secrets[tenant, secret_name] = secret_key
        self._offered[tenant].add(secret_key)

    # -- what the ledger says ------------------------------------------------------------------------------

    def opened(self, credential: CredentialId, organization: OrganizationId, namespace: str) -> None:
        tenant = self.tenancy.namespaces[namespace]
        self._of_credential[credential] = tenant
        if self.organizations.get(organization) != tenant:
            self._wrong(f"a credential of namespace {namespace} was opened for another's organization")

    def storing(self, credential: CredentialId, secret_key: str) -> None:
        """In a transaction that is yet to commit."""
        self._incoming[credential] = secret_key

    def stored(self, credential: CredentialId, secret_key: str) -> None:
        """Committed: from here on the key before it is not to be used."""
        before = self._stored.get(credential)
        self._stored[credential] = secret_key
        self._incoming.pop(credential, None)
        if before not in {None, secret_key}:
            self.swaps += 1
            tenant = self._of_credential[credential]
            now = {s for (of, _), s in self._now_in_secrets.items() if of == tenant}
            self._offered[tenant] -= {str(before)} - now

    def is_in_use(self, secret_key: str) -> bool:
        """Stored, for whichever credential."""
        return secret_key in self._stored.values()

    def destroyed(self, credential: CredentialId) -> None:
        self._stored.pop(credential, None)
        self._incoming.pop(credential, None)

    # -- what leaves ---------------------------------------------------------------------------------------

    def leaves(self, line: "Line", method: str, target: str, secret_key: str) -> None:
        owner, access_key = self.tenancy.owners.get(secret_key, (None, None))
        path, _, query = target.partition("?")
        tenant = self._tenant_of(line, f"{method} {path}")
        self.sent.append(SentCall(method=method, path=path, access_key=access_key, tenant=tenant))
        if tenant is None:
            return
        what = f"{method} {target} for tenant {tenant} with key {access_key} of {owner}"
        if line.role is Role.CANDIDATE:
            if secret_key not in self._offered[tenant]:
                self._wrong(f"{what}: a candidate that its Secret does not offer")
        elif secret_key not in self._may_be_used(line.credential):
            self._wrong(f"{what}: not the stored key (any more)")
        if owner not in {None, tenant} and (line.role is Role.WORK or not PROVING.match(path)):
            self._wrong(f"{what}: another's key, and not to prove it")
        self._is_about_its_own(tenant, path, query, what)

    def _tenant_of(self, line: "Line", what: str) -> int | None:
        if len(line.handed_to) != 1:
            self._wrong(f"{what} by a client that was handed to {len(line.handed_to)} credentials")
            return None
        organization = next(iter(line.handed_to))[0]
        tenant = self.organizations.get(organization)
        if tenant is None or self._of_credential.get(line.credential) != tenant:
            self._wrong(f"{what} for a credential of another organization than {organization}")
            return None
        return tenant

    def _may_be_used(self, credential: CredentialId) -> set[str]:
        found = self._stored.get(credential), self._incoming.get(credential)
        return {s for s in found if s is not None}

    def _is_about_its_own(self, tenant: int, path: str, query: str, what: str) -> None:
        named = [v for name, vs in parse_qs(query).items() if name in {"project", "project_id"} for v in vs]
        for ref in UUID.findall(path):
            thing = self._find(ref)
            if thing is not None:
                named.append(thing.project_id)
        for project in named:
            if self.tenancy.projects.get(project, tenant) != tenant:
                self._wrong(f"{what}: about project {project} of another")

    def _find(self, ref: str) -> Any:
        world = self.world
        rooms = (world.servers, world.block_volumes, world.local_volumes, world.security_groups, world.ips)
        return next((found for room in rooms if (found := room.find(ref)) is not None), None)

    def compare(self, log: list[LoggedCall]) -> None:
        """The provider's own log is what counts: what was seen here must be all that arrived there."""
        arrived = [(c.method, c.path, c.access_key) for c in log]
        known = {access for _, access in self.tenancy.owners.values()}
        seen = [(c.method, c.path, c.access_key if c.access_key in known else None) for c in self.sent]
        assert arrived == seen, "the call log of the provider is not what left"

    def _wrong(self, what: str) -> None:
        if len(self.violations) < 20:
            self.violations.append(f"{self.world.seconds:.1f} s: {what}")


class Line:
    """The wire of one client; fits `scaleway.wire.Wire`."""

    def __init__(self, wire: Wire, watch: KeyWatch) -> None:
        self._wire = wire
        self._watch = watch
        self.handed_to: set[tuple[OrganizationId, CredentialId]] = set()
        self.role = Role.WORK

    @property
    def credential(self) -> CredentialId:
        return next(iter(self.handed_to))[1]

    async def send(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None
    ) -> WireAnswer:
        self._watch.leaves(self, method, target, headers["X-Auth-Token"])
        return await self._wire.send(method, target, headers=headers, body=body)
