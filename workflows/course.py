"""A run's course: its steps, one after the other or together, each with what follows from its outcome."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from temporalio import workflow

from schemas.plan import (
    Act,
    Branch,
    Choose,
    Reaction,
    Repeat,
    Split,
    Step,
    Steps,
    Stop,
    Together,
    Wait,
    WaitFor,
)
from schemas.run import Interruption, Resumption
from workflows.acts import Acts
from workflows.endings import Jump, Leaving
from workflows.lane import Desk, Lane
from workflows.waits import Waits

# A step that a migrated run has passed already: it isn't taken, nor is anything inside it.
PASSED = "passed"


class Course:
    """Interprets steps; `done` has the outcome of each finished step by its occurrence."""

    def __init__(self, desk: Desk) -> None:
        resumed = desk.start.resume or Resumption()
        self._desk = desk
        self._first_moment = resumed.moment
        self.acts = Acts(desk)
        self._waits = Waits(desk)
        self.done: dict[str, str] = dict(resumed.done)

    async def walk(self, steps: Steps) -> None:
        """Carry out the playbook's steps; raises Leaving when the run is to leave them."""
        await self._walk(steps, Lane(moment=self._first_moment))

    async def _walk(self, steps: Steps, lane: Lane) -> None:
        index = 0
        while index < len(steps):
            try:
                await self._take(steps[index], lane)
            except Jump as jump:
                later = (i for i in range(index + 1, len(steps)) if steps[i].id == jump.step)
                target = next(later, None)
                if target is None:
                    raise
                index = target
            else:
                index += 1

    async def _take(self, step: Step, lane: Lane) -> None:
        """Carry out one step and what follows from its outcome."""
        if self.done.get(lane.key(step)) == PASSED:
            return
        match step:
            case Repeat():
                await self._repeat(step, lane)
            case Together():
                await self._go_together(step, lane)
            case Branch() | WaitFor():
                outcome = await self._pass(step, lane)
                await self._walk(step.then if outcome == "then" else step.otherwise, lane)
            case Choose():
                outcome = await self._pass(step, lane)
                taken = step.cases[int(outcome) - 1].steps if outcome.isdigit() else step.otherwise
                await self._walk(taken, lane)
            case Split():
                outcome = await self._pass(step, lane)
                await self._walk(step.variants[outcome].steps if outcome in step.variants else (), lane)
            case Act() | Wait():
                outcome = await self._pass(step, lane)
                await self._react(step, step.outcomes.get(outcome), outcome, lane)
            case Stop():
                await self._pass(step, lane)
                reason = f"step {step.id}"
                raise self._desk.end(
                    Interruption(kind="stop", outcome=step.outcome, reason=reason, at=workflow.now())
                )

    async def _pass(self, step: Step, lane: Lane) -> str:
        """The outcome of this occurrence of `step`: the one on record, or what it comes to now."""
        desk, key = self._desk, lane.key(step)
        outcome = self.done.get(key)
        if outcome is not None:
            return outcome
        desk.since.setdefault(key, lane.moment or workflow.now())
        desk.log.begin(key)
        try:
            await desk.attention.attend()
            if isinstance(step, Wait | WaitFor):
                lane.skipping = False
            elif desk.attention.is_overdue(desk.since[key]):
                lane.skipping = True
            outcome = await self._perform(step, lane)
        finally:
            desk.log.end(key)
        if isinstance(step, Act | WaitFor):
            lane.moment = None
        self.done[key] = outcome
        desk.attention.arrived.pop(key, None)
        desk.attention.completed.pop(key, None)
        return outcome

    async def _perform(self, step: Step, lane: Lane) -> str:
        match step:
            case Act():
                return await self.acts.perform(step, lane)
            case Wait():
                return await self._waits.wait(step, lane)
            case WaitFor():
                return await self._waits.wait_for(step, lane)
            case Split():
                outcome, detail = self._desk.start.variants.get(step.experiment, ""), step.experiment
            case Stop():
                outcome, detail = step.outcome, ""
            case _:
                found = await self._desk.book("Condition.check", step, lane, step.kind)
                outcome, detail = found.outcome, found.detail
        self._desk.log.note(lane.key(step), step.kind, outcome, detail)
        return outcome

    async def _react(self, step: Act | Wait, reaction: Reaction | None, outcome: str, lane: Lane) -> None:
        if outcome == "no_date" and reaction is None:
            reaction = Reaction(do="stop")
        match reaction.do if reaction else "next":
            case "stop":
                reason = f"{step.id}: {outcome}"
                raise self._desk.end(
                    Interruption(kind="stop", outcome="stopped", reason=reason, at=workflow.now())
                )
            case "goto" if reaction and reaction.goto:
                raise Jump(reaction.goto)
            case "fallback" if reaction:
                await self._walk(reaction.steps, lane)

    async def _repeat(self, step: Repeat, lane: Lane) -> None:
        """Round after round; rounds are counted through, so that every occurrence of a step has its own number."""
        outer = lane.occurrence
        try:
            for number in range(step.at_most):
                lane.occurrence = outer * step.at_most + number
                await self._walk(step.steps, lane)
                last = number + 1 == step.at_most
                if step.until is not None and not last and await self._pass(step, lane) == "done":
                    break
        finally:
            lane.occurrence = outer

    async def _go_together(self, step: Together, lane: Lane) -> None:
        """All branches at the same time. When one leaves, the others do so too, as soon as they are settled."""
        attention = self._desk.attention
        attention.lanes += len(step.branches) - 1
        lanes = [replace(lane) for _ in step.branches]
        done: list[Lane] = []
        left = await asyncio.gather(
            *(self._run_lane(steps, one, done) for steps, one in zip(step.branches, lanes, strict=True))
        )
        attention.lanes += 1
        leaving = next((one for one in left if one is not None), None)
        if leaving is not None:
            raise leaving
        lane.moment = None
        # What follows is as overdue as the branch that took longest.
        lane.skipping = done[-1].skipping

    async def _run_lane(self, steps: Steps, lane: Lane, done: list[Lane]) -> Leaving | None:
        try:
            await self._walk(steps, lane)
        except Leaving as leaving:
            return leaving
        finally:
            self._desk.attention.lanes -= 1
            done.append(lane)
        return None
