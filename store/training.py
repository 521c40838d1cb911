"""What a churn model is trained on: customers as they were on days of the past, and what became of them.

Read page by page of customers, and never more of them than were drawn: memory is bounded by the rows asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import SIGNAL_COLUMNS

# The draw is over the first 32 bits of a hash of customer and day: the same rows whatever else is there.
DRAWN_OF = 2**32
Kind = Literal["number", "bool", "text", "time", "date"]


@dataclass(frozen=True, slots=True)
class DayRow:
    """One customer at one day's midnight (UTC); `values` are in the order of the signals asked for, None missing.

    `drawn` (0 to 2^32) is where the row falls in the draw.
    """

    customer_id: str
    day: date
    drawn: int
    values: tuple[Any, ...]


@dataclass(slots=True)
class Known:
    """One customer: known since `created_at`; `events` that tell where the subscription stands, as (name, at,
    properties or traits) in order of time; of the `logins` as many as say when there was silence, see `read_courses`;
    `treated` are the moments at which a playbook began to treat them.
    """

    external_id: str
    created_at: datetime
    events: list[tuple[str, datetime, Mapping[str, Any]]] = field(default_factory=list)
    logins: list[datetime] = field(default_factory=list)
    treated: list[datetime] = field(default_factory=list)


async def count_rows(connection: AsyncConnection, days: Sequence[date]) -> int:
    """How many pairs of a customer and one of `days` there are at most: those who had come by then."""
    found = await connection.execute(
        text(
            "SELECT coalesce(sum((SELECT count(*) FROM unnest(CAST(:days AS date[])) AS d "
            "WHERE c.created_at <= CAST(d AS timestamp) AT TIME ZONE 'UTC')), 0) FROM customers c"
        ),
        {"days": list(days)},
    )
    return int(found.scalar_one())


async def first_customer_at(connection: AsyncConnection) -> datetime | None:
    """When the first customer came; None: there is nobody."""
    return (await connection.execute(text("SELECT min(created_at) FROM customers"))).scalar()


async def list_customers(connection: AsyncConnection, after: str, limit: int) -> list[tuple[str, str]]:
    """The next page of (id, external id) after that external id, in the database's order of these."""
    rows = await connection.execute(
        text(
            "SELECT id::text, external_id FROM customers WHERE external_id > :after "
            "ORDER BY external_id LIMIT :limit"
        ),
        {"after": after, "limit": limit},
    )
    return [(row[0], row[1]) for row in rows]


async def read_days(
    connection: AsyncConnection,
    ids: Sequence[str],
    days: Sequence[date],
    asked: Sequence[tuple[str, Kind]],
    *,
    below: int,
) -> list[DayRow]:
    """What is kept of these customers on these days, of the rows that are drawn `below`; the newest revision holds.

    `asked` are signals and their types: of a day nothing else is read. Those without a column of their own are read
    from `custom`; a value of another type is missing.
    """
    columns, names = [], {}
    for place, (name, kind) in enumerate(asked):
        if name in SIGNAL_COLUMNS:
            columns.append(f"h.{name}")
        else:
            names[f"name{place}"] = name
            columns.append(
                _CUSTOM[kind].format(value=f"h.custom->:name{place}", text=f"h.custom->>:name{place}")
            )
    rows = await connection.execute(
        text(
            "SELECT c.id::text, d.day, d.drawn"
            + "".join(f", {one}" for one in columns)
            + " FROM customers c CROSS JOIN LATERAL ("
            "  SELECT day, CAST(CAST('x' || left(md5(c.external_id || '/' || day), 8) AS bit(32)) AS bigint) AS drawn"
            "  FROM unnest(CAST(:days AS date[])) AS day) AS d "
            "CROSS JOIN LATERAL (SELECT * FROM signal_history h WHERE h.customer_id = c.id AND h.day = d.day "
            "  ORDER BY revision DESC LIMIT 1) AS h "
            "WHERE c.id = ANY(CAST(:ids AS uuid[])) AND d.drawn < :below"
        ),
        {"ids": list(ids), "days": list(days), "below": below, **names},
    )
    return [DayRow(row[0], row[1], row[2], tuple(row[3:])) for row in rows]


_CUSTOM: dict[Kind, str] = {
    "number": "CASE WHEN jsonb_typeof({value}) = 'number' THEN CAST({text} AS double precision) END",
    "bool": "CASE WHEN jsonb_typeof({value}) = 'boolean' THEN CAST({text} AS boolean) END",
    "text": "CASE WHEN jsonb_typeof({value}) = 'string' THEN {text} END",
    "time": "CASE WHEN jsonb_typeof({value}) = 'string' THEN {text} END",
    "date": "CASE WHEN jsonb_typeof({value}) = 'string' THEN {text} END",
}

# What was said of events afterwards: the latest counts; neither properties nor a time means that it never happened.
_CORRECTED = (
    "WITH corrected AS (SELECT DISTINCT ON (source, message_id) source, message_id, properties, occurred_at "
    "  FROM corrections WHERE customer_id = ANY(CAST(:ids AS uuid[])) ORDER BY source, message_id, id DESC), "
    "happened AS (SELECT e.customer_id, e.name, coalesce(k.occurred_at, e.at) AS at, "
    "  coalesce(k.properties, e.properties) AS properties FROM events e "
    "  LEFT JOIN corrected k ON k.source = e.source AND k.message_id = e.message_id "
    "  WHERE e.customer_id = ANY(CAST(:ids AS uuid[])) AND e.name = ANY(:names) "
    "  AND (k.source IS NULL OR k.properties IS NOT NULL OR k.occurred_at IS NOT NULL)) "
)
_TELLING = text(
    _CORRECTED
    + "SELECT customer_id::text AS customer, name, at, coalesce(properties->'traits', properties) AS said "
    "FROM happened WHERE at <= :until AND (name <> ALL(:traits) OR "
    "coalesce(properties->'traits', properties) ?| CAST(:keys AS text[])) ORDER BY at"
)
# The first and the last login of each stretch of 30 days. Any two that follow on one another in a stretch are less than
# 30 days apart, and where there is silence of 60 days, the logins at both its ends are among these.
_LOGINS = text(
    _CORRECTED
    + "SELECT customer_id::text AS customer, min(at) AS first, max(at) AS last FROM happened WHERE at <= :until "
    "GROUP BY customer_id, date_bin('30 days', at, TIMESTAMPTZ '2000-01-01') ORDER BY 2"
)


async def read_courses(
    connection: AsyncConnection,
    ids: Sequence[str],
    *,
    names: Sequence[str],
    traits: Sequence[str],
    keys: Sequence[str],
    until: datetime,
) -> dict[str, Known]:
    """What became of these customers until then, by id.

    `names` are the events that say where the subscription stands; those among them that are `traits` calls only with
    one of `keys`. Of the logins those are read that bound any silence of 60 days (and of more than 30).
    """
    given = {"ids": list(ids), "until": until}
    made = await connection.execute(
        text("SELECT id::text, external_id, created_at FROM customers WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": list(ids)},
    )
    found = {row.id: Known(row.external_id, row.created_at.astimezone(UTC)) for row in made}
    telling = await connection.execute(
        _TELLING, {**given, "names": list(names), "traits": list(traits), "keys": list(keys)}
    )
    for row in telling:
        if row.customer in found and isinstance(row.said, dict):
            found[row.customer].events.append((row.name, row.at.astimezone(UTC), row.said))
    for row in await connection.execute(_LOGINS, {**given, "names": ["login"]}):
        if row.customer in found:
            first, last = row.first.astimezone(UTC), row.last.astimezone(UTC)
            found[row.customer].logins += [first] if first == last else [first, last]
    treated = await connection.execute(
        text(
            "SELECT customer_id::text AS customer, entered_at FROM runs WHERE arm = 'treated' "
            "AND customer_id = ANY(CAST(:ids AS uuid[])) AND entered_at <= :until ORDER BY entered_at"
        ),
        given,
    )
    for row in treated:
        if row.customer in found:
            found[row.customer].treated.append(row.entered_at.astimezone(UTC))
    return found
