"""Health per customer and day: one row, first known at the day's midnight or when it first changes, and moved on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.asking import Source, fetch
from store.database import encode


class HealthDay(msgspec.Struct, frozen=True):
    """One customer's health on one UTC day, as it was found last.

    Scores are 0–100, None where too little was known; `factors` are in the order of the health model whose digest
    `model` is, None where one was left out. `midnight`: this is the day's look at everybody, so the score stands for
    the day's midnight unless one is known already.
    """

    customer_id: str
    day: date
    health_score: int | None
    risk_level: str | None
    previous_score: int | None
    score_trend: str | None
    enhanced_score: int | None
    last_login: datetime | None
    feature_adoption_score: int | None
    client_engagement_score: int | None
    support_ticket_score: int | None
    billing_health_score: int | None
    factors: Sequence[float | None]
    model: str
    intervention_triggered: bool
    next_review_date: date
    calculated_at: datetime
    midnight: bool = False


# What a later look on the same day replaces.
_MOVED = tuple(
    name
    for name in HealthDay.__struct_fields__
    if name not in ("customer_id", "day", "intervention_triggered", "midnight")
)
_COLUMNS = ("customer_id", "day", "intervention_triggered", *_MOVED)
_FORM = (
    "customer_id uuid, day date, intervention_triggered boolean, health_score smallint, risk_level text, "
    "previous_score smallint, score_trend text, enhanced_score smallint, last_login timestamptz, "
    "feature_adoption_score smallint, client_engagement_score smallint, support_ticket_score smallint, "
    "billing_health_score smallint, factors real[], model text, next_review_date date, calculated_at timestamptz, "
    "midnight boolean"
)
# Of a customer who came during the day nothing is known at its midnight.
_SAVE = text(
    f"INSERT INTO customer_health ({', '.join(_COLUMNS)}, midnight_score) "
    f"SELECT {', '.join(f'r.{name}' for name in _COLUMNS)}, CASE WHEN r.midnight AND EXISTS (SELECT FROM customers c "
    "WHERE c.id = r.customer_id AND c.created_at <= CAST(r.day AS timestamp) AT TIME ZONE 'UTC') THEN r.health_score END "
    f"FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r({_FORM}) "
    "ON CONFLICT (customer_id, day) DO UPDATE SET "
    f"{', '.join(f'{name} = excluded.{name}' for name in _MOVED)}, "
    "midnight_score = coalesce(customer_health.midnight_score, excluded.midnight_score), "
    "intervention_triggered = customer_health.intervention_triggered OR excluded.intervention_triggered"
)
_INSERT = text(
    f"INSERT INTO customer_health ({', '.join(_COLUMNS)}, midnight_score) "
    f"SELECT {', '.join(f'r.{name}' for name in _COLUMNS)}, CASE WHEN r.midnight THEN r.health_score END "
    f"FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r({_FORM}) ON CONFLICT DO NOTHING"
)
_INSERTED_AT_ONCE = 5000


async def save_health(connection: AsyncConnection, rows: Sequence[HealthDay]) -> None:
    """Write the day's rows, or move them on; what was known of the day's midnight stays."""
    if rows:
        await connection.execute(_SAVE, {"rows": encode(rows)})


async def insert_days(connection: AsyncConnection, rows: Iterable[HealthDay]) -> int:
    """Write days of the past as they come from a past that is loaded whole; a day that is there stays.

    A row with `midnight` gives the day its midnight's score, whenever the customer came. Returns how many were given.
    """
    given = list(rows)
    for start in range(0, len(given), _INSERTED_AT_ONCE):
        part = given[start : start + _INSERTED_AT_ONCE]
        await connection.execute(_INSERT, {"rows": encode(part)})
    return len(given)


WRITTEN_MIDNIGHTS = "string_agg(day || ' ' || midnight_score, ',')"
_LOAD_MIDNIGHTS = text(
    f"SELECT customer_id::text, {WRITTEN_MIDNIGHTS} FROM customer_health "
    "WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND day >= :since AND day < :until AND midnight_score IS NOT NULL "
    "GROUP BY customer_id"
)


async def load_midnight_scores(
    connection: AsyncConnection, ids: Sequence[str], since: date, until: date
) -> dict[str, dict[date, int]]:
    """The scores at the midnights from day `since` to the day before `until`; customers without any are left out."""
    rows = await connection.execute(_LOAD_MIDNIGHTS, {"ids": list(ids), "since": since, "until": until})
    return {customer_id: read_midnights(days) for customer_id, days in rows}


def read_midnights(written: str | None) -> dict[date, int]:
    """One customer's scores out of `WRITTEN_MIDNIGHTS`."""
    pairs = (one.split(" ") for one in written.split(",")) if written else ()
    return {date.fromisoformat(day): int(score) for day, score in pairs}


_HISTORY = (
    "SELECT day, health_score, risk_level, enhanced_score FROM customer_health "
    "WHERE customer_id = CAST(%(id)s AS uuid) AND day > %(after)s AND day <= %(today)s ORDER BY day"
)


@dataclass(frozen=True, slots=True)
class HealthPoint:
    """The health of one day."""

    day: date
    health_score: int | None
    risk_level: str | None
    enhanced_score: int | None


async def load_health_history(
    source: Source, customer_id: str, after: date, today: date
) -> list[HealthPoint]:
    """The days after `after` up to `today`, in order; days without a row are left out."""
    rows = await fetch(source, _HISTORY, {"id": customer_id, "after": after, "today": today})
    return [HealthPoint(*row) for row in rows]


# Days that were made up for later, by what is known of the past, have a score and no factors.
_FACTORS = (
    "SELECT day, factors FROM customer_health WHERE customer_id = CAST(%(id)s AS uuid) AND day >= %(since)s "
    "AND day < %(today)s AND model = %(model)s AND health_score IS NOT NULL AND cardinality(factors) > 0 "
    "ORDER BY day LIMIT 1"
)


async def load_first_factors(
    source: Source, customer_id: str, since: date, today: date, model: str
) -> tuple[date, Sequence[float | None]] | None:
    """The first day from `since` to before `today` whose factors were kept by the health model with this digest, and
    these, in the model's order; None where there is none.
    """
    rows = await fetch(source, _FACTORS, {"id": customer_id, "since": since, "today": today, "model": model})
    return (rows[0][0], rows[0][1]) if rows else None
