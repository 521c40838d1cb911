"""Bodies of the API, read strictly: JSON in UTF-8 that means one thing, and says nothing that can't be kept.

Readers of JSON differ in what they make of a field that stands there twice, of NaN, or of half a character: one takes
the first, another the last, a third an empty one. Here each is told, with its place.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from email.message import Message as MimeHeaders
from itertools import islice
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.access import principal_of
from web.body_limits import PREFIX, TEXTS
from web.problems import MediaTypeError, UnreadableError, explain_at, respond

WRITING = ("POST", "PUT", "PATCH")
# What people and programs mean is nested ten deep; what is nested to do harm, ten thousand.
DEEPEST = 64
# So many wrong places are told of at once.
MOST_TOLD = 10
# To read each of them takes some microseconds.
MOST_PARTS = 200_000
LARGEST_AT_ONCE_BYTES = 50_000
# More of what can't be taken isn't looked for.
MOST_ODD = 1000
TAKES_NONE = "There is no such field: this takes no body."
Place = tuple[str | int, ...]


class StrictBodies:
    """Refuses what can't be read in one way only with 400, what can't be kept with 422, what isn't JSON with 415."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; the body is read before."""
        if scope["type"] != "http" or scope["method"] not in WRITING or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        texts = scope["path"].startswith(TEXTS)
        if not await _is_let_in(scope, texts=texts):
            await self._app(scope, _without_body(receive), send)
            return
        try:
            body, headers_sent = await Request(scope, receive).body(), Headers(scope=scope)
            if len(body) > LARGEST_AT_ONCE_BYTES:
                # The others go on meanwhile.
                await asyncio.to_thread(check_body, body, headers_sent, texts=texts)
            else:
                check_body(body, headers_sent, texts=texts)
        except ClientDisconnect:
            return
        except (HTTPException, MediaTypeError, UnreadableError, RequestValidationError) as error:
            headers = getattr(error, "headers", None)
            await respond(explain_at(scope["path"], error), headers)(scope, receive, send)
            return
        read = False

        async def again() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)


async def _is_let_in(scope: Scope, *, texts: bool) -> bool:
    """Whether anything of theirs is to be read: of whoever isn't known, or may not look at files, nothing is."""
    try:
        principal = await principal_of(Request(scope))
    except Exception:  # noqa: BLE001 - whatever it is, it is found out once more, and told, further in
        return False
    return not texts or principal.may("read")


def _without_body(receive: Receive) -> Receive:
    begun = False

    async def nothing() -> Message:
        nonlocal begun
        if begun:
            return await receive()
        begun = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return nothing


async def check_no_body(request: Request) -> None:
    """A dependency: raises RequestValidationError where something is sent to an operation that looks at no body."""
    if request.method not in WRITING or not request.url.path.startswith(PREFIX):
        return
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or route.body_field is not None:
        return
    # `{}` and `null` are how clients say that there is nothing to say.
    if (body := await request.body()) and (given := json.loads(body)) not in ({}, None):
        names = list(given)[:MOST_TOLD] if isinstance(given, dict) else [None]
        raise RequestValidationError(
            [
                {
                    "type": "no_body",
                    "loc": ("body", *([name[:100]] if name else [])),
                    "msg": TAKES_NONE,
                    "input": None,
                }
                for name in names
            ]
        )


def check_body(body: bytes, headers: Headers, *, texts: bool = False) -> None:
    """Raises MediaTypeError, UnreadableError, RequestValidationError; of NUL in `texts` their readers tell."""
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise MediaTypeError(
            f"Content-Encoding {encoding[:50]!r} isn't understood here.",
            {"Accept-Encoding": "identity"},
            remedy="Send the body as it is; /v1 takes gzip.",
        )
    if not body:
        return
    given = headers.get("content-type", "")
    if not _is_json(given):
        what = f"Content-Type {given[:100]!r}" if given else "a body without Content-Type"
        raise MediaTypeError(f"This takes JSON, not {what}.", {"Accept": "application/json"})
    try:
        written = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"The body isn't UTF-8, from byte {error.start} on.") from None
    # Anything else that could be wrong is written with one of these.
    parts = body.count(b"{") + body.count(b"[")
    if parts > MOST_PARTS:
        raise UnreadableError(f"The body has more than {MOST_PARTS:,} objects and lists.")
    deep = parts > DEEPEST
    value, odd = _read(written)
    if odd or deep or b"\\u" in body:
        _refuse(list(islice(_find_odd(value, texts=texts), MOST_TOLD)))


class _Odd:
    """Stands in what was read for what can't be taken."""

    def __init__(self, kind: str, told: str, name: str | None = None) -> None:
        self.kind, self.told, self.name = kind, told, name


def _read(written: str) -> tuple[Any, bool]:
    """The value, with an _Odd in place of what no number and no field is; whether there is any."""
    found: list[_Odd] = []

    def note(odd: _Odd) -> _Odd:
        found.append(odd)
        if len(found) > MOST_ODD:
            raise UnreadableError(f"{odd.told} So it is with more than {MOST_ODD} others in this body.")
        return odd

    def fields(pairs: list[tuple[str, Any]]) -> Any:
        value = dict(pairs)
        if len(value) == len(pairs):
            return value
        name = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        return note(_Odd("json_invalid", "This field stands there more than once.", name))

    def number(digits: str) -> Any:
        value = float(digits)
        if math.isfinite(value):
            return value
        return note(_Odd("number_too_large", f"No number that is kept here is so large: {digits[:40]}."))

    def constant(word: str) -> _Odd:
        return note(_Odd("json_invalid", f"{word} is no JSON: leave the field out, or write null."))

    try:
        value = json.loads(written, object_pairs_hook=fields, parse_float=number, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise UnreadableError(
            f"The body isn't JSON: {error.msg}, in line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        # Python reads no whole number of more than some thousand digits.
        raise UnreadableError("A number in the body has thousands of digits.") from None
    return value, bool(found)


def _find_odd(value: Any, *, texts: bool) -> Iterator[tuple[Place, str, str]]:
    """Where what can't be taken stands, of which kind it is, and what is wrong. Raises UnreadableError."""
    waiting: list[tuple[Place, Any]] = [((), value)]
    while waiting:
        place, one = waiting.pop()
        if len(place) > DEEPEST:
            raise _too_deep()
        if isinstance(one, _Odd):
            yield (*place, *([one.name] if one.name is not None else ())), one.kind, one.told
        elif isinstance(one, str) and (told := _unkept(one, texts=texts)):
            yield place, "text", told
        elif isinstance(one, dict):
            for name, inner in one.items():
                if told := _unkept(name, texts=texts):
                    yield place, "text", f"The name of a field in it: {told}"
                waiting.append(((*place, name), inner))
        elif isinstance(one, list):
            waiting.extend(((*place, number), inner) for number, inner in enumerate(one))


def _unkept(text: str, *, texts: bool) -> str:
    """Why a text can't be stored; empty where it can."""
    if "\x00" in text and not texts:
        return "It holds a character that can't be stored (\\u0000)."
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"It holds half a character, which can't be stored (\\u{ord(text[error.start]):04x})."
    return ""


def _refuse(found: Sequence[tuple[Place, str, str]]) -> None:
    if found:
        raise RequestValidationError(
            [
                {"type": kind, "loc": ("body", *(_plain(part) for part in place)), "msg": told, "input": None}
                for place, kind, told in found
            ]
        )


def _plain(part: str | int) -> str | int:
    # The answer is UTF-8 itself.
    return part if isinstance(part, int) else part[:100].encode("utf-8", "replace").decode()


def _too_deep() -> UnreadableError:
    return UnreadableError(f"The body is nested more than {DEEPEST} deep.")


def _is_json(content_type: str) -> bool:
    parsed = MimeHeaders()
    parsed["content-type"] = content_type
    subtype = parsed.get_content_subtype()
    kind = parsed.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))
    charset = parsed.get_content_charset("utf-8")
    return bool(content_type) and kind and charset in ("utf-8", "utf8", "us-ascii")
