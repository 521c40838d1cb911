"""Virtual time for the production loops: the test server's clock, and the moments at which there is something to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from temporalio.testing import WorkflowEnvironment

from activities.links import LinkMaker
from activities.population import Population as Scoring
from activities.steps import StepOpening
from activities.versions import Versions
from loops.candidates import Candidates
from loops.dispatcher import Dispatcher
from loops.evaluator import BATCH, Evaluator
from loops.upkeep import Upkeep
from schemas.catalogue import load_catalogue
from schemas.population_run import FinishCall, PlanCall, ShardCall
from store.database import Database, PlayedClock

_DAY = timedelta(days=1)


class PlayedTime:
    """The loops of an engine, run by hand on `clock`, which is that of `database` and goes with the server's.

    The server skips to the next timer whenever nothing is at work; its workers are the caller's. A day's look at
    everybody is due at once, and then at each UTC midnight.
    """

    def __init__(
        self, database: Database, clock: PlayedClock, temporal: WorkflowEnvironment, links: LinkMaker
    ) -> None:
        self._clock = clock
        self._temporal = temporal
        versions = Versions()
        self.opening = StepOpening(database, load_catalogue(), versions, links)
        self._evaluator = Evaluator(self.opening)
        self._dispatcher = Dispatcher(database, temporal.client, versions, clock="played")
        self._upkeep = Upkeep(self.opening)
        self._scoring = Scoring(self.opening, Candidates(self.opening))
        self._midnight = clock.now
        self._due = clock.now

    @property
    def now(self) -> datetime:
        """The moment that was reached."""
        return self._clock.now

    async def next_moment(self) -> datetime:
        """When time alone makes something due, exactly: a backtest of what is played finds the same moments."""
        self._due = min(await self._upkeep.next_due() or self._midnight, self._midnight)
        return max(self._due, self.now)

    async def go_to(self, moment: datetime) -> None:
        """Let virtual time pass; timers that fall due on the way fire, and their activities run, in order."""
        while (left := moment - await self._temporal.get_current_time()) > timedelta(0):
            await self._temporal.sleep(left)
        self._clock.now = moment

    async def work(self, happen: Callable[[], Awaitable[bool]] | None = None) -> bool:
        """Do what is due now; whether a day began. `happen` says whether a run is to be told of what it did.

        What happens at a moment is taken in before a later timer fires.
        """
        moment, midnight = self.now, self.now >= self._midnight
        if moment >= self._due:
            await self._upkeep.run_once()
        rung = await happen() if happen else False
        if midnight:
            await self._score(moment)
            self._midnight = (moment + _DAY).replace(hour=0, minute=0, second=0, microsecond=0)
        await self.settle(rung=rung)
        return midnight

    async def advance(self, until: datetime) -> None:
        """Live from moment to moment up to `until`; a past moment is now."""
        while (moment := await self.next_moment()) < until:
            await self.go_to(moment)
            await self.work()
        await self.go_to(max(until, self.now))
        await self.work()

    async def settle(self, *, rung: bool = False) -> None:
        """Decide on everybody who waits to be looked at, then start and ring what follows from it."""
        while True:
            done = await self._evaluator.run_once()
            rung = rung or done.entered > 0 or done.rung > 0
            if done.customers < BATCH:
                break
        while rung and await self._dispatcher.run_once():
            continue

    async def _score(self, moment: datetime) -> None:
        """The day's run over the population, which the played server has no schedule for."""
        day = moment.astimezone(UTC).date()
        plan = await self._scoring.plan(PlanCall(day=day))
        for shard in range(plan.shards):
            await self._scoring.score_shard(ShardCall(day=day, shard=shard, shards=plan.shards))
        await self._scoring.finish(FinishCall(day=day))
