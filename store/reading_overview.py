"""Customers as the health overview lists them: filtered, sorted, page by page, and counted by what they have in common.

A page is found by the narrow columns that it is filtered and sorted by; only its own few rows are then looked at in full.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.overview_rows import NAME, SPARK_DAYS, OverviewRow, Place, days_of, read_rows

# What customers are filtered by, and where it stands. `change` is against the score of the day before.
DIMENSIONS: Mapping[str, str] = {
    "risk": "s.risk_level", "segment": "s.segment", "csm": "c.csm", "trend": "s.health_trend", "plan": "s.plan",
    "change": "h.score_trend",
}  # fmt: skip
# What the value of a filter is for those where nothing is known.
NONE = "none"
# What customers are sorted by: where it stands, and its type.
SORTS: Mapping[str, tuple[str, str]] = {
    "health": ("s.health_score", "double precision"),
    "change": ("h.change", "integer"),
    "churn": ("s.churn_probability", "double precision"),
    "revenue": ("s.monthly_price", "double precision"),
    "ltv": ("s.ltv_at_risk", "double precision"),
    "login": ("s.last_login", "timestamptz"),
    "name": (f"lower({NAME})", "text"),
}
EXPORTED_AT_ONCE = 5000
FEW = 2000


@dataclass(frozen=True)
class OverviewFilter:
    """Which customers: those with one of the values of every dimension named, and with `search` in id, name or e-mail.

    `values` is by dimension (see DIMENSIONS); NONE stands for those where nothing is known.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    search: str = ""


class Group(NamedTuple):
    """How many customers share these values (in the order of DIMENSIONS; None: unknown), and what they come to."""

    values: tuple[str | None, ...]
    customers: int
    monthly_revenue: float
    ltv_at_risk: float


# The last of two days, so that nobody is without one before the nightly run has reached them.
_CHANGES = (
    "WITH h AS MATERIALIZED (SELECT customer_id, CASE WHEN t.day IS NULL THEN y.change ELSE t.change END AS change, "
    "CASE WHEN t.day IS NULL THEN y.score_trend ELSE t.score_trend END AS score_trend "
    "FROM (SELECT customer_id, day, health_score - previous_score AS change, score_trend FROM customer_health "
    "WHERE day = :today) t FULL JOIN (SELECT customer_id, health_score - previous_score AS change, score_trend "
    "FROM customer_health WHERE day = :yesterday) y USING (customer_id)) "
)
_CHANGED = "LEFT JOIN h ON h.customer_id = c.id "
# The same of few, one by one.
_CHANGED_OF_FEW = (
    "LEFT JOIN LATERAL (SELECT score_trend FROM customer_health WHERE customer_id = c.id AND day IN (:today, :yesterday) "
    "ORDER BY day DESC LIMIT 1) h ON true "
)


def _conditions(wanted: OverviewFilter, given: dict[str, Any]) -> list[str]:
    conditions = []
    for name, values in wanted.values.items():
        if not values:
            continue
        column = DIMENSIONS[name]
        known = [value for value in values if value != NONE]
        parts = []
        if len(known) == 1:
            # Equality keeps the order of an index that goes on with the health score.
            given[f"{name}_is"] = known[0]
            parts.append(f"{column} = :{name}_is")
        elif known:
            given[f"{name}_in"] = known
            parts.append(f"{column} = ANY(:{name}_in)")
        if NONE in values:
            parts.append(f"{column} IS NULL")
        conditions.append(f"({' OR '.join(parts)})")
    if wanted.search:
        escaped = wanted.search.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        given["search"] = f"%{escaped}%"
        conditions.append(
            "(lower(c.external_id) LIKE :search OR lower(c.business_name) LIKE :search "
            "OR lower(c.first_name) LIKE :search OR lower(c.email) LIKE :search)"
        )
    return conditions


async def list_overview(
    connection: AsyncConnection,
    wanted: OverviewFilter,
    now: datetime,
    *,
    sort: str = "health",
    descending: bool = False,
    limit: int = 50,
    after: Place | None = None,
    spark_days: int = SPARK_DAYS,
) -> list[OverviewRow]:
    """At most `limit` customers after the place `after`, by `sort` (see SORTS), then by id; who has no value comes last."""
    places = await _find_places(connection, wanted, now, sort, descending, limit, after)
    return await read_rows(connection, places, now, spark_days=spark_days)


async def _find_places(
    connection: AsyncConnection,
    wanted: OverviewFilter,
    now: datetime,
    sort: str,
    descending: bool,
    limit: int,
    after: Place | None,
) -> list[Place]:
    column, kind = SORTS[sort]
    given: dict[str, Any] = days_of(now)
    conditions = _conditions(wanted, given)
    changing = sort == "change" or bool(wanted.values.get("change"))
    first, joined = (_CHANGES, _CHANGED) if changing else ("", "")
    way, beyond = ("DESC", "<") if descending else ("ASC", ">")

    async def find(source: str, more: list[str], order: str, count: int) -> list[Place]:
        where = f"WHERE {' AND '.join([*conditions, *more])} " if conditions or more else ""
        rows = await connection.execute(
            text(
                f"{first}SELECT {column} AS value, c.id::text AS id FROM {source} {joined}{where}ORDER BY {order} LIMIT :limit"
            ),
            {**given, "limit": count},
        )
        return [Place(row.value, row.id) for row in rows]

    found: list[Place] = []
    id_ = "c.id" if column.startswith(("c.", "lower")) or joined else "s.customer_id"
    if after is None or after.value is not None:
        more = [f"{column} IS NOT NULL"]
        if after is not None:
            more.append(f"({column}, {id_}) {beyond} (CAST(:value AS {kind}), CAST(:id AS uuid))")
            given |= {"value": after.value, "id": after.id}
        if column.startswith("s."):
            # An index on the signal gives them in order, as long as nothing is looked at before it.
            source = "signals s JOIN customers c ON c.id = s.customer_id"
        else:
            source = "customers c LEFT JOIN signals s ON s.customer_id = c.id"
        found = await find(source, more, f"{column} {way}, {id_} {way}", limit)
    if len(found) < limit and sort != "name":
        more = [f"{column} IS NULL"]
        if after is not None and after.value is None:
            more.append(f"c.id {beyond} CAST(:id AS uuid)")
            given["id"] = after.id
        found += await find(
            "customers c LEFT JOIN signals s ON s.customer_id = c.id", more, f"c.id {way}", limit - len(found)
        )
    return found


async def export_overview(
    connection: AsyncConnection,
    wanted: OverviewFilter,
    now: datetime,
    *,
    sort: str = "health",
    descending: bool = False,
) -> AsyncIterator[Sequence[OverviewRow]]:
    """All customers of the filter, in order, some thousands at a time; of their daily scores, those of two days."""
    after: Place | None = None
    while True:
        rows = await list_overview(
            connection,
            wanted,
            now,
            sort=sort,
            descending=descending,
            limit=EXPORTED_AT_ONCE,
            after=after,
            spark_days=2,
        )
        if rows:
            yield rows
        if len(rows) < EXPORTED_AT_ONCE:
            return
        after = rows[-1].place


async def find_matching(
    connection: AsyncConnection, wanted: OverviewFilter, now: datetime, limit: int
) -> list[tuple[str, str]]:
    """(the caller's id, name) of at most `limit` customers of the filter, the least healthy first."""
    places = await _find_places(connection, wanted, now, "health", False, limit, None)
    rows = await connection.execute(
        text(
            f"SELECT c.external_id, {NAME} AS name FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS a(id, place) "
            "JOIN customers c ON c.id = a.id ORDER BY a.place"
        ),
        {"ids": [place.id for place in places]},
    )
    return [(row.external_id, row.name) for row in rows]


async def count_groups(connection: AsyncConnection, search: str, now: datetime) -> list[Group]:
    """All customers (with `search` in id, name or e-mail), counted by the values of all dimensions together."""
    given: dict[str, Any] = days_of(now)
    conditions = _conditions(OverviewFilter(search=search), given)
    first, changed = _CHANGES, _CHANGED
    if search:
        found = await connection.execute(
            text(f"SELECT c.id::text FROM customers c WHERE {conditions[0]} LIMIT :few"),
            {**given, "few": FEW + 1},
        )
        ids = list(found.scalars())
        if len(ids) <= FEW:
            # Their own rows are soon found; going through everybody's would take longer than the search did.
            first, changed = "", _CHANGED_OF_FEW
            conditions = ["c.id = ANY(CAST(:ids AS uuid[]))"]
            given["ids"] = ids
    where = f"WHERE {conditions[0]} " if conditions else ""
    rows = await connection.execute(
        text(
            f"{first}SELECT {', '.join(DIMENSIONS.values())}, count(*), coalesce(sum(s.monthly_price), 0), "
            "coalesce(sum(s.ltv_at_risk), 0) FROM customers c LEFT JOIN signals s ON s.customer_id = c.id "
            f"{changed}{where}GROUP BY {', '.join(str(place + 1) for place in range(len(DIMENSIONS)))}"
        ),
        given,
    )
    size = len(DIMENSIONS)
    return [Group(tuple(row[:size]), row[size], row[size + 1], row[size + 2]) for row in rows]
