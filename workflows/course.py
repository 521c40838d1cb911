"""A run's course: its steps, one after the other, each with what follows from its outcome."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.tasks import HumanTasks
from activities.waiting import Waiting
from schemas.plan import Act, Branch, Elapsed, Reaction, Split, Step, Steps, Stop, Wait, WaitFor
from schemas.run import SEND_QUEUE, Interruption, Resumption, RunInput, StepCall, StepResult
from workflows.attention import Attention
from workflows.endings import Ended, Jump
from workflows.logbook import Logbook
from workflows.patience import BOOK_TIMEOUT, PATIENT, SEND_TIMEOUT


class Course:
    """Interprets steps. `done` has the outcome of each finished step, `since` when each began; `open_task` is the human
    step that waits for a person.
    """

    def __init__(self, start: RunInput, log: Logbook, attention: Attention) -> None:
        resumed = start.resume or Resumption()
        self._start = start
        self._log = log
        self._attention = attention
        self._execution_id = workflow.info().first_execution_run_id
        self.done: dict[str, str] = dict(resumed.done)
        self.since: dict[str, datetime] = dict(resumed.since)
        # While a restarted run goes through what lies in its past, steps are due when they were, not now.
        self._moment = resumed.moment
        self.open_task: str | None = None

    async def walk(self, steps: Steps) -> None:
        index = 0
        while index < len(steps):
            try:
                await self._take(steps[index])
            except Jump as jump:
                later = (i for i in range(index + 1, len(steps)) if steps[i].id == jump.step)
                target = next(later, None)
                if target is None:
                    raise
                index = target
            else:
                index += 1

    async def _take(self, step: Step) -> None:
        """Carry out one step and what follows from its outcome."""
        outcome = self.done.get(step.id)
        if outcome is None:
            self._log.current = step.id
            self.since.setdefault(step.id, self._moment or workflow.now())
            self._log.show()
            await self._attention.attend()
            outcome = await self._perform(step)
            if isinstance(step, Act | WaitFor):
                self._moment = None
            self.done[step.id] = outcome
            self._attention.snoozed_until = None
            self._attention.arrived.pop(step.id, None)
        match step:
            case Branch() | WaitFor():
                await self.walk(step.then if outcome == "then" else step.otherwise)
            case Split():
                await self.walk(step.variants[outcome].steps if outcome in step.variants else ())
            case Act() | Wait():
                await self._react(step, step.outcomes.get(outcome), outcome)
            case Stop():
                raise Ended(
                    Interruption(
                        kind="stop", outcome=step.outcome, reason=f"step {step.id}", at=workflow.now()
                    )
                )

    async def _react(self, step: Step, reaction: Reaction | None, outcome: str) -> None:
        if outcome == "no_date" and reaction is None:
            reaction = Reaction(do="stop")
        match reaction.do if reaction else "next":
            case "stop":
                raise Ended(
                    Interruption(
                        kind="stop", outcome="stopped", reason=f"{step.id}: {outcome}", at=workflow.now()
                    )
                )
            case "goto" if reaction and reaction.goto:
                raise Jump(reaction.goto)
            case "fallback" if reaction:
                await self.walk(reaction.steps)

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
                self._log.note(step.id, "if", outcome)
            case Split():
                outcome = self._start.variants.get(step.experiment, "")
                self._log.note(step.id, "experiment", outcome, step.experiment)
            case Stop():
                outcome = step.outcome
                self._log.note(step.id, "stop", outcome)
        return outcome

    async def _act(self, step: Act) -> str:
        while True:
            result = await self._execute(step)
            if step.human and result.outcome == "open":
                return await self._await_person(step, result)
            if result.until is None or result.until <= result.at:
                self._log.note(step.id, step.word, result.outcome, result.detail)
                return result.outcome
            self._log.note(step.id, step.word, result.outcome, f"until {result.until:%Y-%m-%d %H:%M} UTC")
            await self._attention.stand(result.until, f"{step.word} {result.outcome}")

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
            self._log.note(step.id, step.word, "failed", str(error.cause or error)[:200])
            return StepResult(outcome="failed", at=workflow.now())
        return self._heed(result)

    async def _await_person(self, step: Act, opened: StepResult) -> str:
        """Stand until the person says how it went; escalate, and give up, in time."""
        self.open_task = step.id
        self._log.note(
            step.id, step.word, "open", f"due {opened.until:%Y-%m-%d %H:%M} UTC" if opened.until else ""
        )

        def answered() -> bool:
            return step.id in self._attention.arrived or step.id in self._attention.completed

        escalate_at = opened.escalate_at
        while not answered():
            moments = [moment for moment in (escalate_at, opened.give_up_at) if moment]
            if not moments or await self._attention.stand(min(moments), f"{step.word} open", answered):
                break
            if escalate_at and escalate_at <= workflow.now():
                escalate_at = None
                await self._book(HumanTasks.escalate, step, "escalation", to=opened.escalate_to)
                self._log.note(step.id, "escalation", "escalated", opened.escalate_to or "")
            else:
                break
        self.open_task = None
        if step.id in self._attention.arrived:
            outcome = self._attention.arrived[step.id]
        else:
            command = self._attention.completed.get(step.id)
            said = (command.outcome, command.by) if command else ("overdue", None)
            outcome = (
                await self._book(HumanTasks.close, step, step.word, outcome=said[0], by=said[1])
            ).outcome
        self._log.note(step.id, step.word, outcome)
        return outcome

    async def _wait(self, step: Wait) -> str:
        if isinstance(step.spec, Elapsed):
            until = self.since[step.id] + timedelta(seconds=step.spec.seconds)
        else:
            found = await self._book(Waiting.resolve, step, "wait")
            if found.until is None:
                self._log.note(step.id, "wait", found.outcome)
                return found.outcome
            until = found.until
        self._log.note(step.id, "wait", "waiting", f"until {until:%Y-%m-%d %H:%M} UTC")
        if self._moment is not None:
            self._moment = until if until <= workflow.now() else None
        await self._attention.stand(until, f"wait · {step.id}")
        return "over"

    async def _wait_for(self, step: WaitFor) -> str:
        outcome = (await self._book(Waiting.listen, step, "wait_for")).outcome
        if outcome != "then":
            until = self.since[step.id] + timedelta(seconds=step.for_seconds)
            awaited = step.event.name if step.event else "condition"
            self._log.note(step.id, "wait_for", "waiting", f"{awaited}, until {until:%Y-%m-%d %H:%M} UTC")
            if await self._attention.stand(
                until, f"wait for {awaited} · {step.id}", lambda: step.id in self._attention.arrived
            ):
                outcome = "then"
            else:
                outcome = (await self._book(Waiting.close, step, "wait_for")).outcome
        self._log.note(step.id, "wait_for", outcome)
        return outcome

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
            due_at=self.since[step.id],
            at=workflow.now(),
            played=self._start.clock == "played",
            **more,
        )

    def _heed(self, result: StepResult) -> StepResult:
        if result.interruption:
            self._log.note(self._log.current or "run", result.interruption.kind, result.interruption.outcome)
            raise Ended(result.interruption)
        return result
