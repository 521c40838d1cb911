"""`/sign-in/oidc`: off to the identity provider, back, and whose account that is."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from starlette.requests import Request

from schemas.access import Principal, Role
from schemas.errors import ConflictError, InputError, NotFoundError, UnavailableError
from store.database import Connection
from store.people import (
    Person,
    add_person,
    change_role,
    find_linked_person,
    find_person,
    link_identity,
    load_person,
)
from store.sessions import Way
from store.sign_in_failures import begin_attempt, forgive, read_wait
from web.edge import Edge, EdgeHere
from web.limits import Limits
from web.local_accounts import WaitStill
from web.oidc import CALLBACK, FLOW_SECONDS, OidcProvider
from web.oidc_identity import Identity, IdentityError
from web.sign_in import ask_to_wait, lead_in, let_in, refuse, safe_path
from web.sign_in_places import address_subject, note_refused, place_of

router = APIRouter(include_in_schema=False)
logger = logging.getLogger("holdfast.web")
WAY: Way = "identity_provider"
# So often one address may set out in a minute, in each process: a house full of people comes in at nine.
STARTS_PER_MINUTE = 120


@router.get("/sign-in/oidc")
async def leave(request: Request, edge: EdgeHere) -> Response:
    """Off to the provider."""
    provider = _provider(edge)
    onward = safe_path(request.query_params.get("next", "/"))
    wait = await _wait_still(request, edge)
    if wait is not None:
        return await ask_to_wait(request, edge, wait, onward)
    try:
        url, flow = await provider.begin(onward)
    except UnavailableError as error:
        return await _turn_back(request, edge, error)
    answer = RedirectResponse(url, status_code=303)
    answer.set_cookie(
        _cookie(edge),
        flow,
        max_age=FLOW_SECONDS,
        path="/",
        secure=edge.settings.public_url.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
    return answer


@router.get(CALLBACK)
async def come_back(request: Request, edge: EdgeHere) -> Response:
    """Back from the provider: in, or the sign-in page with the reason."""
    provider = _provider(edge)
    place = place_of(request, edge)
    address = address_subject(edge, place, WAY)
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        attempt = await begin_attempt(connection, [address], now)
    if attempt.until is not None:
        return await ask_to_wait(request, edge, WaitStill(attempt.until, now))
    try:
        identity, onward = await provider.finish(
            request.cookies.get(_cookie(edge), ""), dict(request.query_params)
        )
        async with edge.database.transaction() as connection:
            token = await _come_in(connection, request, edge, provider, identity)
            await forgive(connection, address)
        # Another role may have ended other sessions.
        edge.sessions.forget()
        answer = lead_in(edge, token, safe_path(onward))
    except UnavailableError as error:
        async with edge.database.transaction() as connection:
            await forgive(connection, address)
        answer = await _turn_back(request, edge, error)
    except IdentityError as error:
        logger.warning("nobody was let in by the identity provider: %s", error.message)
        await note_refused(edge, place, WAY, attempt, address, person_id=error.person_id)
        answer = await refuse(request, edge, f"{error.message} {error.remedy}")
    answer.delete_cookie(_cookie(edge), path="/", secure=edge.settings.public_url.startswith("https:"))
    return answer


async def _wait_still(request: Request, edge: Edge) -> WaitStill | None:
    """Whether this address has to wait: it failed too often, or sets out again and again."""
    place = place_of(request, edge)
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        until = await read_wait(connection, address_subject(edge, place, WAY), now)
    if until is not None:
        return WaitStill(until, now)
    limits: Limits = request.app.state.limits
    taken = limits.window.take(f"sign-in/{place.address}", STARTS_PER_MINUTE, time.monotonic())
    return None if taken.allowed else WaitStill(now + timedelta(seconds=taken.reset_seconds), now)


async def _turn_back(request: Request, edge: Edge, error: UnavailableError) -> Response:
    """The sign-in page, where other ways in are, if there are any."""
    answer = await refuse(request, edge, f"{error.message} {error.remedy}", 503)
    answer.headers["Retry-After"] = str(round(OidcProvider.RETRY_SECONDS))
    return answer


async def _come_in(
    connection: Connection, request: Request, edge: Edge, provider: OidcProvider, identity: Identity
) -> str:
    """The token of a new session. Raises IdentityError."""
    person = await _settle(connection, edge, provider, identity)
    token = await let_in(connection, request, edge, person, WAY)
    if token is None:
        raise _refusal(person, "Your account was changed at this moment.", "Sign in again.")
    return token


async def _settle(connection: Connection, edge: Edge, provider: OidcProvider, identity: Identity) -> Person:
    """The account of whom the provider vouches for: linked before, linked now by its verified address, or new."""
    actor = Principal(kind="system", id="oidc", name=provider.name, role="admin")
    role = identity.role or provider.claims.default_role
    person = await find_linked_person(connection, identity.issuer, identity.subject)
    if role is None:
        raise _refusal(
            person, "None of your groups has a role here.", "Ask an admin of the identity provider."
        )
    if person is None:
        person = await _link(connection, edge, actor, identity, role)
    if not person.active:
        raise _refusal(person, "Your account here is closed.", "Ask an admin.")
    if provider.claims.names_roles and role != person.role:
        # Who is in which group is decided there, also that the last admin is none any more.
        await change_role(connection, actor, person, role, keep_an_admin=False)
    return await load_person(connection, person.id)


async def _link(
    connection: Connection, edge: Edge, actor: Principal, identity: Identity, role: Role
) -> Person:
    """The account of the verified address, made where there is none."""
    if identity.email is None:
        raise _refusal(None, "The provider doesn't vouch for your mail address.", "Have it verified there.")
    person = await find_person(connection, identity.email)
    if person is None:
        now = await edge.database.clock.read(connection)
        try:
            person = await add_person(connection, actor, identity.email, identity.name, role, now)
        except InputError as error:
            raise _refusal(None, "Your mail address at the provider is none that is kept here.") from error
        except ConflictError as error:
            raise _refusal(None, "Your account was made at this moment.", "Sign in again.") from error
    else:
        # Of two who come by one address at once, the second sees whose it is.
        person = await load_person(connection, person.id, lock=True)
    # Who came by a provider that isn't ours any more comes by this one now.
    if person.oidc_issuer == identity.issuer and person.oidc_subject != identity.subject:
        raise _refusal(
            person,
            "That mail address belongs to somebody else's account.",
            "Ask an admin for a one-time link.",
        )
    await link_identity(connection, actor, person, identity.issuer, identity.subject)
    return person


def _refusal(person: Person | None, message: str, remedy: str | None = None) -> IdentityError:
    error = IdentityError(message, remedy=remedy)
    error.person_id = None if person is None else person.id
    return error


def _cookie(edge: Edge) -> str:
    # As that of sessions: no neighbour of this host can put one in its place.
    return "__Host-holdfast_oidc" if edge.settings.public_url.startswith("https:") else "holdfast_oidc"


def _provider(edge: Edge) -> OidcProvider:
    if edge.oidc is None:
        raise NotFoundError("No identity provider is set up here.", remedy="Sign in at /sign-in.")
    return edge.oidc
