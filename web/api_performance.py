"""`/api/customer-success/performance`: how each customer success manager does, by day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from schemas.errors import InputError, NotFoundError
from store.performance import PerformanceRow, read_performance
from store.playbooks import load_policy
from web.answers import Answer
from web.api_runs import Word
from web.cursors import cut, read_offset_cursor
from web.edge import EdgeHere, caller_of
from web.moments import Day

router = APIRouter(prefix="/api/customer-success", tags=["tasks"], dependencies=[Depends(caller_of)])
MOST_DAYS = 366
# A quarter of fifty people who work every day.
MOST_ROWS = 5000


class Performance(Answer):
    """Per person and day on which they completed something; people outside of `team` are left out."""

    team: str | None
    first: date
    last: date
    metrics: list[PerformanceRow]
    next_cursor: str | None


@router.get("/performance", summary="Performance per customer success manager and day")
async def performance(
    edge: EdgeHere,
    team: Word = None,
    first: Annotated[Day | None, Query(description="30 days back where left out.")] = None,
    last: Annotated[Day | None, Query(description="Today, UTC, where left out.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = MOST_ROWS,
    cursor: Word = None,
) -> Performance:
    """`team` is one of the policy, by its name; everybody who did anything where it is left out."""
    async with edge.database.transaction() as connection:
        until = last or (await edge.database.clock.read(connection)).date()
        since = first or until - timedelta(days=min(30, (until - date.min).days))
        if not 0 <= (until - since).days < MOST_DAYS:
            raise InputError(
                "That is no span of days.", remedy="`first` comes before `last`, by a year at most."
            )
        teams = (await load_policy(connection)).teams
        if team is not None and team not in teams:
            raise NotFoundError(f"There is no team {team!r}.", remedy="Take a team of policy.yaml.")
        rows = await read_performance(connection, since, until)
    people = set(teams[team].members) if team is not None else {row.agent for row in rows}
    found, further = cut([row for row in rows if row.agent in people], read_offset_cursor(cursor), limit)
    return Performance(team=team, first=since, last=until, metrics=found, next_cursor=further)
