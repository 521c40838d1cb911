"""What reaches a run: whoever reads its inbox goes on from the last number, so that no lower one may come later."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import Any

from sqlalchemy import text

from store import inbox
from store.database import Connection, Database
from store.runs import NewRun, insert_runs
from tests.integration.evaluation_desk import START


class Slow:
    """A connection that waits after its first statement."""

    def __init__(self, connection: Connection, go_on: asyncio.Event) -> None:
        self._connection, self._go_on = connection, go_on
        self.begun = asyncio.Event()

    async def execute(self, *given: Any) -> Any:
        """Carry out a statement, and let others go first."""
        done = await self._connection.execute(*given)
        self.begun.set()
        await self._go_on.wait()
        return done


async def _read_all(database: Database, run: str) -> list[str]:
    """The reasons of all that a run gets to see, which looks whenever something is committed."""
    async with database.transaction() as connection:
        return [entry.reason for entry in await inbox.read_inbox(connection, run, 0)]


async def test_an_entry_that_is_written_slowly_isnt_overtaken_by_one_that_the_run_reads_before_it(
    database_url: str,
) -> None:
    database = Database(database_url, connections=3)
    async with database.transaction() as connection:
        customer = str(
            await connection.scalar(
                text("INSERT INTO customers (external_id, created_at) VALUES ('ada', :now) RETURNING id"),
                {"now": START},
            )
        )
        run = NewRun(
            str(uuid.uuid4()), "helping", "v1", customer, "", None, "treated", {}, {}, None, None, START, None
        )
        await insert_runs(connection, [run])
    go_on, seen = asyncio.Event(), list[str]()

    async def write(reason: str) -> None:
        async with database.transaction() as connection:
            await inbox.post(connection, run.id, "stop", START, reason=reason)

    async with database.transaction() as connection:
        slow = Slow(connection, go_on)
        first = asyncio.create_task(inbox.post(slow, run.id, "pause", START, reason="first"))  # type: ignore[arg-type]
        await slow.begun.wait()
        second = asyncio.create_task(write("second"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.shield(second)
        # What the run has read by now it doesn't look at again.
        seen = await _read_all(database, run.id)
        go_on.set()
        await first
    await second
    assert (await _read_all(database, run.id))[: len(seen)] == seen
    assert await _read_all(database, run.id) == ["first", "second"]
    await database.close()
