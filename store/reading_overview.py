"""Customers as the health overview lists them: filtered, sorted, page by page.

A page is found by the narrow columns that it is filtered and sorted by; only its own few rows are then looked at in full.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from store.asking import Source, fetch
from store.keyset import Place, Stretch, known_after, unknown_after
from store.overview_rows import NAME, SPARK_DAYS, OverviewRow, days_of, read_rows

# What customers are filtered by, and where it stands. `change` is against the score of the day before.
DIMENSIONS: Mapping[str, str] = {
    "risk": "s.risk_level", "segment": "s.segment", "csm": "c.csm", "trend": "s.health_trend", "plan": "s.plan",
    "change": "h.score_trend", "status": "s.subscription_status",
}  # fmt: skip
# What the value of a filter is for those where nothing is known.
NONE = "none"
# The status of all who haven't cancelled, those of whom nothing is known included (`signals_current_idx` has them alone).
CURRENT, CANCELLED = "current", "cancelled"
_CURRENT = f"s.subscription_status IS DISTINCT FROM '{CANCELLED}'"
# What customers are sorted by: where it stands, and its type.
SORTS: Mapping[str, tuple[str, str]] = {
    "health": ("s.health_score", "double precision"),
    "change": ("h.change", "integer"),
    "week": ("s.health_score - w.health_score", "double precision"),
    "churn": ("s.churn_probability", "double precision"),
    "revenue": ("s.monthly_price", "double precision"),
    "ltv": ("s.ltv_at_risk", "double precision"),
    "login": ("s.last_login", "timestamptz"),
    "renewal": ("s.renewal_date", "date"),
    "name": (f"lower({NAME})", "text"),
}
EXPORTED_AT_ONCE = 5000
FEW = 2000


@dataclass(frozen=True)
class OverviewFilter:
    """Which customers: those with one of the values of every dimension named, and with `search` in id, name or e-mail.

    `values` is by dimension (see DIMENSIONS); NONE stands for those where nothing is known, the status CURRENT for all but
    the cancelled ones.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    search: str = ""

    def allows(self, name: str, value: str) -> bool:
        """Whether customers with this value of a dimension are among them, as far as that goes."""
        wanted = self.values.get(name)
        return (
            not wanted or value in wanted or (name == "status" and CURRENT in wanted and value != CANCELLED)
        )


# What is searched, in one text (`customers_searched_idx` has just this expression, where PostgreSQL has pg_trgm).
SEARCHED = (
    "lower(c.external_id || E'\\n' || coalesce(c.business_name, '') || E'\\n' || coalesce(c.first_name, '') "
    "|| E'\\n' || coalesce(c.email, ''))"
)
# Whether the nightly run is over and has failed nobody, so that all who had a score yesterday have one of today.
_ALL_SCORED = (
    "EXISTS (SELECT FROM population_runs r WHERE r.day = %(today)s AND r.finished_at IS NOT NULL AND NOT EXISTS "
    "(SELECT FROM population_shards f WHERE f.day = r.day AND f.failed > 0))"
)
# How everybody's score changed, by the last of two days: nobody is without one before the nightly run has reached them.
_CHANGES = (
    "(SELECT customer_id, health_score - previous_score AS change, score_trend FROM customer_health WHERE day = %(today)s "
    "UNION ALL SELECT customer_id, health_score - previous_score, score_trend FROM customer_health y "
    f"WHERE day = %(yesterday)s AND NOT {_ALL_SCORED} AND NOT EXISTS "
    "(SELECT FROM customer_health t WHERE t.customer_id = y.customer_id AND t.day = %(today)s)) h"
)
# The same of few, one by one.
CHANGED_OF_FEW = (
    "LEFT JOIN LATERAL (SELECT health_score - previous_score AS change, score_trend FROM customer_health "
    "WHERE customer_id = {} AND day IN (%(today)s, %(yesterday)s) ORDER BY day DESC LIMIT 1) h ON true "
)
CHANGED = f"LEFT JOIN {_CHANGES} ON h.customer_id = c.id "
# How everybody stood a week ago.
_WEEK_AGO = "JOIN customer_health w ON w.customer_id = {} AND w.day = %(week_ago)s "
OF_FEW = "c.id = ANY(CAST(%(ids)s AS uuid[]))"
# The orders that an index of the signals has.
_INDEXED = ("health", "churn", "revenue", "ltv")
# So many in such an order are looked through before everybody is: who matches several filters may be far down.
NEAR = 5000


def read_conditions(wanted: OverviewFilter, given: dict[str, Any]) -> dict[str, str]:
    """What is asked of the tables, by dimension; the parameters go to `given`."""
    conditions = {}
    for name, values in wanted.values.items():
        if not values:
            continue
        column = DIMENSIONS[name]
        current = name == "status" and CURRENT in values
        known = [value for value in values if value != NONE and not (current and value == CURRENT)]
        parts = [_CURRENT] if current else []
        if len(known) == 1:
            # Equality keeps the order of an index that goes on with the health score.
            given[f"{name}_is"] = known[0]
            parts.append(f"{column} = %({name}_is)s")
        elif known:
            given[f"{name}_in"] = known
            parts.append(f"{column} = ANY(%({name}_in)s)")
        if NONE in values:
            parts.append(f"{column} IS NULL")
        conditions[name] = f"({' OR '.join(parts)})"
    return conditions


def search_condition(search: str, given: dict[str, Any]) -> str:
    """Whose id, name or e-mail holds these letters; its parameter goes to `given`."""
    escaped = search.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    given["search"] = f"%{escaped}%"
    return f"{SEARCHED} LIKE %(search)s"


async def find_few(source: Source, search: str) -> list[str] | None:
    """Our ids of those with `search` in id, name or e-mail; None where they are too many to be gone through by id."""
    given: dict[str, Any] = {}
    ids = await fetch(
        source,
        f"SELECT c.id::text FROM customers c WHERE {search_condition(search, given)} LIMIT {FEW + 1}",
        given,
    )
    return None if len(ids) > FEW else [id_ for (id_,) in ids]


async def list_overview(
    source: Source,
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
    places = await _find_places(source, wanted, now, sort, descending, limit, after)
    return await read_rows(source, places, now, spark_days=spark_days)


async def _find_places(
    source: Source,
    wanted: OverviewFilter,
    now: datetime,
    sort: str,
    descending: bool,
    limit: int,
    after: Place | None,
) -> list[Place]:
    column, kind = SORTS[sort]
    given: dict[str, Any] = days_of(now)
    conditions = read_conditions(wanted, given)
    few = await find_few(source, wanted.search) if wanted.search else None
    if few is not None:
        conditions["search"] = OF_FEW
        given["ids"] = few
    elif wanted.search:
        conditions["search"] = search_condition(wanted.search, given)

    async def find(tables: str, id_: str, stretch: Stretch, order: str = "") -> list[Place]:
        where = " AND ".join([*conditions.values(), *stretch.conditions])
        rows = await fetch(
            source,
            # The number is written out: a plan for any limit at all is none for a page.
            f"SELECT {column}, {id_}::text FROM {tables} WHERE {where} "
            f"ORDER BY {order or stretch.order} LIMIT {int(limit - len(found))}",
            {**given, **stretch.given},
        )
        return [Place(*row) for row in rows]

    found: list[Place] = []
    everybody = "customers c LEFT JOIN signals s ON s.customer_id = c.id "
    if sort == "change" or "change" in conditions:
        everybody += CHANGED if few is None else CHANGED_OF_FEW.format("c.id")
    if sort == "week":
        everybody += f"LEFT {_WEEK_AGO.format('c.id')}"
    tables, id_ = (everybody, "c.id") if few is not None or sort == "name" else _tables(sort, conditions)
    known = known_after(column, kind, id_, after, descending=descending)
    # Leaving out who has cancelled makes no list longer to look for.
    light = {"status"} if CURRENT in wanted.values.get("status", ()) else set()
    several = len(conditions.keys() - light) > 1 or "change" in conditions
    if known is not None and few is None and sort in _INDEXED and several:
        # Who matches several filters may be far down an index: it is followed for a while, then everybody is sorted.
        indexed = light | ({"risk"} if sort == "health" else set())
        near = [*known.conditions, *(conditions[name] for name in sorted(indexed & conditions.keys()))]
        first = f"(SELECT * FROM signals s WHERE {' AND '.join(near)} ORDER BY {known.order} LIMIT {NEAR}) s"
        found = await find(_tables(sort, conditions, near=first)[0], id_, known)
        if len(found) < limit:
            found = []
            found = await find(tables, id_, known, known.order.replace(column, f"{column} + 0"))
    elif known is not None:
        found = await find(tables, id_, known)
    if len(found) < limit and sort != "name":
        found += await find(everybody, "c.id", unknown_after(column, "c.id", after, descending=descending))
    return found


def _tables(sort: str, conditions: Mapping[str, str], *, near: str = "") -> tuple[str, str]:
    """Where those are found who have a value to be sorted by, and what their ids are called there: nothing is looked at
    that nobody asked about, and an index of the signals gives them in order (`near`: the first of them alone).
    """
    in_customers = bool(conditions.keys() & {"csm", "search"})
    if sort == "change":
        tables, id_ = f"{_CHANGES} ", "h.customer_id"
        if conditions.keys() - {"csm", "search", "change"}:
            tables += "LEFT JOIN signals s ON s.customer_id = h.customer_id "
    else:
        tables, id_ = f"{near or 'signals s'} ", "s.customer_id"
        if sort == "week":
            tables += _WEEK_AGO.format(id_)
        if "change" in conditions:
            tables += (
                CHANGED_OF_FEW.format(id_) if near else f"LEFT JOIN {_CHANGES} ON h.customer_id = {id_} "
            )
    return tables + (f"JOIN customers c ON c.id = {id_} " if in_customers else ""), id_


async def export_overview(
    source: Source,
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
            source,
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
    source: Source, wanted: OverviewFilter, now: datetime, limit: int
) -> list[tuple[str, str]]:
    """(the caller's id, name) of at most `limit` customers of the filter, the least healthy first."""
    places = await _find_places(source, wanted, now, "health", False, limit, None)
    rows = await fetch(
        source,
        f"SELECT c.external_id, {NAME} FROM unnest(CAST(%(ids)s AS uuid[])) WITH ORDINALITY AS a(id, place) "
        "JOIN customers c ON c.id = a.id ORDER BY a.place",
        {"ids": [place.id for place in places]},
    )
    return [(external_id, name) for external_id, name in rows]
