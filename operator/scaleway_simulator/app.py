"""The ASGI app: one request from the socket to its handler and back, faults included.

No lifespan, no task, no global: `create_app(world)` works with `httpx.ASGITransport` (or the transport of
`in_process`, which also lets read time-outs fire) and on a virtual event loop.
"""

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from scaleway_simulator.calls import LoggedCall
from scaleway_simulator.control import control_routes
from scaleway_simulator.errors import ConnectionDropped, DeniedAuthentication, RateLimited, WireError
from scaleway_simulator.faults import Fault
from scaleway_simulator.identity import ApiKey, permit
from scaleway_simulator.wire.call import Answer, Call
from scaleway_simulator.wire.routes import NOT_IN_MINIMAL, Route, RouteTable
from scaleway_simulator.world import World

GATEWAY = "Scaleway API Gateway (fr-par-3;edge02)"
CONTROL_PREFIX = "/_simulator"
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"
UNKNOWN_PATH = Answer(status=404, text=b"404 page not found\n", headers={"Content-Type": "text/plain"})


def create_app(world: World) -> ASGIApp:
    """An ASGI app for a world; any number of apps may share one."""
    control = Starlette(routes=control_routes(world))
    provider = Provider(world)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(CONTROL_PREFIX):
            await control(scope, receive, send)
        elif scope["type"] == "http":
            await provider(scope, receive, send)

    return app


async def _lifespan(receive: Receive, send: Send) -> None:
    """Nothing to open or close; servers ask all the same."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


class Provider:
    """The endpoints of Scaleway."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._routes = RouteTable()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = await _read(receive)
        try:
            answer = await self._exchange(scope, raw)
        except ConnectionDropped:
            transport = _transport_of(receive)
            if transport is None:
                raise
            transport.abort()
            return
        await self._send(send, answer)

    async def _exchange(self, scope: Scope, raw: bytes) -> Answer:
        world = self._world
        world.settle()
        method, path = scope["method"], scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        path = path.partition("?")[0]
        query = scope["query_string"].decode("latin-1")
        key = world.identity.known_secret(_token(scope))
        found = self._routes.find(method, path)
        logged = world.calls.begin(
            at=world.now,
            method=method,
            path=path,
            query=query,
            template=path if found is None else found[0].template,
            access_key=None if key is None else key.access_key,
            project=None if key is None else key.project_id,
            request_id=world.new_id(),
        )
        status: int | None = None
        try:
            answer = await self._with_faults(scope, raw, found, logged)
            status = answer.status
        finally:
            world.calls.end(logged, status=status)
        return replace(answer, headers={**answer.headers, "X-Request-Id": logged.request_id})

    async def _with_faults(
        self, scope: Scope, raw: bytes, found: tuple[Route, Mapping[str, str]] | None, logged: LoggedCall
    ) -> Answer:
        world = self._world
        fault = world.faults.strike(
            method=logged.method,
            target=f"{logged.path}?{logged.query}" if logged.query else logged.path,
            access_key=logged.access_key,
            project=logged.project,
            seconds=world.seconds,
        )
        half_s = world.settings.latency_ms / 2000
        await self._pass(half_s)
        if fault is None:
            answer = self._serve(scope, raw, found)
            await self._pass(half_s)
            return answer
        logged.fault = fault.kind
        if fault.kind == "delay_before":
            await self._pass(fault.seconds)
        if not fault.commit and fault.kind != "partial_page":
            await self._pass(half_s)
            return _refusal(fault)
        answer = self._serve(scope, raw, found)
        if fault.kind == "late_appearance":
            _hide(world, answer, seconds=fault.seconds)
        await self._pass(half_s + (fault.seconds if fault.kind == "delay" else 0.0))
        return _spoiled(fault, answer)

    async def _pass(self, delay_s: float) -> None:
        """Time outside the world goes by; what falls due meanwhile happens before the next look."""
        if delay_s > 0:
            await self._world.clock.sleep(delay_s)
        self._world.settle()

    def _serve(self, scope: Scope, raw: bytes, found: tuple[Route, Mapping[str, str]] | None) -> Answer:
        """Behaviour, without a single await: a request takes effect as a whole or not at all."""
        world = self._world
        if found is None:
            return UNKNOWN_PATH
        route, params = found
        if world.settings.minimal and any(part in route.template for part in NOT_IN_MINIMAL):
            return UNKNOWN_PATH
        try:
            key = self._authorized(route, _token(scope))
            query = _query(scope["query_string"].decode("latin-1"))
            return route.handler(Call(world=world, key=key, params=params, query=query, raw=raw))
        except WireError as exc:
            return Answer(status=exc.status, body=exc.body(), headers=exc.headers())

    def _authorized(self, route: Route, token: str | None) -> ApiKey | None:
        world = self._world
        if route.right == "":
            return None
        if token is None:
            raise DeniedAuthentication("invalid_argument")
        key = world.identity.authenticate(token, now=world.now)
        world.identity.project(key.project_id, now=world.now)
        permit(key, right=route.right, is_write=route.is_write, seconds=world.seconds)
        return key

    async def _send(self, send: Send, answer: Answer) -> None:
        payload, headers = _payload(answer)
        headers["Date"] = format_datetime(self._world.now, usegmt=True)
        headers["Server"] = GATEWAY
        encoded = [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
        await send({"type": "http.response.body", "body": payload})


def _payload(answer: Answer) -> tuple[bytes, MutableMapping[str, str]]:
    headers = dict(answer.headers)
    if answer.text is not None:
        payload = answer.text
    elif answer.body is None:
        payload = b""
    else:
        separators = (",", ":") if answer.compact else (", ", ": ")
        payload = json.dumps(answer.body, separators=separators).encode()
    if answer.status != RateLimited.status:
        headers.setdefault("Content-Type", "application/json")
    if answer.status != 204:  # noqa: PLR2004  # no content, no length
        headers["Content-Length"] = str(len(payload))
    return payload, headers


def _refusal(fault: Fault) -> Answer:
    """The answer of a fault that kept the request from taking effect.

    Raises:
        ConnectionDropped: the answer is none.
    """
    if fault.kind == "drop_before":
        raise ConnectionDropped(committed=False)
    if fault.kind == "html":
        return Answer(status=fault.status or 200, text=HTML, headers={"Content-Type": "text/html"})
    return _status_answer(fault)


def _spoiled(fault: Fault, answer: Answer) -> Answer:
    """What is left of the true answer.

    Raises:
        ConnectionDropped: nothing.
    """
    match fault.kind:
        case "drop_after_commit":
            raise ConnectionDropped(committed=True)
        case "late_appearance":
            return _late_answer(fault, answer)
        case "status" | "html":
            return _refusal(fault)
        case "empty_body":
            return replace(answer, body=None, text=b"")
        case "truncated":
            payload, headers = _payload(answer)
            return Answer(status=answer.status, text=payload[: len(payload) // 2], headers=headers)
        case "partial_page":
            return _halved(answer)
        case _:
            return answer


def _late_answer(fault: Fault, answer: Answer) -> Answer:
    if fault.status is None:
        raise ConnectionDropped(committed=True)
    return answer if fault.status == answer.status else _status_answer(fault)


def _status_answer(fault: Fault) -> Answer:
    """A status with the body it was recorded with, unless the fault brings its own."""
    status = fault.status or 500
    if fault.has_body:
        return Answer(status=status, body=fault.body)
    if status == RateLimited.status:
        return Answer(status=status, headers=RateLimited().headers())
    return Answer(status=status, body=RECORDED_BODIES.get(status, {"type": "unknown", "message": "fault"}))


RECORDED_BODIES: Mapping[int, Mapping[str, Any]] = {
    401: DeniedAuthentication("not_found").body(),
    403: {
        "details": [{"action": "read", "resource": "servers"}],
        "message": "insufficient permissions",
        "type": "permissions_denied",
    },
    404: {"type": "not_found", "message": "resource is not found", "resource": "", "resource_id": ""},
    409: {
        "type": "transient_state",
        "message": "resource is in a transient state",
        "current_state": "updating",
    },
    412: {"message": "resource is out of stock", "resource": "", "type": "out_of_stock"},
    500: {"type": "server_error", "message": "Internal error"},
    503: {"type": "service_unavailable", "message": "service is temporarily unavailable"},
}


def _halved(answer: Answer) -> Answer:
    """A listing that lost the second half of its page, and says nothing about it."""
    if answer.items is None or not isinstance(answer.body, dict):
        return answer
    whole = answer.body[answer.items]
    keep = len(whole) // 2
    half = dict(list(whole.items())[:keep]) if isinstance(whole, dict) else whole[:keep]
    return replace(answer, body=answer.body | {answer.items: half})


def _hide(world: World, answer: Answer, *, seconds: float) -> None:
    made = answer.body.get("server") if isinstance(answer.body, dict) else None
    server = world.servers.find(made["id"]) if isinstance(made, dict) else None
    if server is not None:
        server.visible_at_s = world.seconds + seconds


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _token(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-auth-token":
            return str(value, "latin-1")
    return None


def _query(text: str) -> dict[str, str]:
    """Repeated parameters are joined by commas, as the API reads `tags=a&tags=b`."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _transport_of(receive: Receive) -> Any:
    """The connection of a request under uvicorn; None in process. `receive` is a method of what holds it."""
    return getattr(getattr(receive, "__self__", None), "transport", None)
