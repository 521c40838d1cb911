"""Reading stored events back, as facts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.facts import Event
from store.corrections import Corrections, load_corrections


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
    corrections = await load_corrections(connection, customer_ids)
    # What is corrected may have happened at another time: of those customers all is read.
    plain = [id_ for id_ in customer_ids if id_ not in corrections]
    found: dict[str, list[Event]] = defaultdict(list)
    rows = await connection.execute(
        text(
            "SELECT customer_id, name, at, properties FROM events WHERE customer_id = ANY(CAST(:ids AS uuid[])) "
            "AND name = ANY(:names) AND at <= :now"
            + (" AND at >= :since" if since else "")
            + " ORDER BY at, message_id"
        ),
        {"ids": plain, "names": sorted(windows), "now": now} | ({"since": since} if since else {}),
    )
    for row in rows:
        found[str(row.customer_id)].append(Event(row.name, row.at.astimezone(UTC), row.properties))
    if corrections:
        for id_, event in await _load_corrected(connection, corrections, sorted(windows)):
            if event.at <= now and (since is None or event.at >= since):
                found[id_].append(event)
    return found


async def _load_corrected(
    connection: AsyncConnection, corrections: Corrections, names: Sequence[str]
) -> list[tuple[str, Event]]:
    """The events of customers of whom some are corrected, as they are believed to have been, in order of time."""
    rows = await connection.execute(
        text(
            "SELECT customer_id::text, source, message_id, name, at, properties FROM events "
            "WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND name = ANY(:names) ORDER BY message_id"
        ),
        {"ids": list(corrections), "names": list(names)},
    )
    found: list[tuple[str, Event]] = []
    for id_, source, message_id, name, at, properties in rows:
        event: Event | None = Event(name, at.astimezone(UTC), properties)
        if said := corrections[id_].get((source, message_id)):
            event = said[-1].apply(Event(name, at.astimezone(UTC), properties))
        if event is not None:
            found.append((id_, event))
    return sorted(found, key=lambda one: one[1].at)
