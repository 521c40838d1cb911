"""Connections: what is under way when a process's database is closed."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from store.asking import _driver_of, fetch, perform
from store.database import Database, Waker
from tests.integration.running_engine import eventually


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


async def test_a_connection_whose_asker_is_cancelled_is_made_to_its_end_and_closed(database_url: str) -> None:
    """Given up half way it would stay open for a minute, and its database couldn't be dropped."""
    for turns in range(12):
        database = Database(database_url)

        async def ask(database: Database = database) -> None:
            async with database.single() as connection:
                await fetch(connection, "SELECT pg_sleep(0)", {})

        asking = asyncio.create_task(ask())
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        await database.close()

    async def count() -> int:
        with psycopg.connect(database_url) as other:
            rows = other.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            return int((rows.fetchone() or (0,))[0])

    await eventually(count, lambda sessions: sessions == 1)


async def test_what_is_closed_opens_nothing_any_more(database_url: str) -> None:
    database = Database(database_url)
    await database.close()
    with pytest.raises(OperationalError, match="done with the database"):
        async with database.single():
            pass


async def test_what_is_given_back_after_the_close_is_closed_too(database_url: str) -> None:
    """Requests that a server cut off at its end are still giving theirs back then."""
    database = Database(database_url, connections=3)
    async with database.transaction() as one, database.single() as two, database.reading() as three:
        await perform(one, "SELECT pg_sleep(0)", {})
        await database.close()
        used = [_driver_of(one), _driver_of(two), three]
        assert not any(driver.closed for driver in used)
    assert all(driver.closed for driver in used)


def drop_connections(database_url: str) -> None:
    """As a restart of the server does."""
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def test_connections_that_broke_since_they_were_used_are_replaced_unnoticed(database_url: str) -> None:
    database = Database(database_url, connections=2)
    try:
        async with database.transaction() as one, database.transaction() as two:
            assert (await fetch(one, "SELECT 1", {}), await fetch(two, "SELECT 2", {})) == ([(1,)], [(2,)])
        await asyncio.to_thread(drop_connections, database_url)
        async with database.transaction() as one, database.transaction() as two:
            assert await fetch(one, "SELECT %(a)s + 1", {"a": 1}) == [(2,)]
            assert (await two.execute(text("SELECT 3"))).scalar() == 3
    finally:
        await database.close()


async def test_a_connection_that_breaks_in_a_transaction_says_so_and_the_next_one_works(
    database_url: str,
) -> None:
    database = Database(database_url, connections=1)

    async def break_within() -> None:
        async with database.transaction() as connection:
            await fetch(connection, "SELECT 1", {})
            await asyncio.to_thread(drop_connections, database_url)
            await fetch(connection, "SELECT 1", {})

    try:
        with pytest.raises(OperationalError):
            await break_within()
        async with database.transaction() as connection:
            assert await fetch(connection, "SELECT 1", {}) == [(1,)]
    finally:
        await database.close()


async def test_a_refused_statement_raises_as_others_do_and_names_no_values(database_url: str) -> None:
    database = Database(database_url, connections=1)
    try:
        with pytest.raises(DBAPIError) as refused:
            async with database.transaction() as connection:
                await fetch(
                    connection, "SELECT * FROM nowhere WHERE name = %(name)s", {"name": "ada@example.com"}
                )
        assert "nowhere" in str(refused.value)
        assert "ada@" not in str(refused.value)
    finally:
        await database.close()


async def test_what_is_written_singly_is_committed_at_once_and_the_next_transaction_is_one_again(
    database_url: str,
) -> None:
    database = Database(database_url, connections=1)

    async def give_up() -> None:
        async with database.transaction() as connection:
            await fetch(connection, "INSERT INTO written VALUES (2) RETURNING a", {})
            raise ZeroDivisionError

    try:
        async with database.single() as connection:
            await connection.execute(text("CREATE TABLE written (a int)"))
            await fetch(connection, "INSERT INTO written VALUES (1) RETURNING a", {})
            with psycopg.connect(database_url) as other:
                assert other.execute("SELECT a FROM written").fetchall() == [(1,)]
        with pytest.raises(ZeroDivisionError):
            await give_up()
        async with database.transaction() as connection:
            assert await fetch(connection, "SELECT a FROM written", {}) == [(1,)]
    finally:
        await database.close()
