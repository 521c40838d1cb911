"""The loops of one worker process: evaluator, dispatcher, hooks, upkeep, repair, comparison, monitoring.

They are woken by bells; polling is the truth.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from activities.steps import StepOpening
from loops.comparison import NightlyComparison
from loops.dispatcher import Dispatcher
from loops.evaluator import BATCH, Evaluated, Evaluator
from loops.hooks import HookProcessing
from loops.monitoring import ModelMonitor
from loops.notices import Notices
from loops.repairing import BATCH as REPAIRED_AT_ONCE
from loops.repairing import Repairing
from loops.upkeep import Upkeep
from schemas.metrics import LOOP_FAILURES
from store.bells import until_rung
from store.database import Database, Waker
from store.faults import is_away

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
# Batches of customers looked at at the same time when more than one batch waits.
LANES = 2
REPAIR_EVERY = timedelta(minutes=5)
# How often it is asked whether the nightly comparison, or the daily look at the churn model, is due.
COMPARISON_EVERY = timedelta(minutes=5)
BELL = "holdfast_evaluate"
CHANGES = "holdfast_changes"


class Engine:
    """Runs the loops until cancelled; a loop that meets an error waits and goes on."""

    def __init__(
        self,
        database: Database,
        opening: StepOpening,
        dispatcher: Dispatcher,
        notices: Notices | None = None,
    ) -> None:
        self._database = database
        self._evaluator = Evaluator(opening)
        self._behind = False
        self._dispatcher = dispatcher
        self._notices = notices
        self._upkeep = Upkeep(opening, notices)
        self._repairing = Repairing(database, opening.catalogue)
        self._comparison = NightlyComparison(opening)
        self._monitor = ModelMonitor(opening)
        self._hooks = HookProcessing(opening)
        self._evaluate_bell = asyncio.Event()
        self._dispatch_bell = asyncio.Event()
        self._changes = Waker(database, CHANGES)

    async def run(self) -> None:
        """Run all loops for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._database.listen([BELL], self._evaluate_bell))
            group.create_task(self._loop("evaluator", self._evaluate, self._evaluate_bell, POLL_SECONDS))
            group.create_task(self._loop("dispatcher", self._dispatch, self._dispatch_bell, POLL_SECONDS))
            group.create_task(self._hooks.listen())
            group.create_task(self._loop("hooks", self._hooks.run_once, self._hooks.bell, POLL_SECONDS))
            group.create_task(self._loop("upkeep", self._keep_up, asyncio.Event(), POLL_SECONDS))
            if self._notices is not None:
                group.create_task(
                    self._loop("notices", self._notices.run_once, asyncio.Event(), POLL_SECONDS)
                )
            group.create_task(self._loop("past", self._repair_past, asyncio.Event(), POLL_SECONDS))
            group.create_task(
                self._loop("repair", self._repair, asyncio.Event(), REPAIR_EVERY.total_seconds())
            )
            group.create_task(
                self._loop("comparison", self._compare, asyncio.Event(), COMPARISON_EVERY.total_seconds())
            )
            group.create_task(
                self._loop("monitoring", self._watch_model, asyncio.Event(), COMPARISON_EVERY.total_seconds())
            )

    async def _evaluate(self) -> bool:
        # While one batch waits for the database, another is worked on; a single event needs no second look.
        lanes = LANES if self._behind else 1
        batches = await asyncio.gather(
            *(self._evaluator.run_once() for _ in range(lanes)), return_exceptions=True
        )
        done = [batch for batch in batches if isinstance(batch, Evaluated)]
        if any(batch.entered or batch.rung for batch in done):
            self._dispatch_bell.set()
            self._changes.ring()
        for batch in batches:
            if isinstance(batch, BaseException):
                raise batch
        self._behind = any(batch.customers >= BATCH for batch in done)
        return self._behind

    async def _dispatch(self) -> bool:
        # Completed tasks ring without passing the evaluator: the evaluator's bell is heard here too.
        return await self._dispatcher.run_once() > 0

    async def _keep_up(self) -> bool:
        if await self._upkeep.run_once():
            self._evaluate_bell.set()
        return False

    async def _repair(self) -> bool:
        await self._dispatcher.repair()
        return False

    async def _repair_past(self) -> bool:
        done = await self._repairing.run_once()
        if done.changed:
            self._evaluate_bell.set()
        return done.customers >= REPAIRED_AT_ONCE

    async def _compare(self) -> bool:
        await self._comparison.run_once()
        return False

    async def _watch_model(self) -> bool:
        await self._monitor.run_once()
        return False

    async def _loop(
        self, name: str, work: Callable[[], Awaitable[bool]], bell: asyncio.Event, poll_seconds: float
    ) -> None:
        """Work while there is more of it; else until the bell rings or the poll interval is over."""
        failures = 0
        while True:
            bell.clear()
            try:
                more = await work()
                failures = 0
            except Exception as error:
                failures += 1
                LOOP_FAILURES.labels(name).inc()
                if is_away(error) or isinstance(error, OSError):
                    log.warning("%s: the database is away (%s); trying again", name, type(error).__name__)
                else:
                    # A statement that the database refuses is none of its absences.
                    log.exception("%s met something that it didn't expect; trying again", name)
                more = False
            if failures:
                await asyncio.sleep(min(0.2 * 2**failures, 5.0))
            elif not more:
                await until_rung(bell, poll_seconds)
