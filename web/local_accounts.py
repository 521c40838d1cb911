"""Signing in by a password: failures are counted, and whoever fails often has to wait, whatever they know by then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schemas.access import Principal
from store.people import Person, find_person, note_signed_in, replace_hash
from store.sign_in_failures import begin_attempt, forgive, of_account, of_address
from web.edge import Edge
from web.passwords import hash_password, is_dated, verify_password


@dataclass(frozen=True)
class WaitStill:
    """Nothing was tried: there were too many failures before. Come back at `until`; that was said at `now`."""

    until: datetime
    now: datetime


async def check_account(edge: Edge, email: str, password: str, address: str) -> Person | WaitStill | None:
    """Whose password this is. None for a wrong one, an unknown account, and a closed one, after the same time."""
    account, place = of_account(email), of_address(address)
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        until = await begin_attempt(connection, (account, place), now)
        if until is not None:
            return WaitStill(until, now)
        person = await find_person(connection, email)
    kept = person.password_hash if person is not None and person.active else None
    if not await verify_password(kept, password) or person is None or kept is None:
        return None
    fresh = await hash_password(password) if is_dated(kept) else None
    async with edge.database.transaction() as connection:
        await forgive(connection, account, place)
        if fresh is not None:
            await replace_hash(connection, person.id, kept, fresh)
        now = await edge.database.clock.read(connection)
        await note_signed_in(connection, person.id, now)
    return person


def as_principal(person: Person) -> Principal:
    """Who acts, where a person does something to their own account."""
    return Principal(kind="person", id=person.id, name=person.name, role=person.role)
