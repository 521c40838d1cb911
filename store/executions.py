"""What interventions came to: one row per ended run, held-out ones included, so that effect can mean effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.database import encode
from store.runs import Run


async def record_execution(
    connection: AsyncConnection,
    run: Run,
    *,
    outcome: str,
    notes: str,
    now: datetime,
    success_measured: bool,
    metrics: Mapping[str, Any],
    cost: float,
    retention_value: float | None,
) -> None:
    """Write the run's row of `intervention_executions`; a repetition changes nothing. Costs are in the policy's currency.

    A shadow run has none: it was no intervention, and nothing that is measured may count it.
    """
    if run.arm == "shadow":
        return
    await connection.execute(
        text(
            "INSERT INTO intervention_executions (run_id, playbook, version, customer_id, arm, triggered_at, trigger_reason, "
            "health_score_at_trigger, executed_at, completed_at, success_measured, success_achieved, improvement_metrics, "
            "cost_to_execute, estimated_retention_value, outcome, outcome_notes) VALUES (:run, :playbook, :version, :customer, "
            ":arm, :triggered, :reason, :health, (SELECT min(at) FROM run_steps WHERE run_id = :run), :now, :measured, "
            ":achieved, CAST(:metrics AS jsonb), :cost, :value, :outcome, :notes) ON CONFLICT DO NOTHING"
        ),
        {
            "run": run.id,
            "playbook": run.playbook,
            "version": run.version,
            "customer": run.customer_id,
            "arm": run.arm,
            "triggered": run.entered_at,
            "reason": str(run.trigger.get("reason", ""))[:500],
            "health": run.health_at_entry,
            "now": now,
            "measured": success_measured,
            "achieved": outcome == "success" if success_measured else None,
            "metrics": encode(metrics),
            "cost": cost,
            "value": retention_value,
            "outcome": outcome,
            "notes": notes[:1000],
        },
    )


async def load_costs(
    connection: AsyncConnection, run_id: str, *, otherwise_minutes: int
) -> tuple[float, int]:
    """What the run's messages cost, and how many minutes people spent on its calls and tasks: those that they wrote
    down, else `otherwise_minutes` each.
    """
    row = (
        await connection.execute(
            text(
                "SELECT (SELECT coalesce(sum(cost), 0) FROM deliveries WHERE run_id = :run AND state IN ('accepted', 'unknown')) "
                "AS messages, (SELECT coalesce(sum(coalesce(duration_minutes, :otherwise)), 0) FROM tasks "
                "WHERE run_id = :run AND state = 'done') AS minutes"
            ),
            {"run": run_id, "otherwise": otherwise_minutes},
        )
    ).one()
    return float(row.messages), int(row.minutes)


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    """What one run came to. Costs and values in the policy's currency; `metrics` are the changes from entry to end."""

    success_achieved: bool | None
    cost: float
    retention_value: float | None
    metrics: Mapping[str, Any]


async def find_execution(connection: AsyncConnection, run_id: str) -> ExecutionRow | None:
    """What an ended run came to; None while it isn't over, and of shadows."""
    row = (
        await connection.execute(
            text(
                "SELECT success_achieved, cost_to_execute, estimated_retention_value, improvement_metrics "
                "FROM intervention_executions WHERE run_id = CAST(:run AS uuid)"
            ),
            {"run": run_id},
        )
    ).first()
    if row is None:
        return None
    value = row.estimated_retention_value
    return ExecutionRow(
        row.success_achieved,
        float(row.cost_to_execute or 0),
        None if value is None else float(value),
        row.improvement_metrics or {},
    )


async def load_arms(connection: AsyncConnection, playbook: str | None = None) -> list[dict[str, Any]]:
    """Per playbook (or of that one) and arm: entries that are over, how many reached the goal, and what they cost."""
    rows = await connection.execute(
        text(
            "SELECT playbook, arm, count(*) AS n, count(*) FILTER (WHERE success_achieved) AS successes, "
            "count(*) FILTER (WHERE (improvement_metrics ->> 'retained') = 'false') AS churned, "
            "sum(cost_to_execute) AS cost, sum(estimated_retention_value) FILTER (WHERE success_achieved) AS value, "
            "avg((improvement_metrics ->> 'health_change')::float8) AS health_change, bool_or(success_measured) AS measured "
            "FROM intervention_executions WHERE CAST(:playbook AS text) IS NULL OR playbook = :playbook "
            "GROUP BY playbook, arm ORDER BY playbook, arm"
        ),
        {"playbook": playbook},
    )
    return [dict(row._mapping) for row in rows]
