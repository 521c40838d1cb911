"""Reading what passed between this system and others: webhooks that went out, requests that came in."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.access import Principal
from schemas.errors import ConflictError, NotFoundError
from store.audit import record_change

Direction = Literal["out", "in"]
Passage = Literal["waiting", "done", "failed", "unknown"]

# What came in has no id of the form that cursors hold; its number becomes one that sorts alike.
_OUT = """
    SELECT 'out' AS direction, d.id::text AS id, d.created_at AS at, coalesce(d.content ->> 'title', d.step) AS subject,
        CASE WHEN d.state IN ('claimed', 'retrying') THEN 'waiting' WHEN d.state = 'accepted' THEN 'done'
            WHEN d.state = 'unknown' THEN 'unknown' ELSE 'failed' END AS state,
        d.attempt AS attempts, d.error_code AS code, d.error, d.settled_at AS done_at, NULL::timestamptz AS next_at,
        d.run_id::text AS run_id, false AS retryable
    FROM deliveries d WHERE d.channel = 'webhook' {conditions}
    ORDER BY d.created_at DESC, d.id DESC LIMIT :limit
"""
_IN = """
    SELECT 'in' AS direction, lpad(to_hex(h.id), 32, '0')::uuid::text AS id, h.received_at AS at, h.source AS subject,
        CASE WHEN h.done_at IS NULL THEN 'waiting' WHEN h.error IS NULL THEN 'done' ELSE 'failed' END AS state,
        h.attempts, NULL AS code, h.error, h.done_at, h.next_at, NULL AS run_id,
        h.done_at IS NOT NULL AND h.error IS NOT NULL AND length(h.body) > 0 AS retryable
    FROM hook_requests h WHERE true {conditions}
    ORDER BY h.received_at DESC, h.id DESC LIMIT :limit
"""
_STATES = {
    "out": {
        "waiting": "d.state IN ('claimed', 'retrying')", "done": "d.state = 'accepted'",
        "failed": "d.state IN ('failed', 'skipped')", "unknown": "d.state = 'unknown'",
    },
    "in": {
        "waiting": "h.done_at IS NULL", "done": "h.done_at IS NOT NULL AND h.error IS NULL",
        "failed": "h.done_at IS NOT NULL AND h.error IS NOT NULL", "unknown": "false",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LogRow:
    """One thing that passed. `subject`: where it went to, or which source it came from; `code`: what was answered (a
    status code, or our own word for why it wasn't sent); `retryable`: it was given up and can be tried again.
    """

    direction: Direction
    id: str
    at: datetime
    subject: str
    state: Passage
    attempts: int
    code: str | None
    error: str | None
    done_at: datetime | None
    next_at: datetime | None
    run_id: str | None
    retryable: bool


async def list_log(
    connection: AsyncConnection,
    *,
    direction: Direction | None = None,
    state: Passage | None = None,
    source: str | None = None,
    since: datetime | None = None,
    limit: int = 50,
    before: tuple[datetime, str] | None = None,
) -> list[LogRow]:
    """What passed, newest first; `source` is of what came in, `before` the (at, id) of the last one seen."""
    values: dict[str, Any] = {"limit": limit}
    parts = []
    for one, query, at, key in (
        ("out", _OUT, "d.created_at", "d.id"),
        ("in", _IN, "h.received_at", "lpad(to_hex(h.id), 32, '0')::uuid"),
    ):
        if direction not in (None, one) or (one == "out" and source is not None):
            continue
        conditions = []
        if state is not None:
            conditions.append(_STATES[one][state])
        if source is not None:
            conditions.append("h.source = :source")
            values["source"] = source
        if since is not None:
            conditions.append(f"{at} >= :since")
            values["since"] = since
        if before is not None:
            # The first bound leads the index; the second is exact.
            conditions.append(
                f"{at} <= :before_at AND ({at}, {key}) < (:before_at, CAST(:before_id AS uuid))"
            )
            values["before_at"], values["before_id"] = before
        parts.append(f"({query.format(conditions=''.join(f' AND {each}' for each in conditions))})")
    if not parts:
        return []
    rows = await connection.execute(
        text(
            f"SELECT * FROM ({' UNION ALL '.join(parts)}) x ORDER BY at DESC, CAST(id AS uuid) DESC LIMIT :limit"
        ),
        values,
    )
    return [LogRow(**row._mapping) for row in rows]


async def retry_request(connection: AsyncConnection, actor: Principal, key: str, now: datetime) -> str:
    """Take up a request again that was given up; returns whose it is.

    Raises NotFoundError, ConflictError where it is done or still waits, or its body is gone.
    """
    try:
        number = uuid.UUID(key).int
    except ValueError:
        number = 0
    if not 0 < number < 2**63:
        raise NotFoundError(f"There is no request {key[:60]!r}.", remedy="The log lists them.")
    found = await connection.execute(
        text(
            "SELECT source, attempts, done_at, error, length(body) AS size FROM hook_requests WHERE id = :id FOR UPDATE"
        ),
        {"id": number},
    )
    row = found.first()
    if row is None:
        raise NotFoundError(f"There is no request {key[:60]!r}.", remedy="The log lists them.")
    if row.done_at is None:
        raise ConflictError("The request still waits: it is tried again by itself.")
    if row.error is None or not row.size:
        raise ConflictError("The request is done, so its body was dropped.")
    await connection.execute(
        text(
            "UPDATE hook_requests SET done_at = NULL, error = NULL, next_at = :now, attempts = 0 WHERE id = :id"
        ),
        {"id": number, "now": now},
    )
    await record_change(
        connection, actor, "hook_request.retried", object_kind="hook_request", object_id=str(number),
        before={"source": row.source, "attempts": row.attempts, "given_up": True}, after={"given_up": False},
    )  # fmt: skip
    return str(row.source)
