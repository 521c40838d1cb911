"""Loading a past in bulk: customers with everything that happened to them, as if it had been taken in at the time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.condition import Value
from store import signals
from store.customer_health import HealthDay, insert_days
from store.customers import PROFILE_TRAITS
from store.database import encode
from store.signals import StoredSignals

REVIEWED_AFTER = timedelta(days=7)


@dataclass(frozen=True)
class PastEvent:
    """One event of the past."""

    message_id: str
    name: str
    at: datetime
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class Past:
    """One customer's past: profile, events, and what follows from them at its end and by day."""

    external_id: str
    traits: Mapping[str, Any]
    consent: Mapping[str, bool]
    events: Sequence[PastEvent]
    values: Mapping[str, Value]
    stamps: Mapping[str, datetime]
    # (name, detail, day, count, total)
    tallies: Sequence[tuple[str, str, date, int, float]]
    days: Mapping[date, Mapping[str, Value]]


async def load_past(
    connection: AsyncConnection, pasts: Sequence[Past], *, source: str, demo: bool, now: datetime
) -> int:
    """Write these customers, who must be new, with their pasts; returns how many events."""
    profiles = [
        {
            "external_id": past.external_id,
            "traits": past.traits,
            "demo": demo,
            "created_at": past.events[0].at if past.events else now,
        }
        | {name: past.traits.get(name) for name in PROFILE_TRAITS}
        for past in pasts
    ]
    columns = ", ".join(profiles[0])
    inserted = await connection.execute(
        text(
            f"INSERT INTO customers ({columns}) SELECT {columns} "
            "FROM jsonb_populate_recordset(NULL::customers, CAST(:rows AS jsonb)) RETURNING id, external_id"
        ),
        {"rows": encode(profiles)},
    )
    ids = {row.external_id: str(row.id) for row in inserted}
    await _insert(
        connection,
        "events",
        [
            {
                "day": event.at.date(),
                "source": source,
                "message_id": event.message_id,
                "customer_id": ids[past.external_id],
                "name": event.name,
                "at": event.at,
                "received_at": event.at,
                "properties": dict(event.properties),
            }
            for past in pasts
            for event in past.events
        ],
    )
    await _insert(
        connection,
        "tallies",
        [
            {
                "customer_id": ids[p.external_id],
                "name": n,
                "detail": d,
                "day": day,
                "count": count,
                "total": total,
            }
            for p in pasts
            for n, d, day, count, total in p.tallies
        ],
    )
    await _insert(
        connection,
        "signal_history",
        [
            # As if each midnight's look had been recorded then.
            signals.day_record(ids[past.external_id], day, values, datetime.combine(day, time(), UTC))
            for past in pasts
            for day, values in past.days.items()
        ],
        signals.DAY_COLUMNS,
    )
    await insert_days(
        connection, [row for past in pasts for row in _health_days(ids[past.external_id], past)]
    )
    said = [
        {
            "customer_id": ids[past.external_id],
            "channel": channel,
            "topic": "",
            "granted": granted,
            "source": source,
            # Said when they came, not when the past is loaded.
            "at": past.events[0].at if past.events else now,
        }
        for past in pasts
        for channel, granted in past.consent.items()
    ]
    await _insert(connection, "consents", said)
    await _insert(connection, "consent_events", [row | {"received_at": row["at"]} for row in said])
    rows = [StoredSignals(ids[past.external_id], past.values, past.stamps) for past in pasts]
    await signals.save(connection, rows, now)
    return sum(len(past.events) for past in pasts)


def _health_days(customer_id: str, past: Past) -> Iterator[HealthDay]:
    """What was known at each midnight of one customer's health; of the factors nothing was kept."""
    previous: int | None = None
    for day, values in sorted(past.days.items()):
        score, risk = values.get("health_score"), values.get("risk_level")
        if not isinstance(score, int | float):
            continue
        enhanced = values.get("enhanced_score")
        login = values.get("last_login")
        yield HealthDay(
            customer_id=customer_id,
            day=day,
            health_score=int(score),
            risk_level=risk if isinstance(risk, str) else None,
            previous_score=previous,
            score_trend=None,
            enhanced_score=int(enhanced) if isinstance(enhanced, int | float) else None,
            last_login=login if isinstance(login, datetime) else None,
            feature_adoption_score=None,
            client_engagement_score=None,
            support_ticket_score=None,
            billing_health_score=None,
            factors=(),
            model="",
            intervention_triggered=False,
            next_review_date=day + REVIEWED_AFTER,
            calculated_at=datetime.combine(day, time(), UTC),
            midnight=True,
        )
        previous = int(score)


async def _insert(
    connection: AsyncConnection, table: str, rows: Sequence[Mapping[str, Any]], columns: Iterable[str] = ()
) -> None:
    """Write rows; `columns`: those there are, where the first row hasn't all of them."""
    for start in range(0, len(rows), 5000):
        named = ", ".join(columns or rows[0])
        await connection.execute(
            text(
                f"INSERT INTO {table} ({named}) SELECT {named} "
                f"FROM jsonb_populate_recordset(NULL::{table}, CAST(:rows AS jsonb))"
            ),
            {"rows": encode(rows[start : start + 5000])},
        )


async def forget_everything(connection: AsyncConnection) -> None:
    """Empty every table but the migrations' own: for a database that is played with."""
    rows = await connection.execute(
        text(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'alembic_version'"
        )
    )
    names = ", ".join(row.tablename for row in rows)
    await connection.execute(text(f"TRUNCATE {names} CASCADE"))
