"""Pages that many have open: read and written once for all who ask for the same at the same time."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any, cast

from markupsafe import escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from schemas.access import Principal
from web.access import csrf_of
from web.rendering import write_page
from web.shared_readings import SharedReadings

# What stands in a shared page where each reader's own name and token belong; no customer can have written it.
_NAME, _TOKEN = (f"{what}-{secrets.token_hex(16)}" for what in ("name", "token"))


class SharedPages(SharedReadings[bytes]):
    """The pages of one process that are being read."""


async def share_page(
    request: Request,
    me: Principal,
    template: str,
    read: Callable[[], Awaitable[Mapping[str, Any]]],
    *of: Hashable,
) -> HTMLResponse:
    """The page of what `read` finds, shared with all who ask for this address with the same role.

    `of` is what else the page depends on. It has the reader's name and token only where every page has them.
    """

    async def make() -> bytes:
        anybody = replace(me, id="", name=_NAME)
        return write_page(request, template, await read(), me=anybody, csrf=_TOKEN).encode()

    pages = cast(SharedPages, request.app.state.shared_pages)
    key = (template, request.url.path, request.url.query, me.kind, me.role, *of)
    page = await pages.read(key, make)
    own = page.replace(_TOKEN.encode(), str(escape(csrf_of(request))).encode())
    return HTMLResponse(own.replace(_NAME.encode(), str(escape(me.name)).encode()))


def is_live(request: Request) -> bool:
    """Whether an open page asks for what differs by now: what it keeps as it is needn't be in the answer."""
    return request.headers.get("x-live") == "1"
