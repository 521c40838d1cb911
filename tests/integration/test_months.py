"""Partitions of the months to come: the same whoever makes them, and nobody else's trouble where that fails."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import create_engine, text

from activities.steps import StepOpening
from activities.versions import Versions
from loops.upkeep import Upkeep
from schemas.catalogue import load_catalogue
from store import evaluations
from store.database import Database, driver_url
from store.partitions import PARTITIONED, ensure_partitions
from tests.integration.evaluation_desk import START

TODAY = date(2026, 3, 2)
BOUNDS = (
    "SELECT child.relname, pg_get_expr(child.relpartbound, child.oid) FROM pg_inherits JOIN pg_class child "
    "ON child.oid = inhrelid JOIN pg_class parent ON parent.oid = inhparent "
    "WHERE parent.relname = 'decisions' AND child.relname LIKE '%\\_20%' ORDER BY 1"
)


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin"])
def test_months_begin_at_the_same_moment_whatever_the_zone_of_the_server(
    database_url: str, zone: str
) -> None:
    engine = create_engine(driver_url(database_url))
    with engine.begin() as connection:
        for name, _ in connection.execute(text(BOUNDS)).all():
            for table in PARTITIONED:
                connection.execute(text(f"DROP TABLE {table}{name.removeprefix('decisions')}"))
        connection.execute(text(f"SET TIME ZONE '{zone}'"))
        ensure_partitions(connection, TODAY)
    # The month after is made by somebody else, in another zone.
    with engine.begin() as connection:
        connection.execute(text("SET TIME ZONE 'UTC'"))
        assert ensure_partitions(connection, TODAY + timedelta(days=31)) == len(PARTITIONED)
        bounds = {row[0]: row[1] for row in connection.execute(text(BOUNDS))}
    assert (
        bounds["decisions_2026_06"]
        == "FOR VALUES FROM ('2026-06-01 00:00:00+00') TO ('2026-07-01 00:00:00+00')"
    )
    assert (
        bounds["decisions_2026_07"]
        == "FOR VALUES FROM ('2026-07-01 00:00:00+00') TO ('2026-08-01 00:00:00+00')"
    )
    engine.dispose()


async def test_whoever_is_due_is_queued_though_no_partition_can_be_made(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise RuntimeError("somebody holds the table")

    monkeypatch.setattr("loops.upkeep.ensure_partitions", fail)
    database = Database(database_url, connections=2)
    async with database.transaction() as connection:
        await connection.execute(
            text("INSERT INTO customers (external_id, created_at) VALUES ('ada', :now)"), {"now": START}
        )
        await connection.execute(
            text("INSERT INTO due (customer_id, at) SELECT id, created_at FROM customers")
        )
    upkeep = Upkeep(StepOpening(database, load_catalogue(), Versions()))
    with pytest.raises(RuntimeError):
        await upkeep.run_once()
    async with database.transaction() as connection:
        assert await evaluations.count_waiting(connection) == 1
    await database.close()
