"""How much a request may hold: what is more isn't kept, whoever sends it."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "/api/"
LARGEST_BYTES = 1024 * 1024
# A file has at most 1 MB, and each of its characters may take six bytes of JSON; facts and events stand beside it.
TEXTS, LARGEST_TEXT_BYTES = "/api/playbooks/", 10 * 1024 * 1024
# Of what is too large so much is read before the connection is closed: clients send first and listen then.
MOST_UNKEPT_BYTES = 8 * 1024 * 1024


class BodyLimits:
    """Refuses bodies of the API over 1 MB, or 10 MB where texts of files are sent, with 413.

    Of whoever isn't let in nothing is read (`web.json_bodies`). `/v1`, `/hooks`, and forms have limits of their own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, counting."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        most = LARGEST_TEXT_BYTES if scope["path"].startswith(TEXTS) else LARGEST_BYTES
        size = 0

        async def count() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size <= most:
                return message
            while message.get("more_body") and size <= most + MOST_UNKEPT_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
            told = f"The request's body is larger than {most // (1024 * 1024)} MB."
            # The framework takes any other error for a body that can't be read.
            raise HTTPException(413, told, headers={"Connection": "close"})

        await self._app(scope, count, send)
