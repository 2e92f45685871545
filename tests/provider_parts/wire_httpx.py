"""An exchange over any httpx transport: the simulator in this very process (`httpx.ASGITransport`)."""

from collections.abc import Mapping

import httpx

from inventiv_operator.scaleway.wire import Interrupted, NotSent, WireAnswer


class HttpxWire:
    """Uses the transport itself, not a client: no cookie jar, no redirect, no environment."""

    def __init__(self, transport: httpx.AsyncBaseTransport, *, api_url: str = "http://scaleway.test") -> None:
        self._transport = transport
        self._api_url = api_url.rstrip("/")

    async def send(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None
    ) -> WireAnswer:
        request = httpx.Request(method, f"{self._api_url}{target}", headers=headers, content=body)
        try:
            answer = await self._transport.handle_async_request(request)
            try:
                content = await answer.aread()
            finally:
                await answer.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            raise NotSent(type(error).__name__) from None
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise Interrupted(type(error).__name__) from None
        return WireAnswer(
            status=answer.status_code,
            body=content,
            request_id=answer.headers.get("X-Request-Id", "")[:64],
            total=answer.headers.get("X-Total-Count"),
            retry_after=answer.headers.get("Retry-After"),
        )
