"""Runs that wait to be started, and those that should have a workflow: leases on their rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.runs import LEASE, Run, read_run


async def lease_starts(connection: AsyncConnection, now: datetime, limit: int) -> list[Run]:
    """Take up to `limit` runs that wait to be started; nobody else gets them before the lease is over."""
    rows = await connection.execute(
        text(
            "UPDATE runs SET next_start_at = :later, start_attempts = start_attempts + 1 WHERE id IN ("
            "SELECT id FROM runs WHERE state = 'starting' AND next_start_at <= :now "
            "ORDER BY next_start_at LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING *"
        ),
        {"now": now, "later": now + LEASE, "limit": limit},
    )
    return [read_run(row) for row in rows]


async def load_traces(connection: AsyncConnection, run_ids: Sequence[str]) -> dict[str, str]:
    """The traces that led to these runs, of those that have one."""
    rows = await connection.execute(
        text(
            "SELECT id::text, traceparent FROM runs WHERE id = ANY(CAST(:ids AS uuid[])) AND traceparent IS NOT NULL"
        ),
        {"ids": list(run_ids)},
    )
    return {row[0]: row[1] for row in rows}


async def mark_started(connection: AsyncConnection, run_ids: Sequence[str]) -> None:
    """These runs have their workflow."""
    await connection.execute(
        text(
            "UPDATE runs SET state = 'running', next_start_at = NULL, start_attempts = 0 "
            "WHERE id = ANY(CAST(:ids AS uuid[])) AND state = 'starting'"
        ),
        {"ids": list(run_ids)},
    )


async def start_later(connection: AsyncConnection, run_id: str, at: datetime) -> None:
    """Try this start again at `at`."""
    await connection.execute(
        text("UPDATE runs SET next_start_at = :at WHERE id = :id AND state = 'starting'"),
        {"id": run_id, "at": at},
    )


async def restart(connection: AsyncConnection, run_id: str, execution_id: str | None, now: datetime) -> bool:
    """Start an open run anew whose execution is gone; False if it moved on meanwhile. `start_attempts` is then over 1."""
    done = await connection.execute(
        text(
            "UPDATE runs SET state = 'starting', execution_id = NULL, next_start_at = :now, start_attempts = 1 "
            "WHERE id = :id AND state = 'running' AND ended_at IS NULL AND execution_id IS NOT DISTINCT FROM :execution"
        ),
        {"id": run_id, "now": now, "execution": execution_id},
    )
    return bool(done.rowcount)


async def load_running(connection: AsyncConnection, after: str, limit: int) -> list[Run]:
    """Runs that should have a workflow, by id after `after` (a page)."""
    rows = await connection.execute(
        text(
            "SELECT * FROM runs WHERE state = 'running' AND id > CAST(:after AS uuid) ORDER BY id LIMIT :limit"
        ),
        {"after": after, "limit": limit},
    )
    return [read_run(row) for row in rows]
