"""What a look at customers means for the runs that are open: goals, exits, events they wait for, dates that move."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from activities.facts import Known
from activities.interruptions import find_interruption
from activities.running import close_run
from activities.steps import StepOpening
from activities.versions import Version
from activities.waiting import satisfied
from loops.batch import Batch
from rules.reference import explain
from rules.waits import end_of_wait
from schemas.plan import BeforeDate, Wait, WaitFor
from schemas.policy import Policy
from schemas.run import RunEnd
from store import inbox, run_steps, waits
from store.database import Connection
from store.runs import Run


async def attend_runs(
    connection: Connection,
    opening: StepOpening,
    batch: Batch,
    open_runs: dict[str, list[tuple[Run, Version]]],
    known: dict[str, Known],
    policy: Policy,
) -> None:
    """Mark goals and exits of open runs, hand waits what they wait for, and follow dates that move.

    Runs of the held out that end by that are taken out of `open_runs`.
    """
    listening: dict[str, list[waits.OpenWait]] = defaultdict(list)
    if open_runs:
        for wait in await waits.load_waits(connection, list(open_runs)):
            listening[wait.run_id].append(wait)
    for customer_id, theirs in open_runs.items():
        facts = known[customer_id].facts
        for run, version in list(theirs):
            if run.interruption:
                continue
            found = find_interruption(version, run, facts)
            if found and run.arm == "held_out":
                end = RunEnd(outcome=found.outcome, reason=found.reason, at=found.at)
                await close_run(connection, opening, run, end, batch.now)
                theirs.remove((run, version))
                continue
            if found:
                batch.rung += await inbox.interrupt(connection, run.id, found)
                continue
            for condition in version.watched:
                batch.look_again(customer_id, explain(condition, facts).changes_at)
            for wait in listening.get(run.id, ()):
                step = version.steps.get(wait.step)
                if isinstance(step, Wait):
                    batch.rung += await _follow_date(
                        connection, step, wait, known[customer_id], policy, batch.now
                    )
                elif not isinstance(step, WaitFor):
                    continue
                elif satisfied(step, wait, facts, version):
                    await waits.close_wait(connection, run.id, wait.step, wait.occurrence)
                    await run_steps.record_step(
                        connection, run.id, wait.step, wait.occurrence, "wait_for", "then", batch.now
                    )
                    await inbox.post(
                        connection, run.id, "event", batch.now, step=wait.step, occurrence=wait.occurrence,
                        outcome="then",
                    )  # fmt: skip
                    batch.rung += 1
                elif step.when is not None:
                    batch.look_again(customer_id, explain(step.when, facts).changes_at)


async def _follow_date(
    connection: Connection, step: Wait, wait: waits.OpenWait, known: Known, policy: Policy, now: datetime
) -> bool:
    """Move a wait that counts from a date where the date is another now; whether the run was rung."""
    if not isinstance(step.spec, BeforeDate) or wait.until < now:
        return False
    until = end_of_wait(step.spec, wait.since, known.facts, policy.default_zone)
    if until == wait.until:
        return False
    if until is None:
        await waits.close_wait(connection, wait.run_id, wait.step, wait.occurrence)
    else:
        await waits.move_wait(connection, wait.run_id, wait.step, wait.occurrence, until)
    await inbox.post(
        connection, wait.run_id, "moved", now, step=wait.step, occurrence=wait.occurrence, outcome="moved"
    )
    return True
