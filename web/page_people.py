"""`/people`: whoever may sign in, and the keys of programs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, NoReturn, cast

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import Request

from schemas.access import GRANTS, STAFF, Principal, Role
from schemas.errors import ConflictError, HoldfastError, InputError
from store.api_keys import list_keys
from store.people import add_person, change_role, list_people, load_person, set_active
from web.api_keys import KEY_NAME
from web.edge import Edge, EdgeHere, ManagerPoster, ManagerReader
from web.forms import answer_form, read_form
from web.one_time_links import LINK_LASTS, make_key, make_link, remove_key
from web.rendering import render

router = APIRouter(include_in_schema=False)
KEY_ROLES: tuple[Role, ...] = ("service", *STAFF)


@router.get("/people")
async def people(request: Request, edge: EdgeHere, me: ManagerReader) -> HTMLResponse:
    """Accounts and keys."""
    return await _page(request, edge)


@router.post("/people")
async def add(request: Request, edge: EdgeHere, me: ManagerPoster) -> HTMLResponse:
    """A new account, and the link that its owner needs."""
    fields = await read_form(request)
    try:
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            role = cast(Role, fields.get("role", ""))
            person = await add_person(
                connection, me, fields.get("email", ""), fields.get("name", ""), role, now
            )
            link = await make_link(connection, me, person, edge.settings.public_url, now)
    except (InputError, ConflictError) as error:
        return await _page(request, edge, 400, wrong=f"{error.message} {error.remedy}", given=fields)
    return await _page(request, edge, made=("link", person.email, link))


@router.post("/people/keys")
async def add_key(request: Request, edge: EdgeHere, me: ManagerPoster) -> HTMLResponse:
    """A new key, shown once."""
    fields = await read_form(request)
    try:
        name = fields.get("name", "").strip()
        if not re.fullmatch(KEY_NAME, name):
            _refuse("A key's name has letters, digits, dots and dashes.", "Write it like mobile-app.")
        role = fields.get("role", "")
        if role not in KEY_ROLES:
            _refuse(f"{role!r} is no role of keys.", f"Use one of {', '.join(KEY_ROLES)}.")
        per_minute, days = _whole(fields, "per_minute", 1_000_000), _whole(fields, "days", 3650)
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            expires_at = now + timedelta(days=days) if days else None
            key = await make_key(
                connection,
                me,
                name,
                role=role,
                per_minute=per_minute,
                expires_at=expires_at,
                now=now,
            )
    except (InputError, ConflictError) as error:
        return await _page(request, edge, 400, wrong=f"{error.message} {error.remedy}", given=fields)
    edge.keys.forget()
    return await _page(request, edge, made=("key", name, key))


@router.post("/people/keys/{name}/remove")
async def drop_key(request: Request, edge: EdgeHere, me: ManagerPoster, name: str) -> RedirectResponse:
    """Let a key in no longer."""
    try:
        async with edge.database.transaction() as connection:
            await remove_key(connection, me, name)
    except HoldfastError as error:
        return answer_form("/people", error.message, refused=True)
    edge.keys.forget()
    return answer_form("/people", f"The key {name} is removed.")


@router.post("/people/{person_id}/link")
async def link(request: Request, edge: EdgeHere, me: ManagerPoster, person_id: str) -> HTMLResponse:
    """A new link by which somebody chooses a password."""
    try:
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            person = await load_person(connection, person_id)
            made = await make_link(connection, me, person, edge.settings.public_url, now)
    except ConflictError as error:
        return await _page(request, edge, 409, wrong=f"{error.message} {error.remedy}")
    return await _page(request, edge, made=("link", person.email, made))


@router.post("/people/{person_id}/role")
async def role(request: Request, edge: EdgeHere, me: ManagerPoster, person_id: str) -> RedirectResponse:
    """What somebody may from now on."""
    fields = await read_form(request)
    return await _change(edge, me, person_id, role=fields.get("role", ""))


@router.post("/people/{person_id}/deactivate")
async def deactivate(edge: EdgeHere, me: ManagerPoster, person_id: str) -> RedirectResponse:
    """Close an account: its owner is signed out everywhere at once."""
    return await _change(edge, me, person_id, active=False)


@router.post("/people/{person_id}/reactivate")
async def reactivate(edge: EdgeHere, me: ManagerPoster, person_id: str) -> RedirectResponse:
    """Open it again."""
    return await _change(edge, me, person_id, active=True)


@router.post("/people/{person_id}/sign-out")
async def sign_out(edge: EdgeHere, me: ManagerPoster, person_id: str) -> RedirectResponse:
    """Sign somebody out everywhere, whose device was lost; the account stays open."""
    async with edge.database.transaction() as connection:
        person = await load_person(connection, person_id)
        ended = await edge.sessions.end_all(connection, me, person.id, "ended_by_admin")
    if not ended:
        return answer_form("/people", f"{person.name} is signed in nowhere.", refused=True)
    return answer_form(
        "/people", f"{person.name} is signed out of {ended} browser{'' if ended == 1 else 's'}."
    )


async def _change(
    edge: Edge, me: Principal, person_id: str, *, role: str | None = None, active: bool | None = None
) -> RedirectResponse:
    try:
        async with edge.database.transaction() as connection:
            person = await load_person(connection, person_id)
            if role is not None:
                await change_role(connection, me, person, cast(Role, role))
                told = f"{person.name} has the role {role} now, and signs in again."
            if active is not None:
                await set_active(connection, me, person, active)
                told = f"The account of {person.name} is {'open again' if active else 'closed'}."
    except (InputError, ConflictError) as error:
        return answer_form("/people", f"{error.message} {error.remedy}", refused=True)
    finally:
        edge.sessions.forget()
    return answer_form("/people", told)


async def _page(
    request: Request,
    edge: Edge,
    status: int = 200,
    *,
    wrong: str = "",
    made: tuple[str, str, str] | None = None,
    given: dict[str, str] | None = None,
) -> HTMLResponse:
    async with edge.database.transaction() as connection:
        values: dict[str, Any] = {
            "people": await list_people(connection),
            "keys": await list_keys(connection),
            "at": await edge.database.clock.read(connection),
        }
    return render(
        request,
        "people.html",
        status,
        **values,
        roles=STAFF,
        key_roles=KEY_ROLES,
        grants=GRANTS,
        wrong=wrong,
        made=made,
        given=given or {},
        link_days=LINK_LASTS.days,
        oidc=edge.oidc.name if edge.oidc else None,
    )


def _whole(fields: dict[str, str], name: str, most: int) -> int | None:
    written = fields.get(name, "").strip()
    if not written:
        return None
    if not written.isascii() or not written.isdigit() or len(written) > 9 or not 1 <= int(written) <= most:
        _refuse(f"{name.replace('_', ' ')} is a whole number from 1 to {most}.", "Leave it empty for none.")
    return int(written)


def _refuse(message: str, remedy: str) -> NoReturn:
    raise InputError(message, remedy=remedy)
