"""What an operation of the API can be asked in its query: a name that it doesn't know is told, and not passed over.

A filter that was misspelt would else give everything, and a status that says all is well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from web.known_names import tell_known

PREFIX = "/api/"
# So many wrong ones are told of at once.
MOST_TOLD = 10


async def check_query(request: Request) -> None:
    """A dependency: raises RequestValidationError for parameters that aren't known, stand twice, or are empty."""
    if not request.scope["query_string"] or not request.scope["path"].startswith(PREFIX):
        return
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known = _known(request, route)
    pairs = request.query_params.multi_items()
    given, empty = Counter(name for name, _ in pairs), {name for name, value in pairs if not value}
    told = {name: _wrong(name, times, known, empty=name in empty) for name, times in given.items()}
    wrong = [
        {"type": "query_name", "loc": ("query", name[:100]), "msg": message, "input": None}
        for name, message in told.items()
        if message
    ]
    if wrong:
        raise RequestValidationError(wrong[:MOST_TOLD])


def _known(request: Request, route: APIRoute) -> Mapping[str, bool]:
    """As `names_of`, worked out once per route and application."""
    found: dict[int, Mapping[str, bool]] = request.app.state.query_names
    # A route has no hash; it stays as long as its application does.
    if id(route) not in found:
        found[id(route)] = names_of(route)
    return found[id(route)]


def names_of(route: APIRoute) -> Mapping[str, bool]:
    """The parameters of the route's query, and of each whether it may stand there several times."""
    return {
        field.alias: _is_many(field.field_info.annotation)
        for dependant in _all(route.dependant)
        for field in dependant.query_params
    }


def _all(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for one in dependant.dependencies:
        yield from _all(one)


def _is_many(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_is_many(one) for one in get_args(annotation))


def _wrong(name: str, times: int, known: Mapping[str, bool], *, empty: bool) -> str:
    """What is wrong with a parameter; empty where nothing is."""
    if name in known:
        if times > 1 and not known[name]:
            return f"It stands here {times} times, and may stand once."
        # A filter without a value would be none.
        return "It is empty: leave it out, or give a value." if empty else ""
    if not known:
        return "There is no such parameter: this takes none."
    return f"There is no such parameter. {tell_known(name, list(known))}"
