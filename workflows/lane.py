"""A lane: one of the branches of a run that go on at the same time, and the requests that its steps make."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from temporalio import workflow

from schemas.plan import Act, Step
from schemas.run import SEND_QUEUE, Interruption, Resumption, RunInput, StepCall, StepResult, key_of
from workflows.attention import Attention
from workflows.endings import Ended
from workflows.logbook import Logbook
from workflows.patience import PATIENT, SEND_TIMEOUT, book


@dataclass
class Lane:
    """Where one branch is: which round of which `repeat` (counted through), and what it makes of the past.

    `moment`: while a restarted run goes through what lies in its past, steps are due when they were, not now.
    `skipping`: what comes before the next wait was overdue for too long after a pause.
    """

    occurrence: int = 0
    moment: datetime | None = None
    skipping: bool = False

    def key(self, step: Step) -> str:
        """This occurrence of `step`, as the run's memory names it."""
        return key_of(step.id, self.occurrence)


class Desk:
    """What the steps of a run share: its log, its attention, since when each goes on, and how to ask for things."""

    def __init__(self, start: RunInput, log: Logbook, attention: Attention) -> None:
        self.start = start
        self.log = log
        self.attention = attention
        self.since: dict[str, datetime] = dict((start.resume or Resumption()).since)
        self._execution_id = workflow.info().first_execution_run_id

    async def book(self, activity: str, step: Step, lane: Lane, word: str, **more: Any) -> StepResult:
        """One of our own activities for `step`: nobody outside is asked."""
        call = self._call(step, lane, **more)
        return self._heed(step, lane, await book(activity, call, StepResult, f"{word} · {lane.key(step)}"))

    async def send(self, step: Act, lane: Lane) -> StepResult:
        """An activity that talks to somebody outside, on the queue for that."""
        result: StepResult = await workflow.execute_activity(
            step.activity,
            self._call(step, lane),
            result_type=StepResult,
            task_queue=SEND_QUEUE,
            start_to_close_timeout=SEND_TIMEOUT,
            retry_policy=PATIENT,
            summary=f"{step.word} · {lane.key(step)}",
        )
        return self._heed(step, lane, result)

    def end(self, interruption: Interruption) -> BaseException:
        """End the run; to be raised."""
        return self.attention.leave(Ended(interruption))

    def _call(self, step: Step, lane: Lane, **more: Any) -> StepCall:
        return StepCall(
            run_id=self.start.run_id,
            execution_id=self._execution_id,
            step=step.id,
            occurrence=lane.occurrence,
            due_at=self.since[lane.key(step)],
            at=workflow.now(),
            played=self.start.clock == "played",
            **more,
        )

    def _heed(self, step: Step, lane: Lane, result: StepResult) -> StepResult:
        if result.interruption:
            self.log.note(lane.key(step), result.interruption.kind, result.interruption.outcome)
            raise self.end(result.interruption)
        return result
