"""`/api/system-health`: how the system itself is, and `/api/alerts`: what somebody must look at."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Request

from store.reading_alerts import AlertRow, AlertState, Severity, acknowledge_alert, list_alerts
from store.reading_changes import CHANNEL
from web.answers import Answer
from web.api_runs import Limit, Word
from web.cursors import read_number_cursor, write_cursor
from web.edge import Actor, EdgeHere, caller_of
from web.system_answers import SystemHealth
from web.system_state import read_system_health
from web.temporal_state import TemporalWatch

router = APIRouter(prefix="/api", tags=["system"], dependencies=[Depends(caller_of)])


class AlertList(Answer):
    """Alerts, the latest first."""

    alerts: list[AlertRow]
    next_cursor: str | None


class Acknowledged(Answer):
    """The alert as it is now."""

    alert: AlertRow


def watch_of(request: Request) -> TemporalWatch:
    """This process's look at Temporal."""
    return cast(TemporalWatch, request.app.state.temporal_watch)


@router.get("/system-health", summary="How the system itself is")
async def system_health(request: Request, edge: EdgeHere) -> SystemHealth:
    """Queues with their ages, workers, providers, the churn model against its thresholds, the last run over everybody,
    success and delays, what Temporal starts by itself: all as of `at`, each part with its status and why.
    """
    return await read_system_health(edge, watch_of(request))


@router.get("/alerts", summary="List alerts")
async def alerts(
    edge: EdgeHere,
    state: AlertState | None = None,
    severity: Severity | None = None,
    limit: Limit = 50,
    cursor: Word = None,
) -> AlertList:
    """The latest first; `past` ones are over."""
    async with edge.database.transaction() as connection:
        # From the first page on in order of their ids: the pages' own order has no place to go on from.
        rows = await list_alerts(
            connection, state=state, severity=severity, limit=limit + 1,
            before=2**63 - 1 if cursor is None else read_number_cursor(cursor),
        )  # fmt: skip
    last = rows[limit - 1] if len(rows) > limit else None
    return AlertList(alerts=rows[:limit], next_cursor=write_cursor(last.id) if last else None)


@router.post("/alerts/{id}/acknowledge", summary="Say that somebody looks after an alert")
async def acknowledge(
    edge: EdgeHere,
    caller: Actor,
    id: Annotated[int, Path(ge=1, lt=2**63)],  # noqa: A002
) -> Acknowledged:
    """It stays open until what it is about is over. 409 where it is over, or somebody acknowledged it before."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        row = await acknowledge_alert(connection, caller, id, now)
    await edge.database.notify(CHANNEL)
    return Acknowledged(alert=row)
