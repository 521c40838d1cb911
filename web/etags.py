"""ETags of what the API tells: whoever has it already is told so, and not sent it again.

An answer that has one of its own (`web.preconditions`) keeps it.
"""

from __future__ import annotations

from hashlib import blake2b

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "/api/"
LARGEST_BYTES = 4 * 1024 * 1024
# Caches may keep it for whoever asked, and must ask again each time.
CACHED = "private, no-cache"


class EntityTags:
    """Gives each JSON answer to a GET under `/api` an ETag of its bytes, and answers If-None-Match with 304.

    The answer is worked out all the same: what is spared is the sending, and the reader's own work.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; an answer that comes in one piece gets its tag."""
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def tag(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_told(message):
                held = message
                return
            if held is None:
                await send(message)
                return
            start, held = held, None
            body = message.get("body", b"")
            if message.get("more_body") or len(body) > LARGEST_BYTES:
                await send(start)
                await send(message)
                return
            headers = MutableHeaders(raw=list(start["headers"]))
            etag = headers.get("ETag") or f'"{blake2b(body, digest_size=12).hexdigest()}"'
            headers["ETag"] = etag
            headers["Cache-Control"] = CACHED
            headers.add_vary_header("Authorization, Cookie")
            if _matches(scope, etag):
                del headers["Content-Length"]
                del headers["Content-Type"]
                start, message = {**start, "status": 304}, {**message, "body": b""}
            await send({**start, "headers": headers.raw})
            await send(message)

        await self._app(scope, receive, tag)


def _is_told(message: Message) -> bool:
    if message["status"] != 200:
        return False
    headers: dict[bytes, bytes] = {name.lower(): value for name, value in message.get("headers", ())}
    # What says itself that nobody may keep it stays so.
    kept = b"no-store" not in headers.get(b"cache-control", b"")
    return kept and headers.get(b"content-type", b"").startswith(b"application/json")


def _matches(scope: Scope, etag: str) -> bool:
    given = b",".join(value for name, value in scope["headers"] if name == b"if-none-match").decode("latin-1")
    offered = {one.strip().removeprefix("W/") for one in given.split(",")}
    return etag in offered or given.strip() == "*"
