"""On which days a customer used which feature, and how often."""

from __future__ import annotations

from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def load_feature_use(
    connection: AsyncConnection, user_id: str, event: str
) -> list[tuple[str, date, int]]:
    """The (feature, UTC day, count) of every tally of `event` that names one, in order of day."""
    rows = await connection.execute(
        text(
            "SELECT t.detail, t.day, t.count FROM tallies t JOIN customers c ON c.id = t.customer_id "
            "WHERE c.external_id = :user_id AND t.name = :event AND t.detail <> '' ORDER BY t.day, t.detail"
        ),
        {"user_id": user_id, "event": event},
    )
    return [(feature, day, count) for feature, day, count in rows]
