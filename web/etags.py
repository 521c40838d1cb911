"""ETags of what the API tells: whoever has it already is told so, and not sent it again.

An answer that has one of its own (`web.preconditions`) keeps it. Of an answer that was worked out just now, the moment
when that was (`note_moments`) doesn't count: else it would be another each time, and nobody would ever have it already.
"""

from __future__ import annotations

import functools
import re
from hashlib import blake2b

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "/api/"
LARGEST_BYTES = 4 * 1024 * 1024
# Caches may keep it for whoever asked, and must ask again each time.
CACHED = "private, no-cache"


def note_moments(request: Request, *names: str) -> None:
    """Say that these fields of the answer tell when it was worked out, and nothing of what came of that.

    Its ETag is a weak one then: what it stands for is the same, its bytes needn't be.
    """
    request.state.moments = names


class EntityTags:
    """Gives each JSON answer to a GET under `/api` an ETag of what it says, and answers If-None-Match with 304.

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
            etag = headers.get("ETag") or _tag(body, scope.get("state", {}).get("moments", ()))
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


def _tag(body: bytes, moments: tuple[str, ...]) -> str:
    said = _moments(moments).sub(b"", body) if moments else body
    return f'{"W/" if moments else ""}"{blake2b(said, digest_size=12).hexdigest()}"'


@functools.cache
def _moments(names: tuple[str, ...]) -> re.Pattern[bytes]:
    # Within a text each quote has a backslash before it: this is found where fields are, and nowhere else.
    return re.compile(rb'"(?:%s)":"[^"\\]*"' % "|".join(map(re.escape, names)).encode())


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
    return etag.removeprefix("W/") in offered or given.strip() == "*"
