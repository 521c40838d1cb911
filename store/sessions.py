"""Browsers that are signed in: a session is known by the hash of its cookie's token alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import delete, insert, or_, select, update

from schemas.access import Role
from store.database import Connection
from store.tables import people, sessions

# So long nothing may be asked, and so long a session lasts at most.
IDLE = timedelta(hours=12)
LONGEST = timedelta(days=7)
# That a session is used is written down no oftener.
SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Session:
    """A browser that is signed in, and the person in front of it as they are now."""

    token_hash: str
    csrf: str
    person_id: str
    name: str
    email: str
    role: Role
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    agent: str


def hash_token(token: str) -> str:
    """The form in which a token is kept: it is long and random, so a plain SHA-256 can't be undone."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


async def start_session(
    connection: Connection, person_id: str, *, token_hash: str, csrf: str, agent: str, now: datetime
) -> None:
    """Let a browser in; sessions that are over go away at this occasion."""
    await connection.execute(
        delete(sessions).where(or_(sessions.c.expires_at <= now, sessions.c.seen_at <= now - IDLE))
    )
    await connection.execute(
        insert(sessions).values(
            token_hash=token_hash, person_id=person_id, csrf=csrf, agent=agent[:200],
            created_at=now, seen_at=now, expires_at=now + LONGEST,
        )
    )  # fmt: skip


async def load_session(
    connection: Connection, token_hash: str, now: datetime, *, use: bool = True
) -> Session | None:
    """The session, unless it is over or its person may come in no longer; where `use`, that it is used is noted."""
    found = await _select(connection, now, token_hash=token_hash)
    if not found:
        return None
    if use and found[0].seen_at <= now - SEEN_EVERY:
        await connection.execute(
            update(sessions).where(sessions.c.token_hash == token_hash).values(seen_at=now)
        )
    return found[0]


async def list_sessions(connection: Connection, person_id: str, now: datetime) -> list[Session]:
    """A person's sessions that aren't over, the last used first."""
    return await _select(connection, now, person_id=person_id)


async def end_session(connection: Connection, token_hash: str) -> None:
    """Sign one browser out."""
    await connection.execute(delete(sessions).where(sessions.c.token_hash == token_hash))


async def end_sessions(connection: Connection, person_id: str, *, but: str | None = None) -> int:
    """Sign a person's browsers out, all or all `but` the one of this hash; how many those were."""
    ended = await connection.execute(
        delete(sessions).where(
            sessions.c.person_id == person_id, *(() if but is None else (sessions.c.token_hash != but,))
        )
    )
    return ended.rowcount


async def _select(
    connection: Connection, now: datetime, *, token_hash: str | None = None, person_id: str | None = None
) -> list[Session]:
    wanted = sessions.c.token_hash == token_hash if token_hash else sessions.c.person_id == person_id
    rows = await connection.execute(
        select(sessions, people.c.name, people.c.email, people.c.role)
        .join(people, people.c.id == sessions.c.person_id)
        .where(wanted, people.c.active, sessions.c.expires_at > now, sessions.c.seen_at > now - IDLE)
        .order_by(sessions.c.seen_at.desc())
    )
    return [
        Session(
            token_hash=row.token_hash,
            csrf=row.csrf,
            person_id=str(row.person_id),
            name=row.name,
            email=row.email,
            role=cast(Role, row.role),
            created_at=row.created_at,
            seen_at=row.seen_at,
            expires_at=row.expires_at,
            agent=row.agent,
        )
        for row in rows
    ]
