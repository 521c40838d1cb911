"""Headers that keep browsers on our side, on every answer."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGES = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
# A message's own HTML: its styles, but no script, no link out, nothing fetched (so nothing counts as opened).
MESSAGE = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    # `no-referrer` would also take the Origin from our own forms.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class SafeHeaders:
    """Adds the headers that an answer doesn't set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with headers."""
        # The tracking API is read by programs only, a thousand times a second.
        if scope["type"] != "http" or scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                names = {name.lower() for name, _ in headers}
                wanted = [*_ALWAYS, (b"content-security-policy", PAGES.encode())]
                if b"cache-control" not in names and not scope["path"].startswith("/static/"):
                    wanted.append((b"cache-control", b"no-store"))
                message["headers"] = headers + [(name, value) for name, value in wanted if name not in names]
            await send(message)

        await self._app(scope, receive, add)
