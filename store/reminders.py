"""Reminding people of what is due soon, once; and taking off the lists what nobody waits for any more."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tasks import Task, load_task


async def claim_reminders(connection: AsyncConnection, now: datetime, limit: int = 100) -> list[Task]:
    """Open tasks whose reminder has come, marked as reminded of; no two workers get the same."""
    rows = await connection.execute(
        text(
            "UPDATE tasks SET reminded_at = :now WHERE id IN (SELECT id FROM tasks WHERE state = 'open' "
            "AND reminded_at IS NULL AND remind_at <= :now ORDER BY remind_at LIMIT :limit "
            "FOR UPDATE SKIP LOCKED) RETURNING id::text"
        ),
        {"now": now, "limit": limit},
    )
    return [await load_task(connection, row.id, lock=False) for row in rows.all()]


async def next_reminder(connection: AsyncConnection) -> datetime | None:
    """When somebody is to be reminded next."""
    row = await connection.execute(
        text("SELECT min(remind_at) FROM tasks WHERE state = 'open' AND reminded_at IS NULL")
    )
    found: datetime | None = row.scalar()
    return found


async def drop_unattended(connection: AsyncConnection, now: datetime) -> int:
    """Close as overdue what no run waits for and nobody did; returns how many."""
    done = await connection.execute(
        text(
            "UPDATE tasks SET state = 'overdue', outcome = 'overdue', closed_at = :now "
            "WHERE run_id IS NULL AND state = 'open' AND give_up_at <= :now"
        ),
        {"now": now},
    )
    return done.rowcount
