"""Who is signed in in which browser: a random cookie, of which the database keeps the hash."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from schemas.access import Principal
from store.database import Connection, Database
from store.sessions import (
    LONGEST,
    Ending,
    Session,
    Way,
    end_session,
    end_sessions,
    hash_token,
    load_session,
    renew_session,
    start_session,
)

TOKEN_BYTES = 32


class Sessions:
    """The sessions of all web processes, of which each remembers for a moment what it read.

    What only looks may be answered from that memory; whatever changes something asks the database (`fresh`).
    """

    READ_AGAIN_SECONDS = 1.0
    MOST_REMEMBERED = 10_000

    def __init__(self, database: Database, public_url: str) -> None:
        self._database = database
        self._secure = urlsplit(public_url).scheme == "https"
        # `__Host-`: set by this host alone, over TLS, for all its paths; no neighbour can put one in its place.
        self.cookie = "__Host-holdfast" if self._secure else "holdfast"
        self._remembered: dict[str, tuple[float, Session]] = {}

    async def find(self, request: Request, *, fresh: bool) -> Session | None:
        """The session that the request's cookie names, if it is good still.

        What a page asks for by itself doesn't count as use: one that nobody looks at any more becomes idle, too.
        """
        token = request.cookies.get(self.cookie)
        use = "x-live" not in request.headers and request.headers.get("accept") != "text/event-stream"
        return None if not token else await self.find_hash(hash_token(token), fresh=fresh, use=use)

    async def find_hash(self, token_hash: str, *, fresh: bool, use: bool = True) -> Session | None:
        """The same, by the hash of the token; not `use`: it doesn't count as used, so that it may become idle."""
        read_at, session = self._remembered.get(token_hash, (0.0, None))
        if not fresh and session is not None and time.monotonic() - read_at < self.READ_AGAIN_SECONDS:
            return session
        asked_at = time.monotonic()
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            session = await load_session(connection, token_hash, now, use=use)
        if session is None:
            self._remembered.pop(token_hash, None)
            return None
        if len(self._remembered) >= self.MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[token_hash] = (asked_at, session)
        return session

    async def start(
        self, connection: Connection, request: Request, actor: Principal, way: Way, place: Mapping[str, Any]
    ) -> str:
        """The token of a new session of `actor`'s; the one that this browser had before ends."""
        await self.end(connection, request, actor, "signed_in_anew")
        token = secrets.token_urlsafe(TOKEN_BYTES)
        await start_session(
            connection,
            actor,
            token_hash=hash_token(token),
            csrf=secrets.token_urlsafe(TOKEN_BYTES),
            agent=request.headers.get("user-agent", ""),
            way=way,
            place=place,
            now=await self._database.clock.read(connection),
        )
        return token

    async def renew(self, connection: Connection, session: Session) -> str:
        """Another token for the same session."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        await renew_session(
            connection,
            session.token_hash,
            token_hash=hash_token(token),
            csrf=secrets.token_urlsafe(TOKEN_BYTES),
        )
        self.forget()
        return token

    async def end(self, connection: Connection, request: Request, actor: Principal, why: Ending) -> None:
        """End the session of this browser, if it has one."""
        token = request.cookies.get(self.cookie)
        if token:
            await end_session(connection, actor, hash_token(token), why)
            self.forget()

    async def end_all(
        self,
        connection: Connection,
        actor: Principal,
        person_id: str,
        why: Ending,
        *,
        but: str | None = None,
        key: str | None = None,
    ) -> int:
        """End a person's sessions, all, all `but` one, or the one called `key`; how many those were."""
        ended = await end_sessions(connection, actor, person_id, why, but=but, key=key)
        self.forget()
        return ended

    def forget(self) -> None:
        """Ask the database again, about everybody."""
        self._remembered.clear()

    def give(self, response: Response, token: str) -> None:
        """Put the cookie on the answer."""
        response.set_cookie(
            self.cookie,
            token,
            max_age=int(LONGEST.total_seconds()),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def take_away(self, response: Response) -> None:
        """Have the browser drop the cookie."""
        response.delete_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="lax")
