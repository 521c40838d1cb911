"""Who stands behind a request, and what they may: sessions, API keys, signed tokens, and this machine's open pages."""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import urlsplit

from fastapi import Depends, Request

from schemas.access import GRANTS, Permission, Principal
from schemas.errors import UnavailableError
from store.sessions import Session
from web.client_address import is_forwarded
from web.forms import read_form
from web.keys import Key, NoKeyError, NotSignedInError, read_authorization
from web.problems import Forbidden

if TYPE_CHECKING:
    from web.edge import Edge

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# What changes nothing.
LOOKING = ("GET", "HEAD", "OPTIONS")
_OPEN = Principal(kind="open", id="pages", name="pages", role="admin")


class NotGrantedError(Forbidden):
    """This role may not do that."""

    code = "HF161"
    remedy = "Ask somebody whose role may."


class ForgedFormError(Forbidden):
    """This form was not sent by our own page."""

    code = "HF162"
    remedy = "Open the page again under its own address, then send the form."


def _edge_of(request: Request) -> Edge:
    return cast("Edge", request.app.state.edge)


async def principal_of(request: Request) -> Principal:
    """Whoever the request shows to be behind it: a person's session, else an API key, else a signed token; where pages
    are open, also a page's script that shows the page's token.

    Found out once per request. Raises NoKeyError, which is answered by 401.
    """
    known = getattr(request.state, "principal", None)
    if known is None:
        known = request.state.principal = await _identify(request)
    return cast(Principal, known)


async def is_known_still(request: Request) -> bool:
    """Whether whoever was known to be behind a request that lasts still would be: keys are removed, tokens run out."""
    known: Principal | None = getattr(request.state, "principal", None)
    if known is None or known.kind == "open":
        return True
    try:
        return await _identify(request) == known
    except (NoKeyError, Forbidden):
        return False
    except UnavailableError:
        # Whose keys a token was signed by can't be had just now.
        return True


async def _identify(request: Request) -> Principal:
    edge = _edge_of(request)
    session = await session_of(request)
    if session is not None:
        return person_of(session)
    shown = read_authorization(request.headers.get("authorization"))
    if shown is None and edge.settings.pages_open and "x-csrf" in request.headers:
        check_machine(request)
        _compare(request.headers["x-csrf"], open_csrf(edge))
        return _OPEN
    if shown is not None and edge.tokens is not None and not edge.keys.knows(shown) and shown.count(".") == 2:
        return await edge.tokens.read(shown)
    request.state.key = await edge.keys.find(shown)
    return of_key(request.state.key)


async def session_of(request: Request) -> Session | None:
    """The session of the request's cookie; read anew for whatever may change something."""
    if not hasattr(request.state, "session"):
        edge = _edge_of(request)
        fresh = request.scope.get("method", "GET") not in LOOKING
        request.state.session = await edge.sessions.find(request, fresh=fresh)
    return cast(Session | None, request.state.session)


def person_of(session: Session) -> Principal:
    """The person in front of a browser that is signed in."""
    return Principal(kind="person", id=session.person_id, name=session.name, role=session.role)


def of_key(key: Key) -> Principal:
    """Whoever shows this API key."""
    return Principal(kind="key", id=key.name, name=key.name, role=key.role)


@functools.cache
def may(permission: Permission) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency: whoever asks, if their role is granted `permission`. Raises NoKeyError, NotGrantedError."""

    async def granted(request: Request) -> Principal:
        principal = await principal_of(request)
        check_granted(principal, permission)
        _check_script(request)
        return principal

    return granted


@functools.cache
def own_or(permission: Permission) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency: whoever is granted `permission`, and for themselves the customer whom the path's `userId` names."""

    async def granted(request: Request) -> Principal:
        principal = await principal_of(request)
        own = principal.customer is not None and request.path_params.get("userId") == principal.customer
        if not (own and principal.may("self")):
            check_granted(principal, permission)
        _check_script(request)
        return principal

    return granted


def check_granted(principal: Principal, permission: Permission) -> None:
    """Raises NotGrantedError, naming the roles that may."""
    if principal.may(permission):
        return
    roles = [role for role, granted in GRANTS.items() if permission in granted]
    raise NotGrantedError(
        f"The role {principal.role} has no permission to {permission}.",
        remedy=f"It takes one of the roles {', '.join(roles)}."
        if principal.kind == "person"
        else f"Use a key or a session of one of the roles {', '.join(roles)}.",
    )


@functools.cache
def reader(permission: Permission = "read") -> Callable[[Request], Awaitable[Principal]]:
    """A dependency of pages: who is signed in, or shows a key, or where pages are open sits at this machine.

    Raises NotSignedInError, which leads people to /sign-in; NotGrantedError without `permission`.
    """

    async def reading(request: Request) -> Principal:
        principal = await _reader_of(request)
        check_granted(principal, permission)
        return principal

    return reading


@functools.cache
def poster(permission: Permission) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency of forms: a reader with `permission` whose browser says that the form is ours, and whose form
    carries the session's token in the field `csrf` (a script's call in the header X-CSRF).
    """
    read = reader(permission)

    async def posting(request: Request) -> Principal:
        principal = await read(request)
        check_origin(request)
        await check_form(request)
        return principal

    return posting


async def check_form(request: Request) -> None:
    """Raises ForgedFormError unless a form carries its session's token; without a session there is none to carry."""
    session = await session_of(request)
    if session is not None:
        shown = request.headers.get("x-csrf")
        _compare(
            shown if shown is not None else (await read_form(request, most=500)).get("csrf", ""), session.csrf
        )


async def _reader_of(request: Request) -> Principal:
    edge = _edge_of(request)
    if edge.settings.pages_open:
        check_machine(request)
        session = await session_of(request)
        request.state.principal = _OPEN if session is None else person_of(session)
        return cast(Principal, request.state.principal)
    try:
        return await principal_of(request)
    except NoKeyError as error:
        if request.headers.get("authorization"):
            raise
        raise NotSignedInError from error


def check_machine(request: Request) -> None:
    """Raises Forbidden unless this machine asks, and by its own name: another site's name may be made to point here,
    for its scripts to read all.
    """
    edge = _edge_of(request)
    here = request.client is not None and ip_address(request.client.host).is_loopback
    if not here or is_forwarded(request):
        raise Forbidden("Pages are open on this machine only.", remedy="Unset HOLDFAST_PAGES, then sign in.")
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    if host not in (*LOOPBACK, urlsplit(edge.settings.public_url).hostname):
        raise Forbidden(
            f"Pages aren't open under the name {host!r}.", remedy=f"Open {edge.settings.public_url}."
        )


def check_origin(request: Request) -> None:
    """Raises ForgedFormError unless the browser says that a page of ours sends this."""
    origin = request.headers.get("origin")
    if origin is None or urlsplit(origin).netloc != request.headers.get("host"):
        raise ForgedFormError


def _check_script(request: Request) -> None:
    # A key isn't sent by a browser on its own; a session's cookie is.
    session: Session | None = getattr(request.state, "session", None)
    if session is None or request.method in LOOKING:
        return
    if "origin" in request.headers:
        check_origin(request)
    _compare(request.headers.get("x-csrf", ""), session.csrf)


def _compare(shown: str, expected: str) -> None:
    if not hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), expected.encode()):
        raise ForgedFormError(
            "The form's token isn't that of this session.", remedy="Load the page again, then send it."
        )


def csrf_of(request: Request) -> str:
    """What forms and scripts of the page that answers `request` show; empty for whoever isn't known."""
    session: Session | None = getattr(request.state, "session", None)
    if session is not None:
        return session.csrf
    return open_csrf(_edge_of(request)) if getattr(request.state, "principal", None) is _OPEN else ""


def open_csrf(edge: Edge) -> str:
    """The token of pages that are open; without it no other site's page can call through this browser."""
    secret = (edge.shared.secret_key or edge.settings.process_secret).encode()
    return hmac.new(secret, b"pages are open", hashlib.sha256).hexdigest()


caller_of = may("read")
reader_of = reader("read")
poster_of = poster("act")

Caller = Annotated[Principal, Depends(caller_of)]
Actor = Annotated[Principal, Depends(may("act"))]
Editor = Annotated[Principal, Depends(may("edit"))]
Manager = Annotated[Principal, Depends(may("manage"))]
Reader = Annotated[Principal, Depends(reader_of)]
Poster = Annotated[Principal, Depends(poster_of)]
EditorPoster = Annotated[Principal, Depends(poster("edit"))]
ManagerReader = Annotated[Principal, Depends(reader("manage"))]
ManagerPoster = Annotated[Principal, Depends(poster("manage"))]
