"""Connections that are only read from: what breaks them isn't noticed by readers, and none is left behind."""

from __future__ import annotations

import asyncio
import functools

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from store import asking
from store.asking import fetch, fetch_named
from store.database import DATABASE_AWAY, Database
from tests.integration.running_engine import eventually
from tests.integration.test_database import drop_connections


async def test_what_was_committed_since_is_seen_by_the_next_statement(database_url: str) -> None:
    database = Database(database_url, connections=1)
    try:
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("CREATE TABLE seen (a int, b jsonb)")
            async with database.reading() as source:
                assert await fetch_named(source, "SELECT * FROM seen", {}) == []
                other.execute("""INSERT INTO seen VALUES (1, '{"x": [1.5]}')""")
                assert await fetch_named(source, "SELECT * FROM seen", {}) == [{"a": 1, "b": {"x": [1.5]}}]
    finally:
        await database.close()


@pytest.mark.parametrize("trusted_seconds", [60.0, 0.0], ids=["used just now", "used a while ago"])
async def test_connections_that_broke_since_they_were_used_are_replaced_unnoticed(
    database_url: str, trusted_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "TRUSTED_SECONDS", trusted_seconds)
    database = Database(database_url, connections=2)
    try:
        async with database.reading() as one, database.reading() as two:
            assert (await fetch(one, "SELECT 1", {}), await fetch(two, "SELECT 2", {})) == ([(1,)], [(2,)])
        await asyncio.to_thread(drop_connections, database_url)
        async with database.reading() as one, database.reading() as two:
            assert (await fetch(one, "SELECT 3", {}), await fetch(two, "SELECT 4", {})) == ([(3,)], [(4,)])
    finally:
        await database.close()


async def test_one_that_breaks_while_it_is_read_says_so_and_the_next_one_works(database_url: str) -> None:
    database = Database(database_url, connections=1)

    async def break_within() -> None:
        async with database.reading() as source:
            await asyncio.to_thread(drop_connections, database_url)
            await fetch(source, "SELECT 1", {})

    try:
        with pytest.raises(OperationalError):
            await break_within()
        async with database.reading() as source:
            assert await fetch(source, "SELECT 1", {}) == [(1,)]
    finally:
        await database.close()


async def test_a_refused_statement_names_no_values_and_leaves_the_connection_usable(
    database_url: str,
) -> None:
    database = Database(database_url, connections=1)
    try:
        async with database.reading() as source:
            with pytest.raises(DBAPIError) as refused:
                await fetch(
                    source, "SELECT * FROM nowhere WHERE name = %(name)s", {"name": "ada@example.com"}
                )
            assert "nowhere" in str(refused.value)
            assert "ada@" not in str(refused.value)
            assert await fetch(source, "SELECT 1", {}) == [(1,)]
    finally:
        await database.close()


async def test_readers_wait_for_one_another_and_are_told_when_they_are_too_many(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.05)
    database = Database(database_url, connections=1)
    try:
        async with database.reading():
            with pytest.raises(DATABASE_AWAY):
                async with database.reading():
                    pass
        monkeypatch.setattr(asking, "PATIENCE_SECONDS", 60.0)

        async def read(number: int) -> object:
            async with database.reading() as source:
                return await fetch(source, "SELECT %(number)s + 0", {"number": number})

        assert await asyncio.gather(*(read(number) for number in range(5))) == [[(n,)] for n in range(5)]
    finally:
        await database.close()


async def test_readers_that_are_cancelled_leave_no_connection_behind(database_url: str) -> None:
    for turns in range(12):
        database = Database(database_url, connections=1)

        async def read(database: Database = database) -> None:
            async with database.reading() as source:
                await fetch(source, "SELECT pg_sleep(0.01)", {})

        reading = asyncio.create_task(read())
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        # There is room for the next one.
        async with asyncio.timeout(30):
            await read()
        await database.close()

    def count() -> int:
        with psycopg.connect(database_url) as other:
            found = other.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            ).fetchone()
        assert found is not None
        return int(found[0])

    await eventually(functools.partial(asyncio.to_thread, count), lambda found: found == 1)


async def test_what_is_taken_when_its_process_ends_is_closed_when_it_is_given_back(database_url: str) -> None:
    database = Database(database_url, connections=1)
    async with database.reading() as source:
        await database.close()
        assert await fetch(source, "SELECT 1", {}) == [(1,)]
    assert source.closed
    with pytest.raises(DATABASE_AWAY):
        async with database.reading():
            pass


async def test_a_database_that_isnt_there_is_told_as_such(unused_tcp_port: int) -> None:
    database = Database(f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/none")
    try:
        with pytest.raises(DATABASE_AWAY):
            async with database.reading():
                pass
    finally:
        await database.close()
