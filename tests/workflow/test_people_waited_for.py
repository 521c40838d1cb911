"""A run that waits for a person waits on where the work was agreed to be done later, then escalates and gives up."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from schemas.plan import Act
from schemas.run import EndCall, InboxCall, InboxEntry, RunEnd, RunInput, StepCall, StepResult
from workflows.playbook_run import PlaybookRun

SOON = timedelta(milliseconds=150)


class Books:
    """The activities of one run, whose call was moved once before it was escalated and once before it was given up."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    @activity.defn(name="Tasks.assign")
    async def assign(self, call: StepCall) -> StepResult:
        return self._open(call, escalate=SOON, give_up=10 * SOON)

    @activity.defn(name="Tasks.escalate")
    async def escalate(self, call: StepCall) -> StepResult:
        self.asked.append("escalate")
        if self.asked.count("escalate") == 1:
            return self._open(call, escalate=SOON, give_up=2 * SOON)
        return StepResult(outcome="escalated", at=call.at)

    @activity.defn(name="Tasks.close")
    async def close(self, call: StepCall) -> StepResult:
        self.asked.append(f"close {call.outcome}")
        if self.asked.count("close overdue") == 1:
            return self._open(call, escalate=None, give_up=SOON)
        return StepResult(outcome=call.outcome or "", at=call.at)

    @activity.defn(name="Inbox.read")
    async def read(self, call: InboxCall) -> list[InboxEntry]:
        return []

    @activity.defn(name="Run.finish")
    async def finish(self, call: EndCall) -> RunEnd:
        return call.end

    def _open(self, call: StepCall, *, escalate: timedelta | None, give_up: timedelta) -> StepResult:
        return StepResult(
            outcome="open", at=call.at, until=call.at + SOON, give_up_at=call.at + give_up,
            escalate_at=call.at + escalate if escalate else None, escalate_to="cs-lead",
        )  # fmt: skip


async def test_a_run_waits_on_for_work_that_was_moved(temporal: str) -> None:
    client = await Client.connect(temporal, data_converter=pydantic_data_converter)
    books, queue = Books(), f"people-{uuid.uuid4()}"
    call = Act(id="call", word="call", activity="Tasks.assign", human=True, args={})
    given = RunInput(
        run_id=str(uuid.uuid4()), playbook="p", version="v", customer_id="c", steps=(call,),
        entered_at=datetime.now(UTC),
    )  # fmt: skip
    worker = Worker(
        client, task_queue=queue, workflows=[PlaybookRun], workflow_runner=UnsandboxedWorkflowRunner(),
        activities=[books.assign, books.escalate, books.close, books.read, books.finish],
    )  # fmt: skip
    async with worker:
        await client.execute_workflow(PlaybookRun.run, given, id=queue, task_queue=queue)
    assert books.asked == ["escalate", "escalate", "close overdue", "close overdue"]
