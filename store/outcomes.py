"""What became of customers: when they came, and the events that say whether they are still there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_EVENTS = text(
    "SELECT customer_id::text AS customer, name, at, "
    "CASE WHEN name = 'login' THEN '{}'::jsonb ELSE coalesce(properties->'traits', properties) END AS properties "
    "FROM events WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND name = ANY(:names) AND at <= :until ORDER BY at"
)


@dataclass(slots=True)
class Outcomes:
    """One customer: known since `created_at`; `events` are (name, at, properties or traits) in order of time."""

    created_at: datetime
    events: list[tuple[str, datetime, Mapping[str, Any]]] = field(default_factory=list)


async def load_outcomes(
    connection: AsyncConnection, ids: Sequence[str], names: Sequence[str], until: datetime
) -> dict[str, Outcomes]:
    """The events of these names that these customers had until then."""
    given = {"ids": list(ids)}
    made = await connection.execute(
        text("SELECT id::text, created_at FROM customers WHERE id = ANY(CAST(:ids AS uuid[]))"), given
    )
    found = {row.id: Outcomes(row.created_at.astimezone(UTC)) for row in made}
    rows = await connection.execute(_EVENTS, {**given, "names": list(names), "until": until})
    for row in rows:
        if row.customer in found and isinstance(row.properties, dict):
            found[row.customer].events.append((row.name, row.at.astimezone(UTC), row.properties))
    return found
