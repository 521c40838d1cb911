"""A run's own books: reading its inbox, and closing it with what it came to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from temporalio import activity

from activities.facts import Known, load_known
from activities.interruptions import find_interruption
from activities.steps import StepOpening
from schemas.metrics import RUNS_ENDED, bound_playbook
from schemas.policy import Policy
from schemas.run import EndCall, InboxCall, InboxEntry, RunEnd
from scoring.churn import LIFETIME_MONTHS
from store import claiming, executions, inbox, runs, tasks
from store.customers import lock_customers
from store.database import Connection
from store.playbooks import load_policy
from store.runs import Run

# What a call takes of which nobody wrote down how long it was.
CALL_MINUTES = 15


class RunBooks:
    """Reads and writes what concerns a run as a whole."""

    def __init__(self, opening: StepOpening) -> None:
        self._opening = opening
        self._database = opening.database

    @activity.defn(name="Inbox.read")
    async def read(self, call: InboxCall) -> list[InboxEntry]:
        """What reached the run after entry `call.after`, in order."""
        async with self._database.transaction() as connection:
            if call.paused is not None:
                now = await self._database.clock.read(connection)
                await runs.set_paused(connection, call.run_id, paused=call.paused, now=now)
            return await inbox.read_inbox(connection, call.run_id, call.after)

    @activity.defn(name="Run.finish")
    async def finish(self, call: EndCall) -> RunEnd:
        """End the run, cancel its open tasks and record the outcome; returns the end that stands."""
        async with self._database.transaction() as connection:
            run = await runs.load_run(connection, call.run_id)
            await lock_customers(connection, [run.customer_id])
            bound = await runs.bind(connection, call.run_id, call.execution_id, None)
            if bound is None:
                run = await runs.load_run(connection, call.run_id)
                if run.ended_at and run.execution_id == call.execution_id:
                    return RunEnd.model_validate(
                        {"outcome": run.outcome, "reason": run.reason, "at": run.ended_at}
                    )
                return call.end
            now = (
                call.end.at if call.played else max(call.end.at, await self._database.clock.read(connection))
            )
            return await close_run(connection, self._opening, bound, call.end, now)


async def close_run(
    connection: Connection, opening: StepOpening, run: Run, end: RunEnd, now: datetime
) -> RunEnd:
    """Close an open run (treated or held out) whose customer is locked, with its row of intervention_executions."""
    # Whoever's version is gone ends all the same: else it could neither be stopped nor erased.
    version = await opening.versions.load_or_empty(connection, run.playbook, run.version)
    known = (await load_known(connection, [run.customer_id], now, version.needs, opening.catalogue))[
        run.customer_id
    ]
    if end.outcome in ("expired", "completed"):
        # At one instant events come before timers: what was reached by now counts, though nobody rang for it yet.
        found = run.interruption or find_interruption(version, run, known.facts)
        if found:
            end = RunEnd(outcome=found.outcome, reason=found.reason, at=found.at)
    await runs.end_run(connection, run.id, end.outcome, end.reason, end.at)
    await tasks.cancel_tasks(connection, run.id, now)
    await claiming.drop_unsent(connection, run.id, now)
    policy = await load_policy(connection)
    await executions.record_execution(
        connection,
        run,
        outcome=end.outcome,
        notes=end.reason,
        now=end.at,
        success_measured=version.playbook.goal is not None,
        metrics=_metrics(run, known),
        cost=await _cost(connection, run, policy),
        retention_value=_retention_value(run, known) if end.outcome == "success" else None,
    )
    RUNS_ENDED.labels(bound_playbook(run.playbook), end.outcome).inc()
    return end


def _metrics(run: Run, known: Known) -> dict[str, Any]:
    signals = known.facts.signals
    health = signals.get("health_score")
    change = (
        health - run.health_at_entry
        if isinstance(health, int | float) and run.health_at_entry is not None
        else None
    )
    return {
        "health_after": health,
        "health_change": change,
        "churn_before": run.churn_at_entry,
        "churn_after": signals.get("churn_probability"),
        "retained": signals.get("subscription_status") != "cancelled",
    }


async def _cost(connection: Connection, run: Run, policy: Policy) -> float:
    messages, minutes = await executions.load_costs(connection, run.id, otherwise_minutes=CALL_MINUTES)
    return messages + minutes * policy.costs.get("csm_minute", 0.0)


def _retention_value(run: Run, known: Known) -> float | None:
    """LTV that was at risk at entry: churn probability x 18 x monthly price (domain facts, section C)."""
    price = known.facts.signals.get("monthly_price")
    if run.churn_at_entry is None or not isinstance(price, int | float):
        return None
    return run.churn_at_entry * LIFETIME_MONTHS * price
