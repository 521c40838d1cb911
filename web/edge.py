"""What the handlers of one web process share, and who is let in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from channels.hook_sources import HookSource
from schemas.access import Principal
from schemas.entry_outlook import EntryOutlook
from schemas.errors import Problem
from schemas.incoming import Mover
from schemas.settings import Settings
from scoring.assessment import Assessment
from store.bulk_entries import EntryPreview
from store.database import Database, Waker
from store.shared_time import SharedTime
from web.access import (
    LOOPBACK,
    Actor,
    Caller,
    Editor,
    EditorPoster,
    Manager,
    ManagerPoster,
    ManagerReader,
    Poster,
    Reader,
    caller_of,
    may,
    own_or,
    poster_of,
    principal_of,
    reader_of,
)
from web.backtests import Backtests
from web.changes import Changes
from web.executions import Executions
from web.gathering import Gatherer
from web.keys import KeyRing
from web.oidc import OidcProvider
from web.sessions import Sessions
from web.settings import WebSettings
from web.user_tokens import UserTokens
from web.workbench import Workbench

__all__ = [
    "LOOPBACK",
    "Actor",
    "Assess",
    "Caller",
    "Edge",
    "EdgeHere",
    "Editor",
    "EditorPoster",
    "Explain",
    "LookUp",
    "Manager",
    "ManagerPoster",
    "ManagerReader",
    "Poster",
    "Preview",
    "Reader",
    "RollBack",
    "caller_of",
    "edge_of",
    "may",
    "own_or",
    "poster_of",
    "principal_of",
    "reader_of",
]

# Makes a version (by playbook, digest and who asks) live again, and says what came of it; only while the playbook is as
# the last says (`based_on` of the workbench; None: however it is). Raises EditedMeanwhileError.
RollBack = Callable[[str, str, str, str | None], Awaitable[Mapping[str, Any]]]
# Scores the customer that the caller calls so, now; and writes it down, if that is asked for. Raises NotFoundError.
Assess = Callable[[str, bool], Awaitable[Assessment]]
# What would become of these customers if somebody asked them into the playbook now. Raises NotFoundError.
Preview = Callable[[str, Sequence[str]], Awaitable[Sequence[EntryPreview]]]
# The customer that the caller calls so before the door of every playbook. Raises NotFoundError.
Explain = Callable[[str], Awaitable[Sequence[EntryOutlook]]]
# Asks the provider of a message what became of it, for whoever wants to know now; says what came of that.
# Raises NotFoundError, ConflictError, UnavailableError.
LookUp = Callable[[str, Principal], Awaitable[str]]


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
    sessions: Sessions
    executions: Executions
    changes: Changes
    # The database's time, for what is told of this moment and decides nothing.
    time: SharedTime
    bell: Waker
    hook_bell: Waker
    find_problems: Callable[[], Sequence[Problem]]
    roll_back: RollBack | None = None
    assess: Assess | None = None
    # Says who would enter a playbook, before anybody is asked into it.
    preview: Preview | None = None
    # Says of every playbook what keeps a customer out of it.
    explain: Explain | None = None
    # Asks providers about messages, where this process has their settings.
    look_up: LookUp | None = None
    # What events make of signals, for what happens to customers here.
    move: Mover | None = None
    hooks: Mapping[str, HookSource] = field(default_factory=dict)
    help_text: str = ""
    # The tools of the editor of playbooks, where this process has any, and the backtests that they play.
    workbench: Workbench | None = None
    backtests: Backtests = field(default_factory=Backtests)
    # Reads the signed tokens of customers and services, where any are let in.
    tokens: UserTokens | None = None
    # Where people sign in elsewhere.
    oidc: OidcProvider | None = None


def edge_of(request: Request) -> Edge:
    """The edge that this request came to."""
    return cast(Edge, request.app.state.edge)


async def _edge_here(request: Request) -> Edge:
    # As a dependency that isn't a coroutine, it would be called in a thread, for every request.
    return edge_of(request)


EdgeHere = Annotated[Edge, Depends(_edge_here)]
