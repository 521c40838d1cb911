"""Playing the coming month on virtual time: the production code, on a clock that is moved by hand.

The clock is the test server's, which skips to the next timer whenever nothing is at work. The player walks from
one moment at which something happens to the next: events of the demo's suppliers, answers to what they were
sent, calls completed, midnights, and moments that time alone makes due. What happens at a moment is taken in
before a later timer fires.
"""

from __future__ import annotations

import contextlib
import heapq
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from temporalio.testing import WorkflowEnvironment

from activities.links import LinkMaker
from activities.population import Population as Scoring
from activities.steps import StepOpening
from activities.versions import Versions
from channels.registry import close_channels, make_channels
from channels.settings import ChannelSettings
from loops.candidates import Candidates
from loops.demo.behaviour import call_outcome, coming_events, respond
from loops.demo.loading import load_population
from loops.demo.population import Population
from loops.demo.record import DemoEvent
from loops.dispatcher import Dispatcher
from loops.evaluator import BATCH, Evaluator
from loops.narration import Narrator
from loops.publishing import publish_directory
from loops.simulation.server import run_test_server
from loops.temporal_workers import make_workers
from loops.upkeep import Upkeep
from schemas.catalogue import load_catalogue
from schemas.errors import ConflictError
from schemas.incoming import IncomingEvent
from schemas.population_run import FinishCall, PlanCall, ShardCall
from schemas.settings import Settings
from scoring.moving import make_mover
from store.database import Database, PlayedClock
from store.intake import take_in
from store.past import forget_everything
from store.playing import Happening, load_happenings
from store.tasks import complete_task

DAYS = 30
GRID = timedelta(minutes=30)
# Ordinary life happens on a coarser grid than answers do: everybody who logs in around ten does so at ten.
LIFE_MINUTES = 180
# As many suppliers as can be watched in well under a minute.
PLAYED = 150
# CSMs of the demo make their calls so long after they were put on the list.
CALL_AFTER = timedelta(hours=3)


async def play(
    environ: Mapping[str, str], say: Callable[[str], None], *, days: int = DAYS, customers: int = PLAYED
) -> None:
    """Play the coming `days` over the database that `environ` names, telling `say` what happens."""
    settings = Settings.read(environ)
    begun = time.monotonic()
    async with run_test_server() as temporal:
        start = await temporal.get_current_time()
        clock = PlayedClock(start)
        database = Database(settings.require_database_url(), connections=15, clock=clock, durable=False)
        try:
            population = await _populate(database, say, customers)
            channels = make_channels(ChannelSettings.from_environ(settings.environ))
            player = Player(database, clock, temporal, population, say, LinkMaker.of(settings))
            await publish_directory(database, settings.playbooks, load_catalogue())
            async with contextlib.AsyncExitStack() as stack:
                for worker in make_workers(temporal.client, player.opening, channels, sandboxed=False):
                    await stack.enter_async_context(worker)
                await player.play(start, days)
            await close_channels(channels)
            await player.narrator.conclude(database, time.monotonic() - begun)
        finally:
            await database.close()


@dataclass(order=True)
class _Moment:
    """Something that is to happen: an event, or a call that is completed."""

    at: datetime
    order: int
    event: DemoEvent | None = field(default=None, compare=False)
    task: Happening | None = field(default=None, compare=False)


class Player:
    """One month, moment by moment."""

    def __init__(
        self,
        database: Database,
        clock: PlayedClock,
        temporal: WorkflowEnvironment,
        population: Population,
        say: Callable[[str], None],
        links: LinkMaker,
    ) -> None:
        self._database = database
        self._clock = clock
        self._temporal = temporal
        self._population = population
        versions = Versions()
        self.opening = StepOpening(database, load_catalogue(), versions, links)
        self._evaluator = Evaluator(self.opening)
        self._dispatcher = Dispatcher(database, temporal.client, versions, clock="played")
        self._upkeep = Upkeep(self.opening)
        self._scoring = Scoring(self.opening, Candidates(self.opening))
        self._move = make_mover(load_catalogue())
        self._agenda: list[_Moment] = []
        self._order = count()
        self._seen: set[str] = set()
        self._watched = clock.now
        self.narrator = Narrator(population, say)

    async def play(self, start: datetime, days: int) -> None:
        """Walk from moment to moment until `days` are over."""
        end = start + timedelta(days=days)
        for event in coming_events(self._population, start=start, days=days, grid_minutes=LIFE_MINUTES):
            self._put(event.at, event=event)
        midnight = start
        while True:
            due = await self._next_due() or end
            moment = min(self._agenda[0].at if self._agenda else end, midnight, due)
            moment = max(moment, self._clock.now)
            if moment >= end:
                break
            await self._go_to(moment)
            if moment >= min(midnight, due):
                await self._upkeep.run_once()
            rung = await self._happen(moment)
            if moment >= midnight:
                await self._score(moment)
            await self._settle(rung=rung)
            await self._watch()
            if moment >= midnight:
                self.narrator.turn_day(moment)
                midnight = (moment + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        await self._go_to(end)
        await self._settle()
        await self._watch()

    def _put(self, at: datetime, *, event: DemoEvent | None = None, task: Happening | None = None) -> None:
        heapq.heappush(self._agenda, _Moment(at, next(self._order), event, task))

    async def _next_due(self) -> datetime | None:
        """The next moment that time alone makes due, exactly: a backtest of what is played finds the same moments."""
        return await self._upkeep.next_due()

    async def _go_to(self, moment: datetime) -> None:
        """Let virtual time pass; timers that fall due on the way fire, and their activities run, in order."""
        while (left := moment - await self._temporal.get_current_time()) > timedelta(0):
            await self._temporal.sleep(left)
        self._clock.now = moment

    async def _happen(self, moment: datetime) -> bool:
        """Take in what happens now; whether a run was rung directly."""
        events, rung = [], False
        while self._agenda and self._agenda[0].at <= moment:
            due = heapq.heappop(self._agenda)
            if due.event:
                events.append(_incoming(due.event, moment))
            elif due.task:
                outcome = call_outcome(self._population.seed, due.task.customer, due.task.playbook)
                await self._complete(due.task, outcome, moment)
                rung = True
        if events:
            await take_in(self._database, events, move=self._move)
        return rung

    async def _score(self, moment: datetime) -> None:
        """The day's run over the population, which the played server has no schedule for."""
        day = moment.astimezone(UTC).date()
        plan = await self._scoring.plan(PlanCall(day=day))
        for shard in range(plan.shards):
            await self._scoring.score_shard(ShardCall(day=day, shard=shard, shards=plan.shards))
        await self._scoring.finish(FinishCall(day=day))

    async def _complete(self, task: Happening, outcome: str, moment: datetime) -> None:
        with contextlib.suppress(ConflictError):  # the run ended meanwhile, and the call with it
            await complete_task(self._database, task.id, outcome, notes="played", by="demo")
            self._answer(task, "call", moment)

    async def _settle(self, *, rung: bool = False) -> None:
        """Decide on everybody who waits to be looked at, then start and ring what follows from it."""
        while True:
            done = await self._evaluator.run_once()
            rung = rung or done.entered > 0 or done.rung > 0
            if done.customers < BATCH:
                break
        while rung and await self._dispatcher.run_once():
            continue

    async def _watch(self) -> None:
        """See what the runs did since the last look, tell of it, and let the suppliers answer."""
        async with self._database.transaction() as connection:
            happenings = await load_happenings(connection, self._watched)
        seen, self._seen, self._watched = self._seen, {one.key for one in happenings}, self._clock.now
        for happening in happenings:
            if happening.key in seen:
                continue
            self.narrator.tell(happening)
            if happening.kind == "message":
                self._answer(happening, happening.word, happening.at)
            elif happening.kind == "task":
                self._put(_on_grid(happening.at + CALL_AFTER), task=happening)

    def _answer(self, happening: Happening, channel: str, at: datetime) -> None:
        for event in respond(
            self._population.seed,
            happening.customer,
            channel=channel,
            playbook=happening.playbook,
            step=happening.step,
            at=at,
        ):
            self._put(max(event.at, self._clock.now), event=event)


def _incoming(event: DemoEvent, moment: datetime) -> IncomingEvent:
    traits = event.properties if event.name == "identify" else {}
    return IncomingEvent(
        "demo", event.message_id, event.customer, event.name, event.at, moment, event.at.date(),
        {} if traits else event.properties, traits,
    )  # fmt: skip


def _on_grid(at: datetime) -> datetime:
    """The next instant of the grid that isn't before `at`."""
    steps = -(-(at - datetime(2000, 1, 1, tzinfo=UTC)) // GRID)
    return datetime(2000, 1, 1, tzinfo=UTC) + steps * GRID


async def _populate(database: Database, say: Callable[[str], None], customers: int) -> Population:
    """A fresh demo base as of now: the first `customers` of its suppliers, the three of the stories among them."""
    async with database.transaction() as connection:
        await forget_everything(connection)
    population = await load_population(database, say, customers=customers)
    assert population is not None
    return population
