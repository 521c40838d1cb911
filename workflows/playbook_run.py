"""One intervention for one customer: interprets the compiled plan in its input, durably.

The workflow sees no YAML, no template, no setting and no clock but its own. What needs the world is an activity; what
happened outside waits in the run's inbox in PostgreSQL, and `event_occurred` only rings the bell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.running import RunBooks
    from activities.tasks import HumanTasks
    from activities.waiting import Waiting
    from schemas.plan import Act, Branch, Elapsed, Reaction, Split, Step, Steps, Stop, Wait, WaitFor
    from schemas.run import (
        SEND_QUEUE,
        WORKFLOW_NAME,
        Command,
        EndCall,
        InboxCall,
        Interruption,
        Resumption,
        RunEnd,
        RunInput,
        StepCall,
        StepResult,
        TraceLine,
    )
    from workflows.progress import describe

STEP = SearchAttributeKey.for_keyword("PlaybookStep")
OUTCOME = SearchAttributeKey.for_keyword("Outcome")

# An activity that the world keeps from succeeding is tried until it does: the database may be away for an hour.
PATIENT = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10)
)
# Longer than a provider's deadline and the record after it, so that two attempts never overlap.
SEND_TIMEOUT = timedelta(seconds=25)
BOOK_TIMEOUT = timedelta(seconds=15)
CONTINUE_AFTER_SIGNALS = 2000


class _Ended(Exception):  # noqa: N818 - it is no error
    """The run is over before its steps are."""

    def __init__(self, interruption: Interruption) -> None:
        self.interruption = interruption


class _Jump(Exception):  # noqa: N818 - it is no error
    """Go on at a later step of this or an enclosing list."""

    def __init__(self, step: str) -> None:
        self.step = step


@workflow.defn(name=WORKFLOW_NAME)
class PlaybookRun:
    """Carries one customer through one version of one playbook."""

    @workflow.init
    def __init__(self, start: RunInput) -> None:
        resumed = start.resume or Resumption()
        self._start = start
        self._done: dict[str, str] = dict(resumed.done)
        self._since: dict[str, datetime] = dict(resumed.since)
        # While a restarted run goes through what lies in its past, steps are due when they were, not now.
        self._moment = resumed.moment
        self._trace: list[TraceLine] = list(resumed.trace)
        self._read = resumed.inbox_read
        # A continued run may have been rung before it could hear.
        self._rings, self._heard = (1, 0) if start.resume else (0, 0)
        self._arrived: dict[str, str] = {}
        self._current: str | None = None
        self._open_task: str | None = None
        self._stop: Command | None = None
        self._completed: dict[str, Command] = {}
        self._snoozed_until: datetime | None = None
        self._snooze_news = False
        self._paused = resumed.paused
        self._paused_noted = resumed.paused
        self._shown_step: str | None = None
        self._execution_id = workflow.info().first_execution_run_id

    @workflow.run
    async def run(self, start: RunInput) -> RunEnd:
        """Carry out the steps, then stand open until the goal's window closes; returns how it ended."""
        try:
            await self._walk(start.steps)
            if start.goal_by is not None:
                self._current = None
                await self._stand(start.goal_by, "open until the goal's window closes")
                end = RunEnd(outcome="expired", reason="the goal's window closed", at=workflow.now())
            else:
                end = RunEnd(outcome="completed", reason="all steps are done", at=workflow.now())
        except _Ended as ended:
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
        self._rings += 1

    @workflow.update(description="Stand still; due times run on.")
    async def pause(self, command: Command) -> str:
        """Stand still until `resume`; goal, exit and stop still end the run."""
        self._paused = True
        self._note("run", "pause", "paused", _by(command))
        return "paused"

    @pause.validator
    def _may_pause(self, command: Command) -> None:
        if self._paused:
            raise ApplicationError("the run is paused already", type="AlreadyPaused")

    @workflow.update(description="Go on after a pause.")
    async def resume(self, command: Command) -> str:
        """Go on; what became due meanwhile goes on at once."""
        self._paused = False
        self._note("run", "resume", "resumed", _by(command))
        return "resumed"

    @resume.validator
    def _may_resume(self, command: Command) -> None:
        if not self._paused:
            raise ApplicationError("the run isn't paused", type="NotPaused")

    @workflow.update(description="End the run now, with an outcome (stopped if none is given).")
    async def stop(self, command: Command) -> str:
        """End the run as soon as what is under way is settled."""
        self._stop = command
        return "stopping"

    @stop.validator
    def _may_stop(self, command: Command) -> None:
        if command.outcome not in (None, "success", "stopped", "lost"):
            raise ApplicationError("outcome must be success, stopped or lost", type="BadOutcome")
        if self._stop is not None:
            raise ApplicationError("the run is stopping already", type="AlreadyStopping")

    @workflow.update(description="Say how a call or task went.")
    async def complete_step(self, command: Command) -> str:
        """Complete the open human step."""
        assert command.step is not None
        self._completed[command.step] = command
        return "completed"

    @complete_step.validator
    def _may_complete(self, command: Command) -> None:
        if not command.outcome:
            raise ApplicationError("an outcome is needed", type="BadOutcome")
        if command.step is None or command.step != self._open_task:
            raise ApplicationError(f"step {command.step!r} isn't open; open is {self._open_task!r}", type="NotOpen")

    @workflow.update(description="Put off the present wait until a moment.")
    async def snooze(self, command: Command) -> str:
        """Let the present wait last at least until `until`."""
        assert command.until is not None
        self._snoozed_until, self._snooze_news = command.until, True
        self._note(self._current or "run", "snooze", "snoozed", _by(command))
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
            "step": self._current,
            "paused": self._paused,
            "lines": [line.model_dump(mode="json") for line in self._trace],
        }

    async def _walk(self, steps: Steps) -> None:
        index = 0
        while index < len(steps):
            try:
                await self._take(steps[index])
            except _Jump as jump:
                later = (i for i in range(index + 1, len(steps)) if steps[i].id == jump.step)
                target = next(later, None)
                if target is None:
                    raise
                index = target
            else:
                index += 1

    async def _take(self, step: Step) -> None:
        """Carry out one step and what follows from its outcome."""
        outcome = self._done.get(step.id)
        if outcome is None:
            self._current = step.id
            self._since.setdefault(step.id, self._moment or workflow.now())
            self._show()
            await self._attend()
            outcome = await self._perform(step)
            if isinstance(step, Act | WaitFor):
                self._moment = None
            self._done[step.id] = outcome
            self._snoozed_until = None
            self._arrived.pop(step.id, None)
        match step:
            case Branch() | WaitFor():
                await self._walk(step.then if outcome == "then" else step.otherwise)
            case Split():
                await self._walk(step.variants[outcome].steps if outcome in step.variants else ())
            case Act() | Wait():
                await self._react(step, step.outcomes.get(outcome), outcome)
            case Stop():
                raise _Ended(
                    Interruption(kind="stop", outcome=step.outcome, reason=f"step {step.id}", at=workflow.now())
                )

    async def _react(self, step: Step, reaction: Reaction | None, outcome: str) -> None:
        if outcome == "no_date" and reaction is None:
            reaction = Reaction(do="stop")
        match reaction.do if reaction else "next":
            case "stop":
                raise _Ended(
                    Interruption(kind="stop", outcome="stopped", reason=f"{step.id}: {outcome}", at=workflow.now())
                )
            case "goto" if reaction and reaction.goto:
                raise _Jump(reaction.goto)
            case "fallback" if reaction:
                await self._walk(reaction.steps)

    async def _perform(self, step: Step) -> str:
        match step:
            case Act():
                outcome = await self._act(step)
            case Wait():
                outcome = await self._wait(step)
            case WaitFor():
                outcome = await self._wait_for(step)
            case Branch():
                outcome = (await self._book(Waiting.check, step, "if")).outcome
                self._note(step.id, "if", outcome)
            case Split():
                outcome = self._start.variants.get(step.experiment, "")
                self._note(step.id, "experiment", outcome, step.experiment)
            case Stop():
                outcome = step.outcome
                self._note(step.id, "stop", outcome)
        return outcome

    async def _act(self, step: Act) -> str:
        while True:
            result = await self._execute(step)
            if step.human and result.outcome == "open":
                return await self._await_person(step, result)
            if result.until is None or result.until <= result.at:
                self._note(step.id, step.word, result.outcome, result.detail)
                return result.outcome
            self._note(step.id, step.word, result.outcome, f"until {result.until:%Y-%m-%d %H:%M} UTC")
            await self._stand(result.until, f"{step.word} {result.outcome}")

    async def _execute(self, step: Act) -> StepResult:
        try:
            result: StepResult = await workflow.execute_activity(
                step.activity,
                self._call(step),
                result_type=StepResult,
                task_queue=SEND_QUEUE if step.sends else None,
                start_to_close_timeout=SEND_TIMEOUT,
                retry_policy=PATIENT,
                summary=f"{step.word} · {step.id}",
            )
        except ActivityError as error:
            # One channel's failure never ends a run.
            self._note(step.id, step.word, "failed", str(error.cause or error)[:200])
            return StepResult(outcome="failed", at=workflow.now())
        return self._heed(result)

    async def _await_person(self, step: Act, opened: StepResult) -> str:
        """Stand until the person says how it went; escalate, and give up, in time."""
        self._open_task = step.id
        self._note(step.id, step.word, "open", f"due {opened.until:%Y-%m-%d %H:%M} UTC" if opened.until else "")

        def answered() -> bool:
            return step.id in self._arrived or step.id in self._completed

        escalate_at = opened.escalate_at
        while not answered():
            moments = [moment for moment in (escalate_at, opened.give_up_at) if moment]
            if not moments or await self._stand(min(moments), f"{step.word} open", answered):
                break
            if escalate_at and escalate_at <= workflow.now():
                escalate_at = None
                await self._book(HumanTasks.escalate, step, "escalation", to=opened.escalate_to)
                self._note(step.id, "escalation", "escalated", opened.escalate_to or "")
            else:
                break
        self._open_task = None
        if step.id in self._arrived:
            outcome = self._arrived[step.id]
        else:
            command = self._completed.get(step.id)
            said = (command.outcome, command.by) if command else ("overdue", None)
            outcome = (await self._book(HumanTasks.close, step, step.word, outcome=said[0], by=said[1])).outcome
        self._note(step.id, step.word, outcome)
        return outcome

    async def _wait(self, step: Wait) -> str:
        if isinstance(step.spec, Elapsed):
            until = self._since[step.id] + timedelta(seconds=step.spec.seconds)
        else:
            found = await self._book(Waiting.resolve, step, "wait")
            if found.until is None:
                self._note(step.id, "wait", found.outcome)
                return found.outcome
            until = found.until
        self._note(step.id, "wait", "waiting", f"until {until:%Y-%m-%d %H:%M} UTC")
        if self._moment is not None:
            self._moment = until if until <= workflow.now() else None
        await self._stand(until, f"wait · {step.id}")
        return "over"

    async def _wait_for(self, step: WaitFor) -> str:
        outcome = (await self._book(Waiting.listen, step, "wait_for")).outcome
        if outcome != "then":
            until = self._since[step.id] + timedelta(seconds=step.for_seconds)
            awaited = step.event.name if step.event else "condition"
            self._note(step.id, "wait_for", "waiting", f"{awaited}, until {until:%Y-%m-%d %H:%M} UTC")
            if await self._stand(until, f"wait for {awaited} · {step.id}", lambda: step.id in self._arrived):
                outcome = "then"
            else:
                outcome = (await self._book(Waiting.close, step, "wait_for")).outcome
        self._note(step.id, "wait_for", outcome)
        return outcome

    async def _stand(
        self, until: datetime, summary: str, ready: Callable[[], bool] = lambda: False
    ) -> bool:
        """Stand still until `until`, or until `ready` (True); goal, exit, stop and pause are heeded meanwhile."""
        self._show(standing=True)
        while True:
            await self._attend()
            if ready():
                return True
            left = max(until, self._snoozed_until or until) - workflow.now()
            if left <= timedelta(0):
                return False
            self._continue_if_long()
            try:
                await workflow.wait_condition(
                    lambda: self._called() or ready(), timeout=left, timeout_summary=summary
                )
            except asyncio.TimeoutError:  # noqa: UP041 - the SDK's, whatever the Python
                await self._attend()
                if ready():
                    return True

    def _called(self) -> bool:
        return (
            self._rings > self._heard
            or self._stop is not None
            or self._paused != self._paused_noted
            or self._snooze_news
        )

    async def _attend(self) -> None:
        """Read what came, heed stop and pause; raises _Ended when the run is to end."""
        self._snooze_news = False
        while True:
            if self._stop is not None:
                command = self._stop
                outcome = command.outcome if command.outcome in ("success", "lost") else "stopped"
                reason = command.reason or f"stopped by {command.by}"
                raise _Ended(
                    Interruption(kind="stop", outcome=outcome, reason=reason, at=workflow.now())
                )
            if self._rings > self._heard or self._paused != self._paused_noted:
                await self._read_inbox()
                continue
            if not self._paused:
                return
            self._show(standing=True)
            await workflow.wait_condition(
                lambda: not self._paused or self._rings > self._heard or self._stop is not None
            )

    async def _read_inbox(self) -> None:
        self._heard = self._rings
        noted = self._paused
        entries = await workflow.execute_activity_method(
            RunBooks.read,
            InboxCall(
                run_id=self._start.run_id,
                execution_id=self._execution_id,
                after=self._read,
                paused=noted if noted != self._paused_noted else None,
            ),
            start_to_close_timeout=BOOK_TIMEOUT,
            retry_policy=PATIENT,
            summary="inbox",
        )
        self._paused_noted = noted
        for entry in entries:
            self._read = entry.seq
            if entry.kind in ("goal", "exit", "stop"):
                self._note(self._current or "run", entry.kind, entry.outcome, entry.reason)
                raise _Ended(
                    Interruption.model_validate(
                        {"kind": entry.kind, "outcome": entry.outcome, "reason": entry.reason, "at": entry.at}
                    )
                )
            if entry.step:
                self._arrived[entry.step] = entry.outcome

    async def _finish(self, end: RunEnd) -> RunEnd:
        end = await workflow.execute_activity_method(
            RunBooks.finish,
            EndCall(
                run_id=self._start.run_id,
                execution_id=self._execution_id,
                end=end,
                played=self._start.clock == "played",
            ),
            start_to_close_timeout=BOOK_TIMEOUT,
            retry_policy=PATIENT,
            summary=f"end: {end.outcome}",
        )
        self._current = None
        self._note("run", "ended", end.outcome, end.reason)
        workflow.upsert_search_attributes([OUTCOME.value_set(end.outcome)])
        workflow.set_current_details(describe(self._start, self._trace, None))
        return end

    async def _book(self, method: Any, step: Step, word: str, **more: Any) -> StepResult:
        """One of our own activities for `step`: no provider in it."""
        result: StepResult = await workflow.execute_activity_method(
            method,
            self._call(step, **more),
            start_to_close_timeout=BOOK_TIMEOUT,
            retry_policy=PATIENT,
            summary=f"{word} · {step.id}",
        )
        return self._heed(result)

    def _call(self, step: Step, **more: Any) -> StepCall:
        return StepCall(
            run_id=self._start.run_id,
            execution_id=self._execution_id,
            step=step.id,
            due_at=self._since[step.id],
            at=workflow.now(),
            played=self._start.clock == "played",
            **more,
        )

    def _heed(self, result: StepResult) -> StepResult:
        if result.interruption:
            self._note(self._current or "run", result.interruption.kind, result.interruption.outcome)
            raise _Ended(result.interruption)
        return result

    def _note(self, step: str, kind: str, outcome: str, detail: str = "") -> None:
        self._trace.append(
            TraceLine(at=workflow.now(), step=step, kind=kind, outcome=outcome, detail=detail[:200])
        )

    def _show(self, *, standing: bool = False) -> None:
        """Keep the Temporal UI's details current; the search attribute costs an event, so only where the run stands."""
        workflow.set_current_details(describe(self._start, self._trace, self._current))
        if standing and self._current != self._shown_step:
            self._shown_step = self._current
            workflow.upsert_search_attributes([STEP.value_set(self._current or "goal window")])

    def _continue_if_long(self) -> None:
        """Histories have limits: a run that was rung very often goes on in a fresh one."""
        if self._rings < CONTINUE_AFTER_SIGNALS and not workflow.info().is_continue_as_new_suggested():
            return
        resume = Resumption(
            inbox_read=self._read,
            done=self._done,
            since=self._since,
            paused=self._paused,
            trace=tuple(self._trace[-100:]),
        )
        workflow.continue_as_new(self._start.model_copy(update={"resume": resume}))


def _by(command: Command) -> str:
    return f"by {command.by}" + (f": {command.reason}" if command.reason else "")
