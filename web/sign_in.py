"""`/sign-in`, `/sign-out`, and `/welcome/{token}`, where a link that lets somebody in once leads."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from math import ceil
from urllib.parse import urlencode

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.requests import Request

from schemas.errors import InputError
from store.people import count_people, note_signed_in, read_name, set_password
from store.sessions import hash_token
from store.sign_in_links import SignInLink, read_link, use_link
from web.access import check_form, check_origin, session_of
from web.client_address import address_of
from web.edge import Edge, EdgeHere
from web.forms import read_form
from web.local_accounts import WaitStill, as_principal, check_account
from web.passwords import SHORTEST, check_password, hash_password
from web.rendering import render

# Here nobody is signed in yet.
router = APIRouter(include_in_schema=False)
WRONG = "This e-mail address and this password don't fit together."
OVER = "This link was used already, or is too old."


def safe_path(written: str) -> str:
    """A path of ours to go on to; `/` for whatever leads elsewhere."""
    good = written.startswith("/") and not written.startswith(("//", "/sign-", "/welcome/"))
    return written if good and "\\" not in written and written.isprintable() else "/"


@router.get("/sign-in")
async def ask(request: Request, edge: EdgeHere) -> Response:
    """The form; while nobody has an account, how to make the first one."""
    onward = safe_path(request.query_params.get("next", "/"))
    if await session_of(request) is not None:
        return RedirectResponse(onward, status_code=303)
    return await _page(request, edge, onward)


@router.post("/sign-in")
async def sign_in(request: Request, edge: EdgeHere) -> Response:
    """Sign in by e-mail address and password."""
    check_origin(request)
    fields = await read_form(request)
    onward = safe_path(fields.get("next", "/"))
    email = fields.get("email", "").strip()[:320]
    address = address_of(request, edge.settings.proxies)
    answer = await check_account(edge, email, fields.get("password", ""), address)
    if isinstance(answer, WaitStill):
        seconds = max(ceil((answer.until - answer.now).total_seconds()), 1)
        page = await _page(request, edge, onward, 429, email=email, told=_wait(answer.until, seconds))
        page.headers["Retry-After"] = str(seconds)
        return page
    if answer is None:
        return await _page(request, edge, onward, 403, email=email, told=WRONG)
    return await let_in(request, edge, answer.id, onward)


@router.post("/sign-out")
async def sign_out(request: Request, edge: EdgeHere) -> Response:
    """End this browser's session at once."""
    check_origin(request)
    if await session_of(request) is not None:
        await check_form(request)
        async with edge.database.transaction() as connection:
            await edge.sessions.end(connection, request)
    answer = RedirectResponse("/sign-in", status_code=303)
    edge.sessions.take_away(answer)
    return answer


@router.get("/welcome/{token}")
async def welcome(request: Request, edge: EdgeHere, token: str) -> Response:
    """What the link is for. Looking at it changes nothing: whatever previews links may."""
    async with edge.database.transaction() as connection:
        link = await read_link(connection, hash_token(token), await edge.database.clock.read(connection))
    return _welcome(request, link) if link else _over(request)


@router.post("/welcome/{token}")
async def accept(request: Request, edge: EdgeHere, token: str) -> Response:
    """Use the link: it sets name and password, and signs in."""
    check_origin(request)
    fields = await read_form(request)
    async with edge.database.transaction() as connection:
        link = await read_link(connection, hash_token(token), await edge.database.clock.read(connection))
    if link is None:
        return _over(request)
    name = hashed = None
    if link.sets_password:
        try:
            name = read_name(fields.get("name", ""))
            written = check_password(fields.get("password", ""), email=link.person.email)
            _check_same(written, fields.get("again", ""))
        except InputError as error:
            return _welcome(
                request, link, 400, told=f"{error.message} {error.remedy}", name=fields.get("name", "")
            )
        hashed = await hash_password(written)
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        if await use_link(connection, hash_token(token), now) is None:
            return _over(request)
        if hashed is not None:
            await set_password(connection, as_principal(link.person), link.person.id, hashed, name=name)
            await edge.sessions.end_all(connection, link.person.id)
        await note_signed_in(connection, link.person.id, now)
    return await let_in(request, edge, link.person.id, "/")


async def let_in(request: Request, edge: Edge, person_id: str, onward: str) -> Response:
    """A new session under a new token, and on to the page that was asked for."""
    async with edge.database.transaction() as connection:
        token = await edge.sessions.start(connection, request, person_id)
    answer = RedirectResponse(onward, status_code=303)
    edge.sessions.give(answer, token)
    return answer


async def refuse(request: Request, edge: Edge, told: str, status: int = 403) -> Response:
    """The sign-in page again, with the reason why somebody isn't let in."""
    return await _page(request, edge, "/", status, told=told)


async def _page(
    request: Request, edge: Edge, onward: str, status: int = 200, *, email: str = "", told: str = ""
) -> HTMLResponse:
    async with edge.database.transaction() as connection:
        anybody = await count_people(connection) > 0
    return render(
        request,
        "sign_in.html",
        status,
        onward=onward,
        email=email,
        told=told,
        anybody=anybody,
        oidc=None if edge.oidc is None else f"/sign-in/oidc?{urlencode({'next': onward})}",
        oidc_name=None if edge.oidc is None else edge.oidc.name,
    )


def _welcome(
    request: Request, link: SignInLink, status: int = 200, *, told: str = "", name: str | None = None
) -> HTMLResponse:
    return render(
        request,
        "welcome.html",
        status,
        person=link.person,
        sets_password=link.sets_password,
        name=link.person.name if name is None else name,
        shortest=SHORTEST,
        told=told,
    )


def _check_same(written: str, again: str) -> None:
    if unicodedata.normalize("NFKC", again) != written:
        raise InputError("The two passwords differ.", remedy="Write the same one twice.")


def _over(request: Request) -> HTMLResponse:
    return render(request, "welcome.html", 404, person=None, told=OVER)


def _wait(until: datetime, seconds: int) -> str:
    waited = f"{seconds} seconds" if seconds < 120 else f"{ceil(seconds / 60)} minutes"
    return f"Too many failed attempts. Try again in {waited}, at {until.astimezone(UTC):%H:%M:%S} UTC."
