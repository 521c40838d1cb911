"""Headers that keep browsers on our side, on every answer."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGES = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'{forms}; frame-ancestors 'self'"
)
# A message's own HTML: its styles, but no script, no link out, nothing fetched (so nothing counts as opened).
MESSAGE = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    # `no-referrer` would also take the Origin from our own forms.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    # Our pages need none of what browsers let pages do.
    (
        b"permissions-policy",
        b"accelerometer=(), autoplay=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), "
        b"microphone=(), midi=(), payment=(), usb=()",
    ),
)
# A year: whoever came by https once never comes by http again.
_SECURE = (b"strict-transport-security", b"max-age=31536000")


class SafeHeaders:
    """Adds the headers that an answer doesn't set itself."""

    def __init__(self, app: ASGIApp, *, secure: bool = False, identity_provider: str | None = None) -> None:
        """`secure`: people come by https; `identity_provider`: whose origin sign-in forms may lead to, too."""
        self._app = app
        provider = urlsplit(identity_provider or "")
        forms = f" {provider.scheme}://{provider.netloc}" if identity_provider else ""
        policy = (b"content-security-policy", PAGES.format(forms=forms).encode())
        self._wanted = (*_ALWAYS, policy, *((_SECURE,) if secure else ()))

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
                wanted = list(self._wanted)
                if b"cache-control" not in names and not scope["path"].startswith("/static/"):
                    wanted.append((b"cache-control", b"no-store"))
                message["headers"] = headers + [(name, value) for name, value in wanted if name not in names]
            await send(message)

        await self._app(scope, receive, add)
