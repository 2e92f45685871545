"""Which handler serves which method and path, and what right it takes."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from scaleway_simulator.wire import block, elsewhere, network, products, server_parts, servers, volumes
from scaleway_simulator.wire.call import Answer, Call

Handler = Callable[[Call], Answer]
Right = Literal["instances", "block", "iam", "account", ""]
"""Empty: public, no key needed."""

INSTANCE = "/instance/v1/zones/{zone}"
BLOCK = "/block/v1/zones/{zone}"
NOT_IN_MINIMAL = ("/iam/", "/account/", "/products/servers/availability")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    method: str
    template: str
    handler: Handler
    right: Right

    @property
    def is_write(self) -> bool:
        return self.method != "GET"


def _routes(prefix: str, right: Right, rows: Sequence[tuple[str, str, Handler]]) -> list[Route]:
    return [Route(method=m, template=prefix + path, handler=h, right=right) for m, path, h in rows]


ROUTES: Sequence[Route] = (
    *_routes(
        INSTANCE,
        "instances",
        [
            ("GET", "/servers", servers.listing),
            ("POST", "/servers", servers.create),
            ("GET", "/servers/{id}", servers.read),
            ("PATCH", "/servers/{id}", servers.change),
            ("DELETE", "/servers/{id}", servers.delete),
            ("GET", "/servers/{id}/action", servers.actions),
            ("POST", "/servers/{id}/action", servers.act),
            ("POST", "/servers/{id}/attach-volume", servers.attach),
            ("POST", "/servers/{id}/detach-volume", servers.detach),
            ("GET", "/servers/{id}/user_data", server_parts.user_data_keys),
            ("GET", "/servers/{id}/user_data/{key}", server_parts.read_user_data),
            ("PATCH", "/servers/{id}/user_data/{key}", server_parts.write_user_data),
            ("DELETE", "/servers/{id}/user_data/{key}", server_parts.delete_user_data),
            ("GET", "/servers/{id}/private_nics", server_parts.nics),
            ("POST", "/servers/{id}/private_nics", server_parts.create_nic),
            ("GET", "/servers/{id}/private_nics/{nic}", server_parts.read_nic),
            ("DELETE", "/servers/{id}/private_nics/{nic}", server_parts.delete_nic),
            ("GET", "/volumes", volumes.listing),
            ("POST", "/volumes", volumes.create),
            ("GET", "/volumes/{id}", volumes.read),
            ("PATCH", "/volumes/{id}", volumes.change),
            ("DELETE", "/volumes/{id}", volumes.delete),
            ("GET", "/snapshots", volumes.list_snapshots),
            ("POST", "/snapshots", volumes.create_snapshot),
            ("GET", "/snapshots/{id}", volumes.read_snapshot),
            ("PATCH", "/snapshots/{id}", volumes.change_snapshot),
            ("DELETE", "/snapshots/{id}", volumes.delete_snapshot),
            ("GET", "/images", volumes.list_images),
            ("POST", "/images", volumes.create_image),
            ("GET", "/images/{id}", volumes.read_image),
            ("PATCH", "/images/{id}", volumes.change_image),
            ("DELETE", "/images/{id}", volumes.delete_image),
            ("GET", "/ips", network.list_ips),
            ("POST", "/ips", network.create_ip),
            ("GET", "/ips/{id}", network.read_ip),
            ("PATCH", "/ips/{id}", network.change_ip),
            ("DELETE", "/ips/{id}", network.delete_ip),
            ("GET", "/security_groups", network.list_groups),
            ("POST", "/security_groups", network.create_group),
            ("GET", "/security_groups/{id}", network.read_group),
            ("PATCH", "/security_groups/{id}", network.change_group),
            ("DELETE", "/security_groups/{id}", network.delete_group),
            ("GET", "/security_groups/{id}/rules", network.list_rules),
            ("POST", "/security_groups/{id}/rules", network.add_rule),
            ("PUT", "/security_groups/{id}/rules", network.set_rules),
            ("GET", "/security_groups/{id}/rules/{rule}", network.read_rule),
            ("DELETE", "/security_groups/{id}/rules/{rule}", network.delete_rule),
            ("POST", "/placement_groups", network.create_placement),
            ("GET", "/placement_groups/{id}", network.read_placement),
            ("PATCH", "/placement_groups/{id}", network.change_placement),
            ("DELETE", "/placement_groups/{id}", network.delete_placement),
        ],
    ),
    *_routes(
        INSTANCE,
        "",
        [
            ("GET", "/products/servers", products.servers),
            ("GET", "/products/servers/availability", products.availabilities),
            ("GET", "/products/volumes", products.volumes),
        ],
    ),
    *_routes(
        BLOCK,
        "block",
        [
            ("GET", "/volumes", block.listing),
            ("POST", "/volumes", block.create),
            ("GET", "/volumes/{id}", block.read),
            ("PATCH", "/volumes/{id}", block.change),
            ("DELETE", "/volumes/{id}", block.delete),
            ("GET", "/snapshots", block.list_snapshots),
            ("POST", "/snapshots", block.create_snapshot),
            ("POST", "/snapshots/import-from-object-storage", block.import_snapshot),
            ("GET", "/snapshots/{id}", block.read_snapshot),
            ("DELETE", "/snapshots/{id}", block.delete_snapshot),
        ],
    ),
    *_routes(
        "/marketplace/v2",
        "",
        [
            ("GET", "/local-images", elsewhere.list_local_images),
            ("GET", "/local-images/{id}", elsewhere.read_local_image),
        ],
    ),
    *_routes(
        "/iam/v1alpha1",
        "iam",
        [
            ("GET", "/api-keys", elsewhere.list_api_keys),
            ("GET", "/api-keys/{access_key}", elsewhere.read_api_key),
        ],
    ),
    *_routes(
        "/account/v3",
        "account",
        [
            ("GET", "/projects", elsewhere.list_projects),
            ("GET", "/projects/{id}", elsewhere.read_project),
        ],
    ),
)


class RouteTable:
    """Finds a route by the shape of its path: one dictionary look-up, then a few patterns."""

    def __init__(self, routes: Sequence[Route] = ROUTES) -> None:
        self._by_shape: dict[tuple[str, int], list[tuple[re.Pattern[str], Route]]] = {}
        for route in routes:
            pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.template) + "$")
            self._by_shape.setdefault((route.method, route.template.count("/")), []).append((pattern, route))

    def find(self, method: str, raw_path: str) -> tuple[Route, Mapping[str, str]] | None:
        """`raw_path` still percent-encoded: a user data key may hold an encoded slash."""
        for pattern, route in self._by_shape.get((method, raw_path.count("/")), ()):
            match = pattern.match(raw_path)
            if match is not None:
                return route, {name: unquote(value) for name, value in match.groupdict().items()}
        return None
