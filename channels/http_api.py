"""One provider's HTTP API: one request per message, and what is known where the answer is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from channels.http_client import (
    CONNECT_SECONDS,
    DEADLINE_SECONDS,
    Answer,
    Exchange,
    HttpClient,
    UnreadableAnswerError,
)
from channels.outcome import AccountError, FailureClass, TransientError, UnknownOutcomeError

# What an answer means where the provider says nothing more exact. 5xx: it may have been taken before something broke.
STATUS_CLASSES: dict[int, FailureClass] = {
    401: "account",
    403: "account",
    404: "account",  # our base URL isn't where the API is
    405: "account",
    408: "unknown",
    409: "unknown",
    429: "transient",
}


def classify_status(status: int) -> FailureClass:
    """The class of an answer other than 2xx, by its status alone."""
    if status in STATUS_CLASSES:
        return STATUS_CLASSES[status]
    if 300 <= status < 400:
        return "account"  # redirects aren't followed
    return "content" if 400 <= status < 500 else "unknown"


class HttpApi:
    """Requests to one provider; `title` is its name in messages."""

    def __init__(
        self,
        provider: str,
        title: str,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self.provider = provider
        self.title = title
        self._client = HttpClient(deadline_seconds=deadline_seconds, connect_seconds=connect_seconds)

    async def post(
        self, url: str, content: bytes, headers: Mapping[str, str], *, params: Mapping[str, Any] | None = None
    ) -> tuple[Answer, Exchange]:
        """Post once; the answer whatever its status, and what happened on the wire.

        Raises TransientError where no byte can have left, UnknownOutcomeError where the answer was lost after that,
        AccountError for an address that can't be used.
        """
        exchange = Exchange()
        try:
            answer = await self._client.request(
                "POST", url, exchange, content=content, headers=headers, params=params
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise AccountError(
                f"{self.title}'s address can't be used: {error}.", provider=self.provider
            ) from error
        except (TimeoutError, httpx.HTTPError, httpx.StreamError, UnreadableAnswerError) as error:
            what = (str(error) or type(error).__name__)[:300]
            if exchange.sent:
                raise UnknownOutcomeError(
                    f"{self.title}'s answer was lost: {what}.", provider=self.provider
                ) from error
            raise TransientError(f"{self.title} can't be reached: {what}.", provider=self.provider) from error
        return answer, exchange

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._client.close()
