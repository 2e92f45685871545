"""One HTTP exchange, and nothing else: no retry, no redirect, no cookie, nothing from the environment (T3).

aiohttp and not httpx: 0.3 ms of CPU per call against 2 to 4 ms (docs/decisions).
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import aiohttp
import certifi
from pydantic import SecretStr
from yarl import URL

BODY_MAX_BYTES: Final = 32 * 2**20
"""The largest answer seen, a page of `products/servers`, has 50 kB."""
KEEP_ALIVE_S: Final = 4.0
"""Shorter than any server's (5 s is common): a POST on a connection that is just being closed has an unknown
outcome. Long enough for what is polled every two seconds."""


class NotSent(Exception):
    """No connection came about: the provider never saw the request."""


class Interrupted(Exception):
    """The request may have been processed; there is no whole answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireAnswer:
    """An answer as it came; `total` is the header `X-Total-Count`."""

    status: int
    body: bytes
    request_id: str
    total: str | None
    retry_after: str | None


class Wire(Protocol):
    """The seam at which tests put their own provider."""

    async def send(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None
    ) -> WireAnswer:
        """Send once. `target` is path and query, encoded.

        The caller sets the deadline of the whole; a connection that does not come about in time is `NotSent`.

        Raises:
            NotSent, Interrupted: see there; their texts name no secret.
        """
        ...


class AiohttpWire:
    """Keep-alive connections to one API, shared by all tenants; an async context manager.

    The number of connections is bounded by the gates, not here: a tenant whose calls hang must not use up a
    pool.
    """

    def __init__(
        self,
        *,
        api_url: str,
        connect_timeout_s: float,
        proxy_url: SecretStr | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self._api_url = api_url.rstrip("/")
        self._proxy = None if proxy_url is None else URL(proxy_url.get_secret_value())
        self._ca_file = ca_file
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Raises ValueError when the CA file is unusable."""
        self._session = aiohttp.ClientSession(
            trust_env=False,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S, ssl=self._tls()),
            cookie_jar=aiohttp.DummyCookieJar(),
            raise_for_status=False,
        )
        # aiohttp repeats a GET, PUT or DELETE by itself when a kept connection turns out to be closed.
        # Retries are the queue's. A test on a real socket says so, should this attribute ever go.
        self._session._retry_connection = False  # noqa: SLF001
        return self

    def _tls(self) -> ssl.SSLContext | bool:
        """Loading the authorities takes a while; a simulator without TLS does not need them."""
        urls = (self._api_url, "" if self._proxy is None else self._proxy.scheme)
        if self._ca_file is None and not any(url.startswith("https") for url in urls):
            return True
        return tls_context(self._ca_file)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None
    ) -> WireAnswer:
        if self._session is None:
            raise NotSent("the provider client is closed")
        try:
            async with self._session.request(
                method,
                URL(f"{self._api_url}{target}", encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                timeout=self._timeout,
                proxy=self._proxy,
            ) as answer:
                return WireAnswer(
                    status=answer.status,
                    body=await _bounded(answer),
                    request_id=answer.headers.get("X-Request-Id", "")[:64],
                    total=answer.headers.get("X-Total-Count"),
                    retry_after=answer.headers.get("Retry-After"),
                )
        # The causes are cut off: a text of theirs may hold the proxy's password or a header.
        except (
            aiohttp.ClientConnectorError,
            aiohttp.ClientHttpProxyError,
            aiohttp.ConnectionTimeoutError,
        ) as error:
            raise NotSent(_told(error)) from None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Interrupted(_told(error)) from None


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    chunks = []
    size = 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > BODY_MAX_BYTES:
            answer.close()
            raise Interrupted(f"an answer of more than {BODY_MAX_BYTES} bytes")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _told(error: Exception) -> str:
    """The kind of trouble, with the system's word for it where there is one."""
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    word = getattr(cause, "verify_message", None) or getattr(cause, "strerror", None)
    name = type(error).__name__
    return f"{name}: {word}" if isinstance(word, str) and word else name


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """The public authorities, and those of `ca_file` besides.

    Raises:
        ValueError: one line; the file is unreadable or holds no certificate.
    """
    context = ssl.create_default_context(cafile=certifi.where())
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ValueError(f"CA file {ca_file} cannot be used: {error.strerror or error}") from error
    return context
