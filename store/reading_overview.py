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

from store.keyset import Place, Stretch, known_after, unknown_after
from store.overview_rows import NAME, SPARK_DAYS, OverviewRow, days_of, read_rows

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


# What is searched, in one text (`customers_searched_idx` has just this expression, where PostgreSQL has pg_trgm).
SEARCHED = (
    "lower(c.external_id || E'\\n' || coalesce(c.business_name, '') || E'\\n' || coalesce(c.first_name, '') "
    "|| E'\\n' || coalesce(c.email, ''))"
)
# How everybody's score changed, by the last of two days: nobody is without one before the nightly run has reached them.
_CHANGES = (
    "(SELECT customer_id, health_score - previous_score AS change, score_trend FROM customer_health WHERE day = :today "
    "UNION ALL SELECT customer_id, health_score - previous_score, score_trend FROM customer_health y "
    "WHERE day = :yesterday AND NOT EXISTS "
    "(SELECT FROM customer_health t WHERE t.customer_id = y.customer_id AND t.day = :today)) h"
)
# The same of few, one by one.
_CHANGED_OF_FEW = (
    "LEFT JOIN LATERAL (SELECT health_score - previous_score AS change, score_trend FROM customer_health "
    "WHERE customer_id = c.id AND day IN (:today, :yesterday) ORDER BY day DESC LIMIT 1) h ON true "
)
_CHANGED = f"LEFT JOIN {_CHANGES} ON h.customer_id = c.id "
_FEW = "c.id = ANY(CAST(:ids AS uuid[]))"
# The orders that an index of the signals has.
_INDEXED = ("health", "churn", "revenue", "ltv")
# So many in such an order are looked through before everybody is: who matches several filters may be far down.
_NEAR = 5000


def _conditions(wanted: OverviewFilter, given: dict[str, Any]) -> dict[str, str]:
    """By dimension; their parameters go to `given`."""
    conditions = {}
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
        conditions[name] = f"({' OR '.join(parts)})"
    return conditions


def _search(search: str, given: dict[str, Any]) -> str:
    escaped = search.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    given["search"] = f"%{escaped}%"
    return f"{SEARCHED} LIKE :search"


async def _find_few(connection: AsyncConnection, search: str) -> list[str] | None:
    """Our ids of those with `search` in id, name or e-mail; None where they are too many to be gone through by id."""
    given: dict[str, Any] = {"few": FEW + 1}
    found = await connection.execute(
        text(f"SELECT c.id::text FROM customers c WHERE {_search(search, given)} LIMIT :few"), given
    )
    ids = list(found.scalars())
    return None if len(ids) > FEW else ids


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
    few = await _find_few(connection, wanted.search) if wanted.search else None
    if few is not None:
        conditions["search"] = _FEW
        given["ids"] = few
    elif wanted.search:
        conditions["search"] = _search(wanted.search, given)

    async def find(source: str, id_: str, stretch: Stretch, order: str = "") -> list[Place]:
        where = " AND ".join([*conditions.values(), *stretch.conditions])
        rows = await connection.execute(
            text(
                f"SELECT {column} AS value, {id_}::text AS id FROM {source} WHERE {where} "
                f"ORDER BY {order or stretch.order} LIMIT :limit"
            ),
            {**given, **stretch.given, "limit": limit - len(found)},
        )
        return [Place(row.value, row.id) for row in rows]

    found: list[Place] = []
    everybody = "customers c LEFT JOIN signals s ON s.customer_id = c.id "
    if sort == "change" or "change" in conditions:
        everybody += _CHANGED if few is None else _CHANGED_OF_FEW
    source, id_ = (everybody, "c.id") if few is not None or sort == "name" else _source(sort, conditions)
    known = known_after(column, kind, id_, after, descending=descending)
    if known is not None and few is None and sort in _INDEXED and len(conditions) > 1:
        # Who matches several filters may be far down an index: it is followed for a while, then everybody is sorted.
        near = [
            *known.conditions,
            *([conditions["risk"]] if sort == "health" and "risk" in conditions else []),
        ]
        first = f"(SELECT * FROM signals s WHERE {' AND '.join(near)} ORDER BY {known.order} LIMIT {_NEAR}) s"
        found = await find(source.replace("signals s", first, 1), id_, known)
        if len(found) < limit:
            found = []
            found = await find(source, id_, known, known.order.replace(column, f"{column} + 0"))
    elif known is not None:
        found = await find(source, id_, known)
    if len(found) < limit and sort != "name":
        found += await find(everybody, "c.id", unknown_after(column, "c.id", after, descending=descending))
    return found


def _source(sort: str, conditions: Mapping[str, str]) -> tuple[str, str]:
    """Where those are found who have a value to be sorted by, and what their ids are called there: nothing is looked at
    that nobody asked about, and an index of the signals gives them in order.
    """
    in_customers = bool(conditions.keys() & {"csm", "search"})
    if sort == "change":
        source, id_ = f"{_CHANGES} ", "h.customer_id"
        if conditions.keys() - {"csm", "search", "change"}:
            source += "LEFT JOIN signals s ON s.customer_id = h.customer_id "
    else:
        source, id_ = "signals s ", "s.customer_id"
        if "change" in conditions:
            source += f"LEFT JOIN {_CHANGES} ON h.customer_id = s.customer_id "
    return source + (f"JOIN customers c ON c.id = {id_} " if in_customers else ""), id_


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
    changed, where = _CHANGED, ""
    if search:
        few = await _find_few(connection, search)
        if few is None:
            where = f"WHERE {_search(search, given)} "
        else:
            # Their own rows are soon found; going through everybody's would take longer than the search did.
            changed, where = _CHANGED_OF_FEW, f"WHERE {_FEW} "
            given["ids"] = few
    rows = await connection.execute(
        text(
            f"SELECT {', '.join(DIMENSIONS.values())}, count(*), coalesce(sum(s.monthly_price), 0), "
            "coalesce(sum(s.ltv_at_risk), 0) FROM customers c LEFT JOIN signals s ON s.customer_id = c.id "
            f"{changed}{where}GROUP BY {', '.join(str(place + 1) for place in range(len(DIMENSIONS)))}"
        ),
        given,
    )
    size = len(DIMENSIONS)
    return [Group(tuple(row[:size]), row[size], row[size + 1], row[size + 2]) for row in rows]
