"""Loops of a worker that meet what nobody expected: they say so, with where it was, and go on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from activities.steps import StepOpening
from activities.versions import Versions
from loops import population_starting, stuck_runs
from loops.engine import Engine
from loops.population_starting import PopulationStarting
from loops.stuck_runs import StuckRuns
from schemas.catalogue import load_catalogue
from store.database import Database


class Refused:
    """A dispatcher whose statement the database refuses, and then one whose database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.tried = 0

    async def run_once(self) -> int:
        self.tried += 1
        if self.tried > 1:
            raise ConnectionResetError
        async with self._database.transaction() as connection:
            await connection.execute(text("SELECT nothing FROM nowhere"))
        return 0

    async def repair(self) -> int:
        return 0


async def _until(done: Callable[[], bool], work: Coroutine[Any, Any, None]) -> None:
    """Carry on until something is so, at most 20 s."""
    task = asyncio.create_task(work)
    try:
        async with asyncio.timeout(20):
            while not done() and not task.done():  # noqa: ASYNC110 - what is waited for rings no bell
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_what_the_database_refuses_is_no_absence_of_it_and_is_logged_with_its_trace(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(database_url, connections=4)
    dispatcher = Refused(database)
    engine = Engine(database, StepOpening(database, load_catalogue(), Versions()), dispatcher)  # type: ignore[arg-type]
    await _until(lambda: dispatcher.tried > 2, engine.run())
    await database.close()
    told = [one for one in caplog.records if one.name == "loops.engine" and "dispatcher" in one.getMessage()]
    assert [(one.levelno, one.exc_info is not None) for one in told[:2]] == [
        (logging.ERROR, True), (logging.WARNING, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "loop"), [(population_starting, PopulationStarting), (stuck_runs, StuckRuns)]
)
async def test_a_loop_that_meets_something_else_goes_on(
    module: Any, loop: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = 0

    async def fail(*_: object) -> None:
        nonlocal tried
        tried += 1
        raise KeyError("unexpected")

    monkeypatch.setattr(module, "LOOK_EVERY", timedelta(0))
    monkeypatch.setattr(loop, "run_once", fail)
    if module is population_starting:
        monkeypatch.setattr(module, "ensure_schedules", lambda _: asyncio.sleep(0))
    await _until(lambda: tried > 2, loop(None, None).run())
    assert tried > 2
    assert caplog.records[0].exc_info is not None
