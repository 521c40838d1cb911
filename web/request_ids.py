"""A name for every request: the audit log and whoever calls call it by the same."""

from __future__ import annotations

import re
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas import log_context
from store.audit import current_request

HEADER = b"x-request-id"
# What a caller names it is taken over as long as it is a name.
_NAME = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


class RequestIds:
    """Takes the name from `X-Request-Id`, or makes one, and sends it back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, named."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        named = given if _NAME.fullmatch(given) else secrets.token_hex(8).encode()

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (HEADER, named)]
            await send(message)

        token = current_request.set(named.decode())
        logged = log_context.enter(request_id=named.decode())
        try:
            await self._app(scope, receive, tell)
        finally:
            log_context.leave(logged)
            current_request.reset(token)
