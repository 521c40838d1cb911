"""What became of customers: when they came, and the events that say whether they are still there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# What became of them is told by what is believed now: of each event the last that was said of it.
_EVENTS = text(
    "SELECT e.customer_id::text AS customer, e.name, coalesce(c.occurred_at, e.at) AS at, "
    "CASE WHEN e.name = 'login' THEN '{}'::jsonb "
    "ELSE coalesce(c.properties, e.properties->'traits', e.properties) END AS properties FROM events e "
    "LEFT JOIN LATERAL (SELECT * FROM corrections c WHERE c.source = e.source AND c.message_id = e.message_id "
    "ORDER BY id DESC LIMIT 1) c ON true "
    "WHERE e.customer_id = ANY(CAST(:ids AS uuid[])) AND e.name = ANY(:names) AND coalesce(c.occurred_at, e.at) <= :until "
    "AND (c.id IS NULL OR c.properties IS NOT NULL OR c.occurred_at IS NOT NULL) ORDER BY 3"
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
