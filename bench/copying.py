"""PostgreSQL's own time to copy what the nightly run reads out, and what it writes in, with nobody at the other end."""

from __future__ import annotations

import time
from datetime import date, timedelta

import psycopg

from bench.scoring_base import HISTORY_DAYS
from bench.system import Say, System
from schemas.catalogue import load_catalogue


def _read_rows(today: date) -> dict[str, str]:
    """What the run reads, by table, as queries."""
    return {
        "signals": "SELECT * FROM signals",
        "tallies": f"SELECT * FROM tallies WHERE day >= '{today - timedelta(days=load_catalogue().tally_days)}'",
        "customer_health": "SELECT customer_id, day, midnight_score FROM customer_health "
        f"WHERE day >= '{today - timedelta(days=30)}' AND day < '{today}'",
        "signal_history": "SELECT customer_id, day, revision, health_score, churn_probability FROM signal_history "
        f"WHERE day >= '{today - timedelta(days=HISTORY_DAYS)}'",
        "events": f"SELECT customer_id, name, at, properties FROM events WHERE day >= '{today - timedelta(days=31)}'",
    }


async def copy_out(system: System, today: date, say: Say) -> dict[str, float]:
    """PostgreSQL's seconds to read and send each of these, thrown away where they come out."""
    took = {}
    async with await psycopg.AsyncConnection.connect(system.database_url, autocommit=True) as connection:
        for table, query in _read_rows(today).items():
            begun = time.monotonic()
            await connection.execute(f"COPY ({query}) TO '/dev/null' (FORMAT binary)".encode())
            took[table] = time.monotonic() - begun
    say(
        "  COPY out of what is read: "
        + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
    )
    return took


async def copy_in(system: System, today: date, say: Say) -> dict[str, float]:
    """PostgreSQL's seconds to take in what the run wrote, from a file into empty tables with the same indexes."""
    written = {
        "signals": "SELECT * FROM signals",
        "signal_history": f"SELECT * FROM signal_history WHERE day = '{today}'",
        "customer_health": f"SELECT * FROM customer_health WHERE day = '{today}'",
        "churn_predictions": f"SELECT * FROM churn_predictions WHERE prediction_date = '{today}'",
        "evaluations": "SELECT * FROM evaluations",
    }
    took = {}
    [(directory,)] = await system.rows("SHOW data_directory")
    async with await psycopg.AsyncConnection.connect(system.database_url, autocommit=True) as connection:
        for table, query in written.items():
            file = f"{directory}/copied"
            await connection.execute(f"COPY ({query}) TO '{file}' (FORMAT binary)".encode())
            await connection.execute(f"CREATE TABLE copied (LIKE {table} INCLUDING ALL)".encode())
            begun = time.monotonic()
            await connection.execute(f"COPY copied FROM '{file}' (FORMAT binary)".encode())
            took[table] = time.monotonic() - begun
            await connection.execute(b"DROP TABLE copied")
        await connection.execute(f"COPY (SELECT 1) TO '{directory}/copied'".encode())
    say(
        "  COPY in of what is written: "
        + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
    )
    return took
