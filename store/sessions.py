"""Browsers that are signed in: a session is known by the hash of its cookie's token alone.

That one begins, and that somebody ends it, is written down in the audit; that one ran out by itself isn't.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import delete, func, insert, or_, select, update

from schemas.access import Principal, Role
from store.audit import Done, record_change, record_changes
from store.database import Connection
from store.tables import people, sessions

# So long nothing may be asked, and so long a session lasts at most.
IDLE = timedelta(hours=12)
LONGEST = timedelta(days=7)
# That a session is used is written down no oftener.
SEEN_EVERY = timedelta(minutes=1)

KEY_LENGTH = 16

# How somebody was let in, and why a session ended before its time.
Way = Literal["password", "link", "identity_provider"]
Ending = Literal[
    "signed_out",
    "signed_in_anew",
    "ended_elsewhere",
    "ended_by_admin",
    "new_password",
    "new_role",
    "account_closed",
]


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
    # Empty for those begun before it was noted.
    way: Way | Literal[""]

    @property
    def key(self) -> str:
        """What pages call it by: enough of the hash to tell one's own sessions apart."""
        return self.token_hash[:KEY_LENGTH]


def hash_token(token: str) -> str:
    """The form in which a token is kept: it is long and random, so a plain SHA-256 can't be undone."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


async def start_session(
    connection: Connection,
    actor: Principal,
    *,
    token_hash: str,
    csrf: str,
    agent: str,
    way: Way,
    place: Mapping[str, Any],
    now: datetime,
) -> None:
    """Let a browser of `actor`'s in; sessions that are over go away at this occasion.

    `place` is what the audit may say of where that is.
    """
    await connection.execute(
        delete(sessions).where(or_(sessions.c.expires_at <= now, sessions.c.seen_at <= now - IDLE))
    )
    await connection.execute(
        insert(sessions).values(
            token_hash=token_hash, person_id=actor.id, csrf=csrf, agent=agent[:200], way=way,
            created_at=now, seen_at=now, expires_at=now + LONGEST,
        )
    )  # fmt: skip
    await record_change(
        connection, actor, "session.started", object_kind="person", object_id=actor.id, after={"way": way, **place}
    )  # fmt: skip


async def renew_session(connection: Connection, was: str, *, token_hash: str, csrf: str) -> None:
    """Let the session of the hash `was` go on under another token; the old one opens nothing any more."""
    await connection.execute(
        update(sessions).where(sessions.c.token_hash == was).values(token_hash=token_hash, csrf=csrf)
    )


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


async def end_session(connection: Connection, actor: Principal, token_hash: str, why: Ending) -> None:
    """Sign one browser out, whoever's it is."""
    ended = await connection.execute(
        delete(sessions).where(sessions.c.token_hash == token_hash).returning(sessions.c.person_id)
    )
    await record_changes(
        connection,
        actor,
        [Done("session.ended", "person", str(row.person_id), after=_told(1, why)) for row in ended],
    )


async def end_sessions(
    connection: Connection,
    actor: Principal,
    person_id: str,
    why: Ending,
    *,
    but: str | None = None,
    key: str | None = None,
) -> int:
    """Sign a person's browsers out: all, all `but` the one of this hash, or the one called `key`; how many those were."""
    wanted = [sessions.c.person_id == person_id]
    if but is not None:
        wanted.append(sessions.c.token_hash != but)
    if key is not None:
        wanted.append(func.left(sessions.c.token_hash, KEY_LENGTH) == key)
    ended = (await connection.execute(delete(sessions).where(*wanted))).rowcount
    if ended:
        await record_change(
            connection, actor, "session.ended", object_kind="person", object_id=person_id, after=_told(ended, why)
        )  # fmt: skip
    return ended


def _told(ended: int, why: Ending) -> Mapping[str, Any]:
    return {"sessions": ended, "why": why}


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
            way=row.way,
        )
        for row in rows
    ]
