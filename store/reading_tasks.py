"""Reading the lists of calls and tasks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.reading_rows import TaskRow

_SELECT = """
    SELECT t.id::text AS id, t.run_id::text AS run_id, r.playbook, c.external_id AS user_id,
        coalesce(c.business_name, c.first_name) AS customer_name, c.phone, t.step, t.kind, t.title, t.about,
        t.assignee, t.escalated_to, t.outcomes, t.state, t.outcome, t.notes, t.completed_by, t.created_at,
        t.due_at, t.closed_at
    FROM tasks t JOIN runs r ON r.id = t.run_id JOIN customers c ON c.id = t.customer_id
    """


async def list_tasks(
    connection: AsyncConnection,
    *,
    assignee: str | None = None,
    state: str | None = None,
    run_id: str | None = None,
    customer: str | None = None,
    limit: int = 100,
) -> list[TaskRow]:
    """Tasks, the most pressing first, closed ones last; an assignee's include those escalated to them."""
    conditions: list[str] = []
    values: dict[str, Any] = {"limit": limit}
    for column, name, value in (
        ("(t.assignee = :assignee OR t.escalated_to = :assignee)", "assignee", assignee),
        ("t.state = :state", "state", state),
        ("t.run_id = CAST(:run AS uuid)", "run", run_id),
        ("c.external_id = :customer", "customer", customer),
    ):
        if value is not None:
            conditions.append(column)
            values[name] = value
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    rows = await connection.execute(
        text(
            f"{_SELECT}{where}ORDER BY (t.state <> 'open'), CASE WHEN t.state = 'open' THEN t.due_at END, "
            "t.closed_at DESC, t.id LIMIT :limit"
        ),
        values,
    )
    return [TaskRow.model_validate(dict(row._mapping)) for row in rows]
