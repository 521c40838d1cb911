"""Connections: what is under way when a process's database is closed."""

from __future__ import annotations

import asyncio

import psycopg

from store.database import Database, Waker


async def test_a_bell_that_is_being_rung_has_its_connection_closed_too() -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def stand_still(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await answered.wait()
        writer.close()

    async with await asyncio.start_server(stand_still, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        database = Database(f"postgresql://nobody@127.0.0.1:{port}/none")
        Waker(database, "bell").ring()
        await asked.wait()
        closing = asyncio.create_task(database.close())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not closing.done()
        answered.set()
        await closing


async def test_a_bell_rung_just_before_the_end_opens_nothing_any_more(database_url: str) -> None:
    database = Database(database_url)
    Waker(database, "bell").ring()
    await database.close()
    await database.notify("bell")
    with psycopg.connect(database_url) as other:
        rows = other.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        assert rows.fetchone() == (1,)
