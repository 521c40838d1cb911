"""Days in the long run: daily for some months, then Mondays, then nothing; cut short anywhere, it goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest
from sqlalchemy import text

from store.database import Connection, Database
from store.partitions import ensure_partitions
from store.rollup import roll_up, roll_up_all

TODAY = date(2026, 7, 20)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, connections=2)
    async with database.transaction() as connection:
        await connection.run_sync(lambda sync: ensure_partitions(sync, TODAY))
        for table, column, more, values in (
            ("signal_history", "day", "known_at, forms_created", "now(), 1"),
            ("customer_health", "day", "model, calculated_at", "'m', now()"),
            (
                "churn_predictions", "prediction_date",
                "churn_probability, risk_level, source, model_version, model_confidence, intervention_recommended, "
                "intervention_priority, calculated_at",
                "0.5, 'low', 'model', 'v', 'high', false, 5, now()",
            ),
        ):  # fmt: skip
            await connection.execute(
                text(
                    f"INSERT INTO {table} (customer_id, {column}, {more}) SELECT c, d, {values} FROM "
                    "(SELECT gen_random_uuid() c FROM generate_series(1, 30)) customers, "
                    "generate_series(CAST('2024-06-01' AS timestamp), '2026-07-20', '1 day') d"
                )
            )
    yield database
    await database.close()


async def days_of(database: Database, table: str) -> list[date]:
    column = "prediction_date" if table == "churn_predictions" else "day"
    async with database.transaction() as connection:
        rows = await connection.execute(
            text(f"SELECT {column} FROM {table} GROUP BY 1 HAVING count(*) = 30 ORDER BY 1")
        )
        counted = (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
        found = list(rows.scalars())
    assert counted == 30 * len(found)
    return found


async def test_recent_months_stay_daily_and_older_ones_keep_their_mondays_for_two_years(
    database: Database,
) -> None:
    assert await roll_up_all(database, TODAY) > 0
    # 120 days back from the 20th of July is the 22nd of March: all of March is kept.
    daily = [date(2026, 3, 1) + timedelta(days=n) for n in range((TODAY - date(2026, 3, 1)).days + 1)]
    oldest = TODAY - timedelta(days=730)
    mondays = [oldest + timedelta(days=n) for n in range((daily[0] - oldest).days)]
    mondays = [day for day in mondays if day.weekday() == 0]
    for table in ("signal_history", "customer_health", "churn_predictions"):
        assert await days_of(database, table) == mondays + daily
    assert await roll_up_all(database, TODAY) == 0


async def test_it_goes_in_bounded_steps_and_goes_on_after_being_cut_short(database: Database) -> None:
    place, steps, deleted = None, 0, 0
    while True:
        async with database.transaction() as connection:
            before = await _count(connection)
            step = await roll_up(connection, TODAY, place, pages=10)
            assert before - await _count(connection) == step.deleted
        assert step.deleted <= 4000
        steps, deleted, place = steps + 1, deleted + step.deleted, step.place
        if steps in (7, 20):
            # Whoever did it is gone, and with it where it was.
            place = None
            continue
        if place is None:
            break
    assert steps > 30
    assert deleted > 0
    assert await roll_up_all(database, TODAY) == 0
    assert (await days_of(database, "customer_health"))[-142] == date(2026, 3, 1)


async def _count(connection: Connection) -> int:
    tables = ("signal_history", "customer_health", "churn_predictions")
    counts = [await connection.execute(text(f"SELECT count(*) FROM {table}")) for table in tables]
    return sum(int(one.scalar_one()) for one in counts)


async def test_a_month_that_is_too_old_is_dropped_whole(database: Database) -> None:
    later = date(2028, 3, 1)
    await roll_up_all(database, later)
    async with database.transaction() as connection:
        rows = await connection.execute(
            text("SELECT relname FROM pg_class WHERE relname LIKE 'signal_history_2%' AND relkind = 'r'")
        )
        names = sorted(rows.scalars())
    # The partition of February 2026 ends 731 days before.
    assert names[0] == "signal_history_2026_03"
    assert min(await days_of(database, "signal_history")) == date(2026, 3, 2)


async def test_a_day_on_which_a_month_is_dropped_rolls_up_the_other_tables_too(database: Database) -> None:
    later = date(2026, 8, 10)
    # The partitions reach a year back, so that only a month made by hand is old enough.
    async with database.transaction() as connection:
        await connection.execute(
            text(
                "CREATE TABLE signal_history_2024_01 PARTITION OF signal_history "
                "FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')"
            )
        )
    await roll_up_all(database, later)
    kept = [
        await days_of(database, table) for table in ("signal_history", "customer_health", "churn_predictions")
    ]
    assert kept[0] == kept[1] == kept[2]
    assert len(kept[0]) < 250
