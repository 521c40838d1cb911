"""The transport under Twilio's client: ours, in the shape that the client asks for.

Twilio's own transports have no deadline (their timeout is per read, and the asynchronous one ignores it) and
hide the headers of errors.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

from twilio.http import AsyncHttpClient  # type: ignore[import-untyped]
from twilio.http.response import Response  # type: ignore[import-untyped]

from channels.http_client import Exchange, HttpClient

current_exchange: ContextVar[Exchange] = ContextVar("current_exchange")
"""Set by the caller before it calls Twilio's client, filled in here: the client hands on no headers."""


class HttpxTransport(AsyncHttpClient):  # type: ignore[misc]
    """An HTTP client for twilio.rest.Client over one of ours, whose errors it raises."""

    def __init__(self, client: HttpClient, *, deadline_seconds: float) -> None:
        super().__init__(logging.getLogger("channels.twilio"), True, deadline_seconds)
        self._client = client

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
        answer = await self._client.request(
            method, uri, exchange, params=_plain(params), data=_plain(data), headers=headers, auth=auth
        )
        return Response(answer.status, answer.body, dict(answer.headers))


def _plain(fields: dict[str, object] | None) -> dict[str, Any] | None:
    return {name: value for name, value in fields.items() if value is not None} if fields else None
