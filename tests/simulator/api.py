"""The few calls the simulator's own tests make, as short names."""

from dataclasses import dataclass
from typing import Any

import httpx

ZONE = "fr-par-2"
INSTANCE = f"/instance/v1/zones/{ZONE}"
BLOCK = f"/block/v1/zones/{ZONE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    project_id: str
    access_key: str
    secret_key: str


ALPHA = Tenant(
    project_id="aaaaaaaa-0000-4000-8000-000000000001",
    access_key="SCWAAAAAAAAAAAAAAAAA",
    secret_key="aaaaaaaa-1111-4111-8111-111111111111",
)
BETA = Tenant(
    project_id="bbbbbbbb-0000-4000-8000-000000000002",
    access_key="SCWBBBBBBBBBBBBBBBBB",
    secret_key="bbbbbbbb-1111-4111-8111-111111111111",
)


class Api:
    def __init__(self, client: httpx.AsyncClient, tenant: Tenant) -> None:
        self.client = client
        self.tenant = tenant

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        headers = {"X-Auth-Token": self.tenant.secret_key}
        return await self.client.request(method, path, json=body, headers=headers, **more)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.call("GET", path, **more)

    async def create(self, name: str = "worker", **more: Any) -> dict[str, Any]:
        body = {
            "name": name,
            "commercial_type": "L4-1-24G",
            "image": "ubuntu_jammy_gpu_os_12",
            "project": self.tenant.project_id,
            "dynamic_ip_required": True,
            **more,
        }
        response = await self.call("POST", f"{INSTANCE}/servers", body)
        assert response.status_code == 201, response.text
        return dict(response.json()["server"])

    async def server(self, server_id: str) -> dict[str, Any]:
        response = await self.get(f"{INSTANCE}/servers/{server_id}")
        assert response.status_code == 200, response.text
        return dict(response.json()["server"])

    async def servers(self, **params: str) -> list[dict[str, Any]]:
        response = await self.get(f"{INSTANCE}/servers", params=params)
        assert response.status_code == 200, response.text
        return list(response.json()["servers"])

    async def act(self, server_id: str, action: str) -> httpx.Response:
        return await self.call("POST", f"{INSTANCE}/servers/{server_id}/action", {"action": action})

    async def volume(self, volume_id: str) -> httpx.Response:
        return await self.get(f"{BLOCK}/volumes/{volume_id}")

    async def billed(self) -> dict[str, Any]:
        return dict((await self.client.get("/_simulator/billed")).json())

    async def control(self, path: str, body: Any = None, *, method: str = "POST") -> httpx.Response:
        return await self.client.request(method, f"/_simulator/{path}", json=body)

    async def faults(self, *faults: dict[str, Any]) -> None:
        response = await self.control("faults", list(faults))
        assert response.status_code == 204, response.text


def root_of(server: dict[str, Any]) -> str:
    return str(server["volumes"]["0"]["id"])
