"""Reading stored events back, as facts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.facts import Event


async def load_events(
    connection: AsyncConnection, customer_ids: Sequence[str], windows: Mapping[str, int | None], now: datetime
) -> dict[str, list[Event]]:
    """Events per customer in order of time, for these names and windows in seconds (None: all); future ones are left out."""
    if not windows or not customer_ids:
        return {}
    longest = (
        None if any(window is None for window in windows.values()) else max(w or 0 for w in windows.values())
    )
    since = now - timedelta(seconds=longest, days=1) if longest is not None else None
    rows = await connection.execute(
        text(
            "SELECT customer_id, name, at, properties FROM events WHERE customer_id = ANY(CAST(:ids AS uuid[])) "
            "AND name = ANY(:names) AND at <= :now"
            + (" AND at >= :since" if since else "")
            + " ORDER BY at, message_id"
        ),
        {"ids": list(customer_ids), "names": sorted(windows), "now": now}
        | ({"since": since} if since else {}),
    )
    found: dict[str, list[Event]] = defaultdict(list)
    for row in rows:
        found[str(row.customer_id)].append(Event(row.name, row.at.astimezone(UTC), row.properties))
    return found
