"""`/me`: the account of whoever is signed in: their browsers, their password."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.requests import Request

from schemas.access import Principal
from schemas.errors import InputError
from store.people import load_person, set_password
from store.sessions import Session, list_sessions
from web.access import poster, reader, session_of
from web.edge import EdgeHere
from web.forms import answer_form, read_form
from web.local_accounts import WaitStill, check_account
from web.passwords import SHORTEST, check_password, hash_password
from web.problems import Forbidden
from web.rendering import render
from web.sign_in import lead_in
from web.sign_in_places import place_of

router = APIRouter(include_in_schema=False)
Me = Annotated[Principal, Depends(reader("self"))]
MyForm = Annotated[Principal, Depends(poster("self"))]


@router.get("/me")
async def account(request: Request, edge: EdgeHere, me: Me) -> HTMLResponse:
    """Who one is here, and in which browsers one is signed in."""
    here = await session_of(request)
    if here is None:
        return render(request, "me.html", person=None, sessions=(), here="", shortest=SHORTEST)
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        return render(
            request,
            "me.html",
            person=await load_person(connection, me.id),
            sessions=await list_sessions(connection, me.id, now),
            here=here.token_hash,
            shortest=SHORTEST,
        )


@router.post("/me/sessions/end")
async def end_others(request: Request, edge: EdgeHere, me: MyForm) -> RedirectResponse:
    """Sign out everywhere else."""
    here = await _here(request)
    async with edge.database.transaction() as connection:
        ended = await edge.sessions.end_all(connection, me, me.id, "ended_elsewhere", but=here.token_hash)
    return _back(f"Signed out of {ended} other browser{'' if ended == 1 else 's'}.")


@router.post("/me/sessions/{key}/end")
async def end_one(request: Request, edge: EdgeHere, me: MyForm, key: str) -> RedirectResponse:
    """Sign out of one other browser."""
    here = await _here(request)
    if key == here.key:
        return _back("That is this browser: it has a Sign out of its own.", refused=True)
    async with edge.database.transaction() as connection:
        ended = await edge.sessions.end_all(connection, me, me.id, "ended_elsewhere", key=key)
    if not ended:
        return _back("That browser was signed out already.", refused=True)
    return _back("Signed out of that browser.")


@router.post("/me/password")
async def change_password(request: Request, edge: EdgeHere, me: MyForm) -> Response:
    """Another password, by whoever knows the present one; every browser but this one is signed out."""
    here = await _here(request)
    fields = await read_form(request)
    async with edge.database.transaction() as connection:
        person = await load_person(connection, me.id)
    try:
        written = check_password(fields.get("password", ""), email=person.email)
    except InputError as error:
        return _back(f"{error.message} {error.remedy}", refused=True)
    if fields.get("password") != fields.get("again"):
        return _back("The two new passwords differ.", refused=True)
    known = await check_account(edge, person.email, fields.get("current", ""), place_of(request, edge))
    if isinstance(known, WaitStill):
        return _back(f"Too many failed attempts. Try again at {known.until:%H:%M:%S} UTC.", refused=True)
    if known is None:
        return _back("That isn't your present password.", refused=True)
    hashed = await hash_password(written)
    async with edge.database.transaction() as connection:
        await set_password(connection, me, me.id, hashed, but=here.token_hash)
        token = await edge.sessions.renew(connection, here)
    return lead_in(edge, token, f"/me?{urlencode({'told': 'Your password is changed.'})}")


async def _here(request: Request) -> Session:
    session = await session_of(request)
    if session is None:
        raise Forbidden("Nobody is signed in in this browser.", remedy="Sign in at /sign-in.")
    return session


def _back(told: str, *, refused: bool = False) -> RedirectResponse:
    return answer_form("/me", told, refused=refused)
