"""Milestones that were reached: who has reached which, and putting one that is reached among a customer's events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.incoming import IncomingEvent, Mover
from schemas.milestones import Milestone
from store.customers import load_customers
from store.database import encode
from store.intake import take_within
from store.score_news import CHANNEL, ScoreNews, pack

SOURCE = "holdfast"
TOLD, ACHIEVED, REPEATED = "milestone_completed", "milestone_achieved", "milestone_repeated"

# Who found out: an event or the passing of time that made its condition true, the product by an event of its own, or
# a call of the API.
Found = Literal["condition", "product", "api"]


@dataclass(frozen=True)
class Reached:
    """A customer has reached a milestone. `counts`: no event of the product's has counted it among the signals."""

    customer_id: str
    milestone: Milestone
    at: datetime
    found: Found
    counts: bool
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ReachedRow:
    """What is written of a milestone that was reached."""

    milestone_type: str
    achieved_at: datetime
    days_to_achieve: int | None
    metadata: Mapping[str, Any]


async def load_reached(
    connection: AsyncConnection, customer_ids: Collection[str]
) -> dict[str, dict[str, ReachedRow]]:
    """What these customers have reached, by customer and type."""
    rows = await connection.execute(
        text(
            "SELECT customer_id::text AS customer_id, milestone_type, achieved_at, days_to_achieve, metadata "
            "FROM success_milestones WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND achieved_at IS NOT NULL"
        ),
        {"ids": list(customer_ids)},
    )
    found: dict[str, dict[str, ReachedRow]] = defaultdict(dict)
    for customer_id, type_, at, days, metadata in rows:
        found[customer_id][type_] = ReachedRow(type_, at, days, metadata)
    return dict(found)


_WRITE = text(
    "INSERT INTO success_milestones AS m (customer_id, milestone_type, name, description, target_days, achieved_at, "
    "days_to_achieve, is_critical_path, weight_score, metadata) "
    "SELECT r.customer_id, r.type, r.name, r.description, r.target_days, r.at, greatest(0, floor(extract(epoch FROM "
    "r.at - coalesce(s.signed_up_at, c.created_at)) / 86400))::int, r.critical, r.weight, r.metadata "
    "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(customer_id uuid, type text, name text, description text, "
    "target_days int, at timestamptz, critical boolean, weight float8, metadata jsonb) "
    "JOIN customers c ON c.id = r.customer_id LEFT JOIN signals s ON s.customer_id = r.customer_id "
    "ORDER BY r.customer_id, r.type "
    "ON CONFLICT (customer_id, milestone_type) DO UPDATE SET name = excluded.name, description = excluded.description, "
    "target_days = excluded.target_days, achieved_at = excluded.achieved_at, days_to_achieve = "
    "excluded.days_to_achieve, is_critical_path = excluded.is_critical_path, weight_score = excluded.weight_score, "
    "metadata = excluded.metadata WHERE m.achieved_at IS NULL "
    "RETURNING m.customer_id::text AS customer_id, m.milestone_type, m.days_to_achieve"
)


async def reach(
    connection: AsyncConnection, reached: Sequence[Reached], now: datetime, *, move: Mover
) -> list[Reached]:
    """Write what was reached, once per customer and milestone, and put each among the customer's events as
    `milestone_achieved`; returns what is new. Lock the customers before.
    """
    rows = [
        {
            "customer_id": one.customer_id,
            "type": one.milestone.type,
            "name": one.milestone.name,
            "description": one.milestone.description,
            "target_days": one.milestone.target_days,
            "at": min(one.at, now),
            "critical": one.milestone.critical,
            "weight": one.milestone.weight,
            "metadata": {**one.details, "found": one.found, "counts": one.counts},
        }
        for one in reached
    ]
    if not rows:
        return []
    written = {
        (row.customer_id, row.milestone_type): row.days_to_achieve
        for row in await connection.execute(_WRITE, {"rows": encode(rows)})
    }
    new = [one for one in reached if (one.customer_id, one.milestone.type) in written]
    customers = await load_customers(connection, list({one.customer_id for one in new}))
    told = [
        _event(one, customers[one.customer_id].external_id, written[one.customer_id, one.milestone.type], now)
        for one in new
        if one.customer_id in customers
    ]
    if told:
        await take_within(connection, told, move=move)
        # More than one notification holds isn't told: whoever looks sees it all the same.
        news, _ = pack(
            ScoreNews(
                "milestone", one.customer_id, customers[one.customer_id].external_id, one.milestone.type, now
            )
            for one in new
            if one.customer_id in customers
        )
        await connection.execute(
            text("SELECT pg_notify(:channel, :news)"), {"channel": CHANNEL, "news": news}
        )
    return new


def _event(one: Reached, external_id: str, days: int | None, now: datetime) -> IncomingEvent:
    milestone = one.milestone
    properties: dict[str, Any] = {
        "milestone": milestone.type,
        "name": milestone.name,
        "critical": milestone.critical,
        "weight": milestone.weight,
        "target_days": milestone.target_days,
        "found": one.found,
        "achieved_at": min(one.at, now).isoformat(),
        "counts": one.counts,
    }
    if days is not None:
        properties |= {"days": days, "on_time": days <= milestone.target_days}
    if one.counts:
        properties["counted_at"] = now.isoformat()
    # It happened earlier, perhaps, and is known from now on: earlier days stay as they were looked at.
    key = f"{ACHIEVED}/{one.customer_id}/{milestone.type}"
    return IncomingEvent(SOURCE, key, external_id, ACHIEVED, now, now, None, properties)


@dataclass(frozen=True)
class Telling:
    """How often the product told of a milestone, since when, and how often that was taken back as told before."""

    first_at: datetime
    times: int
    repeated: int
    critical: bool


async def load_tellings(
    connection: AsyncConnection, customer_ids: Collection[str], types: Collection[str]
) -> dict[str, dict[str, Telling]]:
    """What the product's own events say that these customers have reached, by customer and type."""
    rows = await connection.execute(
        text(
            "SELECT customer_id::text AS customer_id, properties->>'milestone' AS type, "
            "min(at) FILTER (WHERE name = :told) AS first_at, count(*) FILTER (WHERE name = :told) AS times, "
            "count(*) FILTER (WHERE name = :repeated) AS repeated, "
            "coalesce(bool_or(properties->'critical' = 'true'::jsonb) FILTER (WHERE name = :told), false) AS critical "
            "FROM events WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND name IN (:told, :repeated) "
            "AND properties->>'milestone' = ANY(:types) GROUP BY 1, 2"
        ),
        {"ids": list(customer_ids), "types": list(types), "told": TOLD, "repeated": REPEATED},
    )
    found: dict[str, dict[str, Telling]] = defaultdict(dict)
    for row in rows:
        if row.first_at is not None:
            found[row.customer_id][row.type] = Telling(row.first_at, row.times, row.repeated, row.critical)
    return dict(found)


async def take_back(
    connection: AsyncConnection,
    repeated: Sequence[tuple[str, str, Telling, int]],
    now: datetime,
    *,
    move: Mover,
) -> None:
    """Of (customer, type, telling, times): what was told that often again counts once, by `milestone_repeated`."""
    customers = await load_customers(connection, list({customer for customer, *_ in repeated}))
    events = [
        IncomingEvent(
            SOURCE, f"{REPEATED}/{customer}/{type_}/{telling.repeated + number}", customers[customer].external_id,
            REPEATED, now, now, None, {"milestone": type_, "critical": telling.critical, "counts": True},
        )
        for customer, type_, telling, times in repeated
        if customer in customers
        for number in range(times)
    ]  # fmt: skip
    if events:
        await take_within(connection, events, move=move)
