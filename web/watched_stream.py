"""Streams that last: begun by our own pages only, and over as soon as the session that opened them is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.requests import Request

from store.faults import is_away
from store.sessions import Session
from web.access import check_origin
from web.edge import Edge
from web.problems import Forbidden

# So often it is looked whether somebody is still signed in, while nothing happens.
LOOK_EVERY_SECONDS = 5.0


def check_listener(request: Request) -> None:
    """Raises Forbidden where the browser says that another site's page listens."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("Only our own pages may listen here.")
    if "origin" in request.headers:
        check_origin(request)


async def while_signed_in(
    edge: Edge, session: Session | None, stream: AsyncGenerator[bytes, None]
) -> AsyncIterator[bytes]:
    """What `stream` says until its end or that of `session`; without a session, all of it."""
    if session is None:
        async with contextlib.aclosing(stream):
            async for piece in stream:
                yield piece
        return
    coming: asyncio.Future[bytes] = asyncio.ensure_future(anext(stream))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=LOOK_EVERY_SECONDS)
            if not await _is_in(edge, session):
                return
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


async def _is_in(edge: Edge, session: Session) -> bool:
    try:
        return await edge.sessions.find_hash(session.token_hash, fresh=False, use=False) is not None
    except Exception as error:
        # While the database is away there is nothing to tell either; it is looked again.
        if not is_away(error):
            raise
        return True
