"""kill -9 of workers, Temporal and PostgreSQL at random moments: every run ends as if nothing had been."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random

import pytest

from store.database import Database
from tests.integration.crowd import Person
from tests.integration.killing import install, kill_at_random
from tests.integration.world import OF_CUSTOMER, World
from tests.standins.programme import Programme
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioStandIn

SMTP_FAULTS = {
    "451_at_rcpt": 0.05,
    "452_after_dot": 0.03,
    "cut_before_dot": 0.03,
    "cut_after_dot": 0.05,
    "delay": 0.15,
}
TWILIO_FAULTS = {
    "429": 0.05, "500_before": 0.03, "500_after": 0.04, "cut_before": 0.03, "cut_after": 0.04,
    "garbled_after": 0.03, "delay": 0.15,
}  # fmt: skip
# The kills and faults that are drawn; when they meet what, no seed decides.
SEED = int(os.environ.get("HOLDFAST_TEST_SEED", "1"))
# The long ordeal: `make soak KILLS=… PEOPLE=… MINUTES=…`.
KILLS = int(os.environ.get("HOLDFAST_SOAK_KILLS") or 300)
PEOPLE = int(os.environ.get("HOLDFAST_SOAK_PEOPLE") or 600)
# It takes 5 seconds at most where nobody else is at work; whatever it could wait for in vain lasts longer than this.
SOON_SECONDS = 25.0
MINUTES = float(os.environ.get("HOLDFAST_SOAK_MINUTES") or 10)


@dataclass(frozen=True)
class Ordeal:
    """How many people and kills, in how much time."""

    people: int
    kills: int
    workers: int
    over_seconds: float
    pause_seconds: tuple[float, float]
    drain_seconds: float


@pytest.mark.parametrize(
    "ordeal",
    [
        pytest.param(Ordeal(28, 9, 1, 14, (0.3, 3.0), 180), id="few", marks=pytest.mark.timeout(420)),
        pytest.param(
            # A kill takes up to three seconds more than its pause, where it waits for a message to be taken.
            Ordeal(PEOPLE, KILLS, 2, MINUTES * 60, (MINUTES * 12 / KILLS, MINUTES * 60 / KILLS), 600),
            id="many",
            marks=[pytest.mark.soak, pytest.mark.timeout(MINUTES * 180 + 900)],
        ),
    ],
)
async def test_no_kill_loses_a_run_or_doubles_a_message(ordeal: Ordeal) -> None:
    random = Random(SEED)
    people = [Person.number(n) for n in range(ordeal.people)]
    smtp = SmtpStandIn(Programme(rates=SMTP_FAULTS, seed=SEED))
    twilio = TwilioStandIn(Programme(rates=TWILIO_FAULTS, seed=SEED + 1), retry_after="1")
    async with open_world(smtp, twilio, people, random) as world:
        installation = world.installation
        await world.publish()
        for _ in range(ordeal.workers):
            await installation.start_worker()
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            living = group.create_task(world.live())
            entering = group.create_task(world.enter_all(ordeal.over_seconds))
            killing = group.create_task(
                kill_at_random(installation, ordeal.kills, random, print, pause_seconds=ordeal.pause_seconds)
            )
            await entering
            await killing
            print(f"{time.monotonic() - begun:.0f} s: all entered, all killed")
            await world.until_all_ended(ordeal.drain_seconds)
            await world.until_temporal_rests()
            living.cancel()
        came_to = await world.check()
        seconds = time.monotonic() - begun
        print(
            f"seed {SEED}: {len(people)} runs, kills {installation.kills}, {seconds:.0f} s, {dict(came_to)}"
        )
        assert not installation.unexplained_ends()


@contextlib.asynccontextmanager
async def open_world(
    smtp: SmtpStandIn, twilio: TwilioStandIn, people: list[Person], random: Random
) -> AsyncIterator[World]:
    """An installation without workers, and these people; whatever becomes of the test, nothing is left open."""
    async with install(smtp, twilio) as installation:
        database = Database(installation.postgres_server.url(), connections=5)
        try:
            yield World(installation, database, people, random)
        finally:
            await database.close()


@contextlib.asynccontextmanager
async def one_world(*people: Person) -> AsyncIterator[World]:
    """A whole installation with one worker, for a few people; providers take everything."""
    async with open_world(SmtpStandIn(), TwilioStandIn(), list(people), Random(SEED)) as world:
        await world.publish()
        await world.installation.start_worker()
        yield world


def steps_of(person: Person) -> str:
    return (
        f"SELECT s.step, s.outcome, s.at FROM {OF_CUSTOMER} JOIN run_steps s ON s.run_id = r.id "
        f"WHERE c.external_id = '{person.name}' ORDER BY s.at"
    )


@pytest.mark.timeout(300)
async def test_runs_go_on_from_their_record_when_temporal_has_lost_everything() -> None:
    """Its database is deleted while runs wait: for time, for a reply, for a person, for a goal."""
    people = [
        Person(f"person-{n}", name, "pro", f"+1500555{n:04d}", "reached")
        for n, name in enumerate(("napping", "napping-first", "answered", "answered", "reached"))
    ]
    napping, _, answered, called, reached = people
    async with one_world(*people) as world:
        for person in people:
            await world.enter(person)
        await world.until(steps_of(napping), lambda rows: len(rows) == 1)
        await world.until("SELECT 1 FROM runs WHERE playbook = 'napping-first' AND state = 'running'")
        await world.until("SELECT 1 FROM waits", lambda rows: len(rows) == 2)
        await world.tell(called, "replied")
        await world.until("SELECT 1 FROM tasks WHERE state = 'open'")
        await world.until(steps_of(reached), lambda rows: len(rows) == 2)

        temporal, [worker] = world.installation.temporal, world.installation.workers
        await worker.end()
        await temporal.end(signal.SIGKILL)
        for path in world.installation.directory.glob("temporal.db*"):
            path.unlink()
        # Two of them have slept enough by now, one has slept for ten minutes of its hour.
        for table, aged, playbook, ago in (
            ("run_steps", "at", "napping", "2 hours"), ("runs", "entered_at", "napping-first", "2 hours"),
            ("run_steps", "at", "reached", "10 minutes"),
        ):  # fmt: skip
            key = "id" if table == "runs" else "run_id"
            await world.rows(
                f"UPDATE {table} SET {aged} = {aged} - CAST('{ago}' AS interval) "
                f"WHERE {key} IN (SELECT id FROM runs WHERE playbook = '{playbook}') RETURNING 1"
            )
        await temporal.start()
        await worker.start()

        await world.until(
            "SELECT 1 FROM runs WHERE playbook IN ('napping', 'napping-first') AND ended_at IS NOT NULL",
            lambda rows: len(rows) == 2,
        )
        wakes_at = await world.until_asleep(reached)
        [*_, nudged] = await world.rows(steps_of(reached))
        assert abs(wakes_at - nudged["at"] - timedelta(hours=1)) < timedelta(minutes=5)
        await world.tell(answered, "replied")
        await world.tell(reached, "client_imported")
        living = asyncio.create_task(world.live())
        await world.until_all_ended(60)
        living.cancel()
        await world.check()


@pytest.mark.timeout(300)
async def test_a_worker_that_is_told_to_stop_leaves_soon_whatever_is_away() -> None:
    """At rest, in the middle of a message, without Temporal, without PostgreSQL, and before it met either."""
    person = Person("person-0", "napping", "pro", "+15005550001", "reached")
    async with one_world(person) as world:
        installation, [worker] = world.installation, world.installation.workers
        assert await worker.end(within_seconds=SOON_SECONDS) == 0

        await worker.start()
        installation.smtp.programme.script.append("hang_after_dot")
        await world.enter(person)
        await installation.smtp.wait_for_message()
        assert await worker.end(within_seconds=SOON_SECONDS) == 0

        await worker.start()
        await installation.temporal.end(signal.SIGKILL)
        assert await worker.end(within_seconds=SOON_SECONDS) == 0
        await worker.start(ready=False)
        await worker.until_says("Temporal at")
        assert await worker.end(within_seconds=SOON_SECONDS) == 0

        await installation.temporal.start()
        await worker.start()
        await installation.postgres.end(signal.SIGKILL)
        assert await worker.end(within_seconds=SOON_SECONDS) == 0
        await worker.start(ready=False)
        await worker.until_says("the database")
        assert await worker.end(within_seconds=SOON_SECONDS) == 0

        # What it was in the middle of is seen to by the next one.
        await installation.postgres.start()
        await worker.start()
        await world.until("SELECT 1 FROM deliveries WHERE state = 'unknown' AND reconciled_at IS NOT NULL")
        assert len(installation.smtp.accepted) == 1
