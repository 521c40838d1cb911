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

from activities.links import LinkMaker
from channels.registry import close_channels, make_channels
from channels.settings import ChannelSettings
from loops.demo.behaviour import call_outcome, coming_events, respond
from loops.demo.loading import load_population
from loops.demo.population import Population
from loops.demo.record import DemoEvent
from loops.narration import Narrator
from loops.played_time import PlayedTime
from loops.publishing import publish_directory
from loops.simulation.server import run_test_server
from loops.temporal_workers import make_workers
from schemas.catalogue import load_catalogue
from schemas.errors import ConflictError
from schemas.incoming import IncomingEvent
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
        async with Database(
            settings.require_database_url(), connections=15, clock=clock, durable=False
        ) as database:
            population = await _populate(database, say, customers)
            channels = make_channels(ChannelSettings.from_environ(settings.environ))
            time_ = PlayedTime(database, clock, temporal, LinkMaker.of(settings))
            player = Player(database, time_, population, say)
            await publish_directory(database, settings.playbooks, load_catalogue())
            async with contextlib.AsyncExitStack() as stack:
                for worker in make_workers(temporal.client, time_.opening, channels, sandboxed=False):
                    await stack.enter_async_context(worker)
                await player.play(start, days)
            await close_channels(channels)
            await player.narrator.conclude(database, time.monotonic() - begun)


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
        self, database: Database, time: PlayedTime, population: Population, say: Callable[[str], None]
    ) -> None:
        self._database = database
        self._time = time
        self._population = population
        self._move = make_mover(load_catalogue())
        self._agenda: list[_Moment] = []
        self._order = count()
        self._seen: set[str] = set()
        self._watched = time.now
        self.narrator = Narrator(population, say)

    async def play(self, start: datetime, days: int) -> None:
        """Walk from moment to moment until `days` are over."""
        end = start + timedelta(days=days)
        for event in coming_events(self._population, start=start, days=days, grid_minutes=LIFE_MINUTES):
            self._put(event.at, event=event)
        while True:
            moment = await self._time.next_moment()
            if self._agenda:
                moment = max(min(self._agenda[0].at, moment), self._time.now)
            if moment >= end:
                break
            await self._time.go_to(moment)
            day_began = await self._time.work(self._happen)
            await self._watch()
            if day_began:
                self.narrator.turn_day(moment)
        await self._time.go_to(end)
        await self._time.settle()
        await self._watch()

    def _put(self, at: datetime, *, event: DemoEvent | None = None, task: Happening | None = None) -> None:
        heapq.heappush(self._agenda, _Moment(at, next(self._order), event, task))

    async def _happen(self) -> bool:
        """Take in what happens now; whether a run was rung directly."""
        events, rung, moment = [], False, self._time.now
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

    async def _complete(self, task: Happening, outcome: str, moment: datetime) -> None:
        with contextlib.suppress(ConflictError):  # the run ended meanwhile, and the call with it
            await complete_task(self._database, task.id, outcome, notes="played", by="demo")
            self._answer(task, "call", moment)

    async def _watch(self) -> None:
        """See what the runs did since the last look, tell of it, and let the suppliers answer."""
        async with self._database.transaction() as connection:
            happenings = await load_happenings(connection, self._watched)
        seen, self._seen, self._watched = self._seen, {one.key for one in happenings}, self._time.now
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
            self._put(max(event.at, self._time.now), event=event)


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
