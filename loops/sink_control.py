"""The sinks' own API, under `/control`: how they behave, what they took, and what they report back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from loops.conduct import FAULTS, Conduct
from loops.kept_messages import KeptMessage, list_messages
from loops.provider_reports import KINDS, Reporter
from schemas.errors import HoldfastError, InputError, NotFoundError

_EXCHANGE = "holdfast.exchange"
# Pages of elsewhere, opened in a browser on this machine, don't get in under another name.
_NAMES = ("127.0.0.1", "localhost", "[::1]")


class Behaviour(BaseModel):
    """How one channel is to behave; what is left out stays."""

    model_config = ConfigDict(extra="forbid")
    next: list[str] = Field(default_factory=list, max_length=10_000)
    rates: dict[str, float] | None = None
    delay_seconds: float | None = None
    retry_after_seconds: int | None = None
    seed: int | None = None


class Report(BaseModel):
    """What is to be reported of a message."""

    model_config = ConfigDict(extra="forbid")
    kind: str
    text: str = ""
    code: str = ""
    times: int = Field(default=1, ge=1, le=100)


class SinkControl:
    """Routes over one outbox, its sinks' conduct and its reporter."""

    def __init__(self, outbox: Path, conduct: Conduct, reporter: Reporter) -> None:
        self._outbox, self._conduct, self._reporter = outbox, conduct, reporter

    def routes(self) -> list[Route]:
        """What it answers to."""
        return [
            Route("/control", _guard(self.show), methods=["GET"]),
            Route("/control", _guard(self.reset), methods=["DELETE"]),
            Route("/control/messages", _guard(self.messages), methods=["GET"]),
            Route("/control/messages", _guard(self.clear), methods=["DELETE"]),
            Route("/control/messages/{message}/reports", _guard(self.report), methods=["POST"]),
            Route("/control/deliveries/{delivery}/reports", _guard(self.report), methods=["POST"]),
            Route("/control/{channel}", _guard(self.tell), methods=["PUT"]),
        ]

    async def show(self, request: Request) -> Response:
        """GET /control."""
        return self._told()

    async def reset(self, request: Request) -> Response:
        """DELETE /control: take everything again."""
        self._conduct.reset()
        return self._told()

    async def tell(self, request: Request) -> Response:
        """PUT /control/CHANNEL."""
        told = Behaviour.model_validate_json(await request.body())
        self._conduct.tell(request.path_params["channel"], **told.model_dump())
        return self._told()

    async def messages(self, request: Request) -> Response:
        """GET /control/messages: in order of arrival; `channel` and `to` narrow them."""
        asked = request.query_params
        found = [
            message.to_json()
            for message in await asyncio.to_thread(list_messages, self._outbox)
            if asked.get("channel") in (None, message.channel) and asked.get("to") in (None, message.to)
        ]
        return JSONResponse({"messages": found})

    async def clear(self, request: Request) -> Response:
        """DELETE /control/messages: an empty outbox."""
        for message in await asyncio.to_thread(list_messages, self._outbox):
            message.path.unlink(missing_ok=True)
        return JSONResponse({"messages": []})

    async def report(self, request: Request) -> Response:
        """POST …/reports: a provider's signed report to Holdfast's /hooks."""
        told = Report.model_validate_json(await request.body())
        message = await self._find(request)
        status = await self._reporter.report(
            message, told.kind, text=told.text, code=told.code, times=told.times
        )
        return JSONResponse({"status": status}, status_code=200 if status < 300 else 502)

    async def _find(self, request: Request) -> KeptMessage:
        wanted = request.path_params
        for message in reversed(await asyncio.to_thread(list_messages, self._outbox)):
            if wanted.get("message") == message.id or (
                message.delivery_id is not None and wanted.get("delivery") == message.delivery_id
            ):
                return message
        raise NotFoundError("The sinks have no such message.", remedy="GET /control/messages lists them.")

    def _told(self) -> Response:
        channels = {name: conduct.to_json() for name, conduct in self._conduct.channels.items()}
        return JSONResponse({"channels": channels, "faults": list(FAULTS), "reports": list(KINDS)})


def _guard(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        if (request.url.hostname or "") not in (*_NAMES, "::1") or request.headers.get("origin"):
            return _problem(403, "The sinks are told what to do from this machine, and from no page.")
        try:
            return await endpoint(request)
        except ValidationError as error:
            return _problem(400, "; ".join(f"{one['loc']}: {one['msg']}" for one in error.errors()))
        except NotFoundError as error:
            return _problem(404, str(error))
        except InputError as error:
            return _problem(400, str(error))
        except HoldfastError as error:
            return _problem(502, str(error))

    return guarded


def _problem(status: int, detail: str) -> Response:
    return JSONResponse({"status": status, "detail": detail}, status_code=status)


class Connected:
    """Lets a request's handlers know the connection that it came over, so that they can hang up."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # ASGI has no word for it; uvicorn's `send` belongs to the exchange, which knows its connection.
        scope[_EXCHANGE] = getattr(send, "__self__", None)
        await self._application(scope, receive, send)


async def hang_up(request: Request, error: Exception) -> Response:
    """What a `Cut` comes to: the connection is over, whatever is said afterwards."""
    exchange: Any = request.scope[_EXCHANGE]
    exchange.transport.abort()
    return Response(status_code=500)
