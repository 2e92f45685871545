"""One request and its answer, between the ASGI app and the handlers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scaleway_simulator.catalog import ZONES_WITHOUT_BLOCK, is_zone
from scaleway_simulator.errors import NotFound, PermissionsDenied, invalid
from scaleway_simulator.identity import ApiKey
from scaleway_simulator.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`body` None: no body. `text` wins over `body`."""

    status: int = 200
    body: Any = None
    text: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    items: str | None = None
    """Where a listing has its items, so that a fault can cut it short."""
    compact: bool = False
    """Block, IAM, account and marketplace write JSON without spaces (api.md 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    world: World
    key: ApiKey | None
    params: Mapping[str, str]
    query: Mapping[str, str]
    raw: bytes = field(repr=False)

    @property
    def zone(self) -> str:
        """Raises:
        NotFound: there is no such zone.
        """
        zone = self.params["zone"]
        if not is_zone(zone):
            raise NotFound("zone", zone)
        return zone

    @property
    def block_zone(self) -> str:
        """Raises:
        NotFound: no block storage in that zone.
        """
        if self.zone in ZONES_WITHOUT_BLOCK:
            raise NotFound("zone", self.zone)
        return self.zone

    @property
    def id(self) -> str:
        return self.params["id"]

    @property
    def caller(self) -> ApiKey:
        assert self.key is not None  # noqa: S101  # the route asks for a right, so somebody was checked
        return self.key

    def may_see(self, project_id: str) -> bool:
        return self.caller.may_see(project_id)

    def body(self) -> dict[str, Any]:
        """The JSON object that was sent.

        Raises:
            InvalidArguments: it is none.
        """
        try:
            found = json.loads(self.raw or b"{}")
        except ValueError as exc:
            raise invalid("body", "not a valid JSON") from exc
        if not isinstance(found, dict):
            raise invalid("body", "not a valid object")
        return found

    def project(self, named: str | None, *, resource: str) -> str:
        """The project something is to be made in; the key's own when none is named.

        Raises:
            PermissionsDenied: it does not exist or is not the caller's (api.md 10).
        """
        project_id = named or self.caller.project_id
        if not self.may_see(project_id):
            raise PermissionsDenied(resource=resource, action="write")
        self.world.identity.project(project_id, now=self.world.now)
        return project_id

    def projects(self, *, parameter: str, resource: str) -> list[str]:
        """Which projects a listing covers: the one named in the query, else all the key may see.

        Raises:
            PermissionsDenied: a foreign project is named, in a world whose lists refuse that.
        """
        named = self.query.get(parameter)
        if named is None:
            return self.world.projects_seen(self.may_see)
        if not self.may_see(named):
            if self.world.settings.foreign_project_lists == "denied":
                raise PermissionsDenied(resource=resource, action="read")
            return []
        return [named]
