"""Links that let somebody in once: kept as hashes, with until when they are good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from schemas.access import Principal
from schemas.errors import ConflictError
from store.audit import record_change
from store.database import Connection
from store.people import Person, load_person
from store.tables import sign_in_links


@dataclass(frozen=True)
class SignInLink:
    """A link that is good still, and whom it lets in."""

    person: Person
    sets_password: bool
    expires_at: datetime


async def add_link(
    connection: Connection,
    actor: Principal,
    person: Person,
    *,
    token_hash: str,
    expires_at: datetime,
    sets_password: bool = True,
) -> None:
    """A link that lets the person in once; those made before are good no longer. Raises ConflictError."""
    if not person.active:
        raise ConflictError("This account is closed.", remedy="Open it again first.")
    await connection.execute(delete(sign_in_links).where(sign_in_links.c.person_id == person.id))
    await connection.execute(
        insert(sign_in_links).values(
            token_hash=token_hash, person_id=person.id, expires_at=expires_at, sets_password=sets_password
        )
    )
    await record_change(
        connection,
        actor,
        "person.link_made",
        object_kind="person",
        object_id=person.id,
        after={"until": expires_at},
    )


async def read_link(connection: Connection, token_hash: str, now: datetime) -> SignInLink | None:
    """What a link is good for; None when it was used, has expired, or never was."""
    rows = await connection.execute(
        select(sign_in_links.c.person_id, sign_in_links.c.sets_password, sign_in_links.c.expires_at).where(
            sign_in_links.c.token_hash == token_hash,
            sign_in_links.c.used_at.is_(None),
            sign_in_links.c.expires_at > now,
        )
    )
    row = rows.one_or_none()
    if row is None:
        return None
    person = await load_person(connection, str(row.person_id))
    return SignInLink(person, row.sets_password, row.expires_at) if person.active else None


async def find_owner(connection: Connection, token_hash: str) -> str | None:
    """Whose link this is, or was: the person's id."""
    rows = await connection.execute(
        select(sign_in_links.c.person_id).where(sign_in_links.c.token_hash == token_hash)
    )
    found = rows.scalar_one_or_none()
    return None if found is None else str(found)


async def use_link(connection: Connection, token_hash: str, now: datetime) -> SignInLink | None:
    """The same, and it is used: of two who come at once, one gets None."""
    link = await read_link(connection, token_hash, now)
    if link is None:
        return None
    done = await connection.execute(
        update(sign_in_links)
        .where(sign_in_links.c.token_hash == token_hash, sign_in_links.c.used_at.is_(None))
        .values(used_at=now)
    )
    return link if done.rowcount else None
