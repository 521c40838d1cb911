"""What is counted in the background ends with the web process, however long the database would take for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.integration.web_edge import RunningWeb, furnish, run_web
from web.filter_counts import FilterCounts
from web.recounting import Recount

PATHS = (
    "/api/customers?limit=1",
    "/api/customer-success/churn-predictions?limit=1",
    "/api/customer-success/churn-predictions?limit=1&riskLevel=high",
    "/churn",
)


def counting() -> set[asyncio.Task[object]]:
    """The counts that are under way in this process."""
    return {
        task
        for task in asyncio.all_tasks()
        if getattr(task.get_coro(), "__name__", "") == Recount._renew.__name__
    }


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


async def ask(web: RunningWeb, path: str) -> None:
    """Ask, for an answer that doesn't come."""
    await web.client.get(path, timeout=None)


async def test_counts_that_wait_for_the_database_end_with_the_process(database_url: str) -> None:
    async with run_web(database_url, HOLDFAST_PAGES="open") as web:
        await furnish(web)
        async with web.other.transaction() as connection:
            # From now on nothing can be counted.
            await connection.exec_driver_sql("LOCK TABLE signals, churn_predictions IN ACCESS EXCLUSIVE MODE")
            asking = [asyncio.create_task(ask(web, path)) for path in PATHS]
            await until(lambda: len(counting()) >= 3)
            # Who asked goes away before there is an answer.
            for one in asking:
                one.cancel()
            await asyncio.wait(asking)
            web.server.should_exit = True
            await until(lambda: not counting())
        # Nor does any of them hold a connection.
        [left] = await web.rows(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() "
            "AND state = 'active' AND wait_event_type = 'Lock'"
        )
        assert left["n"] == 0


async def test_a_count_that_isnt_kept_any_more_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.filter_counts.MOST_KEPT", 1)
    begun: list[object] = []

    async def count(chosen: str) -> None:
        begun.append(chosen)
        await asyncio.Event().wait()

    counter = FilterCounts("letters", count)
    waiting = [asyncio.create_task(counter.read(chosen)) for chosen in ("first", "second")]
    await until(lambda: len(begun) == 2)
    await counter.close()
    assert not counting()
    assert all(
        isinstance(one, asyncio.CancelledError)
        for one in await asyncio.gather(*waiting, return_exceptions=True)
    )
