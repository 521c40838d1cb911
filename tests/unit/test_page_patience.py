"""Pages that hang are given up; what has begun, what changes something, and what stays open is left alone."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from schemas.errors import UnavailableError
from web.page_patience import PagePatience

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
BODY: Message = {"type": "http.response.body", "body": b"late"}


class Slow:
    """An application that stands still until it is let go on, and doesn't heed that it is cancelled."""

    def __init__(self, *first: Message) -> None:
        self.first = first
        self.go_on = asyncio.Event()
        self.over = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for message in self.first:
            await send(message)
        waiting = asyncio.ensure_future(self.go_on.wait())
        while not waiting.done():
            try:
                await asyncio.shield(waiting)
            except asyncio.CancelledError:
                continue
        await send(BODY)
        self.over.set()


async def ask(app: Slow, method: str, path: str, told: list[Message]) -> None:
    async def send(message: Message) -> None:
        told.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    await PagePatience(app, 0.05)({"type": "http", "method": method, "path": path}, receive, send)


async def test_a_page_that_hangs_is_given_up_and_what_comes_of_it_later_is_dropped() -> None:
    app, told = Slow(), list[Message]()
    with pytest.raises(UnavailableError, match="couldn't be made"):
        await ask(app, "GET", "/alerts", told)
    app.go_on.set()
    await app.over.wait()
    assert told == []


@pytest.mark.parametrize(
    ("method", "path", "first"),
    [
        ("GET", "/audit", (START,)),
        ("POST", "/runs/1/stop", ()),
        ("GET", "/changes", ()),
        ("GET", "/api/stream", ()),
    ],
)
async def test_what_has_begun_or_changes_something_or_stays_open_is_waited_for(
    method: str, path: str, first: tuple[Message, ...]
) -> None:
    app, told = Slow(*first), list[Message]()
    asking = asyncio.ensure_future(ask(app, method, path, told))
    await asyncio.sleep(0.15)
    assert not asking.done()
    app.go_on.set()
    await asking
    assert told == [*first, BODY]
