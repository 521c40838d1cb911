"""Steps that do something: messages, work for people, and whatever else is registered."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError

from schemas.plan import Act
from schemas.run import StepResult
from workflows.lane import Desk, Lane


class Acts:
    """Carries out acts; `open_tasks` has the step id of each human step that waits for a person, by occurrence."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.open_tasks: dict[str, str] = {}

    async def perform(self, step: Act, lane: Lane) -> str:
        """Do it, and again as long as it is held; its outcome."""
        desk, key = self._desk, lane.key(step)
        while not lane.skipping:
            result = await self._execute(step, lane)
            if step.human and result.outcome == "open":
                return await self._await_person(step, lane, result)
            if result.until is None or result.until <= result.at:
                desk.log.note(key, step.word, result.outcome, result.detail)
                return result.outcome
            desk.log.note(key, step.word, result.outcome, f"until {result.until:%Y-%m-%d %H:%M} UTC")
            await desk.attention.stand(key, result.until, f"{step.word} {result.outcome}")
            lane.skipping = desk.attention.is_overdue(result.until)
        result = await desk.book("Step.skip", step, lane, step.word)
        desk.log.note(key, step.word, result.outcome, result.detail)
        return result.outcome

    async def _execute(self, step: Act, lane: Lane) -> StepResult:
        try:
            if step.sends:
                return await self._desk.send(step, lane)
            return await self._desk.book(step.activity, step, lane, step.word)
        except ActivityError as error:
            # One channel's failure never ends a run.
            return StepResult(outcome="failed", at=workflow.now(), detail=str(error.cause or error)[:200])

    async def _await_person(self, step: Act, lane: Lane, opened: StepResult) -> str:
        """Stand until the person says how it went; escalate, and give up, in time."""
        desk, key = self._desk, lane.key(step)
        attention = desk.attention
        desk.log.note(
            key, step.word, "open", f"due {opened.until:%Y-%m-%d %H:%M} UTC" if opened.until else ""
        )

        def answered() -> bool:
            return key in attention.arrived or key in attention.completed

        escalate_at, give_up_at = opened.escalate_at, opened.give_up_at
        while True:
            self.open_tasks[key] = step.id
            skipping = lane.skipping
            while not answered():
                moments = [moment for moment in (escalate_at, give_up_at) if moment]
                if not moments or await attention.stand(key, min(moments), f"{step.word} open", answered):
                    break
                if escalate_at and escalate_at <= workflow.now():
                    escalate_at = None
                    asked = await desk.book("Tasks.escalate", step, lane, "escalation", to=opened.escalate_to)
                    if asked.outcome == "open":  # it was agreed to be done later
                        escalate_at, give_up_at = asked.escalate_at, asked.give_up_at
                    else:
                        desk.log.note(key, "escalation", "escalated", opened.escalate_to or "")
                else:
                    skipping = attention.is_overdue(min(moments))
                    break
            del self.open_tasks[key]
            if key in attention.arrived:
                outcome = attention.arrived[key]
                break
            command = attention.completed.get(key)
            said = (command.outcome, command.by) if command else ("overdue", None)
            closed = await desk.book("Tasks.close", step, lane, step.word, outcome=said[0], by=said[1])
            if closed.outcome != "open":
                outcome = closed.outcome
                break
            escalate_at, give_up_at = closed.escalate_at, closed.give_up_at
        lane.skipping = skipping
        desk.log.note(key, step.word, outcome)
        return outcome
