"""Reading what playbooks unlocked for a customer."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.reading_rows import RewardRow


async def list_rewards(
    connection: AsyncConnection, user_id: str, now: datetime, limit: int = 50
) -> list[RewardRow]:
    """The rewards of the customer that the caller calls `user_id`, newest first."""
    rows = await connection.execute(
        text(
            "SELECT w.id::text AS id, w.run_id::text AS run_id, r.playbook, w.step, w.feature, w.granted_at, w.until, "
            "w.revoked_at, w.revoked_at IS NULL AND coalesce(w.until > :now, true) AS active FROM rewards w "
            "JOIN runs r ON r.id = w.run_id JOIN customers c ON c.id = w.customer_id WHERE c.external_id = :customer "
            "ORDER BY w.granted_at DESC, w.id LIMIT :limit"
        ),
        {"customer": user_id, "now": now, "limit": limit},
    )
    return [RewardRow.model_validate(dict(row._mapping)) for row in rows]
