"""Server-sent events: runs, steps, messages, tasks, rewards, milestones, health and churn as they change."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from schemas.access import Principal
from schemas.errors import InputError
from store.reading_changes import ChangeRow
from web.access import principal_of
from web.api_runs import Customer
from web.changes import RELOAD
from web.edge import Edge, EdgeHere, reader_of
from web.limits import Limits
from web.listeners import About
from web.permissions import check_own, own_named
from web.segment_body import read_instant
from web.watched_stream import check_listener, while_let_in

api = APIRouter(tags=["stream"])
pages = APIRouter(include_in_schema=False)

KINDS = (
    "run", "step", "delivery", "task", "reward", "health_changed", "churn_scored", "milestone", "alert", "playbook",
    RELOAD,
)  # fmt: skip
# What customers hear of themselves: what reached them, and how they are; who works on them and how is not theirs.
FOR_CUSTOMERS: Mapping[str, Sequence[str] | None] = {
    "delivery": ("accepted", "seen"),
    "reward": None,
    "health_changed": None,
    RELOAD: None,
}

OfPage = Annotated[str, Query(max_length=1000, pattern=r"^[^\x00]*$")]
LastEventId = Annotated[
    str | None, Header(description="The id of the last event seen; what came since is sent first.")
]


@api.get("/api/stream", response_class=StreamingResponse, summary="Changes as they happen")
async def stream(
    request: Request,
    edge: EdgeHere,
    caller: Annotated[Principal, Depends(own_named("read"))],
    customer: Customer,
    last_event_id: LastEventId = None,
) -> StreamingResponse:
    """Changes as `text/event-stream`: events `run`, `step`, `delivery`, `task`, `reward`, `alert`, `playbook`,
    `health_changed`, `churn_scored` and `milestone`, a JSON object each. Of the last three `state` is the new level or
    the milestone's type, and those that came in between aren't sent again. Customers hear of themselves alone, and of
    what reached them: `delivery`, `reward`, `health_changed`. What can't be told one by one is told by `reload`:
    read anew what is shown; its `state` says why. 429 (HF171) for whoever has too many open already.
    """
    if caller.may("read"):
        return await _answer(request, edge, About(customer), last_event_id)
    check_own(caller, customer or caller.customer, "read")
    assert caller.customer is not None
    return await _answer(request, edge, About(caller.customer), last_event_id, to_customer=True)


@pages.get("/changes", dependencies=[Depends(reader_of)])
async def changes(
    request: Request,
    edge: EdgeHere,
    customer: OfPage = "",
    run: Annotated[str, Query(pattern=r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$")] = "",
    playbook: OfPage = "",
    last_event_id: LastEventId = None,
) -> StreamingResponse:
    """The same for our pages; it ends when their reader's session does.

    A page about one customer, run or playbook hears of that alone. Of a customer's or a run's a `page` event tells of
    everything else on it. The event `listening` says that from now on nothing is missed.
    """
    check_listener(request)
    about = About(customer or None, run or None, playbook or None, page=True)
    return await _answer(request, edge, about, last_event_id, to_page=True)


async def _answer(
    request: Request,
    edge: Edge,
    about: About,
    last_event_id: str | None,
    *,
    to_customer: bool = False,
    to_page: bool = False,
) -> StreamingResponse:
    since = None
    if last_event_id:
        try:
            since = read_instant(last_event_id)
        except ValueError:
            raise InputError("Last-Event-ID is no id of ours.", remedy="Leave it out.") from None
    said = _write(edge, about, since, to_customer=to_customer, to_page=to_page)
    limits: Limits = request.app.state.limits
    return _Stream(while_let_in(request, said), limits.begin_stream(await principal_of(request)))


class _Stream(StreamingResponse):
    """An answer that goes on; `ended` is called when it is over, also where nobody waited for its first word."""

    def __init__(self, said: AsyncIterator[bytes], ended: Callable[[], None]) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(said, media_type="text/event-stream", headers=headers)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say it all."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


async def _write(
    edge: Edge, about: About, since: datetime | None, *, to_customer: bool, to_page: bool
) -> AsyncGenerator[bytes, None]:
    yield b"retry: 2000\n\n"
    async for found in edge.changes.follow(since, about):
        change = _for_customer(found) if to_customer and found is not None else found
        if found is None:
            yield b"event: listening\ndata: {}\n\n" if to_page else b": still here\n\n"
            to_page = False
        elif change is not None:
            data = msgspec.json.encode(change)
            at = change.at.astimezone(UTC).isoformat()
            yield b"id: %b\nevent: %b\ndata: %b\n\n" % (at.encode(), change.kind.encode(), data)


def _for_customer(change: ChangeRow) -> ChangeRow | None:
    """The change as the customer may hear of it; None where it isn't theirs to hear."""
    states = FOR_CUSTOMERS.get(change.kind, ())
    if states is not None and change.state not in states:
        return None
    return msgspec.structs.replace(change, run_id="", playbook="")
