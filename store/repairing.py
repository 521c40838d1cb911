"""What a repair reads of one customer's past, and what it writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.condition import Value
from schemas.facts import Event
from store.corrections import TRAIT_EVENTS, load_corrections
from store.database import encode
from store.signals import DAY_COLUMNS, day_record, read_value
from store.tables import SIGNAL_COLUMNS

_EVENTS = text(
    "SELECT source, message_id, name, at, properties::text FROM events "
    "WHERE customer_id = CAST(:id AS uuid) AND name = ANY(:names) "
    # Of one batch, rows stand in the table in the order in which they were sent.
    "ORDER BY received_at, tableoid, ctid"
)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


async def load_kept_events(
    connection: AsyncConnection, customer_id: str, names: Collection[str], waiting_since: datetime | None
) -> list[tuple[Event | None, Event | None]]:
    """All kept events of these names in order of arrival: each as it is believed now, and as it was before the
    corrections from `waiting_since` on (None: none waits). None: it never happened.
    """
    corrections = (await load_corrections(connection, [customer_id])).get(customer_id, {})
    rows = await connection.execute(_EVENTS, {"id": customer_id, "names": sorted(names)})
    events: list[tuple[Event | None, Event | None]] = []
    for source, message_id, name, at, properties in rows:
        sent = Event(name, at.astimezone(UTC), body_of(name, _decode(properties)))
        now: Event | None = sent
        before: Event | None = sent
        for one in corrections.get((source, message_id), ()):
            now = one.apply(sent)
            if waiting_since is None or one.at < waiting_since:
                before = now
        events.append((now, before))
    return events


def body_of(name: str, properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """What moves the signals: an identify call's traits, which bulk loads keep as its properties."""
    traits = properties.get("traits") if name in TRAIT_EVENTS else None
    return traits if isinstance(traits, dict) else properties


async def load_created_at(connection: AsyncConnection, customer_id: str) -> datetime:
    """When we first heard of the customer."""
    found = await connection.execute(
        text("SELECT created_at FROM customers WHERE id = CAST(:id AS uuid)"), {"id": customer_id}
    )
    created_at: datetime = found.scalar_one()
    return created_at.astimezone(UTC)


_DAYS = text(
    "SELECT DISTINCT ON (day) day, revision, to_jsonb(h) FROM signal_history h "
    "WHERE customer_id = CAST(:id AS uuid) AND day >= :since ORDER BY day, revision DESC"
)


async def load_days(
    connection: AsyncConnection, customer_id: str, since: date
) -> dict[date, tuple[int, dict[str, Value]]]:
    """The customer's days from `since` on as they are known now: the row's revision and its values."""
    days: dict[date, tuple[int, dict[str, Value]]] = {}
    for day, revision, row in await connection.execute(_DAYS, {"id": customer_id, "since": since}):
        values: dict[str, Value] = dict(row["custom"])
        for name, kind in SIGNAL_COLUMNS.items():
            if row[name] is not None:
                values[name] = read_value(row[name], kind)
        days[day] = (revision, values)
    return days


_COLUMNS = ", ".join(DAY_COLUMNS)
_SAVE_DAYS = text(
    f"INSERT INTO signal_history ({_COLUMNS}) SELECT {_COLUMNS} "
    "FROM jsonb_populate_recordset(NULL::signal_history, CAST(:rows AS jsonb)) ON CONFLICT DO NOTHING"
)
_SAVE_SCORES = text(
    "INSERT INTO customer_health (customer_id, day, health_score, risk_level, midnight_score, model, calculated_at) "
    "SELECT CAST(:id AS uuid), day, score, risk, score, :model, :now "
    "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(day date, score smallint, risk text) "
    "WHERE score IS NOT NULL OR EXISTS (SELECT FROM customer_health h WHERE h.customer_id = CAST(:id AS uuid) AND h.day = r.day) "
    "ON CONFLICT (customer_id, day) DO UPDATE SET midnight_score = excluded.midnight_score"
)


async def save_days(
    connection: AsyncConnection,
    customer_id: str,
    days: Mapping[date, Mapping[str, Value]],
    revisions: Mapping[date, int],
    known_at: datetime,
) -> None:
    """Append these days beside what was recorded of them; `revisions` has the highest of each day that has one."""
    rows = [
        day_record(customer_id, day, values, known_at, revisions.get(day, -1) + 1)
        for day, values in days.items()
    ]
    if rows:
        await connection.execute(_SAVE_DAYS, {"rows": encode(rows)})


async def save_midnight_scores(
    connection: AsyncConnection,
    customer_id: str,
    scores: Mapping[date, tuple[int | None, str | None]],
    model: str,
    now: datetime,
) -> None:
    """What the score and risk of these days' midnights are, by the model of this digest."""
    rows = [{"day": day, "score": score, "risk": risk} for day, (score, risk) in scores.items()]
    if rows:
        await connection.execute(
            _SAVE_SCORES, {"id": customer_id, "rows": encode(rows), "model": model, "now": now}
        )


_ADD_TALLIES = text(
    "INSERT INTO tallies AS t (customer_id, day, name, detail, count, total) "
    "SELECT CAST(:id AS uuid), day, name, detail, count, total FROM jsonb_to_recordset(CAST(:rows AS jsonb)) "
    "AS r(day date, name text, detail text, count int, total float8) ON CONFLICT (customer_id, day, name, detail) "
    "DO UPDATE SET count = t.count + excluded.count, total = t.total + excluded.total"
)
_EMPTY_TALLIES = text("DELETE FROM tallies WHERE customer_id = CAST(:id AS uuid) AND count <= 0")


async def add_tallies(
    connection: AsyncConnection, customer_id: str, tallies: Iterable[tuple[str, str, date, int, float]]
) -> None:
    """Add these (name, detail, day, count, total), which may be below 0; a day that counts nothing any more is gone."""
    rows = [
        {"name": name, "detail": detail, "day": day, "count": count, "total": total}
        for name, detail, day, count, total in tallies
    ]
    if rows:
        await connection.execute(_ADD_TALLIES, {"id": customer_id, "rows": encode(rows)})
        await connection.execute(_EMPTY_TALLIES, {"id": customer_id})
