"""The API server of an own stack, as its administrator, without starting kubectl for every look."""

import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from local_stack.errors import LocalStackError
from local_stack.parts import Part
from local_stack.site import Site

OURS = "/apis/inventiv.io/v1alpha1"
CORE = "/api/v1"
_PLURALS = {
    "Namespace": (CORE, "namespaces", False),
    "Secret": (CORE, "secrets", True),
    "Organization": (OURS, "organizations", False),
    "ProviderCredential": (OURS, "providercredentials", True),
    "Deployment": (OURS, "deployments", True),
}
_WITHIN_S = 30.0


class ApiClient:
    """Blocking; kinds are those a tenant is made of. A context manager that closes its connections."""

    def __init__(self, site: Site) -> None:
        """Raises LocalStackError for a borrowed cluster: its kubeconfig may need kubectl's login plugins."""
        if site.state.outside.kubeconfig:
            raise LocalStackError("only an own cluster can be talked to without kubectl")
        self._http = httpx.Client(
            base_url=site.url(Part.APISERVER, scheme="https"),
            headers={"Authorization": f"Bearer {site.state.secrets.admin_token}"},
            verify=ssl.create_default_context(cafile=str(site.certificates / "ca.crt")),
            timeout=_WITHIN_S,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, kind: str, name: str, *, namespace: str = "") -> dict[str, Any] | None:
        """None is a 404 and nothing else."""
        answer = self._http.get(_path(kind, namespace, name))
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return _object(answer)

    def list(self, kind: str, *, namespace: str = "") -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = _object(self._http.get(_path(kind, namespace)))["items"]
        return items

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Server-side, one after the other, with strict field validation as kubectl asks for."""
        for body in objects:
            metadata = body["metadata"]
            answer = self._http.patch(
                _path(body["kind"], metadata.get("namespace", ""), metadata["name"]),
                params={"fieldManager": "local-stack", "force": "true", "fieldValidation": "Strict"},
                headers={"Content-Type": "application/apply-patch+yaml"},
                json=dict(body),
            )
            _object(answer)

    def delete(self, kind: str, name: str = "", *, namespace: str = "") -> None:
        """Without a name, all of a namespace. What is not there is no error."""
        answer = self._http.delete(_path(kind, namespace, name))
        if answer.status_code != httpx.codes.NOT_FOUND:
            _object(answer)


def is_ready(body: Mapping[str, Any] | None) -> bool:
    """Whether its condition Ready is True."""
    conditions = ((body or {}).get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _path(kind: str, namespace: str, name: str = "") -> str:
    root, plural, is_namespaced = _PLURALS[kind]
    where = f"/namespaces/{namespace}" if is_namespaced and namespace else ""
    return f"{root}{where}/{plural}" + (f"/{name}" if name else "")


def _object(answer: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json() if answer.content else {}
    if answer.is_error:
        raise LocalStackError(f"the API server answers {answer.status_code}: {body.get('message', '')}")
    return body
