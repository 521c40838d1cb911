"""Runs over the whole population: the parts they are cut into, which of them are done, and what came of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.population_reading import Bounds

SHARD_CUSTOMERS = 10_000
_ALL = 1 << 128


def shard_bounds(shard: int, shards: int) -> Bounds:
    """The ids of one of `shards` parts. Ids are drawn evenly from all there are, so parts of one width hold alike many;
    no part depends on who came since.
    """
    first, after = _ALL * shard // shards, _ALL * (shard + 1) // shards
    return Bounds(str(uuid.UUID(int=first)), str(uuid.UUID(int=after - 1)))


def halves(bounds: Bounds, middle: str) -> tuple[Bounds, Bounds]:
    """The same customers in two parts, the second from `middle` on."""
    before = uuid.UUID(int=uuid.UUID(middle).int - 1)
    return Bounds(bounds.first, str(before)), Bounds(middle, bounds.last)


@dataclass(frozen=True)
class ShardDone:
    """What came of one shard: customers scored and failed, those the evaluator was asked to look at, and how long."""

    scored: int
    failed: int
    requested: int
    seconds: float


@dataclass(frozen=True)
class PopulationRow:
    """One day's run; the counts are of the shards that are done."""

    day: date
    started_at: datetime
    finished_at: datetime | None
    health_model: str
    churn_model: str
    shards: int
    scored: int
    failed: int
    requested: int
    seconds: float


async def count_customers(connection: AsyncConnection) -> int:
    """How many customers there are."""
    return int((await connection.execute(text("SELECT count(*) FROM customers"))).scalar_one())


async def find_middle(connection: AsyncConnection, bounds: Bounds) -> tuple[int, str]:
    """How many customers there are between the bounds, and the id in the middle."""
    row = (
        await connection.execute(
            text(
                "WITH part AS (SELECT id FROM customers WHERE id BETWEEN CAST(:first AS uuid) AND CAST(:last AS uuid)) "
                "SELECT (SELECT count(*) FROM part) AS n, (SELECT id::text FROM part ORDER BY id "
                "OFFSET (SELECT count(*) / 2 FROM part) LIMIT 1) AS middle"
            ),
            bounds.given,
        )
    ).one()
    return int(row.n), row.middle or bounds.first


async def begin_run(
    connection: AsyncConnection,
    day: date,
    now: datetime,
    customers: int,
    *,
    health_model: str,
    churn_model: str,
) -> int:
    """Note that the day's run goes on, or begins: one that was finished begins anew, with no shard done.

    Returns how many customers it was planned for: one that goes on keeps its number, as its shards keep their bounds.
    """
    over = (
        await connection.execute(
            text("SELECT finished_at IS NOT NULL FROM population_runs WHERE day = :day FOR UPDATE"),
            {"day": day},
        )
    ).scalar()
    if over:
        await connection.execute(text("DELETE FROM population_shards WHERE day = :day"), {"day": day})
    planned = await connection.execute(
        text(
            "INSERT INTO population_runs AS r (day, started_at, customers, health_model, churn_model) "
            "VALUES (:day, :now, :customers, :health, :churn) ON CONFLICT (day) DO UPDATE SET "
            "started_at = CASE WHEN r.finished_at IS NULL THEN r.started_at ELSE excluded.started_at END, finished_at = NULL, "
            "customers = CASE WHEN r.finished_at IS NULL THEN r.customers ELSE excluded.customers END, "
            "health_model = excluded.health_model, churn_model = excluded.churn_model RETURNING customers"
        ),
        {"day": day, "now": now, "customers": customers, "health": health_model, "churn": churn_model},
    )
    return int(planned.scalar_one())


async def load_shard(connection: AsyncConnection, day: date, shard: int) -> ShardDone | None:
    """What came of a shard, if it is done."""
    row = (
        await connection.execute(
            text(
                "SELECT scored, failed, requested, seconds FROM population_shards WHERE day = :day AND shard = :shard"
            ),
            {"day": day, "shard": shard},
        )
    ).first()
    return ShardDone(*row) if row else None


async def record_shard(
    connection: AsyncConnection, day: date, shard: int, done: ShardDone, now: datetime
) -> bool:
    """Note that a shard is done; False if it was already, and then nothing of it may be counted again."""
    noted = await connection.execute(
        text(
            "INSERT INTO population_shards (day, shard, scored, failed, requested, seconds, finished_at) "
            "VALUES (:day, :shard, :scored, :failed, :requested, :seconds, :now) ON CONFLICT DO NOTHING"
        ),
        {
            "day": day,
            "shard": shard,
            "now": now,
            **{name: getattr(done, name) for name in ShardDone.__dataclass_fields__},
        },
    )
    return bool(noted.rowcount)


async def finish_run(connection: AsyncConnection, day: date, now: datetime) -> PopulationRow | None:
    """Close the day's run."""
    await connection.execute(
        text(
            "UPDATE population_runs r SET finished_at = :now, customers = coalesce("
            "(SELECT sum(scored + failed) FROM population_shards s WHERE s.day = r.day), 0) WHERE day = :day"
        ),
        {"day": day, "now": now},
    )
    rows = await list_runs(connection, day=day)
    return rows[0] if rows else None


async def list_runs(
    connection: AsyncConnection, *, day: date | None = None, limit: int = 14
) -> list[PopulationRow]:
    """The last runs, newest first, or that of one day."""
    rows = await connection.execute(
        text(
            "SELECT r.day, r.started_at, r.finished_at, r.health_model, r.churn_model, count(s.shard) AS shards, "
            "coalesce(sum(s.scored), 0) AS scored, coalesce(sum(s.failed), 0) AS failed, "
            "coalesce(sum(s.requested), 0) AS requested, coalesce(sum(s.seconds), 0) AS seconds "
            "FROM population_runs r LEFT JOIN population_shards s ON s.day = r.day "
            "WHERE CAST(:day AS date) IS NULL OR r.day = :day GROUP BY r.day ORDER BY r.day DESC LIMIT :limit"
        ),
        {"day": day, "limit": limit},
    )
    return [PopulationRow(**row._mapping) for row in rows]


async def last_day(connection: AsyncConnection) -> date | None:
    """The day of the latest run; None before the first."""
    return (await connection.execute(text("SELECT max(day) FROM population_runs"))).scalar()


async def last_scored_at(connection: AsyncConnection) -> datetime | None:
    """When the last run that is finished was finished; before the first, when it was first tried."""
    found = await connection.execute(
        text("SELECT coalesce(max(finished_at), min(started_at)) FROM population_runs")
    )
    at: datetime | None = found.scalar()
    return at
