"""`POST /api/events/corrections`: what somebody says of an event afterwards."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from schemas.correction import LONGEST_REASON, Correction
from store.corrections import record_correction
from web.answers import Answer
from web.api_runs import Text
from web.asked import Asked
from web.edge import EdgeHere, Editor
from web.moments import Moment

router = APIRouter(prefix="/api/events", tags=["events"])


class CorrectionRequest(Asked):
    """Which event, and what it was really like: `properties` (all of them; of an identify call its traits), `at`, or
    that it never happened (`retract`).
    """

    source: Text
    message_id: Text
    reason: Annotated[str, Field(min_length=1, max_length=LONGEST_REASON, pattern=r"^[^\x00]*$")]
    properties: dict[str, Any] | None = None
    at: Moment | None = None
    retract: bool = False


class Corrected(Answer):
    """The correction is recorded; what follows from it is worked out within seconds."""

    correction_id: int
    user_id: str
    event: str
    sent_at: datetime


@router.post("/corrections", summary="Correct or retract an event")
async def correct(edge: EdgeHere, caller: Editor, asked: CorrectionRequest) -> Corrected:
    """The event stays as it was sent, the correction stands beside it with who made it; signals and history follow."""
    correction = Correction(
        asked.source, asked.message_id, asked.reason, asked.properties, asked.at, asked.retract
    )
    done = await record_correction(edge.database, correction, caller.name, actor=caller)
    return Corrected(correction_id=done.id, user_id=done.user_id, event=done.name, sent_at=done.sent_at)
