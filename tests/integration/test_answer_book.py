"""How everybody answers, as one process remembers it: counted by one message, while the others go on."""

from __future__ import annotations

import asyncio

import pytest

from activities import answers
from activities.answers import AnswerBook
from store.database import Connection, Database
from tests.integration.evaluation_desk import START


async def test_one_counts_and_nobody_waits_for_it_and_where_it_fails_the_next_one_counts(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting, go_on, times = asyncio.Event(), asyncio.Event(), 0

    async def count(*_: object) -> dict[str, tuple[int, int]]:
        nonlocal times
        times += 1
        counting.set()
        await go_on.wait()
        if times == 1:
            raise TimeoutError
        return {"email": (10, 4)}

    monkeypatch.setattr(answers, "count_answers", count)
    database = Database(database_url, connections=1)
    book = AnswerBook()

    async def read(connection: Connection) -> dict[str, int]:
        return {channel: one.answered for channel, one in (await book.read(connection, START)).items()}

    async with database.transaction() as connection:
        first = asyncio.create_task(read(connection))
        await counting.wait()
        assert await asyncio.gather(*(read(connection) for _ in range(5))) == [{}] * 5
        assert times == 1
        go_on.set()
        with pytest.raises(TimeoutError):
            await first
        assert await read(connection) == {"email": 4}
        assert await read(connection) == {"email": 4}
    assert times == 2
    await database.close()
