"""One intervention for one customer: interprets the compiled plan in its input, durably.

The workflow sees no YAML, no template, no setting and no clock but its own. What needs the world is an activity; what
happened outside waits in the run's inbox in PostgreSQL, and `event_occurred` only rings the bell.
"""

from __future__ import annotations

from typing import Any, NoReturn

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from schemas.run import (
        WORKFLOW_NAME,
        Command,
        EndCall,
        MigrateCall,
        Migration,
        Resumption,
        RunEnd,
        RunInput,
    )
    from workflows.attention import PERSON, PLAYBOOK, Attention
    from workflows.course import Course
    from workflows.endings import Continued, Ended, Migrated
    from workflows.lane import Desk
    from workflows.logbook import Logbook
    from workflows.patience import book

VERSION = SearchAttributeKey.for_keyword("PlaybookVersion")
KEPT_LINES = 100


@workflow.defn(name=WORKFLOW_NAME)
class PlaybookRun:
    """Carries one customer through one version of one playbook."""

    @workflow.init
    def __init__(self, start: RunInput) -> None:
        self._start = start
        self._log = Logbook(start, start.resume.trace if start.resume else ())
        self._attention = Attention(start, self._log)
        self._desk = Desk(start, self._log, self._attention)
        self._course = Course(self._desk)

    @workflow.run
    async def run(self, start: RunInput) -> RunEnd:
        """Carry out the steps, then stand open until the goal's window closes; returns how it ended."""
        try:
            await self._course.walk(start.steps)
            if start.goal_by is not None:
                await self._attention.stand(
                    "goal window", start.goal_by, "open until the goal's window closes"
                )
                end = RunEnd(outcome="expired", reason="the goal's window closed", at=workflow.now())
            else:
                end = RunEnd(outcome="completed", reason="all steps are done", at=workflow.now())
        except Continued:
            await self._go_on(start)
        except Migrated as migrated:
            await self._migrate(migrated.to_version)
        except Ended as ended:
            found = ended.interruption
            end = RunEnd(outcome=found.outcome, reason=found.reason, at=found.at)
            if found.kind == "superseded":
                return end
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
        self._attention.hold(PERSON)
        self._log.note("run", "pause", "paused", _by(command))
        return "paused"

    @pause.validator
    def _may_pause(self, command: Command) -> None:
        if PERSON in self._attention.holds:
            raise ApplicationError("the run is paused already", type="AlreadyPaused")

    @workflow.update(description="Go on after a pause.")
    async def resume(self, command: Command) -> str:
        """Go on; what became due meanwhile goes on at once."""
        self._attention.let_go(PERSON)
        self._log.note("run", "resume", "resumed", _by(command))
        return "resumed"

    @resume.validator
    def _may_resume(self, command: Command) -> None:
        if PERSON in self._attention.holds:
            return
        if PLAYBOOK in self._attention.holds:
            raise ApplicationError("the whole playbook is paused: set its status to live", type="NotPaused")
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
        # Of several rounds of one step, the latest is meant.
        key = [key for key, step in self._course.acts.open_tasks.items() if step == command.step][-1]
        self._attention.completed[key] = command
        return "completed"

    @complete_step.validator
    def _may_complete(self, command: Command) -> None:
        if not command.outcome:
            raise ApplicationError("an outcome is needed", type="BadOutcome")
        open_steps = self._course.acts.open_tasks.values()
        if command.step not in open_steps:
            there = ", ".join(sorted(set(open_steps))) or "none"
            raise ApplicationError(f"step {command.step!r} isn't open; open is {there}", type="NotOpen")

    @workflow.update(description="Put off the present wait until a moment.")
    async def snooze(self, command: Command) -> str:
        """Let the present wait last at least until `until`."""
        assert command.until is not None
        self._attention.snooze(command.until)
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
            "paused": bool(self._attention.holds),
            "lines": [line.model_dump(mode="json") for line in self._log.lines],
        }

    async def _finish(self, end: RunEnd) -> RunEnd:
        call = EndCall(
            run_id=self._start.run_id,
            execution_id=workflow.info().first_execution_run_id,
            end=end,
            played=self._start.clock == "played",
        )
        end = await book("Run.finish", call, RunEnd, f"end: {end.outcome}")
        self._log.close(end.outcome, end.reason)
        return end

    async def _migrate(self, to_version: str) -> NoReturn:
        """Go on with another version, where the run finds its place in it; else finish this one."""
        call = MigrateCall(
            run_id=self._start.run_id,
            execution_id=workflow.info().first_execution_run_id,
            from_version=self._start.version,
            to_version=to_version,
            done=self._course.done,
            since=self._desk.since,
        )
        found = await book("Run.migrate", call, Migration, f"migrate: {to_version}")
        if found.steps is None:
            self._log.note("run", "migrate", "finishes the old version", found.reason)
            await self._go_on(self._start)
        self._course.done, self._desk.since = found.done, found.since
        workflow.upsert_search_attributes([VERSION.value_set(to_version)])
        self._log.note("run", "migrate", "migrated", to_version)
        moved = {
            "version": to_version,
            "steps": found.steps,
            "variants": found.variants,
            "goal_by": found.goal_by,
            "max_overdue_seconds": found.max_overdue_seconds,
        }
        await self._go_on(self._start.model_copy(update=moved))

    async def _go_on(self, start: RunInput) -> NoReturn:
        """Go on in a fresh history with all that this one knows."""
        resume = Resumption(
            inbox_read=self._attention.read,
            done=self._course.done,
            since=self._desk.since,
            paused=PERSON in self._attention.holds,
            held_at=self._attention.held_at,
            playbook_paused=PLAYBOOK in self._attention.holds,
            trace=tuple(self._log.lines[-KEPT_LINES:]),
        )
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(start.model_copy(update={"resume": resume}))


def _by(command: Command) -> str:
    return f"by {command.by}" + (f": {command.reason}" if command.reason else "")
