"""Who is signed in in which browser: a random cookie, of which the database keeps the hash."""

from __future__ import annotations

import secrets
import time
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from store.database import Connection, Database
from store.sessions import (
    LONGEST,
    Session,
    end_session,
    end_sessions,
    hash_token,
    load_session,
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
        """The session that the request's cookie names, if it is good still."""
        token = request.cookies.get(self.cookie)
        return None if not token else await self.find_hash(hash_token(token), fresh=fresh)

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

    async def start(self, connection: Connection, request: Request, person_id: str) -> str:
        """A new session's token; the one that this browser had before ends."""
        await self.end(connection, request)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        await start_session(
            connection,
            person_id,
            token_hash=hash_token(token),
            csrf=secrets.token_urlsafe(TOKEN_BYTES),
            agent=request.headers.get("user-agent", ""),
            now=await self._database.clock.read(connection),
        )
        return token

    async def end(self, connection: Connection, request: Request) -> None:
        """End the session of this browser, if it has one."""
        token = request.cookies.get(self.cookie)
        if token:
            await end_session(connection, hash_token(token))
            self.forget()

    async def end_all(self, connection: Connection, person_id: str, *, but: str | None = None) -> int:
        """End a person's sessions, all or all `but` one; how many those were."""
        ended = await end_sessions(connection, person_id, but=but)
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
