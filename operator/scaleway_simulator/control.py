"""`/_simulator/...`: describe a world, order faults, do what other people do, and see what happened.

POST   /_simulator/reset                     a new world (projects, keys, faults, and any setting by name)
POST   /_simulator/settings                  other durations, stock or quotas from here on
POST   /_simulator/keys                      one more key
GET    /_simulator/state                     settings, projects, keys (never a secret), numbers of things
GET    /_simulator/calls?since=N             the call log; `counts` over all of it
GET    /_simulator/billed                    what costs money right now, and for whom
POST   /_simulator/faults                    order faults (see `faults`); GET lists, DELETE removes them
POST   /_simulator/world/{kind}/{id}/{deed}  what other people do (see `outside`)
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scaleway_simulator.billing import billed
from scaleway_simulator.errors import WireError
from scaleway_simulator.faults import FaultPlan
from scaleway_simulator.identity import key_from
from scaleway_simulator.outside import DEEDS, NoSuchThing
from scaleway_simulator.world import World

Endpoint = Callable[[Request], Awaitable[Response]]


class Control:
    """The endpoints; each lets what is due happen before it looks."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        rows: list[tuple[str, str, Callable[[Request], Awaitable[Any]]]] = [
            ("POST", "reset", self.reset),
            ("POST", "settings", self.settings),
            ("POST", "keys", self.add_key),
            ("GET", "state", self.state),
            ("GET", "calls", self.calls),
            ("GET", "billed", self.billed),
            ("POST", "faults", self.add_faults),
            ("GET", "faults", self.faults),
            ("DELETE", "faults", self.clear_faults),
            ("POST", "world/{kind}/{id}/{deed}", self.deed),
        ]
        return [
            Route(f"/_simulator/{path}", self._answering(endpoint), methods=[method])
            for method, path, endpoint in rows
        ]

    def _answering(self, endpoint: Callable[[Request], Awaitable[Any]]) -> Endpoint:
        async def answer(request: Request) -> Response:
            self._world.settle()
            try:
                body = await endpoint(request)
            except NoSuchThing as exc:
                return JSONResponse({"error": str(exc)}, status_code=404)
            except (ValueError, KeyError, TypeError) as exc:
                return JSONResponse({"error": f"{type(exc).__name__}: {exc}"}, status_code=400)
            except WireError as exc:
                return JSONResponse(exc.body(), status_code=exc.status)
            return Response(status_code=204) if body is None else JSONResponse(body)

        return answer

    async def reset(self, request: Request) -> None:
        self._world.reset(await _object(request))

    async def settings(self, request: Request) -> None:
        self._world.change(await _object(request))

    async def add_key(self, request: Request) -> None:
        world = self._world
        described = await _object(request)
        key = key_from(described, now=world.now, seconds=world.seconds)
        organization_id = str(described.get("organization_id") or "")
        world.identity.project(key.project_id, now=world.now, organization_id=organization_id)
        world.identity.add_key(key)

    async def state(self, _: Request) -> dict[str, Any]:
        return describe(self._world)

    async def calls(self, request: Request) -> dict[str, Any]:
        since = int(request.query_params.get("since", "0"))
        log = self._world.calls
        return {"calls": [call.as_json() for call in log.since(since)], "counts": log.counts()}

    async def billed(self, _: Request) -> dict[str, Any]:
        return billed(self._world)

    async def add_faults(self, request: Request) -> None:
        faults = FaultPlan.parse(await _json(request))
        self._world.faults.add(faults, seconds=self._world.seconds)

    async def faults(self, _: Request) -> list[dict[str, Any]]:
        return self._world.faults.as_json()

    async def clear_faults(self, _: Request) -> None:
        self._world.faults.clear()

    async def deed(self, request: Request) -> Any:
        params = request.path_params
        deed = DEEDS.get((params["kind"], params["deed"]))
        if deed is None:
            raise NoSuchThing(f"no deed {params['kind']}/{params['deed']}")
        return deed(self._world, params["id"], await _object(request))


def control_routes(world: World) -> list[Route]:
    return Control(world).routes()


def describe(world: World) -> dict[str, Any]:
    """The world at a glance; keys without their secrets."""
    return {
        "now": world.now.isoformat(),
        "settings": asdict(world.settings),
        "projects": [
            {"id": p.id, "organization_id": p.organization_id} for p in world.identity.projects.values()
        ],
        "keys": [
            {
                "access_key": k.access_key,
                "project_id": k.project_id,
                "rights": sorted(k.rights),
                "revoked": k.revoked,
                "expires_at": None if k.expires_at is None else k.expires_at.isoformat(),
            }
            for k in world.identity.keys
        ],
        "numbers": {
            "servers": len(world.servers),
            "block_volumes": len(world.block_volumes),
            "local_volumes": len(world.local_volumes),
            "ips": len(world.ips),
            "security_groups": len(world.security_groups),
        },
        "faults": world.faults.as_json(),
    }


async def _json(request: Request) -> Any:
    raw = await request.body()
    return json.loads(raw) if raw else {}


async def _object(request: Request) -> dict[str, Any]:
    found = await _json(request)
    if not isinstance(found, dict):
        raise ValueError("a JSON object is wanted")  # noqa: TRY004  # one error type for bad input
    return found
