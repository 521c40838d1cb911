"""Reading the history of consent: every yes and no with its source and evidence, in the order in which they became known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """One yes or no, said at `at` and known from `received_at` on; `topic` is empty for the whole channel, `id` 0 for
    what isn't stored.
    """

    channel: str
    topic: str
    granted: bool
    source: str
    evidence: Mapping[str, Any]
    at: datetime
    received_at: datetime
    id: int = 0

    @property
    def word(self) -> str:
        """`email`, or `email:tips`."""
        return f"{self.channel}:{self.topic}" if self.topic else self.channel


async def load_consent_history(
    connection: AsyncConnection,
    customer_ids: Sequence[str],
    *,
    limit: int | None = None,
    before: int | None = None,
) -> dict[str, list[ConsentEvent]]:
    """customer id -> what they said, in the order in which it became known; `limit`: at most the last so many of each,
    `before`: of those that became known before the one of this id.
    """
    rows = await connection.execute(
        text(
            "SELECT * FROM (SELECT customer_id::text AS customer, id, channel, topic, granted, source, evidence, at, "
            "received_at, row_number() OVER (PARTITION BY customer_id ORDER BY received_at DESC, id DESC) AS back "
            "FROM consent_events WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND (CAST(:before AS bigint) IS NULL "
            "OR (received_at, id) < ((SELECT received_at FROM consent_events WHERE id = :before), :before))) said "
            "WHERE CAST(:limit AS integer) IS NULL OR back <= :limit ORDER BY received_at, id"
        ),
        {"ids": list(customer_ids), "limit": limit, "before": before},
    )
    found: dict[str, list[ConsentEvent]] = {}
    for row in rows:
        found.setdefault(row.customer, []).append(
            ConsentEvent(
                row.channel, row.topic, row.granted, row.source, row.evidence, row.at, row.received_at, row.id
            )
        )
    return found


def trace_consent(events: Iterable[ConsentEvent]) -> list[tuple[str, bool, datetime]]:
    """(word, yes or no, known since) for each change of where consent stands, from events as they became known.

    The latest by its own time stands, and at one instant a no: as `consents` is kept.
    """
    stands: dict[str, tuple[datetime, bool]] = {}
    changes = []
    for event in events:
        before = stands.get(event.word)
        # Later than before, or a no at the same instant.
        if before is not None and (event.at, not event.granted) <= (before[0], not before[1]):
            continue
        stands[event.word] = (event.at, event.granted)
        if before is None or before[1] is not event.granted:
            changes.append((event.word, event.granted, event.received_at))
    return changes
