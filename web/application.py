"""The web process put together: tracking API, REST API, pages, stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from fastapi import Depends, FastAPI, Request, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from channels.hook_sources import make_sources
from schemas.errors import Problem
from schemas.incoming import DeadLetter, IncomingEvent, Mover, TakenIn
from schemas.settings import Settings
from store.database import Database, Waker
from store.hooks import BELL as HOOKS_BELL
from store.intake import take_in
from store.shared_time import SharedTime
from web import metrics, problems
from web.body_limits import BodyLimits
from web.changes import Changes
from web.churn_counts import ChurnCounter
from web.cohorts import CohortCounter
from web.cross_origin import CrossOrigin
from web.csv_export import AT_ONCE
from web.customer_totals import CustomerCounter
from web.description import PROBLEM_RESPONSES, describe_api
from web.edge import Assess, Edge, Explain, LookUp, Preview, RollBack
from web.etags import EntityTags
from web.executions import Executions
from web.gathering import Gatherer
from web.headers import SafeHeaders
from web.heads import Heads
from web.ingest import endpoints
from web.json_bodies import StrictBodies, check_no_body
from web.keys import KeyRing
from web.limits import Limits, RateHeaders, limit_rate
from web.methods import methods_of
from web.metrics import RequestTimes
from web.oidc import OidcProvider
from web.overview_facets import FacetCounter
from web.page_patience import PagePatience
from web.path_values import check_path
from web.query_names import check_query
from web.rendering import STATIC, render
from web.request_ids import RequestIds
from web.risk_totals import RiskCounter
from web.routes import ROUTERS
from web.sessions import Sessions
from web.settings import WebSettings
from web.shared_pages import SharedPages
from web.temporal_state import TemporalWatch
from web.tracing import RequestTraces
from web.user_tokens import UserTokens
from web.workbench import Workbench

# Rung after events were stored, and after a run's inbox got something.
BELL = "holdfast_evaluate"


class Application(FastAPI):
    """FastAPI with the tracking API in front, whose thousand calls a second pass none of its layers."""

    tracking: Mapping[str, ASGIApp] = {}
    # Whose pages may call the API from a browser.
    origins: frozenset[str] = frozenset()

    def build_middleware_stack(self) -> ASGIApp:
        """Before all others, where other origins are let in at all, whoever tells browsers so."""
        stack: ASGIApp = Heads(super().build_middleware_stack())
        return CrossOrigin(stack, self.origins) if self.origins else stack

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
    preview: Preview | None = None,
    explain: Explain | None = None,
    look_up: LookUp | None = None,
    workbench: Workbench | None = None,
) -> Application:
    """The ASGI application. It closes what it opened, but not `database`, when the server ends its lifespan.

    `move` says what events make of signals; `find_problems` reads the playbook files and says what is wrong
    with them; `roll_back` makes an earlier version of a playbook live again, `assess` scores one customer on
    demand, `preview` says who would enter a playbook, `explain` what keeps a customer out of each,
    `look_up` asks a provider about a message. Raises
    SettingError. Call it inside a running event loop.
    """

    async def store(events: Sequence[IncomingEvent], dead: Sequence[DeadLetter]) -> TakenIn:
        return await take_in(database, events, dead, move=move)

    chosen, limits = WebSettings.read(settings), Limits.read(settings)
    # Read at each request; what can't be read is told now.
    metrics.read_access(settings)
    bell = Waker(database, BELL)
    edge = Edge(
        settings=chosen,
        shared=settings,
        database=database,
        gatherer=Gatherer(store, committed=bell.ring),
        keys=KeyRing(database, chosen.api_keys),
        sessions=Sessions(database, chosen.public_url),
        executions=Executions(settings),
        changes=Changes(database),
        time=SharedTime(database),
        bell=bell,
        hook_bell=Waker(database, HOOKS_BELL),
        find_problems=find_problems,
        roll_back=roll_back,
        assess=assess,
        preview=preview,
        explain=explain,
        look_up=look_up,
        workbench=workbench,
        move=move,
        hooks=make_sources(settings.environ, settings.public_url),
        help_text=settings.environ.get("HOLDFAST_HELP_TEXT", ""),
        tokens=UserTokens.read_settings(settings),
        oidc=OidcProvider.read_settings(settings, chosen.process_secret),
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await edge.changes.close()
        await app.state.shared_pages.close()
        await edge.backtests.close()
        state = app.state
        # A database that doesn't answer any more isn't waited for.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                counters = (
                    state.facets,
                    state.churn,
                    state.cohorts,
                    state.risk_totals,
                    state.customer_totals,
                )
                await asyncio.gather(*(counter.close() for counter in counters))
        # The requests behind what still waits were cut off already, and their senders repeat them.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await edge.gatherer.close()

    app = Application(
        title="Holdfast",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=PROBLEM_RESPONSES,
        # Who asks is looked at first: strangers aren't told what names may be like.
        dependencies=[Depends(_admit)],
        # Behind a proxy with TLS the framework would lead to http://, and callers would show their keys there.
        redirect_slashes=False,
        separate_input_output_schemas=False,
        # Ours tell more: see web/tracing.py and web/metrics.py.
        telemetry={"tracing": False, "metrics": False},
    )
    app.state.edge = edge
    app.openapi = lambda: describe_api(app)  # type: ignore[method-assign]
    app.state.limits = limits
    app.state.query_names = {}
    app.state.shared_pages = SharedPages()
    app.state.exports = asyncio.Semaphore(AT_ONCE)
    app.state.facets = FacetCounter(database)
    app.state.temporal_watch = TemporalWatch(edge.executions)
    app.state.churn = ChurnCounter(database)
    app.state.cohorts = CohortCounter(database)
    app.state.risk_totals = RiskCounter(database)
    app.state.customer_totals = CustomerCounter(database)
    tracking = endpoints(edge.gatherer, edge.keys, edge.time, limits)
    app.tracking = {
        path: RequestIds(RequestTraces(RequestTimes(take, path), path)) for path, take in tracking.items()
    }
    if chosen.cors_origins:
        app.origins = chosen.cors_origins
        app.tracking = {path: CrossOrigin(take, app.origins) for path, take in app.tracking.items()}
    for path, endpoint in app.tracking.items():
        app.router.routes.append(Route(path, endpoint, methods=["POST"]))
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    # Within the layer that tells of errors, so that a page that hangs is told of like any other.
    app.add_middleware(PagePatience)
    problems.install(app, _page, lambda request: methods_of(app, request.url.path))
    app.add_middleware(StrictBodies)
    app.add_middleware(BodyLimits)
    app.add_middleware(EntityTags)
    app.add_middleware(RateHeaders)
    app.add_middleware(
        SafeHeaders,
        secure=chosen.public_url.startswith("https:"),
        identity_provider=edge.oidc.issuer if edge.oidc else None,
    )
    app.add_middleware(RequestTimes)
    app.add_middleware(RequestTraces)
    app.add_middleware(RequestIds)
    return app


async def _admit(request: Request) -> None:
    # One dependency, as the framework takes as long over each as they take themselves.
    await limit_rate(request)
    await check_path(request)
    await check_query(request)
    await check_no_body(request)


def _page(request: Request, problem: problems.Problem) -> Response:
    for_customers = request.url.path.startswith(problems.FOR_CUSTOMERS)
    return render(request, "problem.html", problem.status, problem=problem, for_customers=for_customers)
