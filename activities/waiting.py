"""Steps that decide or stand still: conditions, calendar waits, and waiting for an event or a condition."""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import activity

from activities.steps import StepOpening
from activities.versions import Version
from rules.calendar import wait_ends
from rules.holidays import holidays_within
from rules.matching import event_matches
from schemas.facts import Facts
from schemas.plan import Act, BeforeDate, Branch, Choose, Repeat, Wait, WaitFor, WaitSpec
from schemas.run import StepCall, StepResult
from store import runs, waits
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
            outcome = decide_way(step, opened.version, opened.known.facts)
            await runs.record_step(
                connection, call.run_id, call.step, call.occurrence, step.kind, outcome, opened.now
            )
            return StepResult(outcome=outcome, at=opened.now)

    @activity.defn(name="Wait.resolve")
    async def resolve(self, call: StepCall) -> StepResult:
        """When this wait, begun at `call.due_at`, is over in the customer's own time: `waiting`, or `no_date`."""
        async with self._database.transaction() as connection:
            opened = await self._opening.open(connection, call)
            if isinstance(opened, StepResult):
                return opened
            step = opened.version.steps[call.step]
            assert isinstance(step, Wait)
            facts = opened.known.facts
            until = end_of_wait(step.spec, call.due_at, facts, opened.policy.default_zone)
            if until is None:
                await runs.record_step(
                    connection, call.run_id, call.step, call.occurrence, "wait", "no_date", opened.now
                )
                return StepResult(outcome="no_date", at=opened.now)
            if isinstance(step.spec, BeforeDate):
                # The evaluator watches the date, and rings when it moves.
                await waits.close_wait(connection, call.run_id, call.step, call.occurrence)
                await waits.open_wait(
                    connection, call.run_id, opened.run.customer_id, call.step, call.occurrence, call.due_at, until
                )
            await self._tell(connection, call, "wait", until)
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
            wait = await waits.open_wait(
                connection, call.run_id, opened.run.customer_id, call.step, call.occurrence, call.due_at,
                call.due_at + timedelta(seconds=step.for_seconds),
            )  # fmt: skip
            if satisfied(step, wait, opened.known.facts, opened.version):
                await waits.close_wait(connection, call.run_id, call.step, call.occurrence)
                await runs.record_step(
                    connection, call.run_id, call.step, call.occurrence, "wait_for", "then", opened.now
                )
                return StepResult(outcome="then", at=opened.now)
            await self._tell(connection, call, "wait_for", wait.until)
            return StepResult(outcome="waiting", at=opened.now, until=wait.until)

    @activity.defn(name="Step.skip")
    async def skip(self, call: StepCall) -> StepResult:
        """Pass this step over: it was overdue for too long after a pause."""
        async with self._database.transaction() as connection:
            opened = await self._opening.open(connection, call)
            if isinstance(opened, StepResult):
                return opened
            step = opened.version.steps[call.step]
            assert isinstance(step, Act)
            detail = "overdue after a pause"
            await runs.record_step(
                connection, call.run_id, call.step, call.occurrence, step.word, "skipped", opened.now, detail
            )
            return StepResult(outcome="skipped", at=opened.now, detail=detail)

    async def _tell(self, connection: Connection, call: StepCall, word: str, until: datetime) -> None:
        """Note that the run waits, of the time at which the wait began."""
        told = f"until {until:%Y-%m-%d %H:%M} UTC"
        await runs.record_step(
            connection, call.run_id, call.step, call.occurrence, word, "waiting", call.due_at, told
        )

    @activity.defn(name="Wait.close")
    async def close(self, call: StepCall) -> StepResult:
        """The time is up: `then` if it came in time after all, else `else`. Events come before timers."""
        async with self._database.transaction() as connection:
            opened = await self._opening.open(connection, call)
            if isinstance(opened, StepResult):
                return opened
            step = opened.version.steps[call.step]
            assert isinstance(step, WaitFor)
            until = call.due_at + timedelta(seconds=step.for_seconds)
            wait = waits.OpenWait(call.run_id, call.step, call.occurrence, call.due_at, until)
            listening = await waits.close_wait(connection, call.run_id, call.step, call.occurrence)
            # Nobody listening: the evaluator saw it and its word is in the inbox.
            outcome = (
                "then"
                if not listening or satisfied(step, wait, opened.known.facts, opened.version)
                else "else"
            )
            await runs.record_step(
                connection, call.run_id, call.step, call.occurrence, "wait_for", outcome, opened.now
            )
            return StepResult(outcome=outcome, at=opened.now)


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


def end_of_wait(spec: WaitSpec, since: datetime, facts: Facts, default_zone: str) -> datetime | None:
    """When a wait that began at `since` is over in the customer's own time, by what is known now; None: no date."""
    country = _text(facts.signals.get("country")) or _text(facts.profile.get("country"))
    region = _text(facts.profile.get("region")) or _text(facts.profile.get("state"))
    return wait_ends(
        spec,
        since=since,
        zone=_text(facts.profile.get("timezone")),
        default_zone=default_zone,
        country=country,
        signal_value=facts.signals.get(spec.signal) if isinstance(spec, BeforeDate) else None,
        holidays=holidays_within(spec, since, country, region),
    )


def satisfied(step: WaitFor, wait: waits.OpenWait, facts: Facts, version: Version) -> bool:
    """Whether what a `wait_for` waits for has come; only events since it began count."""
    if step.when is not None:
        return version.holds(step.when, facts) is True
    match = step.event
    return match is not None and any(
        wait.since <= event.at <= min(wait.until, facts.now) and event_matches(match, event) is True
        for event in facts.events
        if event.name == match.name
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
