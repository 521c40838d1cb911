"""What the handlers of one web process share, and who is let in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

from fastapi import Depends, Request

from channels.hook_sources import HookSource
from schemas.errors import Problem
from schemas.incoming import Mover
from schemas.settings import Settings
from scoring.assessment import Assessment
from store.database import Database, Waker
from web.changes import Changes
from web.executions import Executions
from web.gathering import Gatherer
from web.keys import KeyRing, NoKeyError, read_authorization
from web.problems import Forbidden
from web.settings import WebSettings

# Makes a version (by playbook, digest and who asks) live again, and says what came of it.
RollBack = Callable[[str, str, str], Awaitable[Mapping[str, Any]]]
# Scores the customer that the caller calls so, now; and writes it down, if that is asked for. Raises NotFoundError.
Assess = Callable[[str, bool], Awaitable[Assessment]]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Edge:
    """One process's connections and settings; `find_problems` says what is wrong with the playbook files, `roll_back`
    makes an earlier version live again, `assess` scores one customer on demand. `hooks` are the sources of `/hooks`,
    `help_text` is what a customer who asks for HELP is told.
    """

    settings: WebSettings
    shared: Settings
    database: Database
    gatherer: Gatherer
    keys: KeyRing
    executions: Executions
    changes: Changes
    bell: Waker
    hook_bell: Waker
    find_problems: Callable[[], Sequence[Problem]]
    roll_back: RollBack | None = None
    assess: Assess | None = None
    # What events make of signals, for what happens to customers here.
    move: Mover | None = None
    hooks: Mapping[str, HookSource] = field(default_factory=dict)
    help_text: str = ""


def edge_of(request: Request) -> Edge:
    """The edge that this request came to."""
    return cast(Edge, request.app.state.edge)


async def caller_of(request: Request) -> str:
    """The name of the API key that the request shows. Raises NoKeyError."""
    return await edge_of(request).keys.identify(read_authorization(request.headers.get("authorization")))


async def reader_of(request: Request) -> str:
    """Who looks at pages: where pages are open anybody on this machine, else the holder of a key.

    The name is checked, too: another site's name may be made to point here, for its scripts to read all.
    """
    edge = edge_of(request)
    if edge.settings.pages_open:
        if request.client is None or not ip_address(request.client.host).is_loopback:
            raise Forbidden(
                "Pages are open on this machine only.", remedy="Unset HOLDFAST_PAGES, then use the key."
            )
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname
        if host not in (*LOOPBACK, urlsplit(edge.settings.public_url).hostname):
            raise Forbidden(
                f"Pages aren't open under the name {host!r}.", remedy=f"Open {edge.settings.public_url}."
            )
        return "pages"
    try:
        return await caller_of(request)
    except NoKeyError as error:
        raise NoKeyError(
            error.message, remedy="Enter the API key as user name; leave the password empty."
        ) from error


async def poster_of(request: Request) -> str:
    """Who posts a form: a reader whose browser says that the form is ours. Raises Forbidden."""
    reader = await reader_of(request)
    origin = request.headers.get("origin")
    if origin is None or urlsplit(origin).netloc != request.headers.get("host"):
        raise Forbidden("This form was not sent by our own page.")
    return reader


EdgeHere = Annotated[Edge, Depends(edge_of)]
Caller = Annotated[str, Depends(caller_of)]
Reader = Annotated[str, Depends(reader_of)]
Poster = Annotated[str, Depends(poster_of)]
