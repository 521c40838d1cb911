"""The account of whoever runs `holdfast dev`, and a fresh link that signs them in."""

from __future__ import annotations

import secrets
from datetime import timedelta

from schemas.access import Principal
from store.database import Database
from store.people import add_person, count_people, find_person
from store.sessions import hash_token
from store.sign_in_links import add_link

EMAIL = "you@localhost"
LINK_LASTS = timedelta(hours=12)
_ACTOR = Principal(kind="system", id="dev", name="holdfast dev", role="admin")


async def make_sign_in_link(database_url: str, web: str) -> str:
    """A link that signs in as the admin of this machine, made where nobody has an account yet.

    Where other people have accounts and that one isn't among them, it is the plain sign-in page.
    """
    async with Database(database_url, connections=1) as database, database.transaction() as connection:
        now = await database.clock.read(connection)
        person = await find_person(connection, EMAIL)
        if person is None and await count_people(connection) == 0:
            person = await add_person(connection, _ACTOR, EMAIL, "You", "admin", now)
        if person is None or not person.active:
            return f"{web}/sign-in"
        token = secrets.token_urlsafe(32)
        await add_link(
            connection,
            _ACTOR,
            person,
            token_hash=hash_token(token),
            expires_at=now + LINK_LASTS,
            sets_password=False,
        )
        return f"{web}/welcome/{token}"
