"""The run over the population through Temporal: on any worker, gone on with after a kill, on schedule, watched."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from activities.population import Population
from activities.steps import StepOpening
from activities.versions import Versions
from loops import schedules
from loops.candidates import Candidates
from loops.population_starting import PopulationStarting, is_overdue
from loops.schedules import ROUTINES, ensure_schedules, start_population
from loops.temporal_workers import make_batch_workers
from schemas.catalogue import load_catalogue
from schemas.incoming import IncomingEvent
from schemas.population_run import (
    BATCH_QUEUE,
    PopulationCall,
    PopulationProgress,
    ShardCall,
    ShardResult,
    population_id,
)
from scoring.moving import make_mover
from store.database import Database
from store.intake import take_in
from tests.integration.running_engine import eventually
from workflows.population_scoring import PopulationScoring

CUSTOMERS = 40


@pytest.fixture
async def client(temporal: str) -> Client:
    return await Client.connect(temporal, data_converter=pydantic_data_converter)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Forty customers of today."""
    database = Database(database_url, connections=8)
    now = datetime.now(UTC)
    await take_in(
        database,
        [
            IncomingEvent(
                "test", str(uuid.uuid4()), f"c{n}", "identify", now, now, now.date(), {}, {"plan": "pro"}
            )
            for n in range(CUSTOMERS)
        ],
        move=make_mover(load_catalogue()),
    )
    yield database
    await database.close()


class Held(Population):
    """Scores so many shards, then hangs in all others; `broken` ones fail for good."""

    def __init__(
        self, *given: Any, hold_after: int = 1000, broken: frozenset[int] = frozenset(), **more: Any
    ) -> None:
        super().__init__(*given, **more)
        self.hold_after, self.broken = hold_after, broken
        self.worked: list[int] = []

    @activity.defn(name="Population.score_shard")
    async def score_shard(self, call: ShardCall) -> ShardResult:
        if call.shard in self.broken:
            raise ApplicationError("broken", non_retryable=True)
        if len(self.worked) >= self.hold_after:
            await asyncio.Event().wait()
        self.worked.append(call.shard)
        return await super().score_shard(call)


def held(database: Database, **more: Any) -> Held:
    opening = StepOpening(database, load_catalogue(), Versions())
    return Held(opening, Candidates(opening), shard_customers=5, **more)


@contextlib.asynccontextmanager
async def at_work(client: Client, population: Population, queue: str) -> AsyncIterator[None]:
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[PopulationScoring],
        activities=[population.plan, population.score_shard, population.finish],
        max_concurrent_activities=2,
    )
    async with worker:
        yield


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> str:
    """A queue for this test alone, on a server that others use, too; days of its own come with `day`."""
    name = f"batch-{uuid.uuid4()}"
    monkeypatch.setattr(schedules, "BATCH_QUEUE", name)
    return name


@pytest.fixture
def own_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = uuid.uuid4().hex
    monkeypatch.setattr(schedules, "population_id", lambda day: f"{population_id(day)}/{mark}")


async def ask(handle: WorkflowHandle[Any, Any]) -> PopulationProgress:
    return await handle.query(PopulationScoring.progress)


async def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    async with database.transaction() as connection:
        return [tuple(row) for row in await connection.execute(text(sql))]


@pytest.mark.usefixtures("own_ids")
async def test_a_run_goes_on_where_another_worker_was_cut_short(
    client: Client, database: Database, queue: str
) -> None:
    today = datetime.now(UTC).date()
    first = held(database, hold_after=3)
    async with at_work(client, first, queue):
        handle = await start_population(client, today)
        progress = await eventually(lambda: ask(handle), lambda seen: seen.shards_done >= 3)
        assert (progress.customers, progress.shards) == (CUSTOMERS, 8)
        assert 0 < progress.scored < CUSTOMERS
        described = await handle.describe()
        assert described.status == WorkflowExecutionStatus.RUNNING
    # The worker has gone in the middle of two shards; another takes what is left.
    second = held(database)
    async with at_work(client, second, queue):
        done = await handle.result()
    assert done.shards_done == 8
    assert (done.scored, done.failed, done.failed_shards) == (CUSTOMERS, 0, ())
    assert sorted(first.worked + second.worked) == list(range(8))
    assert len(first.worked) == 3
    [(day, finished, customers)] = await rows(
        database, "SELECT day, finished_at IS NOT NULL, customers FROM population_runs"
    )
    assert (day, finished, customers) == (today, True, CUSTOMERS)
    assert await rows(database, "SELECT count(*), sum(scored) FROM population_shards") == [(8, CUSTOMERS)]
    assert await rows(database, "SELECT count(*) FROM customer_health") == [(CUSTOMERS,)]


@pytest.mark.usefixtures("own_ids")
async def test_a_shard_that_fails_for_good_stops_no_other(
    client: Client, database: Database, queue: str
) -> None:
    async with at_work(client, held(database, broken=frozenset({2})), queue):
        handle = await start_population(client, datetime.now(UTC).date())
        done = await handle.result()
    assert (done.shards_done, done.failed_shards) == (8, (2,))
    assert 0 < done.scored < CUSTOMERS


async def test_thousands_of_shards_outlive_one_history(
    client: Client, database: Database, queue: str
) -> None:
    async with at_work(client, held(database), queue):
        handle = await client.start_workflow(
            PopulationScoring.run,
            PopulationCall(day=datetime.now(UTC).date(), shards_per_execution=3),
            id=f"population-{uuid.uuid4()}",
            task_queue=queue,
        )
        done = await handle.result()
        assert (done.scored, done.shards_done) == (CUSTOMERS, 8)
        # Three executions: of three shards, of three, and of two.
        assert (await handle.describe()).run_id != handle.first_execution_run_id


async def test_the_schedules_are_kept_once_and_stay_paused(client: Client) -> None:
    ours = [replace(one, id=f"{one.id}-{uuid.uuid4().hex}") for one in ROUTINES]
    try:
        assert await ensure_schedules(client, ours) == 2
        daily, weekly = (client.get_schedule_handle(one.id) for one in ours)
        await daily.pause(note="holidays")
        assert await ensure_schedules(client, ours) == 2
        described = await daily.describe()
        assert described.schedule.state.paused
        assert described.schedule.policy.overlap.name == "SKIP"
        nights = [at.astimezone(UTC) for at in described.info.next_action_times[:2]]
        assert [(at.hour, at.minute) for at in nights] == [(0, 5), (0, 5)]
        assert nights[1] - nights[0] == timedelta(days=1)
        sunday = (await weekly.describe()).info.next_action_times[0].astimezone(UTC)
        assert (sunday.isoweekday(), sunday.hour, sunday.minute) == (7, 4, 0)
    finally:
        for one in ours:
            await client.get_schedule_handle(one.id).delete()


async def test_what_the_schedule_starts_is_the_run_of_the_day(
    client: Client, database: Database, database_url: str, checkout: Path, temporal: str
) -> None:
    """The real batch worker, by the schedule; then `holdfast score` from a terminal, and the list of runs."""
    routine = replace(ROUTINES[0], id=f"population-{uuid.uuid4().hex}")
    opening = StepOpening(database, load_catalogue(), Versions())
    day = datetime.now(UTC).date()
    async with contextlib.AsyncExitStack() as stack:
        for worker in make_batch_workers(client, opening):
            await stack.enter_async_context(worker)
        await ensure_schedules(client, [routine])
        try:
            await client.get_schedule_handle(routine.id).trigger()
            finished = "SELECT day FROM population_runs WHERE finished_at IS NOT NULL"
            assert await eventually(lambda: rows(database, finished)) == [(day,)]
        finally:
            await client.get_schedule_handle(routine.id).delete()
        described = await client.get_workflow_handle(population_id(day)).describe()
        assert described.task_queue == BATCH_QUEUE

        environ = {
            "PATH": os.environ["PATH"], "HOLDFAST_DATABASE_URL": database_url, "TEMPORAL_ADDRESS": temporal,
            # As the workers of this test.
            "HOLDFAST_SEAL_PAYLOADS": "off",
        }  # fmt: skip

        def holdfast(*arguments: str) -> Any:
            done = subprocess.run(
                [sys.executable, "-m", "cli.main", *arguments, "--format", "json"],
                capture_output=True, text=True, timeout=60, check=False, cwd=checkout, env=environ,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr[-2000:]
            return json.loads(done.stdout)

        by_hand = await asyncio.to_thread(holdfast, "score", "--population")
        assert (by_hand["scored"], by_hand["shards_done"]) == (CUSTOMERS, 1)
        listed = await asyncio.to_thread(holdfast, "score", "--runs")
        assert (listed["day"], listed["scored"]) == (day.isoformat(), CUSTOMERS)


@pytest.mark.usefixtures("own_ids")
async def test_a_run_that_is_missing_is_started_without_the_schedule(
    client: Client, database: Database, queue: str
) -> None:
    starting = PopulationStarting(database, client)
    async with at_work(client, held(database), queue):
        assert await starting.run_once()
        # Others who ask within some minutes leave it alone.
        assert not await PopulationStarting(database, client).run_once()
        finished = "SELECT customers FROM population_runs WHERE finished_at IS NOT NULL"
        assert await eventually(lambda: rows(database, finished)) == [(CUSTOMERS,)]
    async with database.transaction() as connection:
        await connection.execute(text("DELETE FROM upkeep WHERE name = 'population'"))
    assert not await starting.run_once()


def test_a_day_without_a_run_is_noticed_two_hours_into_the_next() -> None:
    last, midnight = date(2026, 3, 1), datetime(2026, 3, 2, tzinfo=UTC)
    assert is_overdue(None, midnight)
    assert not is_overdue(last, midnight + timedelta(hours=2))
    assert is_overdue(last, midnight + timedelta(hours=2, minutes=1))
