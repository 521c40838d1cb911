"""Reading what changed lately, for those who watch."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Whoever has something to tell rings this channel; watchers look by themselves now and then, too.
CHANNEL = "holdfast_changes"
# So many are read at a time where all are.
PAGE = 500

# Each part asks what an index answers, so that a look costs what changed and not what there is.
_LATEST_FIRST = """
    SELECT x.kind, x.id, coalesce(x.run_id::text, '') AS run_id, CASE WHEN x.kind = 'playbook' THEN x.id ELSE coalesce(r.playbook, '') END AS playbook,
        coalesce(c.external_id, '') AS user_id, x.state, x.at
    FROM (
        SELECT 'run' AS kind, id::text AS id, id AS run_id, customer_id,
            CASE WHEN paused THEN 'paused' ELSE coalesce(outcome, state) END AS state,
            greatest(entered_at, pause_noted_at, ended_at) AS at
        FROM runs WHERE entered_at >= :since OR ended_at >= :since
            OR (pause_noted_at IS NOT NULL AND pause_noted_at >= :since)
        UNION ALL
        -- What a run waits for is put off in its workflow alone; who did that is written down.
        SELECT 'run', r.id::text, r.id, r.customer_id, 'snoozed', a.at
        FROM audit_log a JOIN runs r ON r.id = CASE WHEN a.object_kind = 'run' THEN CAST(a.object_id AS uuid) END
        WHERE a.at >= :since AND a.object_kind = 'run' AND a.action = 'run.snoozed'
        UNION ALL
        SELECT 'step', step || CASE WHEN occurrence > 0 THEN '#' || occurrence ELSE '' END, run_id, NULL,
            outcome, at
        FROM run_steps WHERE at >= :since
        UNION ALL
        SELECT 'delivery', id::text, run_id, customer_id, CASE WHEN seen_at IS NULL THEN state ELSE 'seen' END,
            greatest(created_at, claimed_at, settled_at, seen_at)
        FROM deliveries
        WHERE created_at >= :since OR settled_at >= :since OR (seen_at IS NOT NULL AND seen_at >= :since)
            OR (state IN ('claimed', 'unknown') AND claimed_at >= :since)
        UNION ALL
        SELECT 'task', id::text, run_id, customer_id,
            CASE WHEN state = 'open' AND reminded_at IS NOT NULL THEN 'due_soon' ELSE coalesce(outcome, state) END,
            greatest(created_at, closed_at, taken_at, reminded_at)
        FROM tasks WHERE greatest(created_at, closed_at, taken_at, reminded_at) >= :since
        UNION ALL
        -- Handed on, given back, agreed for another time: what leaves no moment of its own, but who did it is written down.
        SELECT 'task', t.id::text, t.run_id, t.customer_id,
            CASE WHEN t.state = 'open' AND t.reminded_at IS NOT NULL THEN 'due_soon' ELSE coalesce(t.outcome, t.state) END,
            a.at
        FROM audit_log a JOIN tasks t ON t.id = CASE WHEN a.object_kind = 'task' THEN CAST(a.object_id AS uuid) END
        WHERE a.at >= :since AND a.object_kind = 'task'
        UNION ALL
        SELECT 'reward', id::text, run_id, customer_id, CASE WHEN revoked_at IS NULL THEN 'granted' ELSE 'taken_back' END,
            greatest(granted_at, revoked_at)
        FROM rewards WHERE greatest(granted_at, revoked_at) >= :since
        UNION ALL
        SELECT 'alert', id::text, NULL, NULL, CASE WHEN resolved_at IS NOT NULL THEN 'resolved'
            WHEN acknowledged_at IS NOT NULL THEN 'acknowledged' ELSE severity END,
            greatest(at, acknowledged_at, resolved_at)
        FROM alerts WHERE at >= :since OR acknowledged_at >= :since OR resolved_at >= :since
        UNION ALL
        SELECT 'playbook', name, NULL, NULL, kind, at FROM publications WHERE at >= :since
    ) x
    LEFT JOIN runs r ON r.id = x.run_id
    LEFT JOIN customers c ON c.id = coalesce(x.customer_id, r.customer_id)
    ORDER BY x.at DESC, x.id
"""
_CHANGES = text(f"{_LATEST_FIRST} LIMIT :limit")
# A cursor of the server's alone: whoever is cancelled in the midst leaves nothing behind but a transaction that ends.
_OPEN = text(f"DECLARE latest_changes NO SCROLL CURSOR FOR {_LATEST_FIRST}")
_FETCH = text(f"FETCH FORWARD {PAGE} FROM latest_changes")


class ChangeRow(msgspec.Struct, frozen=True, rename="camel"):
    """Something that changed: a run, a step of one, a message, a task or a reward."""

    kind: str
    id: str
    run_id: str
    playbook: str
    user_id: str
    state: str
    at: Annotated[datetime, msgspec.Meta(tz=True)]


async def list_changes(connection: AsyncConnection, since: datetime, limit: int = 500) -> list[ChangeRow]:
    """What changed at or after `since`, in order of time; the latest `limit` where it is more."""
    rows = await connection.execute(_CHANGES, {"since": since, "limit": limit})
    return [ChangeRow(*row) for row in reversed(rows.all())]


async def stream_changes(
    connection: AsyncConnection, since: datetime
) -> AsyncGenerator[Sequence[ChangeRow], None]:
    """Everything that changed at or after `since`, the latest first, in pages; once in a transaction."""
    await connection.execute(_OPEN, {"since": since})
    while True:
        rows = (await connection.execute(_FETCH)).all()
        yield [ChangeRow(*row) for row in rows]
        if len(rows) < PAGE:
            return
