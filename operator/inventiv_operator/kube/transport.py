"""One HTTP exchange with the API server: plain aiohttp, every failure in our own error tree.

Measured against the generated `kubernetes.aio` client: see docs/decisions.
"""

import json
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Self

import aiohttp

from inventiv_operator.kube.access import Access, ClusterAccess, ssl_context_of
from inventiv_operator.kube.errors import Unauthorized, Unavailable, error_of

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML; every served version knows this type
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"

REQUEST_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
LIST_TIMEOUT_S = 60.0
_CONNECTIONS = 32


class Transport:
    """An async context manager around one session; follows rotated tokens and certificates."""

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._tls_of: Access | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        what: str,
        rule: str,
        params: Mapping[str, str] | None = None,
        body: object | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> dict[str, Any]:
        """Send and parse; `what` and `rule` only serve the error messages.

        A 401 is repeated once with freshly loaded credentials: it was refused before anything happened.

        Raises:
            KubeError: any of the tree; a timeout and a broken connection are `Unavailable`.
        """
        access = await self._access.current()
        for attempt in (1, 2):
            try:
                return await self._exchange(
                    access,
                    method,
                    path,
                    what=what,
                    rule=rule,
                    params=params,
                    data=None if body is None else json.dumps(body, separators=(",", ":")).encode(),
                    headers={"Accept": accept, "Content-Type": content_type},
                    timeout_s=timeout_s,
                )
            except Unauthorized:
                if attempt == 2:  # noqa: PLR2004 - the second and last
                    raise
                access = await self._access.current(refused=access)
        raise AssertionError("unreachable")

    async def _exchange(
        self,
        access: Access,
        method: str,
        path: str,
        *,
        what: str,
        rule: str,
        params: Mapping[str, str] | None,
        data: bytes | None,
        headers: dict[str, str],
        timeout_s: float,
    ) -> dict[str, Any]:
        if access.authorization:
            headers = {**headers, "Authorization": access.authorization}
        try:
            async with self._open().request(
                method,
                f"{access.server}{path}",
                params=params,
                data=data,
                headers=headers,
                ssl=self._context(access),
                server_hostname=access.server_name,
                proxy=access.proxy_url,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S),
            ) as answer:
                content = await answer.read()
                status, retry_after = answer.status, answer.headers.get("Retry-After")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # The text of an aiohttp error names host and port and nothing that was sent.
            detail = str(error) or type(error).__name__
            raise Unavailable(f"{what}: the API server cannot be reached: {detail}") from error
        if status >= HTTPStatus.BAD_REQUEST:
            raise error_of(status=status, body=content, what=what, rule=rule, retry_after=retry_after)
        return _parse(content, what=what, status=status)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                trust_env=False,
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _context(self, access: Access) -> ssl.SSLContext:
        """The context of `access`; a new one (and so new connections) when it is another access."""
        if self._tls is None or self._tls_of is None or _tls_parts(access) != _tls_parts(self._tls_of):
            self._tls = ssl_context_of(access)
            self._tls_of = access
        return self._tls


def _tls_parts(access: Access) -> tuple[object, ...]:
    return (access.ca_path, access.certificate_path, access.private_key_path, access.insecure)


def _parse(content: bytes, *, what: str, status: int) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except ValueError as error:
        raise Unavailable(f"{what}: HTTP {status} with a body that is no JSON", status=status) from error
    if not isinstance(parsed, dict):
        raise Unavailable(f"{what}: HTTP {status} with JSON that is no object", status=status)
    return parsed
