"""What a plan of changes looks at: customers page by page, and where the runs inside a playbook are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.run_steps import UNFINISHED

FIRST_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Inside:
    """So many open runs of a version of a playbook are at a step (None: at none yet), or have `finished` it."""

    playbook: str
    version: str
    step: str | None
    finished: bool
    count: int


async def read_only(connection: AsyncConnection) -> None:
    """Let nothing be written in this transaction; must come first."""
    await connection.execute(text("SET TRANSACTION READ ONLY"))


async def count_customers(connection: AsyncConnection) -> int:
    """How many there are."""
    return int((await connection.execute(text("SELECT count(*) FROM customers"))).scalar_one())


async def page_customers(connection: AsyncConnection, after: str, limit: int) -> list[str]:
    """The ids of the next customers behind `after`, in order."""
    rows = await connection.execute(
        text("SELECT id::text FROM customers WHERE id > :after ORDER BY id LIMIT :limit"),
        {"after": after, "limit": limit},
    )
    return list(rows.scalars())


async def count_inside(connection: AsyncConnection, playbooks: Sequence[str]) -> list[Inside]:
    """Where the open runs (held-out ones apart) of these playbooks are."""
    rows = await connection.execute(
        text(
            "SELECT playbook, version, step, finished, count(*) AS count FROM (SELECT r.playbook, r.version, r.step, "
            "coalesce((SELECT s.outcome <> ALL(:unfinished) FROM run_steps s WHERE s.run_id = r.id AND s.step = r.step "
            "ORDER BY s.occurrence DESC LIMIT 1), false) AS finished FROM runs r "
            "WHERE r.playbook = ANY(:playbooks) AND r.ended_at IS NULL AND r.arm <> 'held_out') AS inside "
            "GROUP BY playbook, version, step, finished ORDER BY playbook, count DESC, version, step, finished"
        ),
        {"playbooks": list(playbooks), "unfinished": list(UNFINISHED)},
    )
    return [Inside(**row._mapping) for row in rows]
