"""What runs are listening for at present."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class OpenWait:
    """A step that a run stands at, for an event, a condition or a date that may move; what for is in the run's
    version.
    """

    run_id: str
    step: str
    occurrence: int
    since: datetime
    until: datetime


async def open_wait(
    connection: AsyncConnection,
    run_id: str,
    customer_id: str,
    step: str,
    occurrence: int,
    since: datetime,
    until: datetime,
) -> OpenWait:
    """Register a wait, or find it registered: `since` and `until` stay as they were first."""
    row = (
        await connection.execute(
            text(
                "INSERT INTO waits AS w (run_id, customer_id, step, occurrence, since, until) "
                "VALUES (:run, :customer, :step, :occurrence, :since, :until) "
                "ON CONFLICT (run_id, step, occurrence) DO UPDATE SET since = w.since RETURNING since, until"
            ),
            {
                "run": run_id,
                "customer": customer_id,
                "step": step,
                "occurrence": occurrence,
                "since": since,
                "until": until,
            },
        )
    ).one()
    return OpenWait(run_id, step, occurrence, row.since, row.until)


async def move_wait(
    connection: AsyncConnection, run_id: str, step: str, occurrence: int, until: datetime
) -> bool:
    """The wait ends at another moment now; False if nobody waits any more."""
    done = await connection.execute(
        text(
            "UPDATE waits SET until = :until WHERE run_id = :run AND step = :step AND occurrence = :occurrence"
        ),
        {"run": run_id, "step": step, "occurrence": occurrence, "until": until},
    )
    return bool(done.rowcount)


async def close_wait(connection: AsyncConnection, run_id: str, step: str, occurrence: int) -> bool:
    """Stop listening; False if nobody was."""
    done = await connection.execute(
        text("DELETE FROM waits WHERE run_id = :run AND step = :step AND occurrence = :occurrence"),
        {"run": run_id, "step": step, "occurrence": occurrence},
    )
    return bool(done.rowcount)


async def load_waits(connection: AsyncConnection, customer_ids: Sequence[str]) -> list[OpenWait]:
    """All open waits of these customers' runs."""
    rows = await connection.execute(
        text(
            "SELECT run_id, step, occurrence, since, until FROM waits WHERE customer_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(customer_ids)},
    )
    return [OpenWait(str(row.run_id), row.step, row.occurrence, row.since, row.until) for row in rows]
