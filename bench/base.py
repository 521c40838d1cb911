"""The customers that the throughput is measured on: the demo base with its history, copied until there are enough."""

from __future__ import annotations

import psycopg

from bench.system import Say
from loops.demo.loading import load_population
from store.database import Database
from store.tables import metadata

ORIGINALS = 250
DAYS = 60
COPIED = ("signals", "tallies", "signal_history", "customer_health", "consents", "events")


async def load_base(database_url: str, say: Say, *, customers: int) -> None:
    """Fill an empty database with `customers` suppliers (a multiple of 250, or fewer) and 60 days of history each."""
    originals = min(ORIGINALS, customers)
    async with Database(database_url, connections=2) as database:
        await load_population(database, lambda _: None, customers=originals, days=DAYS)
    say(f"  {originals} customers with {DAYS} days of history, copied to {customers}")
    copies = customers // originals - 1
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        if copies:
            named = ", ".join(
                column.name
                for column in metadata.tables["customers"].columns
                if column.name not in ("id", "external_id")
            )
            await connection.execute(
                f"INSERT INTO customers (external_id, {named}) SELECT external_id || '~' || n, {named} "
                f"FROM customers, generate_series(1, {copies}) n"
            )
            for table in COPIED:
                await connection.execute(_copy(table, copies))
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")


def _copy(table: str, copies: int) -> str:
    columns = [column.name for column in metadata.tables[table].columns]
    values = ", ".join(
        "c2.id"
        if name == "customer_id"
        else "t.message_id || '~' || n"
        if name == "message_id"
        else f't."{name}"'
        for name in columns
    )
    listed = ", ".join(f'"{name}"' for name in columns)
    return (
        f"INSERT INTO {table} ({listed}) SELECT {values} FROM {table} t JOIN customers c ON c.id = t.customer_id "
        f"CROSS JOIN generate_series(1, {copies}) n JOIN customers c2 ON c2.external_id = c.external_id || '~' || n"
    )
