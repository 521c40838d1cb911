"""Server-sent events: runs, steps, messages, tasks, rewards, health and churn as they change."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import StreamingResponse

from schemas.access import Principal
from schemas.errors import InputError
from store.reading_rows import ChangeRow
from web.api_runs import Customer
from web.edge import Edge, EdgeHere, reader_of
from web.permissions import check_own, own_named
from web.segment_body import read_instant
from web.watched_stream import check_listener, while_signed_in

api = APIRouter(tags=["stream"])
pages = APIRouter(include_in_schema=False)

KINDS = ("run", "step", "delivery", "task", "reward", "health_changed", "churn_scored", "alert")
# What customers hear of themselves: what reached them, and how they are; who works on them and how is not theirs.
FOR_CUSTOMERS: Mapping[str, Sequence[str] | None] = {
    "delivery": ("accepted", "seen"),
    "reward": None,
    "health_changed": None,
}

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
    """Changes as `text/event-stream`: events `run`, `step`, `delivery`, `task`, `reward`, `health_changed` and
    `churn_scored`, a JSON object each. Of the last two `state` is the new level, and those that came in between aren't
    sent again. Customers hear of themselves alone, and of what reached them: `delivery`, `reward`, `health_changed`.
    """
    if caller.may("read"):
        return _answer(request, edge, customer, last_event_id)
    check_own(caller, customer or caller.customer, "read")
    return _answer(request, edge, caller.customer, last_event_id, to_customer=True)


@pages.get("/changes", dependencies=[Depends(reader_of)])
async def changes(request: Request, edge: EdgeHere, last_event_id: LastEventId = None) -> StreamingResponse:
    """The same for our pages; it ends when their reader's session does."""
    check_listener(request)
    return _answer(request, edge, None, last_event_id)


def _answer(
    request: Request,
    edge: Edge,
    customer: str | None,
    last_event_id: str | None,
    *,
    to_customer: bool = False,
) -> StreamingResponse:
    since = None
    if last_event_id:
        try:
            since = read_instant(last_event_id)
        except ValueError:
            raise InputError("Last-Event-ID is no id of ours.", remedy="Leave it out.") from None
    said = _write(edge, customer, since, to_customer=to_customer)
    return StreamingResponse(
        while_signed_in(edge, getattr(request.state, "session", None), said),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _write(
    edge: Edge, customer: str | None, since: datetime | None, *, to_customer: bool
) -> AsyncGenerator[bytes, None]:
    yield b"retry: 2000\n\n"
    async for found in edge.changes.follow(since):
        change = _for_customer(found) if to_customer and found is not None else found
        if found is None:
            yield b": still here\n\n"
        elif change is not None and (customer is None or change.user_id == customer):
            data = msgspec.json.encode(change.model_dump(mode="json"))
            at = change.at.astimezone(UTC).isoformat()
            yield b"id: %b\nevent: %b\ndata: %b\n\n" % (at.encode(), change.kind.encode(), data)


def _for_customer(change: ChangeRow) -> ChangeRow | None:
    """The change as the customer may hear of it; None where it isn't theirs to hear."""
    states = FOR_CUSTOMERS.get(change.kind, ())
    if states is not None and change.state not in states:
        return None
    return change.model_copy(update={"run_id": "", "playbook": ""})
