"""Reading runs, with all that belongs to one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import NotFoundError
from store.asking import Source
from store.reading_rows import RunRow, StepRow, WaitRow, fetch_rows

State = Literal["open", "starting", "running", "observed", "ended"]

_SELECT = """
    SELECT r.id::text AS id, r.playbook, r.version, c.external_id AS user_id,
        coalesce(c.business_name, c.first_name) AS customer_name, r.key, r.arm, r.state, r.paused, r.step,
        r.trigger, r.variants, r.health_at_entry, r.churn_at_entry, r.entered_at, r.goal_by, r.outcome,
        r.reason, r.ended_at, r.workflow_id, r.execution_id
    FROM runs r JOIN customers c ON c.id = r.customer_id
    """


async def list_runs(
    source: Source,
    *,
    playbook: str | None = None,
    customer: str | None = None,
    state: State | None = None,
    outcome: str | None = None,
    arm: str | None = None,
    variant: str | None = None,
    since: datetime | None = None,
    limit: int = 50,
    before: tuple[datetime, str] | None = None,
) -> list[RunRow]:
    """Runs, newest first; `customer` is the caller's id, `before` (entered_at, id) of the last one seen.

    variant: `experiment:variant`, or the variant's name alone; since: entered then or later.
    """
    conditions: list[str] = []
    values: dict[str, Any] = {}
    if playbook is not None:
        conditions.append("r.playbook = %(playbook)s")
        values["playbook"] = playbook
    if customer is not None:
        conditions.append("r.customer_id = (SELECT id FROM customers WHERE external_id = %(customer)s)")
        values["customer"] = customer
    if state == "open":
        conditions.append("r.ended_at IS NULL")
    elif state is not None:
        conditions.append("r.state = %(state)s")
        values["state"] = state
    for name, value, condition in (
        ("outcome", outcome, "r.outcome = %(outcome)s"),
        ("arm", arm, "r.arm = %(arm)s"),
        ("since", since, "r.entered_at >= %(since)s"),
    ):
        if value is not None:
            conditions.append(condition)
            values[name] = value
    if variant is not None:
        experiment, _, drawn = variant.rpartition(":")
        conditions.append(
            "r.variants ->> %(experiment)s = %(variant)s"
            if experiment
            else "EXISTS (SELECT 1 FROM jsonb_each_text(r.variants) v WHERE v.value = %(variant)s)"
        )
        values["variant"] = drawn
        if experiment:
            values["experiment"] = experiment
    if before is not None:
        conditions.append("(r.entered_at, r.id) < (%(before_at)s, CAST(%(before_id)s AS uuid))")
        values["before_at"], values["before_id"] = before
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return await fetch_rows(
        source, RunRow, f"{_SELECT}{where}ORDER BY r.entered_at DESC, r.id DESC LIMIT {int(limit)}", values
    )


async def read_run(source: Source, run_id: str) -> RunRow:
    """One run. Raises NotFoundError, also for what is no id."""
    missing = NotFoundError(
        f"There is no run {run_id[:60]!r}.", remedy="`holdfast runs` lists runs with their ids."
    )
    try:
        uuid.UUID(run_id)
    except ValueError:
        raise missing from None
    rows = await fetch_rows(source, RunRow, f"{_SELECT}WHERE r.id = CAST(%(id)s AS uuid)", {"id": run_id})
    if not rows:
        raise missing
    return rows[0]


async def list_steps(source: Source, run_id: str, *, limit: int | None = None) -> list[StepRow]:
    """The run's trace (at most its first `limit` lines), in order of time; that a reward was taken back is a second line
    of its step.
    """
    return await fetch_rows(
        source,
        StepRow,
        "SELECT step, occurrence, word, outcome, detail, at FROM run_steps WHERE run_id = CAST(%(run)s AS uuid) "
        "UNION ALL SELECT step, occurrence, 'reward', 'taken_back', feature, revoked_at FROM rewards "
        "WHERE run_id = CAST(%(run)s AS uuid) AND revoked_at IS NOT NULL ORDER BY at, step, occurrence "
        "LIMIT %(limit)s",
        {"run": run_id, "limit": limit},
    )


async def list_waits(source: Source, run_id: str) -> list[WaitRow]:
    """What the run listens for."""
    return await fetch_rows(
        source,
        WaitRow,
        "SELECT step, occurrence, since, until FROM waits WHERE run_id = CAST(%(run)s AS uuid) "
        "ORDER BY since, step",
        {"run": run_id},
    )


async def count_open(connection: AsyncConnection) -> Sequence[tuple[str, int, int]]:
    """(playbook, treated runs open, held-out ones under observation), most first."""
    rows = await connection.execute(
        text(
            "SELECT playbook, count(*) FILTER (WHERE arm = 'treated') AS treated, "
            "count(*) FILTER (WHERE arm = 'held_out') AS held_out FROM runs WHERE ended_at IS NULL "
            "AND arm <> 'shadow' GROUP BY playbook ORDER BY count(*) DESC, playbook"
        )
    )
    return [(row.playbook, row.treated, row.held_out) for row in rows]
