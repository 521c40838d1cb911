"""What asks nobody outside is tried at once, and where that fails, until it succeeds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from loops.simulation.server import run_test_server
from workflows import patience
from workflows.patience import book


@workflow.defn
class Booking:
    @workflow.run
    async def run(self) -> str:
        return await book("Books.write", 1, str, "books")


async def carry(write: Callable[[int], Awaitable[str]]) -> tuple[str, int]:
    """What the booking comes to, and how many ordinary activities it took."""
    async with run_test_server() as temporal:
        written = activity.defn(name="Books.write")(write)
        async with Worker(
            temporal.client, task_queue="q", workflows=[Booking], activities=[written],
            workflow_runner=UnsandboxedWorkflowRunner(), graceful_shutdown_timeout=timedelta(seconds=1),
        ):  # fmt: skip
            handle = await temporal.client.start_workflow(Booking.run, id="booking", task_queue="q")
            answer = await handle.result()
            history = await handle.fetch_history()
    ordinary = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    return answer, sum(event.event_type == ordinary for event in history.events)


async def test_what_succeeds_takes_no_ordinary_activity() -> None:
    async def write(_: int) -> str:
        return "written"

    assert await carry(write) == ("written", 0)


async def test_what_fails_at_once_is_tried_until_it_succeeds() -> None:
    tries = 0

    async def write(_: int) -> str:
        nonlocal tries
        tries += 1
        if tries < 5:
            raise OSError("the database is away")
        return "written"

    assert await carry(write) == ("written", 1)
    assert tries == 5


async def test_what_hangs_at_once_is_tried_until_it_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "AT_ONCE_TIMEOUT", timedelta(milliseconds=200))
    tries = 0

    async def write(_: int) -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            await asyncio.sleep(1)
        return "written"

    assert await carry(write) == ("written", 1)
