"""Churn predictions as the page lists them: filtered, sorted, page by page, and counted.

As in `reading_overview`, a page is found by narrow columns, and only its own few rows are then looked at in full.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from store.asking import Source, fetch, fetch_named
from store.keyset import Place, Stretch, known_after, unknown_after
from store.overview_rows import NAME, days_of

# What predictions are filtered by, and where it stands; `p` is who predicted.
DIMENSIONS: Mapping[str, str] = {
    "level": "s.churn_risk_level", "source": "p.source", "segment": "s.segment", "csm": "c.csm",
}  # fmt: skip
# What the value of a filter is for those where nothing is known.
NONE = "none"
# What predictions are sorted by: where it stands, and its type. Who has no such value comes last.
SORTS: Mapping[str, tuple[str, str]] = {
    "ltv": ("s.ltv_at_risk", "double precision"),
    "churn": ("s.churn_probability", "double precision"),
    "date": ("s.predicted_churn_date", "date"),
}
# Probabilities are counted in so many bands.
BANDS = 20
EXPORTED_AT_ONCE = 5000


@dataclass(frozen=True)
class ChurnFilter:
    """Whose predictions: those with this value of every dimension named (NONE: not known), of at least `least`."""

    values: Mapping[str, str]
    least: float = 0.0


@dataclass(frozen=True)
class ChurnRow:
    """One customer's latest prediction. Money is in account currency, per month or in total; `priority` is 1 to 5.

    `reasons` are the strongest, each {signal, effect}; `factors` the named ones of the domain, 0–1.
    """

    id: str
    user_id: str
    name: str
    demo: bool
    csm: str | None
    plan: str | None
    segment: str | None
    monthly_price: float | None
    health_score: float | None
    risk_level: str | None
    probability: float
    level: str
    ltv_at_risk: float | None
    expected: date | None
    earliest: date | None
    latest: date | None
    source: str | None
    model_version: str | None
    confidence: str | None
    factors: Mapping[str, float]
    reasons: Sequence[Mapping[str, Any]]
    recommended: bool
    priority: int | None
    prevention_cost: float | None
    open_runs: Sequence[str]
    calculated_at: datetime | None
    place: Place


class ChurnGroup(NamedTuple):
    """How many customers share a band of probability (0 to BANDS - 1) and values (in the order of DIMENSIONS), and what
    of their value is at risk; `unpriced`: of how many no price is known.
    """

    band: int
    values: tuple[str | None, ...]
    customers: int
    ltv_at_risk: float
    unpriced: int


# By whom the last prediction of two days is, so that nobody is without one before the nightly run has reached them.
_SOURCES = (
    "WITH p AS MATERIALIZED (SELECT customer_id, coalesce(t.source, y.source) AS source "
    "FROM (SELECT customer_id, source FROM churn_predictions WHERE prediction_date = %(today)s) t "
    "FULL JOIN (SELECT customer_id, source FROM churn_predictions WHERE prediction_date = %(yesterday)s) y "
    "USING (customer_id)) "
)
# The same of one customer, and of all of whom this source predicted.
_SOURCE_OF = (
    "(SELECT l.source FROM churn_predictions l WHERE l.customer_id = s.customer_id "
    "AND l.prediction_date IN (%(today)s, %(yesterday)s) ORDER BY l.prediction_date DESC LIMIT 1)"
)
_OF_SOURCE = (
    "s.customer_id IN (SELECT customer_id FROM churn_predictions WHERE prediction_date = %(today)s AND source = %(source_is)s "
    "UNION ALL SELECT y.customer_id FROM churn_predictions y WHERE y.prediction_date = %(yesterday)s "
    "AND y.source = %(source_is)s AND NOT EXISTS (SELECT FROM churn_predictions t WHERE t.customer_id = y.customer_id "
    "AND t.prediction_date = %(today)s))"
)
_COUNT_SOURCE = (
    "SELECT count(*) FROM (SELECT FROM churn_predictions WHERE prediction_date IN (%(today)s, %(yesterday)s) "
    "AND source = %(source_is)s LIMIT %(enough)s) x"
)
# A source that told of fewer is looked up; one that told of more is soon met on the way through the order.
RARE = 2000
_BAND = f"least({BANDS - 1}, floor(s.churn_probability * {BANDS} + 1e-9))::integer"


async def _conditions(source: Source, wanted: ChurnFilter, given: dict[str, Any]) -> list[str]:
    conditions = ["s.churn_probability IS NOT NULL"]
    for name, value in wanted.values.items():
        if name == "source" and value == NONE:
            conditions.append(f"{_SOURCE_OF} IS NULL")
        elif name == "source" and value:
            given["source_is"] = value
            [[counted]] = await fetch(source, _COUNT_SOURCE, {**given, "enough": RARE})
            conditions.append(_OF_SOURCE if counted < RARE else f"{_SOURCE_OF} = %(source_is)s")
        elif value == NONE:
            conditions.append(f"{DIMENSIONS[name]} IS NULL")
        elif value:
            given[f"{name}_is"] = value
            conditions.append(f"{DIMENSIONS[name]} = %({name}_is)s")
    if wanted.least > 0:
        # The same number as the bands begin with.
        given["least"] = wanted.least - 1e-9
        conditions.append("s.churn_probability >= %(least)s")
    return conditions


async def list_churn(
    source: Source,
    wanted: ChurnFilter,
    now: datetime,
    *,
    sort: str = "ltv",
    descending: bool = True,
    limit: int = 25,
    after: Place | None = None,
) -> list[ChurnRow]:
    """At most `limit` predictions after the place `after`, by `sort` (see SORTS), then by id; no value comes last."""
    column, kind = SORTS[sort]
    given: dict[str, Any] = days_of(now)
    conditions = await _conditions(source, wanted, given)

    async def find(stretch: Stretch, count: int) -> list[Place]:
        rows = await fetch(
            source,
            # The number is written out: a plan for any limit at all is none for a page.
            f"SELECT {column}, s.customer_id::text FROM signals s "
            f"JOIN customers c ON c.id = s.customer_id WHERE {' AND '.join([*conditions, *stretch.conditions])} "
            f"ORDER BY {stretch.order} LIMIT {int(count)}",
            {**given, **stretch.given},
        )
        return [Place(*row) for row in rows]

    places: list[Place] = []
    if known := known_after(column, kind, "s.customer_id", after, descending=descending):
        places = await find(known, limit)
    if len(places) < limit:
        unknown = unknown_after(column, "s.customer_id", after, descending=descending)
        places += await find(unknown, limit - len(places))
    return await _read_rows(source, places)


_ROWS = f"""
    SELECT c.id::text AS id, c.external_id AS user_id, {NAME} AS name, c.demo, c.csm, s.plan, s.segment,
        s.monthly_price, s.health_score, s.risk_level, s.churn_probability AS probability, s.churn_risk_level AS level,
        s.ltv_at_risk, s.predicted_churn_date AS expected, p.earliest_churn_date AS earliest,
        p.latest_churn_date AS latest, p.source, p.model_version, p.model_confidence AS confidence,
        coalesce(p.prediction_factors, '{{}}'::jsonb) AS factors, coalesce(p.reasons, '[]'::jsonb) AS reasons,
        coalesce(p.intervention_recommended, false) AS recommended, p.intervention_priority AS priority,
        p.prevention_cost_estimate AS prevention_cost, p.calculated_at,
        ARRAY(SELECT r.playbook FROM runs r WHERE r.customer_id = c.id AND r.ended_at IS NULL AND r.arm = 'treated'
            ORDER BY r.entered_at DESC) AS open_runs
    FROM unnest(CAST(%(ids)s AS uuid[])) WITH ORDINALITY AS asked(id, place)
    JOIN customers c ON c.id = asked.id
    JOIN signals s ON s.customer_id = c.id
    LEFT JOIN LATERAL (
        SELECT * FROM churn_predictions WHERE customer_id = c.id ORDER BY prediction_date DESC LIMIT 1
    ) p ON true
    ORDER BY asked.place
    """


async def _read_rows(source: Source, places: Sequence[Place]) -> list[ChurnRow]:
    if not places:
        return []
    rows = await fetch_named(source, _ROWS, {"ids": [place.id for place in places]})
    by_id = {place.id: place for place in places}
    return [ChurnRow(**{**row, "level": row["level"] or "low"}, place=by_id[row["id"]]) for row in rows]


async def export_churn(
    source: Source,
    wanted: ChurnFilter,
    now: datetime,
    *,
    sort: str = "ltv",
    descending: bool = True,
) -> AsyncIterator[Sequence[ChurnRow]]:
    """All predictions of the filter, in order, some thousands at a time."""
    after: Place | None = None
    while True:
        rows = await list_churn(
            source, wanted, now, sort=sort, descending=descending, limit=EXPORTED_AT_ONCE, after=after
        )
        if rows:
            yield rows
        if len(rows) < EXPORTED_AT_ONCE:
            return
        after = rows[-1].place


async def count_churn(source: Source, now: datetime) -> list[ChurnGroup]:
    """Everybody of whom something is predicted, by band of probability and all dimensions together."""
    names = ", ".join(DIMENSIONS.values())
    rows = await fetch(
        source,
        f"{_SOURCES}SELECT {_BAND}, {names}, count(*), coalesce(sum(s.ltv_at_risk), 0), "
        "count(*) FILTER (WHERE s.ltv_at_risk IS NULL) FROM signals s "
        "JOIN customers c ON c.id = s.customer_id LEFT JOIN p ON p.customer_id = s.customer_id "
        "WHERE s.churn_probability IS NOT NULL "
        f"GROUP BY {', '.join(str(place + 1) for place in range(len(DIMENSIONS) + 1))}",
        days_of(now),
    )
    size = len(DIMENSIONS) + 1
    return [ChurnGroup(row[0], row[1:size], row[size], row[size + 1], row[size + 2]) for row in rows]
