"""Calls of the API by pages of other origins (CORS), for those that HOLDFAST_CORS_ORIGINS names, and nobody else.

Such a page shows a key or a token itself (Authorization): cookies are never let in, so that no page that isn't ours can
use somebody's session. Our own pages, links in messages and everything else that isn't the API stay closed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.errors import SettingError
from web.problems import Forbidden, explain, respond

VARIABLE = "HOLDFAST_CORS_ORIGINS"
PREFIXES = ("/api/", "/v1/")
METHODS = "GET, HEAD, POST, PUT, DELETE"
# What callers may send beyond what browsers send anyway. X-CSRF isn't among them: it belongs to our own pages.
SENT = (
    "Authorization, Content-Type, Content-Encoding, If-Match, If-None-Match, Last-Event-ID, X-Request-Id, Traceparent"
)  # fmt: skip
# What they may read beyond what browsers show anyway.
READ = "ETag, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, X-Request-Id"
PREFLIGHT_SECONDS = 600
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class UnknownOriginError(Forbidden):
    """Pages of this origin may not call the API."""

    remedy = (
        f"Name the origin in {VARIABLE} of the web process, or let a backend of its own hand the call on."
    )


def read_origins(environ: Mapping[str, str]) -> frozenset[str]:
    """The origins of HOLDFAST_CORS_ORIGINS, between commas, as browsers write them. Raises SettingError."""
    parts = (part.strip() for part in environ.get(VARIABLE, "").split(","))
    return frozenset(_check(part) for part in parts if part)


def _check(written: str) -> str:
    if "*" in written:
        raise SettingError(
            f"{VARIABLE} is {written!r}, but there is no `*`: each origin is let in by its name.",
            remedy="Write them out, with commas: https://app.example.com,https://admin.example.com.",
        )
    try:
        parts = urlsplit(written)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if parts.scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(host) or "@" in written:
        # What stands before an @ may be a password.
        raise SettingError(
            f"{VARIABLE} has {written.rpartition('@')[2]!r}, which is no origin.",
            remedy="Write scheme and host, and a port where it isn't the usual one: https://app.example.com.",
        )
    host = f"[{host}]" if ":" in host else host
    is_usual = port in (None, _DEFAULT_PORTS[parts.scheme])
    origin = f"{parts.scheme}://{host}" if is_usual else f"{parts.scheme}://{host}:{port}"
    if written != origin:
        raise SettingError(
            f"{VARIABLE} has {written!r}, which no browser sends as an origin.",
            remedy=f"Write {origin}: an origin has small letters, no usual port, no path, and no slash at its end.",
        )
    return origin


class CrossOrigin:
    """Answers what browsers ask before a call (preflight), and tells them that this origin may read the answer.

    It stands before everything else, so that refusals and failures can be read, too.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with headers; preflights end here."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIXES):
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        origin = asked.get("origin", "")
        if scope["method"] == "OPTIONS" and origin and "access-control-request-method" in asked:
            await self._preflight(origin)(scope, receive, send)
            return

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message.get("headers", ())))
                headers.add_vary_header("Origin")
                if origin in self._origins:
                    headers["Access-Control-Allow-Origin"] = origin
                    headers["Access-Control-Expose-Headers"] = READ
                message = {**message, "headers": headers.raw}
            await send(message)

        await self._app(scope, receive, tell)

    def _preflight(self, origin: str) -> Response:
        if origin not in self._origins:
            refusal = UnknownOriginError(f"Pages of {origin[:200]!r} may not call the API.")
            return respond(explain(refusal), {"Vary": "Origin"})
        headers = {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": SENT,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
            "Vary": "Origin",
        }
        return Response(status_code=204, headers=headers)
