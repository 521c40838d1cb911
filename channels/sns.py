"""What Amazon SNS wants to be asked: its certificates, and that we want a topic's messages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httpx

from channels.http_client import Exchange, HttpClient, UnreadableAnswerError
from channels.signatures.sns import check_address
from schemas.errors import UnavailableError

KEPT_SECONDS = 24 * 3600.0
MOST_KEPT = 16
CERTIFICATE_LIMIT_BYTES = 64 * 1024
_LOST = (TimeoutError, httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, UnreadableAnswerError)


class SnsClient:
    """Fetches from SNS's own addresses only, over TLS, without following redirects.

    base_url: stands in for Amazon where something is tested. Certificates are kept for a day.
    """

    def __init__(self, base_url: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._base_url = base_url
        self._clock = clock
        self._kept: dict[str, tuple[float, bytes]] = {}
        self._fetching = asyncio.Lock()

    async def load_certificate(self, url: str) -> bytes:
        """The certificate (PEM). Raises SignatureError for an address that isn't SNS's, UnavailableError."""
        check_address(url, certificate=True)
        async with self._fetching:
            kept = self._kept.get(url)
            if kept and self._clock() - kept[0] < KEPT_SECONDS:
                return kept[1]
            text = await self._get(url)
            if "BEGIN CERTIFICATE" not in text:
                raise UnavailableError("Amazon SNS gave no certificate.", remedy="It is tried again.")
            if len(self._kept) >= MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[url] = (self._clock(), text.encode())
            return self._kept[url][1]

    async def confirm(self, url: str) -> None:
        """Visit a SubscribeURL. Raises SignatureError for an address that isn't SNS's, UnavailableError."""
        await self._get(check_address(url, certificate=False))

    async def _get(self, url: str) -> str:
        # Asked for a few times a day: a connection that is kept would only be one that breaks.
        client = HttpClient(self._base_url, body_limit_bytes=CERTIFICATE_LIMIT_BYTES)
        try:
            answer = await client.request("GET", url, Exchange())
        except _LOST as error:
            raise UnavailableError(
                f"Amazon SNS can't be reached: {type(error).__name__}.", remedy="It is tried again."
            ) from error
        finally:
            await client.close()
        if answer.status != 200:
            raise UnavailableError(f"Amazon SNS said {answer.status}.", remedy="It is tried again.")
        return answer.body
