"""Churn predictions per customer and day, and the list of those at risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.asking import Source, fetch
from store.database import encode


class PredictionDay(msgspec.Struct, frozen=True):
    """What was predicted of one customer on one UTC day, as it was found last.

    `reasons` are the strongest, each {signal, effect}; `prediction_factors` the named ones of the domain, 0–1;
    `intervention_sent`: a playbook began to treat the customer just now; `held_out`: no playbook ever does.
    """

    customer_id: str
    prediction_date: date
    churn_probability: float
    within_30d: float | None
    within_60d: float | None
    within_90d: float | None
    risk_level: str
    prediction_factors: Mapping[str, float]
    reasons: Sequence[Mapping[str, Any]]
    predicted_churn_date: date | None
    earliest_churn_date: date | None
    latest_churn_date: date | None
    source: str
    model_version: str
    model_confidence: str
    intervention_recommended: bool
    intervention_priority: int
    ltv_at_risk: float | None
    prevention_cost_estimate: float | None
    intervention_sent: bool
    held_out: bool
    calculated_at: datetime


_COLUMNS = PredictionDay.__struct_fields__
_MOVED = tuple(
    name for name in _COLUMNS if name not in ("customer_id", "prediction_date", "intervention_sent")
)
_SAVE = text(
    f"INSERT INTO churn_predictions ({', '.join(_COLUMNS)}) SELECT {', '.join(_COLUMNS)} "
    "FROM jsonb_populate_recordset(NULL::churn_predictions, CAST(:rows AS jsonb)) "
    "ON CONFLICT (customer_id, prediction_date) DO UPDATE SET "
    f"{', '.join(f'{name} = excluded.{name}' for name in _MOVED)}, "
    "intervention_sent = churn_predictions.intervention_sent OR excluded.intervention_sent"
)


async def save_predictions(connection: AsyncConnection, rows: Sequence[PredictionDay]) -> None:
    """Write the day's rows, or move them on; what became of the customer stays."""
    if rows:
        await connection.execute(_SAVE, {"rows": encode(rows)})


class StoredPrediction(msgspec.Struct, frozen=True):
    """A customer's latest prediction, by the caller's id; `worth` and `probability` are its place in the list."""

    user_id: str
    worth: float
    probability: float
    day: PredictionDay


@dataclass(frozen=True, slots=True)
class RiskTotals:
    """Of everybody who matches: how many, how many of them at risk, and the value that those put at risk."""

    customers: int
    at_risk: int
    ltv_at_risk: float


@dataclass(frozen=True, slots=True)
class RiskFilter:
    """Whom a list is to be about; None: whoever. `source` says who predicted."""

    level: str | None = None
    least_probability: float | None = None
    source: str | None = None
    segment: str | None = None


# Who is at risk now stands in the signals; the rows say the rest of it. Without a price a risk sorts after all that
# have one, by its probability: two lists, each in the order of an index.
_PRICED = "s.ltv_at_risk DESC, s.churn_probability DESC, s.customer_id"
_UNPRICED = "s.churn_probability DESC, s.customer_id"
_WITHOUT = -1.0
_READ = ", ".join(f"p.{name}" for name in _COLUMNS[1:])


async def list_predictions(
    source: Source,
    chosen: RiskFilter,
    *,
    limit: int,
    after: tuple[float, float, str] | None = None,
) -> list[StoredPrediction]:
    """The latest predictions, the most value at risk first; `after` is the place of the page's predecessor."""
    where, values = _where(chosen)
    found: list[StoredPrediction] = []
    if after is not None:
        values |= dict(zip(("worth", "probability", "customer"), after, strict=True))
    later = (
        "(s.churn_probability < %(probability)s OR (s.churn_probability = %(probability)s "
        "AND s.customer_id > CAST(%(customer)s AS uuid)))"
    )
    if after is None or after[0] != _WITHOUT:
        more = "s.ltv_at_risk IS NOT NULL"
        if after is not None:
            # Written out, since two of the three go down; the first bound is the index's.
            more += f" AND s.ltv_at_risk <= %(worth)s AND (s.ltv_at_risk < %(worth)s OR {later})"
        found = await _read_page(source, f"{where} AND {more}", _PRICED, values, limit)
    if len(found) < limit:
        more = "s.ltv_at_risk IS NULL"
        if after is not None and after[0] == _WITHOUT:
            more += f" AND s.churn_probability <= %(probability)s AND {later}"
        found += await _read_page(source, f"{where} AND {more}", _UNPRICED, values, limit - len(found))
    return found


async def _read_page(
    source: Source, where: str, order: str, values: Mapping[str, Any], limit: int
) -> list[StoredPrediction]:
    rows = await fetch(
        source,
        f"SELECT c.external_id, coalesce(page.ltv_at_risk, {_WITHOUT}), page.churn_probability, "
        f"page.customer_id::text, {_READ} FROM ("
        f"SELECT s.customer_id, s.ltv_at_risk, s.churn_probability FROM signals s WHERE {where} "
        # A page that is short is the last one.
        "AND EXISTS (SELECT FROM churn_predictions e WHERE e.customer_id = s.customer_id) "
        # Written out: a plan for any limit at all is none for a page, and one for each call takes longer than its work.
        f"ORDER BY {order} LIMIT {int(limit)}) AS page JOIN customers c ON c.id = page.customer_id "
        f"CROSS JOIN LATERAL ({_LATEST_ROW.format(customer='page.customer_id')}) p "
        f"ORDER BY {order.replace('s.', 'page.')}",
        values,
    )
    return [StoredPrediction(row[0], row[1], row[2], PredictionDay(*row[3:])) for row in rows]


async def sum_risk(source: Source, chosen: RiskFilter, *, at_risk_from: float) -> RiskTotals:
    """The totals over everybody who matches; at risk is whoever's probability is `at_risk_from` or more."""
    where, values = _where(chosen)
    [(customers, at_risk, ltv_at_risk)] = await fetch(
        source,
        "SELECT count(*), count(*) FILTER (WHERE s.churn_probability >= %(from_)s), "
        "coalesce(sum(s.ltv_at_risk) FILTER (WHERE s.churn_probability >= %(from_)s), 0) "
        f"FROM signals s WHERE {where}",
        {**values, "from_": at_risk_from},
    )
    return RiskTotals(int(customers), int(at_risk), float(ltv_at_risk))


_LATEST_ROW = (
    "SELECT * FROM churn_predictions WHERE customer_id = {customer} ORDER BY prediction_date DESC LIMIT 1"
)


def _where(chosen: RiskFilter) -> tuple[str, dict[str, Any]]:
    conditions = ["s.churn_probability IS NOT NULL"]
    values: dict[str, Any] = {}
    if chosen.level is not None:
        conditions.append("s.churn_risk_level = %(level)s")
        values["level"] = chosen.level
    if chosen.least_probability is not None:
        conditions.append("s.churn_probability >= %(least)s")
        values["least"] = chosen.least_probability
    if chosen.segment is not None:
        conditions.append("s.segment = %(segment)s")
        values["segment"] = chosen.segment
    if chosen.source is not None:
        conditions.append(
            f"(SELECT source FROM ({_LATEST_ROW.format(customer='s.customer_id')}) l) = %(source)s"
        )
        values["source"] = chosen.source
    return " AND ".join(conditions), values
