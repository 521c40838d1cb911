"""Signing in by a password: failures are counted, and whoever fails often has to wait, whatever they know by then."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from schemas.access import Principal
from store.people import Person, find_person, replace_hash
from store.sign_in_failures import begin_attempt, forgive
from web.edge import Edge
from web.passwords import hash_password, is_dated, verify_password
from web.sign_in_places import Place, account_subject, address_subject, hash_with_key, note_refused


@dataclass(frozen=True)
class WaitStill:
    """Nothing was tried: there were too many failures before. Come back at `until`; that was said at `now`."""

    until: datetime
    now: datetime


async def check_account(edge: Edge, email: str, password: str, place: Place) -> Person | WaitStill | None:
    """Whose password this is. None for a wrong one, an unknown account, and a closed one, after the same time."""
    account, address = account_subject(edge, email), address_subject(edge, place, "password")
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        attempt = await begin_attempt(connection, (account, address), now)
        if attempt.until is not None:
            return WaitStill(attempt.until, now)
        person = await find_person(connection, email)
    kept = person.password_hash if person is not None and person.active else None
    if not await verify_password(kept, password) or person is None or kept is None:
        named = hash_with_key(edge, "name", email.strip().lower())
        found = None if person is None else person.id
        await note_refused(edge, place, "password", attempt, account, person_id=found, named=named)
        return None
    fresh = await hash_password(password) if is_dated(kept) else None
    async with edge.database.transaction() as connection:
        await forgive(connection, address, account)
        if fresh is not None:
            await replace_hash(connection, person.id, kept, fresh)
    return replace(person, password_hash=fresh or kept)


def as_principal(person: Person) -> Principal:
    """Who acts, where a person does something to their own account."""
    return Principal(kind="person", id=person.id, name=person.name, role=person.role)
