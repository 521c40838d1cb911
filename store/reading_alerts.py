"""Reading alerts, open and past, and noting that somebody has seen one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.access import Principal
from schemas.errors import ConflictError, NotFoundError
from store.asking import Source
from store.audit import record_change
from store.reading_rows import Row, fetch_rows

AlertState = Literal["open", "past"]
Severity = Literal["info", "warning", "critical"]

_COLUMNS = "id, kind, message, detail, severity, at, resolved_at, acknowledged_at, acknowledged_by, told_at"
# The gravest first while they are open.
_GRAVEST = "CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END"


class AlertRow(Row):
    """One alert. `kind` says what it is about, `told_at` when the alert webhook took it."""

    id: int
    kind: str
    message: str
    detail: Mapping[str, Any]
    severity: Severity
    at: datetime
    resolved_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    told_at: datetime | None


async def list_alerts(
    connection: AsyncConnection,
    *,
    state: AlertState | None = None,
    severity: Severity | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[AlertRow]:
    """Alerts, the latest first; open ones alone the gravest first. `before` is the id of the last one seen."""
    conditions: list[str] = []
    values: dict[str, Any] = {"limit": limit}
    if state is not None:
        conditions.append("resolved_at IS NULL" if state == "open" else "resolved_at IS NOT NULL")
    if severity is not None:
        conditions.append("severity = :severity")
        values["severity"] = severity
    if before is not None:
        conditions.append("id < :before")
        values["before"] = before
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    order = f"{_GRAVEST}, id DESC" if state == "open" and before is None else "id DESC"
    rows = await connection.execute(
        text(f"SELECT {_COLUMNS} FROM alerts {where}ORDER BY {order} LIMIT :limit"), values
    )
    return [AlertRow.model_validate(dict(row._mapping)) for row in rows]


class Untaken(Row):
    """An open alert that its webhook hasn't taken: how often that was tried, and when it is tried again."""

    id: int
    attempts: int
    next_at: datetime | None


async def list_untaken(source: Source) -> dict[int, Untaken]:
    """Open alerts that were told in vain, by id; what is being told for the first time isn't among them."""
    rows = await fetch_rows(
        source,
        Untaken,
        "SELECT id, tell_attempts AS attempts, tell_next_at AS next_at FROM alerts "
        "WHERE resolved_at IS NULL AND tell_attempts > 1",
        {},
    )
    return {row.id: row for row in rows}


class NamedRun(Row):
    """A run as an alert names it: by its workflow."""

    id: str
    playbook: str
    customer: str
    workflow_id: str


async def list_named_runs(source: Source, workflow_ids: Sequence[str]) -> list[NamedRun]:
    """The open runs of these workflows, as far as they are of runs."""
    # Ids of workflows have no index, customers' have: `playbook/<name>/<customer>`, or `shadow/…`.
    customers = {part for one in workflow_ids for part in one.split("/")[2:3] if _is_uuid(part)}
    return await fetch_rows(
        source,
        NamedRun,
        "SELECT r.id::text AS id, r.playbook, coalesce(c.business_name, c.first_name, c.external_id) AS customer, "
        "r.workflow_id FROM runs r JOIN customers c ON c.id = r.customer_id WHERE r.ended_at IS NULL "
        "AND r.customer_id = ANY(CAST(%(customers)s AS uuid[])) AND r.workflow_id = ANY(%(ids)s) ORDER BY r.entered_at, r.id",
        {"customers": sorted(customers), "ids": list(workflow_ids)},
    )


def _is_uuid(written: str) -> bool:
    try:
        uuid.UUID(written)
    except ValueError:
        return False
    return True


async def acknowledge_alert(
    connection: AsyncConnection, actor: Principal, alert: int, now: datetime
) -> AlertRow:
    """Somebody has seen it and looks after it. Raises NotFoundError; ConflictError where it is over or was acknowledged."""
    found = await connection.execute(
        text(f"SELECT {_COLUMNS} FROM alerts WHERE id = :id FOR UPDATE"), {"id": alert}
    )
    row = found.first()
    if row is None:
        raise NotFoundError(f"There is no alert {alert}.", remedy="The alerts are listed on /alerts.")
    if row.resolved_at is not None:
        raise ConflictError("The alert is over.", remedy="Nothing is left to do about it.")
    if row.acknowledged_at is not None:
        raise ConflictError(f"{row.acknowledged_by} has acknowledged it already.", remedy="Talk to them.")
    await connection.execute(
        text("UPDATE alerts SET acknowledged_at = :now, acknowledged_by = :by WHERE id = :id"),
        {"id": alert, "now": now, "by": actor.name},
    )
    await record_change(
        connection, actor, "alert.acknowledged", object_kind="alert", object_id=str(alert),
        before={"kind": row.kind, "acknowledged": False}, after={"kind": row.kind, "acknowledged": True},
    )  # fmt: skip
    return AlertRow.model_validate({**row._mapping, "acknowledged_at": now, "acknowledged_by": actor.name})
