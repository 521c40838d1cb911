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
from store.database import Connection
from store.people import Person, count_people, load_person, note_signed_in, read_name, set_password
from store.sessions import Way, hash_token
from store.sign_in_failures import begin_attempt, read_wait
from store.sign_in_links import SignInLink, find_owner, read_link, use_link
from web.access import check_form, check_origin, person_of, session_of
from web.edge import Edge, EdgeHere
from web.forms import read_form
from web.local_accounts import WaitStill, as_principal, check_account
from web.passwords import SHORTEST, check_password, hash_password
from web.rendering import render
from web.sign_in_places import address_subject, note_refused, place_of

# Here nobody is signed in yet.
router = APIRouter(include_in_schema=False)
WRONG = "This e-mail address and this password don't fit together."
OVER = "This link was used already, or is too old."
# What a query says of those who just signed out, and came by the identity provider.
LEFT = "identity_provider"
LONGEST_PATH = 2000


def safe_path(written: str) -> str:
    """A path of ours to go on to; `/` for whatever leads elsewhere."""
    good = written.startswith("/") and not written.startswith(("//", "/sign-", "/welcome/"))
    good = good and len(written) <= LONGEST_PATH
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
    answer = await check_account(edge, email, fields.get("password", ""), place_of(request, edge))
    if isinstance(answer, WaitStill):
        return await ask_to_wait(request, edge, answer, onward, email=email)
    token = None
    if answer is not None:
        async with edge.database.transaction() as connection:
            token = await let_in(connection, request, edge, answer, "password")
    if token is None:
        return await _page(request, edge, onward, 403, email=email, told=WRONG)
    return lead_in(edge, token, onward)


@router.post("/sign-out")
async def sign_out(request: Request, edge: EdgeHere) -> Response:
    """End this browser's session at once."""
    check_origin(request)
    session = await session_of(request)
    if session is not None:
        await check_form(request)
        async with edge.database.transaction() as connection:
            await edge.sessions.end(connection, request, person_of(session), "signed_out")
    left = session is not None and session.way == LEFT
    answer = RedirectResponse(f"/sign-in?left={LEFT}" if left else "/sign-in", status_code=303)
    edge.sessions.take_away(answer)
    return answer


@router.get("/welcome/{token}")
async def welcome(request: Request, edge: EdgeHere, token: str) -> Response:
    """What the link is for. Looking at it uses nothing up: whatever previews links may."""
    found = await _find_link(request, edge, token)
    return _welcome(request, found) if isinstance(found, SignInLink) else found


@router.post("/welcome/{token}")
async def accept(request: Request, edge: EdgeHere, token: str) -> Response:
    """Use the link: it sets name and password, and signs in."""
    check_origin(request)
    fields = await read_form(request)
    link = await _find_link(request, edge, token)
    if not isinstance(link, SignInLink):
        return link
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
            edge.sessions.forget()
        person = await load_person(connection, link.person.id)
        session = await let_in(connection, request, edge, person, "link")
    return _over(request) if session is None else lead_in(edge, session, "/")


async def let_in(
    connection: Connection, request: Request, edge: Edge, person: Person, way: Way
) -> str | None:
    """A new session's token; None where the account was closed, or got another password, since it was looked at."""
    now = await edge.database.clock.read(connection)
    found = await load_person(connection, person.id, lock=True)
    if not found.active or found.password_hash != person.password_hash:
        return None
    await note_signed_in(connection, found.id, now)
    place = place_of(request, edge).told
    return await edge.sessions.start(connection, request, as_principal(found), way, place)


def lead_in(edge: Edge, token: str, onward: str) -> Response:
    """On to the page that was asked for, with the session's cookie."""
    answer = RedirectResponse(onward, status_code=303)
    edge.sessions.give(answer, token)
    return answer


async def ask_to_wait(
    request: Request, edge: Edge, wait: WaitStill, onward: str = "/", *, email: str = ""
) -> HTMLResponse:
    """The sign-in page, which says when to come back."""
    seconds = max(ceil((wait.until - wait.now).total_seconds()), 1)
    page = await _page(request, edge, onward, 429, email=email, told=_wait(wait.until, seconds))
    page.headers["Retry-After"] = str(seconds)
    return page


async def refuse(request: Request, edge: Edge, told: str, status: int = 403) -> Response:
    """The sign-in page again, with the reason why somebody isn't let in."""
    return await _page(request, edge, "/", status, told=told)


async def _find_link(request: Request, edge: Edge, token: str) -> SignInLink | Response:
    """What the link is good for, or the answer to one that is good for nothing; those are counted by their address."""
    place = place_of(request, edge)
    address = address_subject(edge, place, "link")
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        until = await read_wait(connection, address, now)
        if until is None:
            link = await read_link(connection, hash_token(token), now)
            if link is not None:
                return link
            attempt = await begin_attempt(connection, [address], now)
            until, owner = attempt.until, await find_owner(connection, hash_token(token))
    if until is not None:
        return await ask_to_wait(request, edge, WaitStill(until, now))
    await note_refused(edge, place, "link", attempt, address, person_id=owner)
    return _over(request)


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
        leave=await _way_out(request, edge),
    )


async def _way_out(request: Request, edge: Edge) -> str | None:
    """Where whoever just signed out here does so at the identity provider, if it says where."""
    if edge.oidc is None or request.query_params.get("left") != LEFT:
        return None
    return await edge.oidc.find_way_out()


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
    return f"Too many attempts. Try again in {waited}, at {until.astimezone(UTC):%H:%M:%S} UTC."
