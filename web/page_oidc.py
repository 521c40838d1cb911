"""`/sign-in/oidc`: off to the identity provider, back, and whose account that is."""

from __future__ import annotations

import logging

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from starlette.requests import Request

from schemas.access import Principal
from schemas.errors import NotFoundError
from store.database import Connection
from store.people import (
    Person,
    add_person,
    change_role,
    find_linked_person,
    find_person,
    link_identity,
    load_person,
    note_signed_in,
)
from web.edge import Edge, EdgeHere
from web.oidc import CALLBACK, FLOW_SECONDS, OidcProvider
from web.oidc_identity import Identity, IdentityError
from web.sign_in import let_in, refuse, safe_path

router = APIRouter(include_in_schema=False)
logger = logging.getLogger("holdfast.web")
COOKIE = "holdfast_oidc"


@router.get("/sign-in/oidc")
async def leave(request: Request, edge: EdgeHere) -> Response:
    """Off to the provider."""
    provider = _provider(edge)
    url, flow = await provider.begin(safe_path(request.query_params.get("next", "/")))
    answer = RedirectResponse(url, status_code=303)
    answer.set_cookie(
        COOKIE,
        flow,
        max_age=FLOW_SECONDS,
        path="/sign-in/oidc",
        secure=edge.settings.public_url.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
    return answer


@router.get(CALLBACK)
async def come_back(request: Request, edge: EdgeHere) -> Response:
    """Back from the provider: in, or the sign-in page with the reason."""
    provider = _provider(edge)
    try:
        identity, onward = await provider.finish(request.cookies.get(COOKIE, ""), dict(request.query_params))
        async with edge.database.transaction() as connection:
            person = await _settle(connection, edge, provider, identity)
        answer = await let_in(request, edge, person.id, safe_path(onward))
    except IdentityError as error:
        logger.warning("nobody was let in by the identity provider: %s", error.message)
        answer = await refuse(request, edge, f"{error.message} {error.remedy}")
    answer.delete_cookie(COOKIE, path="/sign-in/oidc")
    return answer


async def _settle(connection: Connection, edge: Edge, provider: OidcProvider, identity: Identity) -> Person:
    """The account of whom the provider vouches for: linked before, linked now by its verified address, or new."""
    now = await edge.database.clock.read(connection)
    actor = Principal(kind="system", id="oidc", name=provider.name, role="admin")
    role = identity.role or provider.claims.default_role
    person = await find_linked_person(connection, identity.issuer, identity.subject)
    if role is None:
        raise IdentityError(
            "None of your groups has a role here.", remedy="Ask an admin of the identity provider."
        )
    if person is None:
        if identity.email is None:
            raise IdentityError(
                "The provider doesn't vouch for your mail address.", remedy="Have it verified there."
            )
        person = await find_person(connection, identity.email)
        if person is None:
            person = await add_person(connection, actor, identity.email, identity.name[:200], role, now)
        elif person.oidc_subject is not None:
            raise IdentityError(
                "That mail address belongs to somebody else's account.", remedy="Ask an admin."
            )
        await link_identity(connection, actor, person, identity.issuer, identity.subject)
    if not person.active:
        raise IdentityError("Your account here is closed.", remedy="Ask an admin.")
    if provider.claims.names_roles and role != person.role:
        # Who is in which group is decided there, also that the last admin is none any more.
        await change_role(connection, actor, person, role, keep_an_admin=False)
    await note_signed_in(connection, person.id, now)
    return await load_person(connection, person.id)


def _provider(edge: Edge) -> OidcProvider:
    if edge.oidc is None:
        raise NotFoundError("No identity provider is set up here.", remedy="Sign in at /sign-in.")
    return edge.oidc
