"""The simulator's control interface: what the world holds, was asked, bills, and gets wrong next."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx

from local_stack.errors import LocalStackError

_WITHIN_S = 10.0
_BILLED_KINDS = ("servers", "volumes", "ips", "security_groups")


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantKey:
    """A key that the simulator lets in, with the project it is good for."""

    access_key: str
    secret_key: str = field(repr=False)
    project_id: str
    organization_id: str

    def as_world(self) -> dict[str, str]:
        return {
            "access_key": self.access_key,
            "secret_key": self.secret_key,
            "project_id": self.project_id,
        }


def new_key(*, project_id: str = "", organization_id: str = "") -> TenantKey:
    """Random, of the form that Scaleway gives out."""
    return TenantKey(
        access_key="SCW" + uuid.uuid4().hex[:17].upper(),
        secret_key=str(uuid.uuid4()),
        project_id=project_id or str(uuid.uuid4()),
        organization_id=organization_id or str(uuid.uuid4()),
    )


class SimulatorClient:
    """Blocking; for tests and the demo. A context manager that closes its connections."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=f"{url}/_simulator", timeout=_WITHIN_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def reset(self, *keys: TenantKey, **world: Any) -> None:
        """Begin anew with the projects of these keys; more of the world by name (`latency_ms` ...)."""
        projects = {key.project_id: key.organization_id for key in keys}
        described = {
            "projects": [
                {"id": project, "organization_id": organization} for project, organization in projects.items()
            ],
            "keys": [key.as_world() for key in keys],
        }
        self._ask("POST", "/reset", json=described | world)

    def add_key(self, key: TenantKey, **more: Any) -> None:
        """`more`: `rights`, `expires_at`."""
        self._ask("POST", "/keys", json=key.as_world() | {"organization_id": key.organization_id} | more)

    def billed(self) -> dict[str, Any]:
        """What costs money right now, and for whom."""
        answer: dict[str, Any] = self._ask("GET", "/billed")
        return answer

    def billed_count(self) -> dict[str, int]:
        billed = self.billed()
        return {kind: len(billed[kind]) for kind in _BILLED_KINDS}

    def calls(self, *, since: int = 0) -> list[dict[str, Any]]:
        """The call log after number `since`, oldest first; control calls are not in it."""
        answer = self._ask("GET", "/calls", params={"since": since})
        found: list[dict[str, Any]] = answer["calls"] if isinstance(answer, dict) else answer
        return found

    def state(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("GET", "/state")
        return answer

    def faults(self, *faults: Mapping[str, Any]) -> None:
        self._ask("POST", "/faults", json=list(faults))

    def clear_faults(self) -> None:
        self._ask("DELETE", "/faults")

    def change(self, **settings: Any) -> None:
        """Other durations, stock or quotas from here on."""
        self._ask("POST", "/settings", json=settings)

    def someone_else(self, kind: str, id_: str, deed: str, **about: Any) -> Any:
        """Let other people do something to a thing: stop, rename, delete, attach, edit tags."""
        return self._ask("POST", f"/world/{kind}/{id_}/{deed}", json=about)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        params: Mapping[str, int] | None = None,
    ) -> Any:
        try:
            answer = self._http.request(method, path, json=json, params=params)
        except httpx.HTTPError as error:
            raise LocalStackError(f"the simulator at {self.url} does not answer: {error}") from error
        if answer.is_error:
            raise LocalStackError(
                f"the simulator refuses {method} {path}: {answer.status_code} {answer.text}"
            )
        return answer.json() if answer.content else None
