"""Predictions get their outcome, `actual_churn`, once their horizon is over: day by day, page by page, repeatable."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from schemas.catalogue import Catalogue
from schemas.facts import Event
from scoring.derivations import TRAIT_EVENTS, compile_derivations
from scoring.detection import STATUS
from scoring.leaving import Stay, trace_stay
from scoring.training import midnight
from store import monitoring
from store.database import Connection, Database
from store.training import Known, read_courses

PAGE = 2000
# Partitions reach as far back.
DAYS_BACK = 366
_FIRST = "00000000-0000-0000-0000-000000000000"
_DAY = timedelta(days=1)


def newest_over(now: datetime, days: float) -> date:
    """The newest UTC day of which every moment is at least so many days ago."""
    return (now - timedelta(days=days)).astimezone(UTC).date() - _DAY


def moment_of(day: date, calculated_at: datetime) -> datetime:
    """When a prediction of `day` was made; one that was worked out on another day counts as of that day's edge."""
    begins = midnight(day)
    return min(max(calculated_at, begins), begins + _DAY)


async def mature(database: Database, catalogue: Catalogue, horizon_days: int, now: datetime) -> int:
    """Fill in `actual_churn` of all days whose horizon is over and which aren't filled in yet; returns how many rows
    changed. True: left within the horizon; False: didn't; None: had left already when it was predicted.

    Each page is a transaction, a day is marked when it is done: what breaks off is taken up at that day.
    """
    newest = newest_over(now, horizon_days)
    async with database.transaction() as connection:
        done = await monitoring.load_matured_until(connection)
        first = done + _DAY if done else newest - timedelta(days=DAYS_BACK)
        first_kept = await monitoring.first_month(connection, first, newest) if first <= newest else None
    if first_kept is None:
        return 0
    day = max(first, first_kept)
    changed = 0
    while day <= newest:
        changed += await mature_day(database, catalogue, day, horizon_days, now)
        async with database.transaction() as connection:
            await monitoring.mark_matured_until(connection, midnight(day))
        day += _DAY
    return changed


async def mature_day(
    database: Database, catalogue: Catalogue, day: date, horizon_days: int, now: datetime, *, page: int = PAGE
) -> int:
    """One day's outcomes, by what is known now; the same again changes nothing. Returns how many rows changed."""
    horizon = timedelta(days=horizon_days)
    changed, after = 0, _FIRST
    while True:
        async with database.transaction() as connection:
            rows = await monitoring.list_unmatured(connection, day, after, page)
            if rows:
                known = await read_known(connection, [id_ for id_, _ in rows], catalogue, now)
                outcomes = await asyncio.to_thread(_find_outcomes, day, rows, known, catalogue, horizon)
                changed += await monitoring.write_outcomes(connection, day, outcomes)
        if len(rows) < page:
            return changed
        after = rows[-1][0]


def _find_outcomes(
    day: date,
    rows: Sequence[tuple[str, datetime]],
    known: Mapping[str, Known],
    catalogue: Catalogue,
    horizon: timedelta,
) -> dict[str, bool | None]:
    outcomes: dict[str, bool | None] = {}
    for id_, calculated_at in rows:
        if id_ in known:
            stay, at = stay_of(id_, known[id_], catalogue), moment_of(day, calculated_at)
            outcomes[id_] = None if stay.is_gone(at) else stay.leaves_within(at, horizon)
    return outcomes


async def read_known(
    connection: Connection, ids: Sequence[str], catalogue: Catalogue, until: datetime
) -> dict[str, Known]:
    """What says whether these customers were there, by the catalogue's definition of the subscription's status."""
    moves = {
        name: [move for move in found if move.signal.name == STATUS]
        for name, found in compile_derivations(catalogue).moves.items()
    }
    return await read_courses(
        connection,
        ids,
        names=[name for name, found in moves.items() if found],
        traits=list(TRAIT_EVENTS),
        keys=sorted(
            {key for found in moves.values() for move in found if move.kind == "trait" for key in move.names}
        ),
        until=until,
    )


def stay_of(customer: str, known: Known, catalogue: Catalogue) -> Stay:
    """One customer's stay."""
    events = [Event(name, at, body) for name, at, body in known.events]
    return trace_stay(
        customer, known.created_at, [*events, *(Event("login", at, {}) for at in known.logins)], catalogue
    )
