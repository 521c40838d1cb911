"""One intervention for one customer: interprets the compiled plan in its input, durably.

The workflow sees no YAML, no template, no setting and no clock but its own. What needs the world is an activity; what
happened outside waits in the run's inbox in PostgreSQL, and `event_occurred` only rings the bell.
"""

from __future__ import annotations

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.running import RunBooks
    from schemas.run import WORKFLOW_NAME, Command, EndCall, Resumption, RunEnd, RunInput
    from workflows.attention import Attention
    from workflows.course import Course
    from workflows.endings import Ended
    from workflows.logbook import Logbook
    from workflows.patience import BOOK_TIMEOUT, PATIENT

CONTINUE_AFTER_SIGNALS = 2000


@workflow.defn(name=WORKFLOW_NAME)
class PlaybookRun:
    """Carries one customer through one version of one playbook."""

    @workflow.init
    def __init__(self, start: RunInput) -> None:
        self._start = start
        self._log = Logbook(start, start.resume.trace if start.resume else ())
        self._attention = Attention(start, self._log)
        self._course = Course(start, self._log, self._attention)
        self._attention.before_wait = self._continue_if_long

    @workflow.run
    async def run(self, start: RunInput) -> RunEnd:
        """Carry out the steps, then stand open until the goal's window closes; returns how it ended."""
        try:
            await self._course.walk(start.steps)
            if start.goal_by is not None:
                self._log.current = None
                await self._attention.stand(start.goal_by, "open until the goal's window closes")
                end = RunEnd(outcome="expired", reason="the goal's window closed", at=workflow.now())
            else:
                end = RunEnd(outcome="completed", reason="all steps are done", at=workflow.now())
        except Ended as ended:
            found = ended.interruption
            if found.kind == "superseded":
                return RunEnd(outcome=found.outcome, reason=found.reason, at=found.at)
            end = RunEnd(outcome=found.outcome, reason=found.reason, at=found.at)
        end = await self._finish(end)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return end

    @workflow.signal(description="Something waits in the run's inbox. Events themselves go to POST /v1.")
    def event_occurred(self) -> None:
        """Ring the doorbell."""
        self._attention.rings += 1

    @workflow.update(description="Stand still; due times run on.")
    async def pause(self, command: Command) -> str:
        """Stand still until `resume`; goal, exit and stop still end the run."""
        self._attention.paused = True
        self._log.note("run", "pause", "paused", _by(command))
        return "paused"

    @pause.validator
    def _may_pause(self, command: Command) -> None:
        if self._attention.paused:
            raise ApplicationError("the run is paused already", type="AlreadyPaused")

    @workflow.update(description="Go on after a pause.")
    async def resume(self, command: Command) -> str:
        """Go on; what became due meanwhile goes on at once."""
        self._attention.paused = False
        self._log.note("run", "resume", "resumed", _by(command))
        return "resumed"

    @resume.validator
    def _may_resume(self, command: Command) -> None:
        if not self._attention.paused:
            raise ApplicationError("the run isn't paused", type="NotPaused")

    @workflow.update(description="End the run now, with an outcome (stopped if none is given).")
    async def stop(self, command: Command) -> str:
        """End the run as soon as what is under way is settled."""
        self._attention.stop = command
        return "stopping"

    @stop.validator
    def _may_stop(self, command: Command) -> None:
        if command.outcome not in (None, "success", "stopped", "lost"):
            raise ApplicationError("outcome must be success, stopped or lost", type="BadOutcome")
        if self._attention.stop is not None:
            raise ApplicationError("the run is stopping already", type="AlreadyStopping")

    @workflow.update(description="Say how a call or task went.")
    async def complete_step(self, command: Command) -> str:
        """Complete the open human step."""
        assert command.step is not None
        self._attention.completed[command.step] = command
        return "completed"

    @complete_step.validator
    def _may_complete(self, command: Command) -> None:
        if not command.outcome:
            raise ApplicationError("an outcome is needed", type="BadOutcome")
        if command.step is None or command.step != self._course.open_task:
            raise ApplicationError(
                f"step {command.step!r} isn't open; open is {self._course.open_task!r}", type="NotOpen"
            )

    @workflow.update(description="Put off the present wait until a moment.")
    async def snooze(self, command: Command) -> str:
        """Let the present wait last at least until `until`."""
        assert command.until is not None
        self._attention.snoozed_until, self._attention.snooze_news = command.until, True
        self._log.note(self._log.current or "run", "snooze", "snoozed", _by(command))
        return "snoozed"

    @snooze.validator
    def _may_snooze(self, command: Command) -> None:
        if command.until is None or command.until <= workflow.now():
            raise ApplicationError("`until` must lie in the future", type="BadMoment")

    @workflow.query(description="What the run has done so far, and where it is.")
    def trace(self) -> dict[str, Any]:
        """The run's trace: one line per step, in order of time."""
        return {
            "run": self._start.run_id,
            "playbook": self._start.playbook,
            "version": self._start.version,
            "step": self._log.current,
            "paused": self._attention.paused,
            "lines": [line.model_dump(mode="json") for line in self._log.lines],
        }

    async def _finish(self, end: RunEnd) -> RunEnd:
        end = await workflow.execute_activity_method(
            RunBooks.finish,
            EndCall(
                run_id=self._start.run_id,
                execution_id=workflow.info().first_execution_run_id,
                end=end,
                played=self._start.clock == "played",
            ),
            start_to_close_timeout=BOOK_TIMEOUT,
            retry_policy=PATIENT,
            summary=f"end: {end.outcome}",
        )
        self._log.close(end.outcome, end.reason)
        return end

    def _continue_if_long(self) -> None:
        """Histories have limits: a run that was rung very often goes on in a fresh one."""
        if (
            self._attention.rings < CONTINUE_AFTER_SIGNALS
            and not workflow.info().is_continue_as_new_suggested()
        ):
            return
        resume = Resumption(
            inbox_read=self._attention.read,
            done=self._course.done,
            since=self._course.since,
            paused=self._attention.paused,
            trace=tuple(self._log.lines[-100:]),
        )
        workflow.continue_as_new(self._start.model_copy(update={"resume": resume}))


def _by(command: Command) -> str:
    return f"by {command.by}" + (f": {command.reason}" if command.reason else "")
