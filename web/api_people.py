"""`/api/people`: whoever works here, and what they may."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import Field

from schemas.access import Role
from store.database import Connection
from store.people import (
    Person,
    add_person,
    change_role,
    list_people,
    load_person,
    set_active,
)
from store.reading_rows import Row
from web.answers import Answer
from web.api_runs import MOST_AT_ONCE, Limit, Word
from web.asked import Asked
from web.cursors import cut, read_offset_cursor
from web.edge import EdgeHere, Manager
from web.one_time_links import make_link

router = APIRouter(prefix="/api/people", tags=["people and keys"])
Staff = Literal["csm", "ops", "admin"]
Id = Annotated[str, Path(max_length=100, pattern=r"^[^\x00]*$")]


class PersonRow(Row):
    """One account. `signsInBy`: `password` or `identity_provider`; `never` until they chose a password."""

    id: str
    email: str
    name: str
    role: Role
    active: bool
    signs_in_by: Literal["password", "identity_provider", "never"]
    created_at: datetime
    signed_in_at: datetime | None

    @classmethod
    def of(cls, person: Person) -> PersonRow:
        """What may be told of an account."""
        way: Literal["password", "identity_provider", "never"] = (
            "password" if person.password_hash else "identity_provider" if person.oidc_subject else "never"
        )
        return cls(
            id=person.id,
            email=person.email,
            name=person.name,
            role=person.role,
            active=person.active,
            signs_in_by=way,
            created_at=person.created_at,
            signed_in_at=person.signed_in_at,
        )


class PersonList(Answer):
    """All accounts, those that may come in first."""

    people: list[PersonRow]
    next_cursor: str | None


class PersonAnswer(Answer):
    """One account as it is now; `signInLink`, where one was made, is shown this once."""

    person: PersonRow
    sign_in_link: str | None = None


class NewPerson(Asked):
    """Whom to add; they choose a password by the link in the answer, or sign in at the identity provider."""

    email: Annotated[str, Field(max_length=320, pattern=r"^[^\x00]*$", examples=["grace@example.com"])]
    name: Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$", examples=["Grace"])]
    role: Staff


class NewRole(Asked):
    """What they may from now on."""

    role: Staff


@router.get("", summary="List accounts")
async def list_(
    edge: EdgeHere, caller: Manager, limit: Limit = MOST_AT_ONCE, cursor: Word = None
) -> PersonList:
    """Everybody who may sign in, or might once."""
    async with edge.database.transaction() as connection:
        people, further = cut(await list_people(connection), read_offset_cursor(cursor), limit)
    return PersonList(people=[PersonRow.of(one) for one in people], next_cursor=further)


@router.post("", summary="Add an account", status_code=201)
async def add(edge: EdgeHere, caller: Manager, new: NewPerson) -> PersonAnswer:
    """409 where there is one of that mail address already."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        person = await add_person(connection, caller, new.email, new.name, new.role, now)
        link = await make_link(connection, caller, person, edge.settings.public_url, now)
    return PersonAnswer(person=PersonRow.of(person), sign_in_link=link)


@router.post("/{id}/role", summary="Change what somebody may")
async def role(edge: EdgeHere, caller: Manager, id: Id, new: NewRole) -> PersonAnswer:  # noqa: A002
    """It holds at once: they are signed out, and sign in again with it. 409 for the last admin."""
    async with edge.database.transaction() as connection:
        await change_role(connection, caller, await load_person(connection, id), new.role)
        answer = await _answer(connection, id)
    edge.sessions.forget()
    return answer


@router.post("/{id}/link", summary="Make a one-time sign-in link")
async def link(edge: EdgeHere, caller: Manager, id: Id) -> PersonAnswer:  # noqa: A002
    """By it they choose a new password; links made before are good no longer."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        person = await load_person(connection, id)
        made = await make_link(connection, caller, person, edge.settings.public_url, now)
    return PersonAnswer(person=PersonRow.of(person), sign_in_link=made)


@router.post("/{id}/{verb}", summary="Close or reopen an account, or sign its owner out")
async def switch(
    edge: EdgeHere,
    caller: Manager,
    id: Id,  # noqa: A002
    verb: Literal["deactivate", "reactivate", "sign-out"],
) -> PersonAnswer:
    """Closing it signs them out everywhere at once, as `sign-out` does alone. 409 for closing the last admin's."""
    async with edge.database.transaction() as connection:
        person = await load_person(connection, id)
        if verb == "sign-out":
            await edge.sessions.end_all(connection, caller, person.id, "ended_by_admin")
        else:
            await set_active(connection, caller, person, verb == "reactivate")
        answer = await _answer(connection, id)
    edge.sessions.forget()
    return answer


async def _answer(connection: Connection, person_id: str) -> PersonAnswer:
    return PersonAnswer(person=PersonRow.of(await load_person(connection, person_id)))
