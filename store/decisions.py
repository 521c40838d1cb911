"""What was decided about entries: rows where a condition held, counts for everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.database import encode


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision about one customer and one playbook; `checks` are the condition's lines with their values."""

    at: datetime
    customer_id: str
    playbook: str
    version: str
    reason: str
    detail: str = ""
    until: datetime | None = None
    run_id: str | None = None
    checks: Sequence[Mapping[str, Any]] = ()


async def load_standings(
    connection: AsyncConnection, customer_ids: Sequence[str]
) -> dict[tuple[str, str], str]:
    """(customer id, playbook) -> the reason last decided."""
    rows = await connection.execute(
        text(
            "SELECT customer_id, playbook, reason FROM standings WHERE customer_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(customer_ids)},
    )
    return {(str(row.customer_id), row.playbook): row.reason for row in rows}


async def record_decisions(connection: AsyncConnection, decisions: Sequence[Decision]) -> None:
    """Log these decisions and move the standings."""
    if not decisions:
        return
    rows = encode(
        [{name: getattr(d, name) for name in Decision.__dataclass_fields__} for d in decisions],
    )
    await connection.execute(
        text(
            "INSERT INTO decisions (at, customer_id, playbook, version, reason, detail, until, run_id, checks) "
            "SELECT at, customer_id, playbook, version, reason, detail, until, run_id, checks "
            "FROM jsonb_populate_recordset(NULL::decisions, CAST(:rows AS jsonb))"
        ),
        {"rows": rows},
    )
    await connection.execute(
        text(
            "INSERT INTO standings (customer_id, playbook, reason, at) "
            "SELECT customer_id, playbook, reason, at FROM jsonb_populate_recordset(NULL::standings, CAST(:rows AS jsonb)) "
            "ON CONFLICT (customer_id, playbook) DO UPDATE SET reason = excluded.reason, at = excluded.at"
        ),
        {"rows": rows},
    )


async def clear_standings(connection: AsyncConnection, gone: Sequence[tuple[str, str]]) -> None:
    """The condition no longer holds for these (customer id, playbook): the next time is news again."""
    if gone:
        await connection.execute(
            text(
                "DELETE FROM standings s USING jsonb_populate_recordset(NULL::standings, CAST(:rows AS jsonb)) g "
                "WHERE s.customer_id = g.customer_id AND s.playbook = g.playbook"
            ),
            {"rows": encode([{"customer_id": c, "playbook": p} for c, p in gone])},
        )


async def count_decisions(
    connection: AsyncConnection, day: date, counts: Mapping[tuple[str, str, str], int]
) -> None:
    """Add to the day's counts: (playbook, reason, first failing line) -> how many."""
    if counts:
        await connection.execute(
            text(
                "INSERT INTO decision_counts AS c (playbook, day, reason, line, count) "
                "SELECT playbook, :day, reason, line, count "
                "FROM jsonb_populate_recordset(NULL::decision_counts, CAST(:rows AS jsonb)) ORDER BY playbook, reason, line "
                "ON CONFLICT (playbook, day, reason, line) DO UPDATE SET count = c.count + excluded.count"
            ),
            {
                "day": day,
                "rows": encode(
                    [
                        {"playbook": p, "reason": r, "line": line, "count": n}
                        for (p, r, line), n in sorted(counts.items())
                    ]
                ),
            },
        )
