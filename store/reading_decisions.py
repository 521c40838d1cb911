"""Reading what was decided about entries, and the published playbooks with what came of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.reading_rows import DecisionRow, PlaybookRow

_DECISIONS = """
    SELECT d.id, d.at, c.external_id AS user_id, coalesce(c.business_name, c.first_name) AS customer_name,
        d.playbook, d.version, d.reason, d.detail, d.until, d.run_id::text AS run_id, d.checks
    FROM decisions d LEFT JOIN customers c ON c.id = d.customer_id
    """

_PLAYBOOKS = text(
    """
    SELECT p.name, coalesce(p.compiled ->> 'title', p.name) AS title,
        coalesce(p.compiled ->> 'owner', '') AS owner,
        p.status, p.version, p.compiled ->> 'group' AS "group",
        coalesce((p.compiled ->> 'priority')::int, 50) AS priority, p.updated_at,
        coalesce(n.entrants, 0) AS entrants, coalesce(n.open, 0) AS open, coalesce(n.held_out, 0) AS held_out,
        coalesce(n.shadows, 0) AS shadows,
        coalesce(n.ended, 0) AS ended, coalesce(n.succeeded, 0) AS succeeded
    FROM playbooks p
    LEFT JOIN (
        SELECT playbook, count(*) FILTER (WHERE arm <> 'shadow') AS entrants,
            count(*) FILTER (WHERE ended_at IS NULL AND arm = 'treated') AS open,
            count(*) FILTER (WHERE arm = 'held_out') AS held_out,
            count(*) FILTER (WHERE arm = 'shadow') AS shadows,
            count(*) FILTER (WHERE ended_at IS NOT NULL AND arm = 'treated') AS ended,
            count(*) FILTER (WHERE outcome = 'success' AND arm = 'treated') AS succeeded
        FROM runs GROUP BY playbook
    ) n ON n.playbook = p.name
    ORDER BY (p.status = 'retired'), p.name
    """
)


async def list_decisions(
    connection: AsyncConnection,
    *,
    customer: str | None = None,
    playbook: str | None = None,
    run_id: str | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[DecisionRow]:
    """Decisions, newest first; `customer` is the caller's id, `before` the id of the last one seen."""
    conditions: list[str] = []
    values: dict[str, Any] = {"limit": limit}
    if customer is not None:
        conditions.append("d.customer_id = (SELECT id FROM customers WHERE external_id = :customer)")
        values["customer"] = customer
    if playbook is not None:
        conditions.append("d.playbook = :playbook")
        values["playbook"] = playbook
    if run_id is not None:
        conditions.append("d.run_id = CAST(:run AS uuid)")
        values["run"] = run_id
    if before is not None:
        conditions.append("(d.at, d.id) < ((SELECT at FROM decisions WHERE id = :before), :before)")
        values["before"] = before
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    rows = await connection.execute(
        text(f"{_DECISIONS}{where}ORDER BY d.at DESC, d.id DESC LIMIT :limit"),
        values,
    )
    return [DecisionRow.model_validate(dict(row._mapping)) for row in rows]


async def list_playbook_names(connection: AsyncConnection) -> list[str]:
    """The names of all published playbooks, without counting anything."""
    return list((await connection.execute(text("SELECT name FROM playbooks ORDER BY name"))).scalars())


async def list_playbooks(connection: AsyncConnection) -> list[PlaybookRow]:
    """Every published playbook with its counts, retired ones last."""
    rows = await connection.execute(_PLAYBOOKS)
    return [PlaybookRow.model_validate(dict(row._mapping)) for row in rows]
