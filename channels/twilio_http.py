"""The transport under Twilio's client: one request, one deadline, no retry.

Twilio's own transports have no deadline (their timeout is per read, and the asynchronous one ignores it) and
hide the headers of errors; this one notes what is needed to tell "surely not sent" from "maybe sent".
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from twilio.http import AsyncHttpClient  # type: ignore[import-untyped]
from twilio.http.response import Response  # type: ignore[import-untyped]

DEADLINE_SECONDS = 10.0
CONNECT_SECONDS = 3.0
BODY_LIMIT_BYTES = 1_000_000
RETRY_AFTER_LIMIT_SECONDS = 3600.0

# httpx logs every URL at INFO, and a look-up's URL holds the customer's number
logging.getLogger("httpx").setLevel(logging.WARNING)


class UnreadableAnswerError(Exception):
    """The answer is too long, or encoded though we asked for plain."""


@dataclass
class Exchange:
    """What happened on the wire during one call of Twilio's client."""

    sent: bool = False
    status: int | None = None
    retry_after_seconds: float | None = None


current_exchange: ContextVar[Exchange] = ContextVar("current_exchange")
"""Set by the caller before it calls Twilio's client, filled in here: the client hands on no headers."""


class HttpxTransport(AsyncHttpClient):  # type: ignore[misc]
    """An HTTP client for twilio.rest.Client over one pooled httpx client.

    base_url: replaces scheme, host and port of every URL; empty leaves Twilio's.
    Raises httpx errors, TimeoutError at the deadline, UnreadableAnswerError.
    """

    def __init__(
        self,
        base_url: str = "",
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        super().__init__(logging.getLogger("channels.twilio"), True, deadline_seconds)
        self._base = urlsplit(base_url) if base_url else None
        self._deadline_seconds = deadline_seconds
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(deadline_seconds, connect=connect_seconds, pool=connect_seconds),
            follow_redirects=False,
            trust_env=False,
            # short, so that a connection which the other side may be closing just now is rarely used again
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=4.0),
            headers={"Accept-Encoding": "identity"},
        )

    async def request(
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """One request; `timeout` and `allow_redirects` of the caller are ignored on purpose."""
        exchange = current_exchange.get(None) or Exchange()

        async def trace(event: str, _: Any) -> None:
            if event.endswith("send_request_headers.started"):
                exchange.sent = True

        request = self._client.build_request(
            method, self._move(uri), params=_plain(params), data=_plain(data), headers=headers,
            extensions={"trace": trace},
        )  # fmt: skip
        async with asyncio.timeout(self._deadline_seconds):
            response = await self._client.send(request, auth=auth, stream=True)
            try:
                exchange.status = response.status_code
                exchange.retry_after_seconds = _read_retry_after(response.headers.get("Retry-After"))
                body = await _read_body(response)
            finally:
                await response.aclose()
        return Response(response.status_code, body, dict(response.headers))

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._client.aclose()

    def _move(self, uri: str) -> str:
        if self._base is None:
            return uri
        parts = urlsplit(uri)
        return urlunsplit(
            (self._base.scheme, self._base.netloc, self._base.path.rstrip("/") + parts.path, parts.query, "")
        )


async def _read_body(response: httpx.Response) -> str:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise UnreadableAnswerError("the answer is encoded")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > BODY_LIMIT_BYTES:
            raise UnreadableAnswerError(f"the answer has more than {BODY_LIMIT_BYTES} bytes")
    return body.decode("utf-8", "replace")


def _plain(fields: dict[str, object] | None) -> dict[str, Any] | None:
    return {name: value for name, value in fields.items() if value is not None} if fields else None


def _read_retry_after(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(int(value))
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), RETRY_AFTER_LIMIT_SECONDS)
