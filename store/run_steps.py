"""The record of what each step of a run came to, by its place in the plan and its occurrence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.database import encode

# What the record says while the step goes on.
UNFINISHED = ("open", "waiting", "holding")


async def record_step(
    connection: AsyncConnection,
    run_id: str,
    step: str,
    occurrence: int,
    word: str,
    outcome: str,
    at: datetime,
    detail: str = "",
    output: Mapping[str, Any] | None = None,
) -> None:
    """Note what a step came to; a later outcome of the same occurrence replaces an earlier one.

    output: what later steps may use of it.
    """
    await connection.execute(
        text(
            "INSERT INTO run_steps (run_id, step, occurrence, word, outcome, at, detail, output) "
            "VALUES (:run, :step, :occurrence, :word, :outcome, :at, :detail, CAST(:output AS jsonb)) "
            "ON CONFLICT (run_id, step, occurrence) DO UPDATE SET outcome = excluded.outcome, at = excluded.at, "
            "detail = excluded.detail, output = excluded.output"
        ),
        {
            "run": run_id,
            "step": step,
            "occurrence": occurrence,
            "word": word,
            "outcome": outcome,
            "at": at,
            "detail": detail,
            "output": encode(output or {}),
        },
    )


async def load_steps(connection: AsyncConnection, run_id: str) -> list[dict[str, Any]]:
    """What the run's steps came to, in order of time."""
    rows = await connection.execute(
        text(
            "SELECT step, occurrence, word, outcome, detail, at, output FROM run_steps "
            "WHERE run_id = :run ORDER BY at, step"
        ),
        {"run": run_id},
    )
    return [dict(row._mapping) for row in rows]


async def load_outcome(connection: AsyncConnection, run_id: str, step: str, occurrence: int) -> str | None:
    """What this step came to, or None when that isn't on record."""
    outcome = await load_word(connection, run_id, step, occurrence)
    return None if outcome in UNFINISHED else outcome


async def load_word(connection: AsyncConnection, run_id: str, step: str, occurrence: int) -> str | None:
    """What is on record of this step, UNFINISHED words among it, or None."""
    row = await connection.execute(
        text(
            "SELECT outcome FROM run_steps WHERE run_id = :run AND step = :step AND occurrence = :occurrence"
        ),
        {"run": run_id, "step": step, "occurrence": occurrence},
    )
    outcome: str | None = row.scalar()
    return outcome
