"""What interventions came to: one row per ended run, held-out ones included, so that effect can mean effect."""

from __future__ import annotations

from collections.abc import Mapping
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


async def load_costs(connection: AsyncConnection, run_id: str) -> tuple[float, int]:
    """What the run's messages cost, and how many of its calls a person made."""
    row = (
        await connection.execute(
            text(
                "SELECT (SELECT coalesce(sum(cost), 0) FROM deliveries WHERE run_id = :run AND state IN ('accepted', 'unknown')) "
                "AS messages, (SELECT count(*) FROM tasks WHERE run_id = :run AND state = 'done') AS calls"
            ),
            {"run": run_id},
        )
    ).one()
    return float(row.messages), int(row.calls)


async def load_arms(connection: AsyncConnection) -> list[dict[str, Any]]:
    """Per playbook and arm: entries that are over, how many reached the goal, and what they cost."""
    rows = await connection.execute(
        text(
            "SELECT playbook, arm, count(*) AS n, count(*) FILTER (WHERE success_achieved) AS successes, "
            "count(*) FILTER (WHERE (improvement_metrics ->> 'retained') = 'false') AS churned, "
            "sum(cost_to_execute) AS cost, sum(estimated_retention_value) FILTER (WHERE success_achieved) AS value, "
            "avg((improvement_metrics ->> 'health_change')::float8) AS health_change, bool_or(success_measured) AS measured "
            "FROM intervention_executions GROUP BY playbook, arm ORDER BY playbook, arm"
        )
    )
    return [dict(row._mapping) for row in rows]
