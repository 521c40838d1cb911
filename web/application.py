"""The web process put together: tracking API, REST API, pages, stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from fastapi import FastAPI, Request, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from channels.hook_sources import make_sources
from schemas.errors import Problem
from schemas.incoming import DeadLetter, IncomingEvent, Mover, TakenIn
from schemas.settings import Settings
from store.database import Database, Waker
from store.hooks import BELL as HOOKS_BELL
from store.intake import take_in
from store.shared_time import SharedTime
from web import (
    api_consents,
    api_corrections,
    api_customers,
    api_health,
    api_interventions,
    api_performance,
    api_playbooks,
    api_providers,
    api_push_tokens,
    api_records,
    api_runs,
    api_success,
    api_tasks,
    booking,
    codec,
    hooks,
    page_forms,
    pages,
    problems,
    stream,
    unsubscribing,
)
from web.changes import Changes
from web.description import PROBLEM_RESPONSES, describe_api
from web.edge import Assess, Edge, RollBack
from web.executions import Executions
from web.gathering import Gatherer
from web.headers import SafeHeaders
from web.ingest import Ingest, endpoints
from web.keys import KeyRing
from web.rendering import STATIC, render
from web.settings import WebSettings

# Rung after events were stored, and after a run's inbox got something.
BELL = "holdfast_evaluate"


class Application(FastAPI):
    """FastAPI with the tracking API in front, whose thousand calls a second pass none of its layers."""

    tracking: Mapping[str, Ingest] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer tracking calls at once, and hand on the rest."""
        endpoint = self.tracking.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is not None and scope["method"] == "POST":
            await endpoint(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def build_application(
    settings: Settings,
    database: Database,
    *,
    move: Mover,
    find_problems: Callable[[], Sequence[Problem]] = tuple,
    roll_back: RollBack | None = None,
    assess: Assess | None = None,
) -> Application:
    """The ASGI application. It closes what it opened, but not `database`, when the server ends its lifespan.

    `move` says what events make of signals; `find_problems` reads the playbook files and says what is wrong
    with them; `roll_back` makes an earlier version of a playbook live again, `assess` scores one customer on
    demand. Raises SettingError. Call it inside a running event loop.
    """

    async def store(events: Sequence[IncomingEvent], dead: Sequence[DeadLetter]) -> TakenIn:
        return await take_in(database, events, dead, move=move)

    chosen = WebSettings.read(settings)
    bell = Waker(database, BELL)
    edge = Edge(
        settings=chosen,
        shared=settings,
        database=database,
        gatherer=Gatherer(store, committed=bell.ring),
        keys=KeyRing(database, chosen.api_keys),
        executions=Executions(settings),
        changes=Changes(database),
        bell=bell,
        hook_bell=Waker(database, HOOKS_BELL),
        find_problems=find_problems,
        roll_back=roll_back,
        assess=assess,
        move=move,
        hooks=make_sources(settings.environ, settings.public_url),
        help_text=settings.environ.get("HOLDFAST_HELP_TEXT", ""),
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await edge.changes.close()
        # The requests behind what still waits were cut off already, and their senders repeat them.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(edge.gatherer.close(), 1)

    app = Application(
        title="Holdfast",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=PROBLEM_RESPONSES,
        separate_input_output_schemas=False,
    )
    app.state.edge = edge
    app.openapi = lambda: describe_api(app)  # type: ignore[method-assign]
    app.tracking = endpoints(edge.gatherer, edge.keys, SharedTime(database))
    for path, endpoint in app.tracking.items():
        app.router.routes.append(Route(path, endpoint, methods=["POST"]))
    for part in (
        api_health.router,
        api_runs.router,
        # Before the customer's own path, which takes in every longer one.
        api_consents.router,
        api_customers.router,
        api_corrections.router,
        api_success.router,
        api_tasks.router,
        api_performance.router,
        api_interventions.router,
        api_playbooks.router,
        api_providers.router,
        api_push_tokens.router,
        api_records.router,
        stream.api,
        stream.pages,
        unsubscribing.router,
        booking.router,
        hooks.router,
        codec.router,
        page_forms.router,
        pages.router,
    ):
        app.include_router(part)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    problems.install(app, _page)
    app.add_middleware(SafeHeaders)
    return app


def _page(request: Request, problem: problems.Problem) -> Response:
    return render(request, "problem.html", problem.status, problem=problem)
