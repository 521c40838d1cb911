"""A page that can't be made in time says so: a database that hangs is as far away as one that is down."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.errors import UnavailableError

# Longer than any page takes, and shorter than proxies wait.
MOST_SECONDS = 45.0
# What has limits of its own, or stays open.
_OTHERS = ("/api/", "/v1/", "/static/", "/changes", "/livez", "/readyz", "/healthz", "/metrics")


class PagePatience:
    """Waits for the beginning of a page's answer only so long; what makes it is cancelled then, and not waited for."""

    def __init__(self, app: ASGIApp, most_seconds: float = MOST_SECONDS) -> None:
        self._app = app
        self._most_seconds = most_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on. Raises UnavailableError."""
        # A form may have changed something: it isn't cut off.
        if (
            scope["type"] != "http"
            or scope["method"] not in ("GET", "HEAD")
            or scope["path"].startswith(_OTHERS)
        ):
            await self._app(scope, receive, send)
            return
        begun = given_up = False

        async def tell(message: Message) -> None:
            nonlocal begun
            begun = True
            if not given_up:
                await send(message)

        making = asyncio.ensure_future(self._app(scope, receive, tell))
        try:
            await asyncio.wait({making}, timeout=self._most_seconds)
            if making.done() or begun:
                await making
                return
        except asyncio.CancelledError:
            making.cancel()
            raise
        given_up = True
        making.add_done_callback(_forget)
        making.cancel()
        raise UnavailableError(
            f"The page couldn't be made within {self._most_seconds:.0f} seconds.",
            remedy="The database hangs, or has too much to do. Load the page again in a minute.",
        )


def _forget(making: asyncio.Future[None]) -> None:
    # Whatever it ended with, nobody is there any more to hear of it.
    if not making.cancelled():
        making.exception()
