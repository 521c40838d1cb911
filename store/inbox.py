"""What reaches runs: the entries of their inboxes, and the doorbells that say there are new ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.run import InboxEntry, Interruption
from store.runs import LEASE


async def interrupt(connection: AsyncConnection, run_id: str, interruption: Interruption) -> bool:
    """Mark that the run is to end, unless it is marked already (then the first mark stays); rings it."""
    done = await connection.execute(
        text(
            "UPDATE runs SET interruption = CAST(:value AS jsonb) "
            "WHERE id = :id AND ended_at IS NULL AND interruption IS NULL"
        ),
        {"id": run_id, "value": interruption.model_dump_json()},
    )
    if not done.rowcount:
        return False
    kind = interruption.kind if interruption.kind in ("goal", "exit") else "stop"
    await post(
        connection, run_id, kind, interruption.at, outcome=interruption.outcome, reason=interruption.reason
    )
    return True


async def post(
    connection: AsyncConnection,
    run_id: str,
    kind: str,
    at: datetime,
    *,
    step: str | None = None,
    occurrence: int = 0,
    outcome: str = "",
    reason: str = "",
) -> None:
    """Put an entry into the run's inbox and ring its doorbell."""
    # The bell first: its row is one transaction's at a time, so that numbers become visible in their order.
    await connection.execute(
        text(
            "INSERT INTO doorbells AS d (run_id, next_at) VALUES (:run, :at) "
            "ON CONFLICT (run_id) DO UPDATE SET rings = d.rings + 1, next_at = least(d.next_at, excluded.next_at)"
        ),
        {"run": run_id, "at": at},
    )
    await connection.execute(
        text(
            "INSERT INTO run_inbox (run_id, kind, step, occurrence, outcome, reason, at) "
            "VALUES (:run, :kind, :step, :occurrence, :outcome, :reason, :at)"
        ),
        {
            "run": run_id,
            "kind": kind,
            "step": step,
            "occurrence": occurrence,
            "outcome": outcome,
            "reason": reason,
            "at": at,
        },
    )


async def read_inbox(connection: AsyncConnection, run_id: str, after: int) -> list[InboxEntry]:
    """What came after entry `after`, in order."""
    rows = await connection.execute(
        text(
            "SELECT seq, kind, step, occurrence, outcome, reason, at FROM run_inbox "
            "WHERE run_id = :run AND seq > :after ORDER BY seq"
        ),
        {"run": run_id, "after": after},
    )
    return [InboxEntry(**row._mapping) for row in rows]


async def lease_doorbells(
    connection: AsyncConnection, now: datetime, limit: int
) -> list[tuple[str, int, str]]:
    """(run id, rings, workflow id) of runs to signal; leased like starts. Runs not started yet read their inbox anyway."""
    rows = await connection.execute(
        text(
            "UPDATE doorbells d SET next_at = :later FROM runs r WHERE r.id = d.run_id AND d.run_id IN ("
            "SELECT run_id FROM doorbells JOIN runs ON runs.id = run_id WHERE next_at <= :now "
            "AND runs.state <> 'starting' ORDER BY next_at LIMIT :limit FOR UPDATE OF doorbells SKIP LOCKED) "
            "RETURNING d.run_id, d.rings, r.workflow_id"
        ),
        {"now": now, "later": now + LEASE, "limit": limit},
    )
    return [(str(row.run_id), row.rings, row.workflow_id) for row in rows]


async def silence_doorbells(connection: AsyncConnection, rung: Sequence[tuple[str, int]]) -> None:
    """These were signalled; a doorbell that rang again meanwhile stays, due at once."""
    for run_id, rings in rung:
        await connection.execute(
            text("DELETE FROM doorbells WHERE run_id = :run AND rings = :rings"),
            {"run": run_id, "rings": rings},
        )
    await connection.execute(
        text("UPDATE doorbells SET next_at = '-infinity' WHERE run_id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": [run_id for run_id, _ in rung]},
    )
