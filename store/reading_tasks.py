"""Reading the lists of calls and tasks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from store.asking import Source
from store.reading_rows import TaskRow, fetch_rows
from store.tasks import load_task

_SELECT = """
    SELECT t.id::text AS id, t.run_id::text AS run_id, r.playbook, c.external_id AS user_id,
        coalesce(c.business_name, c.first_name) AS customer_name, c.phone, t.step, t.kind, t.title, t.about,
        t.assignee, t.escalated_to, t.outcomes, t.state, t.outcome, t.notes, t.completed_by, t.created_at,
        t.due_at, t.closed_at, coalesce(t.taken_by, t.escalated_to, t.assignee) AS holder, t.team,
        t.assigned_because, t.taken_by, t.taken_at, t.remind_at, t.reminded_at, t.starts_at, t.satisfaction_rating,
        t.duration_minutes, t.follows::text AS follows,
        s.plan, s.health_score, s.risk_level, s.churn_probability, s.last_login
    FROM tasks t JOIN customers c ON c.id = t.customer_id LEFT JOIN runs r ON r.id = t.run_id
        LEFT JOIN signals s ON s.customer_id = t.customer_id
    """


async def list_tasks(
    source: Source,
    *,
    assignee: str | None = None,
    state: str | None = None,
    run_id: str | None = None,
    customer: str | None = None,
    holder: str | None = None,
    team: str | None = None,
    unassigned: bool = False,
    due_before: datetime | None = None,
    limit: int = 100,
) -> list[TaskRow]:
    """Tasks, the most pressing first, closed ones last; an assignee's include those escalated to or taken by them.

    holder: who has it now; of a team also what nobody took yet. unassigned: only what waits on a team's list. due_before: open work that is due then or earlier.
    """
    conditions: list[str] = []
    values: dict[str, Any] = {}
    for column, name, value in (
        (
            "(t.assignee = %(assignee)s OR t.escalated_to = %(assignee)s OR t.taken_by = %(assignee)s)",
            "assignee",
            assignee,
        ),
        ("coalesce(t.taken_by, t.escalated_to, t.assignee) = %(holder)s", "holder", holder),
        ("t.team = %(team)s", "team", team),
        ("t.state = 'open' AND t.due_at <= %(due_before)s", "due_before", due_before),
        ("t.state = %(state)s", "state", state),
        ("t.run_id = CAST(%(run)s AS uuid)", "run", run_id),
        ("c.external_id = %(customer)s", "customer", customer),
    ):
        if value is not None:
            conditions.append(column)
            values[name] = value
    if unassigned:
        conditions.append("t.team = coalesce(t.taken_by, t.escalated_to, t.assignee)")
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return await fetch_rows(
        source,
        TaskRow,
        # What is open isn't closed, so it comes first; an index has this order.
        f"{_SELECT}{where}ORDER BY t.closed_at DESC NULLS FIRST, t.due_at, t.id LIMIT {int(limit)}",
        values,
    )


async def read_task(connection: AsyncConnection, task: str) -> TaskRow:
    """One task. Raises NotFoundError."""
    found = await load_task(connection, task, lock=False)
    [row] = await fetch_rows(
        connection, TaskRow, f"{_SELECT}WHERE t.id = CAST(%(id)s AS uuid)", {"id": found.id}
    )
    return row
