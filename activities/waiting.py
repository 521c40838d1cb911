"""Steps that decide or stand still: conditions, calendar waits, and waiting for an event or a condition."""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import activity

from activities.steps import StepOpening, note
from activities.versions import Version
from rules.matching import event_matches
from rules.waits import describe_assumptions, end_of_wait
from schemas.facts import Facts
from schemas.plan import Act, BeforeDate, Branch, Choose, Repeat, Wait, WaitFor
from schemas.run import StepCall, StepResult
from store import run_steps, waits
from store.database import Connection


class Waiting:
    """Looks things up for a run that can't look anything up itself."""

    def __init__(self, opening: StepOpening) -> None:
        self._opening = opening
        self._database = opening.database

    @activity.defn(name="Condition.check")
    async def check(self, call: StepCall) -> StepResult:
        """Which way to go now: `then` or `else`, the number of the case or `else`, `done` with rounds or `again`."""
        async with self._database.transaction() as connection:
            opened = await self._opening.open(connection, call)
            if isinstance(opened, StepResult):
                return opened
            step = opened.version.steps[call.step]
            assert isinstance(step, Branch | Choose | Repeat)
            if said := await _recall(connection, call, opened.now):
                return said
            outcome = decide_way(step, opened.version, opened.known.facts)
            return await note(connection, call, step.kind, outcome, opened.now)

    @activity.defn(name="Wait.resolve")
    async def resolve(self, call: StepCall) -> StepResult:
        """When this wait, begun at `call.due_at`, is over in the customer's own time: `waiting`, or `no_date`."""
        async with self._database.transaction() as connection:
            opened = await self._opening.open(connection, call)
            if isinstance(opened, StepResult):
                return opened
            step = opened.version.steps[call.step]
            assert isinstance(step, Wait)
            facts, zone = opened.known.facts, opened.policy.default_zone
            until = end_of_wait(step.spec, call.due_at, facts, zone)
            if isinstance(step.spec, BeforeDate):
                await waits.close_wait(connection, call.run_id, call.step, call.occurrence)
            if until is None:
                return await note(connection, call, "wait", "no_date", opened.now)
            if isinstance(step.spec, BeforeDate):
                # The evaluator watches the date, and rings when it moves.
                await waits.open_wait(
                    connection, call.run_id, opened.run.customer_id, call.step, call.occurrence, call.due_at,
                    until,
                )  # fmt: skip
            await _note_waiting(connection, call, "wait", until, describe_assumptions(step.spec, facts, zone))
            return StepResult(outcome="waiting", at=opened.now, until=until)

    @activity.defn(name="Wait.listen")
    async def listen(self, call: StepCall) -> StepResult:
        """Begin to listen for this step's event or condition; `then` at once if it is there already."""
        async with self._database.transaction() as connection:
            opened = await self._opening.open(connection, call)
            if isinstance(opened, StepResult):
                return opened
            step = opened.version.steps[call.step]
            assert isinstance(step, WaitFor)
            if said := await _recall(connection, call, opened.now):
                return said
            wait = await waits.open_wait(
                connection, call.run_id, opened.run.customer_id, call.step, call.occurrence, call.due_at,
                call.due_at + timedelta(seconds=step.for_seconds),
            )  # fmt: skip
            if satisfied(step, wait, opened.known.facts, opened.version):
                await waits.close_wait(connection, call.run_id, call.step, call.occurrence)
                return await note(connection, call, "wait_for", "then", opened.now)
            await _note_waiting(connection, call, "wait_for", wait.until)
            return StepResult(outcome="waiting", at=opened.now, until=wait.until)

    @activity.defn(name="Wait.close")
    async def close(self, call: StepCall) -> StepResult:
        """The time is up: `then` if it came in time after all, else `else`. Events come before timers."""
        async with self._database.transaction() as connection:
            opened = await self._opening.open(connection, call)
            if isinstance(opened, StepResult):
                return opened
            step = opened.version.steps[call.step]
            assert isinstance(step, WaitFor)
            # Where the evaluator saw it come, too, that is on record.
            if said := await _recall(connection, call, opened.now):
                return said
            until = call.due_at + timedelta(seconds=step.for_seconds)
            wait = waits.OpenWait(call.run_id, call.step, call.occurrence, call.due_at, until)
            await waits.close_wait(connection, call.run_id, call.step, call.occurrence)
            came = satisfied(step, wait, opened.known.facts, opened.version)
            return await note(connection, call, "wait_for", "then" if came else "else", opened.now)

    @activity.defn(name="Step.skip")
    async def skip(self, call: StepCall) -> StepResult:
        """Pass this step over: it was overdue for too long after a pause."""
        async with self._database.transaction() as connection:
            opened = await self._opening.open(connection, call)
            if isinstance(opened, StepResult):
                return opened
            step = opened.version.steps[call.step]
            assert isinstance(step, Act)
            # What an earlier attempt came to after all stays what it was.
            if said := await _recall(connection, call, opened.now):
                return said
            return await note(connection, call, step.word, "skipped", opened.now, "overdue after a pause")


def decide_way(step: Branch | Choose | Repeat, version: Version, facts: Facts) -> str:
    """The outcome of a step that decides: unknown is not true."""
    match step:
        case Branch():
            return "then" if version.holds(step.when, facts) else "else"
        case Choose():
            holding = (n for n, case in enumerate(step.cases, 1) if version.holds(case.when, facts))
            return str(next(holding, "else"))
        case Repeat():
            return "done" if step.until and version.holds(step.until, facts) else "again"


def satisfied(step: WaitFor, wait: waits.OpenWait, facts: Facts, version: Version) -> bool:
    """Whether what a `wait_for` waits for has come.

    Only events after it began count: not the one, of the same instant, that ended the round before.
    """
    if step.when is not None:
        return version.holds(step.when, facts) is True
    match = step.event
    return match is not None and any(
        wait.since < event.at <= min(wait.until, facts.now) and event_matches(match, event) is True
        for event in facts.events
        if event.name == match.name
    )


async def _recall(connection: Connection, call: StepCall, now: datetime) -> StepResult | None:
    """What is on record already: an earlier attempt decided, and its answer was lost or is on its way."""
    said = await run_steps.load_outcome(connection, call.run_id, call.step, call.occurrence)
    return StepResult(outcome=said, at=now) if said else None


async def _note_waiting(
    connection: Connection, call: StepCall, word: str, until: datetime, assumed: str = ""
) -> None:
    """Put on record that the run waits, as of the time at which the wait began."""
    told = f"until {until:%Y-%m-%d %H:%M} UTC"
    await note(connection, call, word, "waiting", call.due_at, f"{told}; {assumed}" if assumed else told)
