"""Monthly partitions of the tables that grow without end."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import Connection, text

# Each with the column that says when.
PARTITIONED = {
    "events": "day",
    "signal_history": "day",
    "customer_health": "day",
    "churn_predictions": "prediction_date",
    "decisions": "at",
}
MONTHS_BACK = 12
MONTHS_AHEAD = 3


def ensure_partitions(connection: Connection, today: date) -> int:
    """Make the partitions from a year back to three months ahead of `today` that are missing; returns how many.

    A month whose rows already went to the default partition is left there: moving them would lock the table. In a
    transaction, which gives up where somebody holds a table for longer than two seconds.
    """
    # Where a month of moments begins hangs on the zone, and months that two zones began would overlap.
    connection.execute(text("SET LOCAL TIME ZONE 'UTC'"))
    # Whoever wants the table meanwhile queues behind this.
    connection.execute(text("SET LOCAL lock_timeout = '2s'"))
    present = {
        row[0]
        for row in connection.execute(
            text(
                "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
                "JOIN pg_class parent ON parent.oid = inhparent WHERE parent.relname = ANY(:tables)"
            ),
            {"tables": list(PARTITIONED)},
        )
    }
    made = 0
    for first in _months(today):
        following = (first + timedelta(days=32)).replace(day=1)
        for table, column in PARTITIONED.items():
            name = f"{table}_{first:%Y_%m}"
            if name in present:
                continue
            held = connection.execute(
                text(
                    f"SELECT 1 FROM {table}_default WHERE {column} >= :first AND {column} < :following LIMIT 1"
                ),
                {"first": first, "following": following},
            ).first()
            if held is None:
                connection.execute(
                    text(
                        f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{first}') TO ('{following}')"
                    )
                )
                made += 1
    return made


def _months(today: date) -> list[date]:
    index = today.year * 12 + today.month - 1
    return [date(i // 12, i % 12 + 1, 1) for i in range(index - MONTHS_BACK, index + MONTHS_AHEAD + 1)]
