"""The activities of simulated runs: the same names and decisions as the real ones, with their books in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import activity

from activities.steps import interrupted
from activities.waiting import decide_way, satisfied
from loops.simulation import acts
from loops.simulation.messages import deliver
from loops.simulation.run import SimulatedRun, place_of
from rules.assigning import UNASSIGNED
from rules.waits import describe_assumptions, end_of_wait
from schemas.plan import BeforeDate, Branch, Choose, Repeat, Wait, WaitFor
from schemas.run import EndCall, InboxCall, InboxEntry, RunEnd, StepCall, StepResult
from store.waits import OpenWait

_T = TypeVar("_T")


class Desk:
    """Carries out what the workflows of these runs ask for; `failures` has what went wrong in doing so."""

    def __init__(self, runs: Mapping[str, SimulatedRun]) -> None:
        self._runs = runs
        self.failures: list[Exception] = []

    @property
    def on_the_run_queue(self) -> Sequence[Callable[..., Any]]:
        """What is carried out beside the workflows."""
        return (
            self.show, self.assign, self.escalate, self.close, self.grant, self.mark, self.ask, self.carry_out,
            self.check, self.resolve, self.listen, self.leave_off, self.skip, self.read, self.finish,
        )  # fmt: skip

    @property
    def on_the_send_queue(self) -> Sequence[Callable[..., Any]]:
        """What would talk to somebody outside."""
        return (self.send, self.show, self.carry_out, self.grant)

    @activity.defn(name="Delivery.send")
    async def send(self, call: StepCall) -> StepResult:
        """Decide on this step's message by consent, suppression, window, quiet hours and caps."""
        return self._act(call, deliver)

    @activity.defn(name="Delivery.show")
    async def show(self, call: StepCall) -> StepResult:
        """The same for a message inside the product."""
        return self._act(call, deliver)

    @activity.defn(name="Tasks.assign")
    async def assign(self, call: StepCall) -> StepResult:
        """Put this step's work on a list."""
        return self._act(call, acts.assign)

    @activity.defn(name="Tasks.escalate")
    async def escalate(self, call: StepCall) -> StepResult:
        """Nobody completed it in time."""

        def escalate(run: SimulatedRun) -> StepResult:
            task = run.work.tasks.get(place_of(call))
            if task is not None:
                # It is escalated once, also if the run has to ask again what became of it.
                task.opened = task.opened.model_copy(update={"escalate_at": None})
            run.tell(
                call.at, place_of(call), "escalation", "escalated", to=call.to or UNASSIGNED,
                title=task.title if task else None,
            )  # fmt: skip
            return StepResult(outcome="escalated", at=call.at, detail=call.to or UNASSIGNED)

        return self._with(call.run_id, escalate)

    @activity.defn(name="Tasks.close")
    async def close(self, call: StepCall) -> StepResult:
        """Nobody completed it at all."""

        def close(run: SimulatedRun) -> StepResult:
            task = run.work.tasks[place_of(call)]
            if task.outcome is None:
                task.outcome = call.outcome or "overdue"
                run.tell(call.at, place_of(call), task.kind, task.outcome, title=task.title)
            return StepResult(outcome=task.outcome, at=call.at)

        return self._with(call.run_id, close)

    @activity.defn(name="Reward.grant")
    async def grant(self, call: StepCall) -> StepResult:
        """Unlock a feature, and lock it again when its time is over, whatever becomes of the run."""
        return self._act(call, acts.grant)

    @activity.defn(name="Mark.set")
    async def mark(self, call: StepCall) -> StepResult:
        """Mark the customer."""
        return self._act(call, acts.mark)

    @activity.defn(name="Entry.ask")
    async def ask(self, call: StepCall) -> StepResult:
        """Decide whether another playbook would be entered; its run isn't played."""
        return self._act(call, acts.ask)

    @activity.defn(name="Step.carry_out")
    async def carry_out(self, call: StepCall) -> StepResult:
        """Tell what the step would do, and take it for done: nothing leaves."""
        return self._act(call, acts.carry_out)

    @activity.defn(name="Condition.check")
    async def check(self, call: StepCall) -> StepResult:
        """Which way to go."""

        def check(run: SimulatedRun) -> StepResult:
            step = run.version.steps[call.step]
            assert isinstance(step, Branch | Choose | Repeat)
            outcome = decide_way(step, run.version, run.customer.facts(call.at))
            run.tell(call.at, place_of(call), step.kind, outcome)
            return StepResult(outcome=outcome, at=call.at)

        return self._open(call, check)

    @activity.defn(name="Wait.resolve")
    async def resolve(self, call: StepCall) -> StepResult:
        """When this wait is over in the customer's own time."""
        return self._open(call, lambda run: _resolve(run, call))

    @activity.defn(name="Wait.listen")
    async def listen(self, call: StepCall) -> StepResult:
        """Begin to listen."""

        def listen(run: SimulatedRun) -> StepResult:
            step, place = run.version.steps[call.step], place_of(call)
            assert isinstance(step, WaitFor)
            until = call.due_at + timedelta(seconds=step.for_seconds)
            if place in run.waits:  # a run that goes on in a fresh history asks again
                return StepResult(outcome="waiting", at=call.at, until=until)
            wait = OpenWait(run.id, call.step, call.occurrence, call.due_at, until)
            if satisfied(step, wait, run.customer.facts(call.at), run.version):
                run.tell(call.at, place, "wait_for", "then")
                return StepResult(outcome="then", at=call.at)
            run.waits[place] = wait
            run.tell(call.at, place, "wait_for", "waiting", until=until)
            return StepResult(outcome="waiting", at=call.at, until=until)

        return self._open(call, listen)

    @activity.defn(name="Wait.close")
    async def leave_off(self, call: StepCall) -> StepResult:
        """The time is up."""

        def leave_off(run: SimulatedRun) -> StepResult:
            step = run.version.steps[call.step]
            assert isinstance(step, WaitFor)
            wait = run.waits.pop(place_of(call), None)
            if wait is None:  # it came in time, and the word of it is in the inbox
                return StepResult(outcome="then", at=call.at)
            outcome = "then" if satisfied(step, wait, run.customer.facts(call.at), run.version) else "else"
            run.tell(call.at, place_of(call), "wait_for", outcome)
            return StepResult(outcome=outcome, at=call.at)

        return self._open(call, leave_off)

    @activity.defn(name="Step.skip")
    async def skip(self, call: StepCall) -> StepResult:
        """Pass this step over."""
        return self._open(call, lambda run: acts.tell(run, call, "skipped", detail="overdue after a pause"))

    @activity.defn(name="Inbox.read")
    async def read(self, call: InboxCall) -> list[InboxEntry]:
        """What reached the run."""
        return self._with(call.run_id, lambda run: [entry for entry in run.inbox if entry.seq > call.after])

    @activity.defn(name="Run.finish")
    async def finish(self, call: EndCall) -> RunEnd:
        """End the run."""
        return self._with(call.run_id, lambda run: run.close(call.end, run.clock.now))

    def _act(self, call: StepCall, do: Callable[[SimulatedRun, StepCall], StepResult]) -> StepResult:
        """Carry out an act, unless the run is to end or its `if` doesn't hold."""

        def act(run: SimulatedRun) -> StepResult:
            step = run.act(call)
            if step.guard and not run.version.holds(step.guard, run.customer.facts(call.at)):
                return acts.tell(run, call, "skipped", detail="its `if` doesn't hold")
            return do(run, call)

        return self._open(call, act)

    def _open(self, call: StepCall, go_on: Callable[[SimulatedRun], StepResult]) -> StepResult:
        def opened(run: SimulatedRun) -> StepResult:
            found = run.find_interruption(call.at)
            return interrupted(call.at, found) if found else go_on(run)

        return self._with(call.run_id, opened)

    def _with(self, run_id: str, do: Callable[[SimulatedRun], _T]) -> _T:
        """Do it for that run. What fails here would be tried for ever: whoever plays looks at `failures`."""
        try:
            return do(self._runs[run_id])
        except Exception as error:
            self.failures.append(error)
            raise


def _resolve(run: SimulatedRun, call: StepCall) -> StepResult:
    step, place = run.version.steps[call.step], place_of(call)
    assert isinstance(step, Wait)
    facts, zone = run.customer.facts(call.at), run.setting.policy.default_zone
    until = end_of_wait(step.spec, call.due_at, facts, zone)
    if until is None:
        run.tell(call.at, place, "wait", "no_date")
        return StepResult(outcome="no_date", at=call.at)
    if isinstance(step.spec, BeforeDate):
        run.dates[place] = (call.due_at, until)
    if run.ends.get(place) != until:
        run.ends[place] = until
        assumed = describe_assumptions(step.spec, facts, zone)
        run.tell(call.at, place, "wait", "waiting", until=until, detail=assumed or None)
    return StepResult(outcome="waiting", at=call.at, until=until)
