"""A span for every request, under its caller's trace where the caller names one."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas import tracing
from web.metrics import route_of

# Asked for all the time, or open for hours.
QUIET = ("/metrics", "/livez", "/readyz", "/healthz", "/static/", "/changes", "/api/stream")
SERVER_ERROR = 500


class RequestTraces:
    """Costs one look at a variable where traces are off."""

    def __init__(self, app: ASGIApp, route: str | None = None) -> None:
        """`route`: what all of them are for, where no router says so."""
        self._app = app
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, traced."""
        if not tracing.is_on() or scope["type"] != "http" or scope["path"].startswith(QUIET):
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        method = scope["method"]
        with tracing.span(
            method, kind="server", parent=given.decode("latin-1") or None, http__request__method=method
        ) as span:

            async def tell(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status, route = message["status"], self._route or route_of(scope)
                    span.rename(f"{method} {route}")
                    span.set(http__route=route, http__response__status_code=status)
                    if status >= SERVER_ERROR:
                        span.fail(str(status))
                await send(message)

            await self._app(scope, receive, tell)
