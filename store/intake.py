"""Taking events in: one transaction that stores them, moves their customers' signals on and asks for evaluation."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.incoming import DeadLetter, IncomingEvent, Mover, TakenIn
from store import signals
from store.asking import fetch, perform
from store.customers import PROFILE_TRAITS, ensure_customers
from store.database import Database, encode
from store.erasing_fence import count_dropped
from store.push_tokens import take_traits
from store.repairs import first_midnight, request_repairs

_INSERT_EVENTS = (
    "INSERT INTO events (day, source, message_id, customer_id, name, at, received_at, properties) "
    "SELECT day, source, message_id, customer_id, name, at, received_at, properties "
    "FROM jsonb_to_recordset(CAST(%(rows)s AS jsonb)) AS r(day date, source text, message_id text, "
    "customer_id uuid, name text, at timestamptz, received_at timestamptz, properties jsonb) "
    "ON CONFLICT DO NOTHING RETURNING source, message_id, day"
)
_ADD_TALLIES = (
    "INSERT INTO tallies AS t (customer_id, day, name, detail, count, total) "
    "SELECT customer_id, day, name, detail, count, total "
    "FROM jsonb_to_recordset(CAST(%(rows)s AS jsonb)) AS r(customer_id uuid, day date, name text, "
    "detail text, count int, total float8) "
    "ON CONFLICT (customer_id, day, name, detail) "
    "DO UPDATE SET count = t.count + excluded.count, total = t.total + excluded.total"
)
_REQUEST = (
    "INSERT INTO evaluations AS e (customer_id, since, changed, traceparent) "
    "SELECT customer_id, %(since)s, ARRAY(SELECT jsonb_array_elements_text(changed)), traceparent "
    "FROM jsonb_to_recordset(CAST(%(rows)s AS jsonb)) AS r(customer_id uuid, changed jsonb, traceparent text) "
    "ON CONFLICT (customer_id) DO UPDATE SET changed = ARRAY("
    "SELECT DISTINCT unnest(e.changed || excluded.changed)), traceparent = coalesce(excluded.traceparent, e.traceparent)"
)


async def take_in(
    database: Database,
    events: Sequence[IncomingEvent],
    dead: Sequence[DeadLetter] = (),
    *,
    move: Mover,
    evaluate: bool = True,
    demo: bool = False,
) -> TakenIn:
    """Store `events` and `dead` in one transaction, committed on return; what was seen before changes nothing.

    Customers that are not known yet are created; events of erased ones are dropped and counted. `evaluate=False` leaves
    out the requests for evaluation and repair (bulk loads of history). Raises SQLAlchemy's errors when the database is
    away; then nothing was stored.
    """
    async with database.transaction() as connection:
        if dead:
            await _bury(connection, dead)
        if not events:
            return TakenIn(0, 0, len(dead))
        stored, dropped = await _take(connection, events, move=move, evaluate=evaluate, demo=demo)
        return TakenIn(stored, len(events) - stored - dropped, len(dead) + dropped)


async def take_within(
    connection: AsyncConnection,
    events: Sequence[IncomingEvent],
    *,
    move: Mover,
    evaluate: bool = True,
    demo: bool = False,
) -> int:
    """Store events in the caller's transaction, as `take_in` does in one of its own; returns how many were new."""
    stored, _ = await _take(connection, events, move=move, evaluate=evaluate, demo=demo)
    return stored


async def _take(
    connection: AsyncConnection, events: Sequence[IncomingEvent], *, move: Mover, evaluate: bool, demo: bool
) -> tuple[int, int]:
    """How many were stored, and how many dropped because their customer was erased."""
    # The row locks that this takes, in order of id, are held to the end: see the customer lock.
    customers = await ensure_customers(
        connection, {event.external_id: event.received_at for event in events}, demo=demo
    )
    dropped = Counter(event.source for event in events if event.external_id not in customers)
    if dropped:
        await count_dropped(connection, dropped, events[-1].received_at)
        events = [event for event in events if event.external_id in customers]
    fresh = await _insert(connection, events, customers)
    if fresh:
        changed = await _move(connection, fresh, customers, move)
        if evaluate:
            traces = {customers[e.external_id]: e.traceparent for e in fresh if e.traceparent}
            await _request_evaluation(connection, changed, fresh[-1].received_at, traces)
            await _request_repair(connection, fresh, customers)
    return len(fresh), dropped.total()


async def _insert(
    connection: AsyncConnection, events: Sequence[IncomingEvent], customers: Mapping[str, str]
) -> list[IncomingEvent]:
    """Insert what is new; returns it in order of time."""
    unique: dict[tuple[str, str, object], IncomingEvent] = {}
    for event in events:
        unique.setdefault((event.source, event.message_id, event.day), event)
    undated = [event for event in unique.values() if event.day is None]
    if undated:
        rows = await fetch(
            connection,
            "INSERT INTO event_ids (source, message_id, received_at) "
            "SELECT source, message_id, received_at FROM jsonb_to_recordset(CAST(%(rows)s AS jsonb)) "
            "AS r(source text, message_id text, received_at timestamptz) "
            "ON CONFLICT DO NOTHING RETURNING source, message_id",
            {"rows": encode([_key(event) | {"received_at": event.received_at} for event in undated])},
        )
        new = set(rows)
        for event in undated:
            if (event.source, event.message_id) not in new:
                del unique[(event.source, event.message_id, None)]
    records = [
        _key(event)
        | {
            "day": event.day or event.at.date(),
            "customer_id": customers[event.external_id],
            "name": event.name,
            "at": event.at,
            "received_at": event.received_at,
            "properties": dict(event.properties) | ({"traits": dict(event.traits)} if event.traits else {}),
        }
        for event in unique.values()
    ]
    stored = set(await fetch(connection, _INSERT_EVENTS, {"rows": encode(records)}))
    fresh = [e for e in unique.values() if (e.source, e.message_id, e.day or e.at.date()) in stored]
    return sorted(fresh, key=lambda event: event.at)


def _key(event: IncomingEvent) -> dict[str, Any]:
    return {"source": event.source, "message_id": event.message_id}


async def _move(
    connection: AsyncConnection, fresh: Sequence[IncomingEvent], customers: Mapping[str, str], move: Mover
) -> dict[str, set[str]]:
    """Write what follows from new events; returns, by customer, the names of events and signals that are new."""
    by_customer: dict[str, list[IncomingEvent]] = defaultdict(list)
    for event in fresh:
        by_customer[customers[event.external_id]].append(event)
    stored = await signals.load(connection, list(by_customer))
    changed: list[signals.StoredSignals] = []
    tallies: list[dict[str, Any]] = []
    profiles: list[dict[str, Any]] = []
    news: dict[str, set[str]] = {}
    for customer_id, theirs in by_customer.items():
        row = stored.get(customer_id) or signals.StoredSignals(customer_id)
        movement = move(row.values, row.stamps, theirs)
        if movement.signals or movement.stamps or customer_id not in stored:
            changed.append(
                signals.StoredSignals(
                    customer_id, {**row.values, **movement.signals}, {**row.stamps, **movement.stamps}
                )
            )
        tallies += [
            {
                "customer_id": customer_id,
                "day": day,
                "name": name,
                "detail": detail,
                "count": count,
                "total": total,
            }
            for day, name, detail, count, total in movement.tallies
        ]
        traits: dict[str, Any] = {}
        for event in theirs:
            traits.update(event.traits)
        if traits:
            profiles.append({"id": customer_id, "traits": traits})
        given = (name for name in PROFILE_TRAITS if name in traits)
        news[customer_id] = {*(event.name for event in theirs), *movement.signals, *given}
    await signals.save(connection, changed, fresh[-1].received_at)
    if tallies:
        await perform(connection, _ADD_TALLIES, {"rows": encode(tallies)})
    if profiles:
        await save_traits(connection, profiles)
        await take_traits(connection, profiles, fresh[-1].received_at)
    return news


async def save_traits(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Merge `traits` into the profiles of these customers (by `id`); what is null is no longer known."""
    columns = ", ".join(
        f"{name} = CASE WHEN r.traits ? '{name}' THEN r.traits ->> '{name}' ELSE c.{name} END"
        for name in PROFILE_TRAITS
    )
    await connection.execute(
        text(
            f"UPDATE customers c SET traits = c.traits || r.traits, {columns} "
            "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, traits jsonb) WHERE c.id = r.id"
        ),
        {"rows": encode(rows)},
    )


async def _request_repair(
    connection: AsyncConnection, fresh: Sequence[IncomingEvent], customers: Mapping[str, str]
) -> None:
    """Events of an earlier day than that on which they came make days wrong that were looked at meanwhile."""
    since: dict[str, date] = {}
    for event in fresh:
        wrong = first_midnight(event.at)
        if wrong <= event.received_at.date() and event.at < event.received_at:
            id_ = customers[event.external_id]
            since[id_] = min(since.get(id_, wrong), wrong)
    await request_repairs(connection, since, fresh[-1].received_at, whole=False, reason="late")


async def _request_evaluation(
    connection: AsyncConnection, changed: Mapping[str, set[str]], since: datetime, traces: Mapping[str, str]
) -> None:
    await perform(
        connection,
        _REQUEST,
        {
            "since": since,
            "rows": encode(
                [
                    {"customer_id": c, "changed": sorted(n), "traceparent": traces.get(c)}
                    for c, n in sorted(changed.items())
                ]
            ),
        },
    )


async def _bury(connection: AsyncConnection, dead: Sequence[DeadLetter]) -> None:
    rows: dict[str, dict[str, Any]] = {}
    for letter in dead:
        body = _storable(letter.body)[:32768]
        digest = hashlib.sha256(f"{letter.source}\0{letter.code}\0{body}".encode()).hexdigest()
        rows[digest] = {
            "received_at": letter.received_at,
            "source": letter.source,
            "code": letter.code,
            "reason": _storable(letter.reason),
            "body": body,
            "digest": digest,
        }
    await connection.execute(
        text(
            "INSERT INTO dead_letters AS d (received_at, source, code, reason, body, digest) "
            "SELECT received_at, source, code, reason, body, digest "
            "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(received_at timestamptz, source text, code text, "
            "reason text, body text, digest text) "
            "ON CONFLICT (digest) DO UPDATE SET times = d.times + 1, received_at = excluded.received_at"
        ),
        {"rows": encode(list(rows.values()))},
    )


def _storable(value: str) -> str:
    """Text as PostgreSQL can hold it: no NUL, no lone surrogates."""
    return re.sub("[\x00\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", value)
