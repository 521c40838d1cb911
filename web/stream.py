"""Server-sent events: runs, steps, messages, tasks, rewards, health and churn as they change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Header
from fastapi.responses import StreamingResponse

from schemas.errors import InputError
from web.api_runs import Customer
from web.edge import Edge, EdgeHere, caller_of, reader_of
from web.segment_body import read_instant

api = APIRouter(tags=["stream"])
pages = APIRouter(include_in_schema=False)

LastEventId = Annotated[
    str | None, Header(description="The id of the last event seen; what came since is sent first.")
]


@api.get("/api/stream", dependencies=[Depends(caller_of)], response_class=StreamingResponse)
async def stream(
    edge: EdgeHere,
    customer: Customer,
    last_event_id: LastEventId = None,
) -> StreamingResponse:
    """Changes as `text/event-stream`: events `run`, `step`, `delivery`, `task`, `reward`, `health_changed` and
    `churn_scored`, a JSON object each. Of the last two `state` is the new level, and those that came in between aren't
    sent again.
    """
    return _answer(edge, customer, last_event_id)


@pages.get("/changes", dependencies=[Depends(reader_of)])
async def changes(edge: EdgeHere, last_event_id: LastEventId = None) -> StreamingResponse:
    """The same for our pages."""
    return _answer(edge, None, last_event_id)


def _answer(edge: Edge, customer: str | None, last_event_id: str | None) -> StreamingResponse:
    since = None
    if last_event_id:
        try:
            since = read_instant(last_event_id)
        except ValueError:
            raise InputError("Last-Event-ID is no id of ours.", remedy="Leave it out.") from None
    return StreamingResponse(
        _write(edge, customer, since),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _write(edge: Edge, customer: str | None, since: datetime | None) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    async for change in edge.changes.follow(since):
        if change is None:
            yield b": still here\n\n"
        elif customer is None or change.user_id == customer:
            data = msgspec.json.encode(change.model_dump(mode="json"))
            at = change.at.astimezone(UTC).isoformat()
            yield b"id: %b\nevent: %b\ndata: %b\n\n" % (at.encode(), change.kind.encode(), data)
