"""A small HTTP server in the place of an API server: answers what it was told, and remembers what it was
asked.
"""

import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from inventiv_operator.kube.access import ClusterAccess
from inventiv_operator.kube.client import KubeClient
from inventiv_operator.kube.transport import Transport
from inventiv_operator.runtime.clock import SystemClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class FakeApiServer:
    """Answers in the order given; one without an answer left fails the test with a 500."""

    answers: deque[web.Response] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    kubeconfig: Path = Path()

    def answer(self, body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.answers.append(
            web.Response(text=text, status=status, headers=headers, content_type="application/json")
        )

    def refuse(self, status: int, reason: str, message: str = "no", **details: Any) -> None:
        self.answer(
            {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "details": details},
            status=status,
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        content = await request.text()
        self.asked.append(
            Asked(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                headers={name.lower(): value for name, value in request.headers.items()},
                body=json.loads(content) if content else None,
            )
        )
        if not self.answers:
            return web.Response(status=500, text="the test has no answer for this")
        return self.answers.popleft()

    def use_token(self, token: str, *, server: str) -> None:
        self.kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": {"server": server}}],
                    "users": [{"name": "u", "user": {"token": token}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )


@asynccontextmanager
async def fake_api_server(folder: Path) -> AsyncIterator[tuple[FakeApiServer, KubeClient, str]]:
    """The server, a client that talks to it, and its URL."""
    fake = FakeApiServer(kubeconfig=folder / "kubeconfig")
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", fake.handle)
    server = TestServer(app)
    await server.start_server()
    url = str(server.make_url("")).rstrip("/")
    fake.use_token("first-token", server=url)
    access = ClusterAccess(clock=SystemClock(), environ={"KUBECONFIG": str(fake.kubeconfig)})
    try:
        async with Transport(access) as transport:
            yield fake, KubeClient(transport), url
    finally:
        await server.close()
