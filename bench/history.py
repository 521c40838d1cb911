"""Temporal events of one run: the engine's `PlaybookRun` against the same steps written by hand."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.registry import find_step_types
from activities.steps import StepOpening
from activities.versions import Versions
from bench.rival import HandWritten
from bench.system import Say, System, poll
from channels.registry import make_channels
from channels.settings import ChannelSettings
from loops import temporal_workers
from loops.dispatcher import Dispatcher
from loops.engine import Engine
from schemas.catalogue import load_catalogue
from schemas.incoming import IncomingEvent
from schemas.loader import load_playbooks
from schemas.plan import CompiledPlaybook, Elapsed, Wait
from schemas.policy import Policy
from scoring.moving import make_mover
from store.database import Database
from store.intake import take_in
from store.publishing import publish
from store.tasks import complete_task
from workflows.playbook_run import PlaybookRun

NAME = "bench-steps"
# The rival does the same under the same ids.
PLAYBOOK = """\
playbook: bench-steps
title: Most kinds of step
owner: bench
status: live
enter:
  when:
    event: {name: bench_began}
steps:
  - id: greet
    email: {subject: Hello, text: "Hello {{ customer.first_name }}"}
  - id: pause
    wait: 1m
  - id: back
    wait_for:
      event: {name: login}
      for: 1h
    then: []
  - id: nudge
    sms: {text: "Hello {{ customer.first_name }}"}
  - id: which
    if: {plan: pro}
    then:
      - id: note
        in_app: {title: Hello, text: "Hello {{ customer.first_name }}"}
  - id: ring
    call: {title: "Call {{ customer.first_name }}"}
"""


@dataclass(frozen=True)
class Histories:
    """Events per run, the mean over `runs` runs of each, and the mean count of each type of event."""

    engine: float
    rival: float
    runs: int
    engine_types: Mapping[str, float]
    rival_types: Mapping[str, float]

    @property
    def ratio(self) -> float:
        """The engine's events for each one of the rival's; at most 1 is wanted."""
        return self.engine / self.rival


def compile_steps() -> CompiledPlaybook:
    """The playbook, from the language that everybody writes; its wait, a minute there, lasts a second."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, f"{NAME}.yaml").write_text(PLAYBOOK)
        loaded = load_playbooks(Path(directory), load_catalogue(), find_step_types())
    playbook = loaded.playbooks[NAME]
    short = Elapsed(seconds=1)
    steps = tuple(s.model_copy(update={"spec": short}) if isinstance(s, Wait) else s for s in playbook.steps)
    return playbook.model_copy(update={"steps": steps})


async def measure(system: System, say: Say, *, runs: int) -> Histories:
    """Carry `runs` customers through with each of the two, one after the other, and count.

    The system's own worker must not run: the loops run here, with one workflow or the other.
    """
    engine = await _carry(system, PlaybookRun, runs)
    say(f"  history: {sum(map(len, engine)) / runs:.1f} events a run by the engine")
    rival = await _carry(system, HandWritten, runs)
    say(f"  history: {sum(map(len, rival)) / runs:.1f} events a run by hand")
    return Histories(
        engine=sum(map(len, engine)) / runs,
        rival=sum(map(len, rival)) / runs,
        runs=runs,
        engine_types=_types(engine),
        rival_types=_types(rival),
    )


def _types(histories: Sequence[Sequence[str]]) -> Mapping[str, float]:
    counted = Counter(kind for history in histories for kind in history)
    return {kind: count / len(histories) for kind, count in sorted(counted.items())}


async def _carry(system: System, workflow: type, runs: int) -> list[list[str]]:
    async with _engine(system, workflow) as (database, client):
        return await asyncio.gather(*(_one(system, database, client) for _ in range(runs)))


@contextlib.asynccontextmanager
async def _engine(system: System, workflow: type) -> AsyncIterator[tuple[Database, Client]]:
    """Loops and workers in this process, with `workflow` where the engine's usually is."""
    database = Database(system.database_url, connections=20)
    client = await Client.connect(system.temporal, data_converter=pydantic_data_converter)
    versions = Versions()
    opening = StepOpening(database, load_catalogue(), versions)
    channels = make_channels(ChannelSettings.from_environ(system.development.environ))
    async with database.transaction() as connection:
        now = await database.clock.read(connection)
        policy = Policy(consent={"email": "assumed", "sms": "assumed"})
        await publish(connection, {NAME: compile_steps()}, {}, policy, author="bench", now=now)
    loops = Engine(database, opening, Dispatcher(database, client, versions))
    try:
        async with contextlib.AsyncExitStack() as stack:
            with patch.object(temporal_workers, "PlaybookRun", workflow):
                workers = temporal_workers.make_workers(client, opening, channels)
            for worker in workers:
                await stack.enter_async_context(worker)
            running = asyncio.create_task(loops.run())
            try:
                yield database, client
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running
    finally:
        for channel in channels.values():
            await channel.close()
        await database.close()


async def _one(system: System, database: Database, client: Client) -> list[str]:
    """One customer's run, from entry to end; the types of its events."""
    name = f"carried-{uuid.uuid4()}"
    traits = {
        "first_name": "Ada",
        "email": f"{name[:20]}@example.com",
        "phone": "+15005550009",
        "plan": "pro",
        "timezone": "UTC",
    }
    await _take(database, name, "identify", traits)
    await _take(database, name, "bench_began")
    run = "FROM runs JOIN customers c ON c.id = customer_id WHERE c.external_id = %s"

    async def ask(sql: str, what: str) -> Any:
        async def look() -> Any:
            rows = await system.rows(sql, name)
            return rows and rows[0]

        return await poll(look, every_seconds=0.1, patience_seconds=60, what=what)

    await ask(
        "SELECT 1 FROM waits JOIN customers c ON c.id = customer_id WHERE c.external_id = %s", "wait_for"
    )
    await _take(database, name, "login")
    [task] = await ask(
        "SELECT t.id::text FROM tasks t JOIN customers c ON c.id = t.customer_id "
        "WHERE c.external_id = %s AND t.state = 'open'",
        "the call",
    )
    # The workflow stands before the person answers, as it does when people answer.
    await asyncio.sleep(0.5)
    await complete_task(database, task, "reached", by="bench")
    [workflow_id] = await ask(f"SELECT workflow_id {run} AND ended_at IS NOT NULL", "the end")
    handle = client.get_workflow_handle(workflow_id)
    await handle.result()
    history = await handle.fetch_history()
    return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower() for event in history.events]


async def _take(
    database: Database, customer: str, name: str, traits: Mapping[str, Any] | None = None
) -> None:
    now = datetime.now(UTC)
    event = IncomingEvent("bench", str(uuid.uuid4()), customer, name, now, now, now.date(), {}, traits or {})
    await take_in(database, [event], move=make_mover(load_catalogue()))
    await database.notify("holdfast_evaluate")
