"""Projects and API keys: who may do what (api.md 10)."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scaleway_simulator.errors import DeniedAuthentication, PermissionsDenied
from scaleway_simulator.records import Project

RIGHTS = frozenset({"instances", "block", "iam", "account"})
OPEN_NAMESPACE = uuid.UUID("0b1f2c9e-6a53-4f0e-9a86-6a6f5f0b7a11")
RESOURCES = {"instances": "servers", "block": "volume", "iam": "api_key", "account": "project"}


@dataclass(slots=True, kw_only=True)
class ApiKey:
    access_key: str
    secret_key: str = field(repr=False)
    project_id: str
    created_at: datetime
    rights: frozenset[str] = RIGHTS
    read_only: bool = False
    expires_at: datetime | None = None
    revoked: bool = False
    denied_until_s: float = 0.0  # 403 for a while, or permissions so fresh that nobody knows them yet
    any_project: bool = False
    other_projects: tuple[str, ...] = ()
    bearer_id: str
    bearer_is_user: bool = False  # else an application
    description: str = ""

    def may_see(self, project_id: str) -> bool:
        return self.any_project or project_id == self.project_id or project_id in self.other_projects


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The key of one request, checked."""

    key: ApiKey

    def may_see(self, project_id: str) -> bool:
        return self.key.may_see(project_id)


class Identity:
    def __init__(self, *, is_open: bool) -> None:
        self._is_open = is_open
        self._by_secret: dict[str, ApiKey] = {}
        self._by_access: dict[str, ApiKey] = {}
        self.projects: dict[str, Project] = {}

    @property
    def keys(self) -> Iterable[ApiKey]:
        return tuple(self._by_access.values())

    def add_project(self, project: Project) -> Project:
        return self.projects.setdefault(project.id, project)

    def add_key(self, key: ApiKey) -> ApiKey:
        self.remove_key(key.access_key)
        self._by_secret[key.secret_key] = key
        self._by_access[key.access_key] = key
        return key

    def remove_key(self, access_key: str) -> ApiKey | None:
        key = self._by_access.pop(access_key, None)
        if key is not None:
            self._by_secret.pop(key.secret_key, None)
        return key

    def find_key(self, access_key: str) -> ApiKey | None:
        return self._by_access.get(access_key)

    def known_secret(self, secret: str | None) -> ApiKey | None:
        """For the call log: whose key that is, valid or not."""
        return None if secret is None else self._by_secret.get(secret)

    def authenticate(self, secret: str | None, *, now: datetime) -> ApiKey:
        """The key of a secret.

        Raises:
            DeniedAuthentication: unknown, revoked or expired.
        """
        key = self.known_secret(secret)
        if key is None and self._is_open and secret:
            return self.add_key(_open_key(secret, now=now))
        if key is None or key.revoked:
            raise DeniedAuthentication("not_found")
        if key.expires_at is not None and key.expires_at <= now:
            raise DeniedAuthentication("expired")
        return key

    def organization_of(self, project_id: str, *, now: datetime) -> str:
        return self.project(project_id, now=now).organization_id

    def project(self, project_id: str, *, now: datetime, organization_id: str = "") -> Project:
        """A project somebody is allowed to name; in an open world they come into being by being named.

        `organization_id` of one that comes into being; empty: the same as its own.
        """
        found = self.projects.get(project_id)
        if found is None:
            made = Project(
                id=project_id, organization_id=organization_id or project_id, name="default", created_at=now
            )
            found = self.add_project(made)
        return found


def permit(key: ApiKey, *, right: str, is_write: bool, seconds: float) -> None:
    """Let a request through, or say what is missing.

    Raises:
        PermissionsDenied: this key lacks the right, may only read, or is denied for a while.
    """
    lacking = right not in key.rights or (is_write and key.read_only)
    if lacking or seconds < key.denied_until_s:
        raise PermissionsDenied(resource=RESOURCES.get(right, right), action="write" if is_write else "read")


def _open_key(secret: str, *, now: datetime) -> ApiKey:
    project_id = str(uuid.uuid5(OPEN_NAMESPACE, secret))
    return ApiKey(
        access_key="SCW" + uuid.uuid5(OPEN_NAMESPACE, f"access/{secret}").hex[:17].upper(),
        secret_key=secret,
        project_id=project_id,
        created_at=now,
        any_project=True,
        bearer_id=project_id,
    )


def key_from(description: dict[str, Any], *, now: datetime, seconds: float) -> ApiKey:
    """A key as the control API describes it.

    Raises:
        ValueError: a missing field, an unknown right, or a time that is none.
    """
    for name in ("access_key", "secret_key", "project_id"):
        if not isinstance(description.get(name), str):
            raise ValueError(f"key: {name} must be a string")  # noqa: TRY004  # one error type for bad input
    rights = frozenset(description.get("rights") or RIGHTS)
    if rights - RIGHTS:
        raise ValueError(f"key: unknown rights {sorted(rights - RIGHTS)}, known are {sorted(RIGHTS)}")
    expires = description.get("expires_at")
    return ApiKey(
        access_key=description["access_key"],
        secret_key=description["secret_key"],
        project_id=description["project_id"],
        created_at=now,
        rights=rights,
        read_only=bool(description.get("read_only", False)),
        expires_at=None if expires is None else datetime.fromisoformat(expires),
        denied_until_s=seconds + float(description.get("fresh_for_s", 0)),
        other_projects=tuple(description.get("other_projects", ())),
        bearer_id=description.get("bearer_id") or str(uuid.uuid5(OPEN_NAMESPACE, description["access_key"])),
        bearer_is_user=bool(description.get("bearer_is_user", False)),
        description=description.get("description", ""),
    )
