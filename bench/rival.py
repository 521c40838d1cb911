"""The rival: the benchmark's steps written by hand as one Temporal workflow, with the guarantees that the engine gives.

It calls the same activities, those of the database as local ones, which is the leanest way that we know. So it has
the ledger, the run's row, consent and goal checks before each step, and the books at the end; it hears the doorbell and
reads the inbox, sets the same search attributes and labels its commands.
What it leaves out is everything general: no plan, no branches that this one run doesn't take, no pause, no trace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from schemas.run import (
        SEND_QUEUE,
        WORKFLOW_NAME,
        EndCall,
        InboxCall,
        InboxEntry,
        Interruption,
        RunEnd,
        RunInput,
        StepCall,
        StepResult,
    )

STEP = SearchAttributeKey.for_keyword("PlaybookStep")
OUTCOME = SearchAttributeKey.for_keyword("Outcome")
PATIENT = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))


_Result = TypeVar("_Result")


class _Over(Exception):  # noqa: N818 - it is no error
    def __init__(self, found: Interruption) -> None:
        self.found = found


@workflow.defn(name=WORKFLOW_NAME)
class HandWritten:
    """Mail, a second's wait, wait for an event, SMS, a condition, in-app, a call, the end."""

    def __init__(self) -> None:
        self._rings = self._heard = self._read = 0
        self._arrived: dict[str, str] = {}

    @workflow.signal
    def event_occurred(self) -> None:
        """Something waits in the inbox."""
        self._rings += 1

    @workflow.run
    async def run(self, start: RunInput) -> RunEnd:
        """Carry the customer through."""
        self._run = start.run_id
        self._execution = workflow.info().first_execution_run_id
        try:
            await self._do("greet", "Delivery.send", "email", sends=True)
            await self._stand("pause", timedelta(seconds=1), lambda: False)
            listened = await self._do("back", "Wait.listen", "wait_for")
            if listened.outcome != "then" and not await self._stand(
                "back", timedelta(hours=1), self._has("back")
            ):
                await self._do("back", "Wait.close", "wait_for")
            await self._do("nudge", "Delivery.send", "sms", sends=True)
            if (await self._do("which", "Condition.check", "if")).outcome == "then":
                await self._do("note", "Delivery.show", "in_app")
            await self._do("ring", "Tasks.assign", "call")
            await self._stand("ring", timedelta(days=7), self._has("ring"))
            end = RunEnd(outcome="completed", reason="all steps are done", at=workflow.now())
        except _Over as over:
            end = RunEnd(outcome=over.found.outcome, reason=over.found.reason, at=over.found.at)
        end = await _book(
            "Run.finish",
            EndCall(run_id=self._run, execution_id=self._execution, end=end),
            RunEnd,
            f"end: {end.outcome}",
        )
        workflow.upsert_search_attributes([OUTCOME.value_set(end.outcome)])
        return end

    def _has(self, step: str) -> Callable[[], bool]:
        return lambda: step in self._arrived

    async def _do(self, step: str, activity: str, word: str, *, sends: bool = False) -> StepResult:
        since: datetime = workflow.now()
        call = StepCall(run_id=self._run, execution_id=self._execution, step=step, due_at=since, at=since)
        if sends:
            result = await workflow.execute_activity(
                activity,
                call,
                result_type=StepResult,
                task_queue=SEND_QUEUE,
                start_to_close_timeout=timedelta(seconds=25),
                retry_policy=PATIENT,
                summary=f"{word} · {step}",
            )
        else:
            result = await _book(activity, call, StepResult, f"{word} · {step}")
        if result.interruption:
            raise _Over(result.interruption)
        return result

    async def _stand(self, step: str, longest: timedelta, ready: Callable[[], bool]) -> bool:
        """Wait until `ready` (True) or for so long; the inbox is read whenever it rings."""
        workflow.upsert_search_attributes([STEP.value_set(step)])
        until = workflow.now() + longest
        while True:
            if self._rings > self._heard:
                await self._read_inbox()
            if ready():
                return True
            left = until - workflow.now()
            if left <= timedelta(0):
                return False
            try:
                await workflow.wait_condition(
                    lambda: self._rings > self._heard, timeout=left, timeout_summary=f"wait · {step}"
                )
            except asyncio.TimeoutError:  # noqa: UP041 - the SDK's, whatever the Python
                continue

    async def _read_inbox(self) -> None:
        self._heard = self._rings
        entries = await _book(
            "Inbox.read",
            InboxCall(run_id=self._run, execution_id=self._execution, after=self._read),
            list[InboxEntry],
            "inbox",
        )
        for entry in entries:
            self._read = entry.seq
            if entry.kind in ("goal", "exit", "stop"):
                raise _Over(
                    Interruption.model_validate(entry.model_dump(include={"kind", "outcome", "reason", "at"}))
                )
            if entry.step:
                self._arrived[entry.step] = entry.outcome


async def _book(activity: str, call: Any, result_type: type[_Result], summary: str) -> _Result:
    """Database only: a local activity is the fewest events; one that fails twice is tried on as an ordinary one."""
    try:
        result: _Result = await workflow.execute_local_activity(
            activity,
            call,
            result_type=result_type,
            start_to_close_timeout=timedelta(seconds=4),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_attempts=2),
            summary=summary,
        )
    except FailureError:
        result = await workflow.execute_activity(
            activity,
            call,
            result_type=result_type,
            start_to_close_timeout=timedelta(seconds=15),
            retry_policy=PATIENT,
            summary=summary,
        )
    return result
