"""`/metrics` for Prometheus, and the times that requests take, by the templates of their routes."""

from __future__ import annotations

import time
from ipaddress import ip_address
from typing import cast
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.errors import SettingError
from schemas.metrics import HTTP_SECONDS, STREAM_LISTENERS
from schemas.settings import Settings
from store.metrics import CONTENT_TYPE, Figures, expose
from web.access import LOOPBACK, check_granted, principal_of
from web.client_address import is_forwarded
from web.edge import Edge, EdgeHere

router = APIRouter(tags=["health"])
VARIABLE = "HOLDFAST_METRICS"
UNMATCHED = "unmatched"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


@router.get("/metrics", summary="Metrics for Prometheus", include_in_schema=False)
async def show_metrics(request: Request, edge: EdgeHere) -> Response:
    """Open to this machine, and to everybody where HOLDFAST_METRICS is `open`; else to whoever may read."""
    if not is_open(request, edge):
        check_granted(await principal_of(request), "read")
    STREAM_LISTENERS.set(edge.changes.listeners)
    return Response(await expose(figures_of(request), "web"), headers={"Content-Type": CONTENT_TYPE})


def figures_of(request: Request) -> Figures:
    """The process's reading of the database's figures."""
    state = request.app.state
    if not hasattr(state, "figures"):
        state.figures = Figures(state.edge.database)
    return cast(Figures, state.figures)


def read_access(settings: Settings) -> str:
    """Who may see metrics: `local` (this machine, others with a key), `open`, or `key`. Raises SettingError."""
    chosen = settings.environ.get(VARIABLE, "local")
    if chosen not in ("local", "open", "key"):
        raise SettingError(
            f"{VARIABLE} is {chosen!r}.",
            remedy="Set it to open (everybody), key (whoever may read), or leave it out (this machine, and keys).",
        )
    return chosen


def is_open(request: Request, edge: Edge) -> bool:
    """Whether this request needs to show nothing."""
    access = read_access(edge.shared)
    if access != "local" or request.client is None:
        return access == "open"
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    return ip_address(request.client.host).is_loopback and host in LOOPBACK and not is_forwarded(request)


class RequestTimes:
    """Times every request until its answer begins: an event stream's answer has no end."""

    def __init__(self, app: ASGIApp, route: str | None = None) -> None:
        """`route`: what all of them are for, where no router says so."""
        self._app = app
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, timed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        timed = _Timed(scope, send, self._route)
        try:
            await self._app(scope, receive, timed.send)
        except Exception:
            timed.note(500)
            raise


class _Timed:
    __slots__ = ("_begun", "_noted", "_route", "_scope", "_send")

    def __init__(self, scope: Scope, send: Send, route: str | None) -> None:
        self._scope, self._send, self._route, self._noted = scope, send, route, False
        self._begun = time.perf_counter()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.note(message["status"])
        await self._send(message)

    def note(self, status: int) -> None:
        if self._noted:
            return
        self._noted = True
        method = self._scope["method"] if self._scope["method"] in _METHODS else "OTHER"
        seconds = time.perf_counter() - self._begun
        HTTP_SECONDS.labels(method, self._route or route_of(self._scope), str(status)).observe(seconds)


def route_of(scope: Scope) -> str:
    """The template of the route that took a request: what is asked for may have as many paths as there are callers."""
    route = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    if path:
        return str(path)
    if str(scope.get("path", "")).startswith("/static/") and scope.get("endpoint") is not None:
        return "/static"
    return UNMATCHED
