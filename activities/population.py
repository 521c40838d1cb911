"""Scoring the whole population, shard by shard: read, work out, write, each customer all at once.

A shard that is done again gives the same. Nobody's row is locked while it is worked on; whom somebody else writes to
meanwhile is left to the evaluator. Whom the columns can't score is found by halving, noted, and passed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.facts import load_known
from activities.health import load_predictors, load_scorer
from activities.population_judging import Judge
from activities.population_part import Texts, derive_part, judge_part, read_older, read_part
from activities.population_saving import write_part
from activities.steps import StepOpening
from schemas.population_run import FinishCall, PlanCall, PopulationPlan, ShardCall, ShardResult
from store import evaluations, population
from store.database import Connection
from store.decisions import count_decisions
from store.faults import is_away
from store.population import SHARD_CUSTOMERS, ShardDone, halves, shard_bounds
from store.population_reading import Bounds, begin_reading
from store.population_writing import record_failures
from store.rollup import roll_up_all

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
# More than so many customers of one shard who can't be scored aren't to blame themselves.
MOST_FAILURES = 100
_ROOT = Path(__file__).parent.parent


class Judging(Protocol):
    """Where the triggers come from."""

    async def prepare(self, connection: Connection) -> Judge:
        """The triggers as they are live now."""
        ...


@dataclass
class _Shard:
    """What came of a shard so far. `failures`: a code and what went wrong, by customer."""

    day: date
    judge: Judge
    scored: int = 0
    requested: int = 0
    # Reading, working out, writing.
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)


class Population:
    """Scores shards of the population; called by activities, and by whoever plays time."""

    def __init__(
        self, opening: StepOpening, judging: Judging, *, shard_customers: int = SHARD_CUSTOMERS
    ) -> None:
        self._opening = opening
        self._database = opening.database
        self._judging = judging
        self._shard_customers = shard_customers
        self._texts = Texts()

    @activity.defn(name="Population.plan")
    async def plan(self, call: PlanCall) -> PopulationPlan:
        """Begin the day's run, or go on with it: one that was finished is done again."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            customers = await population.count_customers(connection)
            predictors = await load_predictors(connection, self._opening.catalogue)
            customers = await population.begin_run(
                connection,
                call.day,
                now,
                customers,
                health_model=(await load_scorer(connection)).model.digest,
                churn_model=predictors.model_version,
            )
        return PopulationPlan(customers=customers, shards=max(1, -(-customers // self._shard_customers)))

    @activity.defn(name="Population.score_shard")
    async def score_shard(self, call: ShardCall) -> ShardResult:
        """Score one shard, unless it is done. A day that has ended is over: tomorrow's run sees to everybody."""
        begun = time.monotonic()
        async with self._database.transaction() as connection:
            done = await population.load_shard(connection, call.day, call.shard)
            now = await self._database.clock.read(connection)
            judge = await self._judging.prepare(connection)
        if done is not None:
            return _told(done)
        if now.astimezone(UTC).date() != call.day:
            return ShardResult(over=True)
        shard = _Shard(call.day, judge)
        async with _heartbeats():
            await self._score(shard_bounds(call.shard, call.shards), shard)
        return await self._record(call, shard, time.monotonic() - begun)

    @activity.defn(name="Population.finish")
    async def finish(self, call: FinishCall) -> None:
        """Close the books of the day's run; then days that are long past are rolled up."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            done = await population.finish_run(connection, call.day, now)
        if done is not None:
            log.info(
                "population of %s scored: %d customers, %d passed over, %d for the evaluator",
                call.day, done.scored, done.failed, done.requested,
            )  # fmt: skip
        if call.failed_shards:
            log.error("population of %s: shards %s were given up", call.day, list(call.failed_shards))
        if rolled_up := await roll_up_all(self._database, call.day):
            log.info("rolled up: %d rows of days that are long past", rolled_up)

    async def _score(self, bounds: Bounds, shard: _Shard) -> None:
        try:
            await self._score_part(bounds, shard)
        except Exception as error:
            if is_away(error):
                raise
            await self._halve(bounds, shard, error)

    async def _score_part(self, bounds: Bounds, shard: _Shard) -> None:
        catalogue, begun = self._opening.catalogue, time.monotonic()
        async with self._database.transaction() as connection:
            await begin_reading(connection)
            now = await self._database.clock.read(connection)
            read = await read_part(connection, bounds, now, shard.judge, catalogue, self._texts)
        if not read.part.n:
            return
        moments = [begun, time.monotonic()]
        # Sends and events go on meanwhile.
        found = await asyncio.to_thread(derive_part, read, catalogue)
        moments.append(time.monotonic())
        async with self._database.transaction() as connection:
            await begin_reading(connection)
            older = await read_older(connection, read, found)
        moments.append(time.monotonic())
        judged = await asyncio.to_thread(judge_part, read, found, older, catalogue)
        moments.append(time.monotonic())
        written = await write_part(self._database, read, found, judged, catalogue, _beat)
        moments.append(time.monotonic())
        self._opening.evaluation.ring()
        for phase, (since, until) in zip((0, 1, 0, 1, 2), pairwise(moments), strict=True):
            shard.seconds[phase] += until - since
        shard.scored += written.scored
        shard.requested += written.requested
        shard.counts += written.counts

    async def _halve(self, bounds: Bounds, shard: _Shard, error: Exception) -> None:
        async with self._database.transaction() as connection:
            n, middle = await population.find_middle(connection, bounds)
        if n > 1:
            log.warning("%d customers can't be scored together (%s); looking for the one", n, _what(error))
            for half in halves(bounds, middle):
                await self._score(half, shard)
        elif n == 1:
            await self._pass_over(middle, shard, error)

    async def _pass_over(self, customer_id: str, shard: _Shard, error: Exception) -> None:
        """Note a customer who can't be scored here; where the single path can, the evaluator gets to do it."""
        shard.failures[customer_id] = ("columns", _what(error))
        log.error("customer %s can't be scored: %s", customer_id, _what(error))
        if len(shard.failures) > MOST_FAILURES:
            raise ApplicationError(
                f"More than {MOST_FAILURES} customers of one shard can't be scored: {_what(error)}."
            ) from error
        try:
            async with self._database.transaction() as connection:
                now = await self._database.clock.read(connection)
                await load_known(
                    connection,
                    [customer_id],
                    now,
                    shard.judge.needs,
                    self._opening.catalogue,
                    reachability=False,
                )
                await evaluations.request_everything(connection, now, customer_id=customer_id)
            shard.requested += 1
        except Exception as alone:
            if is_away(alone):
                raise
            shard.failures[customer_id] = ("scoring", _what(alone))

    async def _record(self, call: ShardCall, shard: _Shard, seconds: float) -> ShardResult:
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            done = ShardDone(shard.scored, len(shard.failures), shard.requested, seconds)
            if not await population.record_shard(connection, call.day, call.shard, done, now):
                other = await population.load_shard(connection, call.day, call.shard)
                return _told(other or done)
            await count_decisions(connection, call.day, shard.counts)
            await record_failures(connection, call.day, shard.failures, now)
        read, work, write = shard.seconds
        return _told(done).model_copy(
            update={"read_seconds": read, "work_seconds": work, "write_seconds": write}
        )


def _told(done: ShardDone) -> ShardResult:
    return ShardResult(scored=done.scored, failed=done.failed, requested=done.requested, seconds=done.seconds)


def _what(error: BaseException) -> str:
    """What went wrong and where in our code; never the message, which may quote what is known of a customer."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(_ROOT)
    ]
    ours = [frame for frame in frames if ".venv" not in frame.filename]
    kind = type(getattr(error, "orig", None) or error).__name__
    if not ours:
        return kind
    return f"{kind} in {Path(ours[-1].filename).relative_to(_ROOT)}:{ours[-1].lineno}"


def _beat() -> None:
    if activity.in_activity():
        activity.heartbeat()


@contextlib.asynccontextmanager
async def _heartbeats() -> AsyncIterator[None]:
    """Tell Temporal now and then that this is at work, whatever it is waiting for."""

    async def go_on() -> None:
        while True:
            _beat()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    beating = asyncio.create_task(go_on())
    try:
        yield
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating
