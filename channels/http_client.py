"""One HTTP request to a provider: one deadline, no retry, no redirect, and what is known of it afterwards.

Providers' own clients have deadlines per read or none, try again behind one's back, and hide headers. What
matters for a message is whether its request may have arrived, so that is noted as it happens.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx

from schemas import tracing

DEADLINE_SECONDS = 10.0
CONNECT_SECONDS = 3.0
BODY_LIMIT_BYTES = 1_000_000
RETRY_AFTER_LIMIT_SECONDS = 3600.0

# httpx logs every URL at INFO, and a URL may hold a customer's number
logging.getLogger("httpx").setLevel(logging.WARNING)


class UnreadableAnswerError(Exception):
    """The answer is too long, or encoded though we asked for plain."""


@dataclass
class Exchange:
    """What happened on the wire during one request: `sent` once its first byte may have left."""

    sent: bool = False
    status: int | None = None
    retry_after_seconds: float | None = None


@dataclass(frozen=True)
class Answer:
    """A whole answer, its body decoded."""

    status: int
    body: str
    headers: Mapping[str, str]


@cache
def _authorities() -> ssl.SSLContext:
    # To load the certificates of all authorities takes 20 ms and a megabyte, for each provider anew.
    return httpx.create_ssl_context(trust_env=False)


class HttpClient:
    """Sends requests over a few connections that are kept open shortly.

    base_url: replaces scheme, host and port of every URL; empty leaves them.
    Raises httpx errors, TimeoutError at the deadline, UnreadableAnswerError.
    """

    def __init__(
        self,
        base_url: str = "",
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        body_limit_bytes: int = BODY_LIMIT_BYTES,
    ) -> None:
        self._base = urlsplit(base_url) if base_url else None
        self._deadline_seconds = deadline_seconds
        self._body_limit_bytes = body_limit_bytes
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(deadline_seconds, connect=connect_seconds, pool=connect_seconds),
            follow_redirects=False,
            trust_env=False,
            verify=_authorities(),
            # short, so that a connection which the other side may be closing just now is rarely used again
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=4.0),
            headers={"Accept-Encoding": "identity"},
        )

    async def request(
        self,
        method: str,
        url: str,
        exchange: Exchange,
        *,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        server_name: str | None = None,
    ) -> Answer:
        """One request, noted in `exchange` as it goes on; `data` is sent as a form, `content` as it is.

        server_name: whose certificate the server must show where `url` has its address instead of its name.
        """

        async def trace(event: str, _: Any) -> None:
            if event.endswith("send_request_headers.started"):
                exchange.sent = True

        request = self._client.build_request(
            method, self._move(url), params=params, data=data, content=content, headers=headers,
            extensions={"trace": trace} | ({"sni_hostname": server_name} if server_name else {}),
        )  # fmt: skip
        with tracing.span(f"HTTP {method}", kind="client", server__address=request.url.host) as span:
            return await self._send(request, exchange, auth, span)

    async def _send(
        self, request: httpx.Request, exchange: Exchange, auth: tuple[str, str] | None, span: tracing.Spot
    ) -> Answer:
        async with asyncio.timeout(self._deadline_seconds):
            response = await self._client.send(request, auth=auth, stream=True)
            span.set(http__response__status_code=response.status_code)
            try:
                exchange.status = response.status_code
                exchange.retry_after_seconds = _read_retry_after(response.headers.get("Retry-After"))
                body = await _read_body(response, self._body_limit_bytes)
            finally:
                await response.aclose()
        return Answer(response.status_code, body, dict(response.headers))

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._client.aclose()

    def _move(self, url: str) -> str:
        if self._base is None:
            return url
        parts = urlsplit(url)
        return urlunsplit(
            (self._base.scheme, self._base.netloc, self._base.path.rstrip("/") + parts.path, parts.query, "")
        )


async def _read_body(response: httpx.Response, limit_bytes: int) -> str:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise UnreadableAnswerError("the answer is encoded")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit_bytes:
            raise UnreadableAnswerError(f"the answer has more than {limit_bytes} bytes")
    return body.decode("utf-8", "replace")


def _read_retry_after(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(int(value))
    except OverflowError:
        return RETRY_AFTER_LIMIT_SECONDS
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), RETRY_AFTER_LIMIT_SECONDS)
