"""Every error as an RFC 9457 problem: what happened, where, and what to do about it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from urllib.parse import quote, urlencode, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from schemas.errors import ConflictError, HoldfastError, InputError, NotFoundError, UnavailableError
from store.audit import current_request
from store.faults import is_away
from web.keys import NoKeyError, NotSignedInError
from web.preconditions import PreconditionError
from web.segment_body import BodyTooLargeError
from web.unforeseen_errors import UnforeseenErrors

logger = logging.getLogger("holdfast.web")
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2
# Where what could be read and can't be used is told from what couldn't be read: elsewhere both are 400.
API = "/api/"
# The page that a problem's `type` leads to; each code has one.
PAGES = "/problems"
# Where the links in messages lead to: pages in no operator's dress, open to whoever has the link.
FOR_CUSTOMERS = ("/u/", "/preferences/", "/book/", "/calendar/")


class FieldProblem(BaseModel):
    """What is wrong with one field of a request; `pointer` is a JSON pointer into it."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """An RFC 9457 problem. `code` is stable, and `type` a page about it; `instance` names the request, as does its
    X-Request-Id; `remedy` says what to do.
    """

    success: bool = False
    type: str = Field(examples=["/problems/HF200"])
    title: str
    status: int
    detail: str
    instance: str = ""
    code: str = Field(examples=["HF200"])
    remedy: str = ""
    errors: list[FieldProblem] = []


class Forbidden(HoldfastError):  # noqa: N818 - a refusal, named as HTTP names it
    """This is not allowed."""

    code = "HF160"
    remedy = "Open the page under its own address and try again."


class MediaTypeError(HoldfastError):
    """The body is of a kind that isn't read here; `headers` say which is."""

    code = "HF146"
    remedy = "Send JSON with `Content-Type: application/json`."

    def __init__(self, message: str, headers: Mapping[str, str], *, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.headers = headers


class UnreadableError(InputError):
    """The body can't be read as JSON, or not in one way only."""

    remedy = "Send one JSON value in UTF-8."


class TooManyError(HoldfastError):
    """More was asked than one may ask in a minute; `headers` say when to come back."""

    code = "HF170"
    remedy = "Wait as long as Retry-After says."

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.headers = headers


class TooManyStreamsError(TooManyError):
    """More streams are open than one may have at once."""

    code = "HF171"
    remedy = "End one that nobody reads any more, or ask without a stream now and then."


_STATUS: Sequence[tuple[type[HoldfastError], int]] = (
    (NoKeyError, 401),
    (Forbidden, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (PreconditionError, 412),
    (BodyTooLargeError, 413),
    (MediaTypeError, 415),
    (TooManyError, 429),
    (UnavailableError, 503),
)
# What the framework itself refuses: our code for it, and what to do.
_FRAMEWORK: Mapping[int, tuple[str, str]] = {
    400: ("HF100", "Send JSON in UTF-8, nested no deeper than need be."),
    404: ("HF404", "openapi.json lists what there is."),
    405: ("HF405", "Use a method of Allow; openapi.json lists what there is."),
    413: (BodyTooLargeError.code, "Send less at once."),
}


def write_pointer(place: Sequence[object]) -> str:
    """A JSON pointer (RFC 6901) to that place."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in place)


def explain(error: Exception) -> Problem:
    """The problem that `error` means for the caller; what nobody foresaw is logged, its inside not told."""
    if isinstance(error, HoldfastError):
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 400)
        return _problem(status, error.message, error.code, error.remedy)
    if isinstance(error, HTTPException):
        code, remedy = _FRAMEWORK.get(error.status_code, (HoldfastError.code, ""))
        return _problem(error.status_code, str(error.detail), code, remedy)
    if isinstance(error, RequestValidationError):
        errors = [
            FieldProblem(pointer=write_pointer(fault["loc"]), detail=str(fault["msg"]))
            for fault in error.errors()
        ]
        told = "; ".join(f"{fault.pointer}: {fault.detail}" for fault in errors)
        return _problem(400, told, "HF100", "Correct the fields named in errors.", errors)
    if is_away(error):
        logger.warning("the database can't be reached: %s", type(error).__name__)
        return _problem(
            503,
            "The database can't be reached.",
            UnavailableError.code,
            "Send it again; ids make repetitions harmless.",
        )
    logger.error("unforeseen error", exc_info=error)
    return _problem(
        500, "Something went wrong here; it is in the log.", "HF000", "Try again; tell us if it stays."
    )


def explain_at(path: str, error: Exception) -> Problem:
    """The same for whoever asked for `path`: 422 under /api for what could be read and can't be used."""
    problem = explain(error)
    if problem.status != HTTPStatus.BAD_REQUEST or not path.startswith(API) or _is_unreadable(error):
        return problem
    return with_status(problem, HTTPStatus.UNPROCESSABLE_ENTITY)


def _is_unreadable(error: Exception) -> bool:
    """Whether the request couldn't even be read, rather than not be used."""
    if isinstance(error, RequestValidationError):
        return any(fault["type"] == "json_invalid" for fault in error.errors())
    return isinstance(error, HTTPException | UnreadableError)


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as JSON. 401 says how to show a key, 503 when to come back."""
    left_out = {name for name in ("errors", "instance") if not getattr(problem, name)}
    body = problem.model_dump_json(exclude=left_out)
    return Response(body, problem.status, {**_headers(problem), **(headers or {})}, MEDIA_TYPE)


def with_status(problem: Problem, status: int) -> Problem:
    """The problem under another status, and its title."""
    return problem.model_copy(update={"status": int(status), "title": title_of(status)})


def install(
    app: FastAPI,
    page: Callable[[Request, Problem], Response],
    allowed: Callable[[Request], Sequence[str]],
) -> None:
    """Make every error of `app` a problem: JSON for programs, a `page` for people.

    `allowed` says which methods there are where another one was asked for.
    """

    async def answer(request: Request, error: Exception) -> Response:
        problem = explain_at(request.url.path, error)
        if problem.status == HTTPStatus.NOT_FOUND and (onward := _without_slash(request, error)):
            return RedirectResponse(onward, status_code=308)
        if isinstance(error, NotSignedInError) and is_for_people(request):
            return RedirectResponse(f"/sign-in?{urlencode({'next': _here(request)})}", status_code=303)
        headers = getattr(error, "headers", None)
        if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers = {"Allow": ", ".join(allowed(request))}
        if problem.status == HTTPStatus.UNAUTHORIZED and "sec-fetch-mode" in request.headers:
            # A page's script asks: its browser is not to open a window of its own for a name and a password.
            headers = {"WWW-Authenticate": "Bearer"}
        if not is_for_people(request):
            return respond(problem, headers)
        response = page(request, problem)
        response.headers.update({**_headers(problem), **(headers or {})})
        return response

    for kind in (HoldfastError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer)
    # Before all other layers are added: within all of them.
    app.add_middleware(UnforeseenErrors, answer=answer)


def is_for_people(request: Request) -> bool:
    """Whether a browser asks for a page; what links in messages lead to is for people, whoever asks."""
    if request.url.path.startswith(FOR_CUSTOMERS):
        return True
    api = request.url.path.startswith(
        ("/api/", "/v1/", "/healthz", "/livez", "/readyz", "/metrics", "/openapi.json")
    )
    return not api and "text/html" in request.headers.get("accept", "")


def _without_slash(request: Request, error: Exception) -> str:
    """Where somebody meant who wrote a slash too many behind a page's address; empty for anybody else."""
    written = str(request.scope["path"])
    path = written.rstrip("/")
    if not isinstance(error, HTTPException) or request.method != "GET" or not is_for_people(request):
        return ""
    # Two slashes at the beginning would lead to another host.
    if path == written or not path or path.startswith("//"):
        return ""
    return quote(path) + (f"?{request.url.query}" if request.url.query else "")


def _here(request: Request) -> str:
    """Where somebody who signs in first wants to be: the page they asked for, or from which they sent a form."""
    if request.method in ("GET", "HEAD"):
        return quote(request.scope["path"]) + (f"?{request.url.query}" if request.url.query else "")
    came_from = urlsplit(request.headers.get("referer", ""))
    return came_from.path if came_from.path and came_from.netloc == request.headers.get("host") else "/"


def _headers(problem: Problem) -> dict[str, str]:
    if problem.status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Basic realm="Holdfast", charset="UTF-8"'}
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": str(RETRY_AFTER_SECONDS)}
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        # The server cuts the connection then, and whoever would ask again by it is to know.
        return {"Connection": "close"}
    return {}


def _problem(
    status: int, detail: str, code: str, remedy: str, errors: Sequence[FieldProblem] = ()
) -> Problem:
    return Problem(
        type=f"{PAGES}/{code}",
        title=title_of(status),
        status=status,
        detail=detail,
        instance=f"urn:holdfast:request:{named}" if (named := current_request.get()) else "",
        code=code,
        remedy=remedy,
        errors=list(errors),
    )


def title_of(status: int) -> str:
    """What HTTP calls this status."""
    # The framework's Python may still call them by their older names.
    return {413: "Content Too Large", 422: "Unprocessable Content"}.get(status, HTTPStatus(status).phrase)
