"""Streams that last: of pages, begun by our own only; over as soon as the session, key or token that opened them is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.requests import Request

from store.faults import is_away
from web.access import check_origin, is_known_still
from web.edge import Edge, edge_of
from web.problems import Forbidden

# So often it is looked whether somebody is still let in, while nothing happens, and while much does.
LOOK_EVERY_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 1.0


def check_listener(request: Request) -> None:
    """Raises Forbidden where the browser says that another site's page listens."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("Only our own pages may listen here.")
    if "origin" in request.headers:
        check_origin(request)


async def while_let_in(request: Request, stream: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """What `stream` says until its end, or until whoever asked for it isn't let in any more."""
    looked_at = time.monotonic()
    has_session = getattr(request.state, "session", None) is not None
    coming: asyncio.Future[bytes] = asyncio.ensure_future(anext(stream))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=LOOK_EVERY_SECONDS)
            # A session is remembered for a moment by whoever reads it; a token's signature costs more.
            if not done or has_session or time.monotonic() - looked_at >= LOOK_AGAIN_SECONDS:
                if not await _is_in(request):
                    return
                looked_at = time.monotonic()
            if done:
                try:
                    piece = coming.result()
                except StopAsyncIteration:
                    return
                yield piece
                coming = asyncio.ensure_future(anext(stream))
    finally:
        coming.cancel()
        with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
            await coming
        await stream.aclose()


async def _is_in(request: Request) -> bool:
    session = getattr(request.state, "session", None)
    try:
        if session is None:
            return await is_known_still(request)
        edge: Edge = edge_of(request)
        return await edge.sessions.find_hash(session.token_hash, fresh=False, use=False) is not None
    except Exception as error:
        # While the database is away there is nothing to tell either; it is looked again.
        if not is_away(error):
            raise
        return True
