"""Searching customers: by an index where PostgreSQL lets us have it, and without one where it doesn't."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
from sqlalchemy.engine import make_url

from store.database import Database
from store.migrating import migrate
from store.overview_counts import count_groups
from store.reading_overview import SEARCHED, OverviewFilter, find_matching

INDEX = "SELECT count(*) FROM pg_indexes WHERE indexname = 'customers_searched_idx'"
NOW = datetime(2026, 3, 10, tzinfo=UTC)


async def search(database_url: str, *words: str) -> list[list[str]]:
    """Whom each of the words finds, which is as many as are counted."""
    database = Database(database_url, connections=1)
    found = []
    try:
        async with database.transaction() as connection:
            for word in words:
                wanted = OverviewFilter(search=word)
                found.append(
                    sorted(user_id for user_id, _ in await find_matching(connection, wanted, NOW, 100))
                )
                groups = await count_groups(connection, word, NOW)
                assert sum(group.customers for group in groups) == len(found[-1])
    finally:
        await database.close()
    return found


def fill(database_url: str, extra: int = 0) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO customers (external_id, business_name, first_name, email, created_at) VALUES "
            "('a', 'Golden Barn', 'Ada', 'ada@example.com', now()), ('b', 'Old Mill', 'Barnaby', NULL, now()), "
            "('c', NULL, NULL, 'x@BARN.example', now()), ('d', '100% sure', NULL, NULL, now())"
        )
        connection.execute(
            "INSERT INTO customers (external_id, business_name, created_at) "
            "SELECT 'n' || n, 'Somebody ' || n, now() FROM generate_series(1, %s) n",
            (extra,),
        )
        connection.execute("ANALYZE customers")


async def test_a_search_takes_the_index(database_url: str) -> None:
    fill(database_url, extra=20_000)
    with psycopg.connect(database_url) as connection:
        plan = connection.execute(
            f"EXPLAIN SELECT c.id::text FROM customers c WHERE {SEARCHED} LIKE '%barn%' LIMIT 2001"
        ).fetchall()
    assert any("customers_searched_idx" in line for (line,) in plan), plan
    assert await search(database_url, "barn", "0%") == [["a", "b", "c"], ["d"]]


async def test_a_role_that_may_have_no_extension_searches_all_the_same(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS plain_searcher")
        connection.execute("CREATE ROLE plain_searcher LOGIN PASSWORD 'plain'")
        connection.execute("GRANT CREATE ON SCHEMA public TO plain_searcher")
    plain = make_url(postgres_url).set(username="plain_searcher", password="plain")
    url = plain.render_as_string(hide_password=False)
    try:
        migrate(url)
        with psycopg.connect(url) as connection:
            assert connection.execute(INDEX).fetchone() == (0,)
        fill(url)
        assert await search(url, "barn", "0%") == [["a", "b", "c"], ["d"]]
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY plain_searcher CASCADE")
            connection.execute("DROP ROLE plain_searcher")
