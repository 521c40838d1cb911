"""The onboarding page: who is on the way, who is off track and why, and how far everybody comes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from starlette.requests import Request

from schemas.health_model import SEGMENTS
from scoring.onboarding import ONBOARDING_DAYS, Onboarding
from store.live_milestones import load_milestones
from store.reading_onboarding import (
    OnboardingRow,
    count_onboarding,
    list_csms,
    list_onboarding,
    read_funnel,
)
from web.api_runs import Word
from web.cursors import read_offset_cursor, write_cursor
from web.edge import EdgeHere, Reader
from web.onboarding import tell_onboarding
from web.rendering import render

router = APIRouter(include_in_schema=False)
ROWS = 25
# Whose funnel is shown: who signed up within so many days.
COHORTS = ((30, "last 30 days"), (90, "last 90 days"), (365, "last year"), (36500, "ever"))


@dataclass(frozen=True)
class ListedOnboarding:
    """One customer, and where they stand."""

    row: OnboardingRow
    onboarding: Onboarding


@router.get("/onboarding")
async def onboarding(
    request: Request,
    edge: EdgeHere,
    me: Reader,
    csm: Word = None,
    segment: Literal["new_user", "established", "power_user", ""] = "",
    off_track: Annotated[bool, Query()] = False,
    since: Annotated[int, Query(ge=1, le=36500)] = 90,
    cursor: Word = None,
) -> HTMLResponse:
    """Off track first; a customer's path folds out."""
    offset = read_offset_cursor(cursor)
    wanted = {"csm": csm or None, "segment": segment or None}
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        milestones = await load_milestones(connection)
        rows = await list_onboarding(
            connection, milestones, now, young_days=ONBOARDING_DAYS, off_track=off_track, limit=ROWS + 1,
            offset=offset, **wanted,
        )  # fmt: skip
        totals = await count_onboarding(connection, milestones, now, young_days=ONBOARDING_DAYS, **wanted)
        funnel = await read_funnel(connection, milestones, now - timedelta(days=since), **wanted)
        csms = await list_csms(connection)
    return render(
        request,
        "onboarding.html",
        customers=[ListedOnboarding(row, tell_onboarding(row, milestones, now)) for row in rows[:ROWS]],
        totals=totals,
        funnel=funnel,
        watched=milestones.watched,
        csms=csms,
        csm=csm or "",
        segments=SEGMENTS,
        segment=segment,
        off_track=off_track,
        since=since,
        cohorts=COHORTS,
        offset=offset,
        next_cursor=write_cursor(offset + ROWS) if len(rows) > ROWS else "",
        at=now,
    )
