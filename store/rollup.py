"""What becomes of days in the long run: kept daily for some months, then Mondays only, then not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.database import Database

# So far back every day is kept; months that are older keep their Mondays.
DAILY_DAYS = 120
# Months that are older than this are dropped.
KEPT_DAYS = 730
# A table's days are in the column.
ROLLED_UP: Mapping[str, str] = {
    "signal_history": "day",
    "customer_health": "day",
    "churn_predictions": "prediction_date",
}
# Pages of 8 KB that one step looks at: a second or so of work.
PAGES = 2000
_MARK = "rolled_up/"


@dataclass(frozen=True, slots=True)
class Place:
    """How far a roll-up has come: the next page of a partition."""

    partition: str
    page: int = 0


@dataclass(frozen=True, slots=True)
class RolledUp:
    """What one step did; `place` is where to go on (None: nothing is left to do)."""

    place: Place | None
    deleted: int = 0
    dropped: str = ""


async def roll_up(
    connection: AsyncConnection,
    today: date,
    after: Place | None = None,
    *,
    daily_days: int = DAILY_DAYS,
    kept_days: int = KEPT_DAYS,
    pages: int = PAGES,
) -> RolledUp:
    """One bounded step, in the caller's transaction: a month that is too old is dropped, or some pages of one that is
    past `daily_days` are cleared of all days but Mondays.

    Begin with `after=None` and hand back each step's place. After a crash it begins anew and finds done what is done.
    """
    partitions = await _load_partitions(connection)
    for months in partitions.values():
        for name, (_, end) in months.items():
            if end <= today - timedelta(days=kept_days):
                # Whoever reads the table meanwhile isn't kept waiting; the step fails and is tried again.
                await connection.execute(text("SET LOCAL lock_timeout = '2s'"))
                await connection.execute(text(f"DROP TABLE {name}"))
                await connection.execute(
                    text("DELETE FROM upkeep WHERE name = :name"), {"name": _MARK + name}
                )
                return RolledUp(after or Place(""), dropped=name)
    daily_from = (today - timedelta(days=daily_days)).replace(day=1)
    done = {
        row.name
        for row in await connection.execute(
            text("SELECT name FROM upkeep WHERE starts_with(name, :mark)"), {"mark": _MARK}
        )
    }
    waiting = {
        name: table
        for table, months in partitions.items()
        for name in [
            *(name for name, (_, end) in months.items() if end <= daily_from and _MARK + name not in done),
            f"{table}_default",
        ]
    }
    names = sorted(waiting)
    if after is not None:
        # After what was dropped it begins at no name at all.
        names = [name for name in names if name >= after.partition]
    if not names:
        return RolledUp(None)
    name = names[0]
    page = after.page if after is not None and after.partition == name else 0
    oldest = today - timedelta(days=kept_days)
    deleted = await _clear(connection, name, ROLLED_UP[waiting[name]], page, pages, daily_from, oldest)
    following = page + pages
    if following < await _count_pages(connection, name):
        return RolledUp(Place(name, following), deleted)
    if not name.endswith("_default"):
        await connection.execute(
            text("INSERT INTO upkeep (name, at) VALUES (:name, :today) ON CONFLICT DO NOTHING"),
            {"name": _MARK + name, "today": today},
        )
    return RolledUp(Place(names[1]) if len(names) > 1 else None, deleted)


async def roll_up_all(
    database: Database,
    today: date,
    *,
    daily_days: int = DAILY_DAYS,
    kept_days: int = KEPT_DAYS,
    pages: int = PAGES,
) -> int:
    """Every step there is, each in a transaction of its own; returns how many rows were cleared away."""
    place, deleted = None, 0
    while True:
        async with database.transaction() as connection:
            step = await roll_up(
                connection, today, place, daily_days=daily_days, kept_days=kept_days, pages=pages
            )
        deleted += step.deleted
        if (place := step.place) is None:
            return deleted


async def _clear(
    connection: AsyncConnection,
    partition: str,
    column: str,
    page: int,
    pages: int,
    daily_from: date,
    oldest: date,
) -> int:
    done = await connection.execute(
        text(
            f"DELETE FROM {partition} WHERE ctid >= CAST(:first AS tid) AND ctid < CAST(:last AS tid) "
            f"AND {column} < :daily_from AND (extract(isodow FROM {column}) <> 1 OR {column} < :oldest)"
        ),
        {"first": f"({page},0)", "last": f"({page + pages},0)", "daily_from": daily_from, "oldest": oldest},
    )
    return int(done.rowcount)


async def _count_pages(connection: AsyncConnection, partition: str) -> int:
    found = await connection.execute(
        text("SELECT pg_relation_size(CAST(:name AS regclass)) / current_setting('block_size')::int"),
        {"name": partition},
    )
    return int(found.scalar_one())


async def _load_partitions(connection: AsyncConnection) -> dict[str, dict[str, tuple[date, date]]]:
    """By table and partition the month that it holds: its first day, and the first day after it."""
    rows = await connection.execute(
        text(
            "SELECT parent.relname AS of, child.relname AS name FROM pg_inherits JOIN pg_class child "
            "ON child.oid = inhrelid JOIN pg_class parent ON parent.oid = inhparent "
            "WHERE parent.relname = ANY(:tables) AND pg_table_is_visible(parent.oid) ORDER BY child.relname"
        ),
        {"tables": list(ROLLED_UP)},
    )
    found: dict[str, dict[str, tuple[date, date]]] = {table: {} for table in ROLLED_UP}
    for table, name in rows:
        if month := _read_month(name):
            found[table][name] = month
    return found


def _read_month(partition: str) -> tuple[date, date] | None:
    """The month that a partition's name says; None: it holds whatever has no other."""
    match = re.search(r"_(\d{4})_(\d{2})$", partition)
    if match is None:
        return None
    first = date(int(match[1]), int(match[2]), 1)
    return first, (first + timedelta(days=32)).replace(day=1)
