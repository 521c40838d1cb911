"""Which permission each route asks for, read from the route itself, so that none is forgotten."""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from schemas.access import PERMISSIONS, Permission, Principal
from web.access import check_granted, may, own_or, poster, reader

# The tracking API stands before the framework.
INGEST = "/v1/"


@dataclass(frozen=True)
class Declared:
    """What a route asks for. `own`: customers may do it for themselves; `way`: api, page or form."""

    permission: Permission
    own: bool = False
    way: Literal["api", "page", "form"] = "api"


@functools.cache
def own_named(permission: Permission) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency: whoever is granted `permission`, and customers, whose handler then calls `check_own`."""

    async def granted(request: Request) -> Principal:
        return await may("self")(request)

    return granted


def check_own(principal: Principal, user_id: str | None, permission: Permission) -> None:
    """Raises NotGrantedError unless the customer is the one who asks, or `permission` is granted."""
    if principal.customer is None or principal.customer != user_id:
        check_granted(principal, permission)


@functools.cache
def _known() -> dict[Callable[..., Any], Declared]:
    found: dict[Callable[..., Any], Declared] = {}
    for permission in PERMISSIONS:
        found[may(permission)] = Declared(permission)
        found[own_or(permission)] = Declared(permission, own=True)
        found[own_named(permission)] = Declared(permission, own=True)
        found[reader(permission)] = Declared(permission, way="page")
        found[poster(permission)] = Declared(permission, way="form")
    return found


@dataclass(frozen=True)
class Endpoint:
    """One method of one path, and what it asks for (None: nothing). `listed`: it is in the API's description."""

    method: str
    path: str
    asked: Declared | None
    listed: bool
    regex: re.Pattern[str] | None = None


def endpoints_of(app: FastAPI) -> Iterator[Endpoint]:
    """Every endpoint of the application but mounted files, in the order in which they are looked at."""
    for route in iter_route_contexts(app.routes):
        path = route.path_format or route.path
        if path is None or route.methods is None:
            continue
        asked, listed = Declared("ingest") if path.startswith(INGEST) else None, False
        if isinstance(route.original_route, APIRoute):
            asked, listed = _declared(route.dependant), bool(route.include_in_schema)
        for method in sorted(route.methods - {"HEAD"}):
            yield Endpoint(method, path, asked, listed, getattr(route, "path_regex", None))


def _declared(dependant: Dependant) -> Declared | None:
    """Of several permissions the rarer one: a form of a page that all staff may read may be for ops alone."""
    asked = [_known()[call] for call in _calls(dependant) if call in _known()]
    return max(asked, key=lambda one: PERMISSIONS.index(one.permission), default=None)


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for one in dependant.dependencies:
        if one.call is not None:
            yield one.call
        yield from _calls(one)
