"""Who is likely to leave: predictions, what is at stake, what to do about each, and how far they can be believed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.requests import Request

from schemas.catalogue import Catalogue, load_catalogue
from scoring.churn import INTERVENE_FROM, LIFETIME_MONTHS, MULTI_CHANNEL_ABOVE, urgency_of
from scoring.hazard.outlook import Reason
from scoring.named_factors import choose_actions
from store import signals
from store.alerts import Alert, load_open_alerts
from store.churn_models import StoredModel, list_models
from store.database import Connection
from store.monitoring import read_latest_report
from store.playbooks import load_policy
from store.protected_value import SILENT_DAYS
from store.reading_churn import BANDS, ChurnRow, export_churn, list_churn
from store.reading_playbooks import list_startable
from web.churn_counts import PROTECTED_DAYS, ChurnCounter
from web.churn_query import LEASTS, read_query
from web.csv_export import answer_csv, in_turn, write_line
from web.cursors import write_place_cursor
from web.edge import EdgeHere, Reader
from web.reason_words import name_reason
from web.shared_pages import share_page
from web.success_answers import NamedReason
from web.success_telling import tell_reason

router = APIRouter(include_in_schema=False)
ROWS = 25
REASONS = 3
FILTERS = (("level", "Level"), ("source", "Source"), ("segment", "Segment"), ("csm", "CSM"))
MODEL_ALERTS = ("model_drift", "model_stale", "scoring_stale", "model_critical")
EXPORTED = (
    "userId", "businessName", "subscriptionTier", "segment", "csm", "monthlyRevenue", "healthScore", "churnProbability",
    "riskLevel", "predictedChurnDate", "earliestChurnDate", "latestChurnDate", "ltvAtRisk", "preventionCost",
    "interventionUrgency", "reasons", "recommendedActions", "source", "confidence", "modelVersion", "calculatedAt",
)  # fmt: skip


@dataclass(frozen=True)
class ListedRisk:
    """One row, with what is told of it."""

    row: ChurnRow
    urgency: str
    reasons: Sequence[NamedReason]
    actions: Sequence[str]


@dataclass(frozen=True)
class Band:
    """One bar of the distribution: from which probability to which (in per cent), how many, and how high (0–1)."""

    low: int
    high: int
    customers: int
    height: float
    level: str


@dataclass(frozen=True)
class ModelCard:
    """Who predicts: the champion (None: the rule of thumb), how it was judged when it began to serve, at the policy's
    horizon where that was tried, how it has done since, and what somebody must look at.
    """

    champion: StoredModel | None
    fallback: StoredModel | None
    horizon_days: int
    judged: Mapping[str, Any] | None
    majority: Mapping[str, Any] | None
    report_at: datetime | None
    status: str
    why: Sequence[str]
    since: Mapping[str, Any] | None
    alerts: Sequence[Alert]


@router.get("/churn")
async def churn(request: Request, edge: EdgeHere, me: Reader) -> Response:
    """Predictions by filters and order, with totals, the distribution, and what to do about each."""
    query = read_query(request.query_params)

    async def read() -> Mapping[str, Any]:
        counts, protected = await cast(ChurnCounter, request.app.state.churn).read(query.wanted)
        catalogue = load_catalogue()
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            rows = await list_churn(
                connection, query.wanted, now, sort=query.sort, descending=query.descending, limit=ROWS + 1,
                after=query.after,
            )  # fmt: skip
            known = await signals.load(connection, [row.id for row in rows[:ROWS]])
            startable = await list_startable(connection) if me.may("act") else []
            card = await _read_card(connection)
        more = rows[ROWS - 1].place if len(rows) > ROWS else None

        def tell(risk: ListedRisk, reason: NamedReason) -> str:
            stored = known.get(risk.row.id)
            return name_reason(reason.signal, stored.values if stored else {}, catalogue, now)

        return {
            "risks": [describe_risk(row, catalogue) for row in rows[:ROWS]],
            "tell": tell,
            "query": query,
            "counts": counts,
            "protected": protected,
            "protected_days": PROTECTED_DAYS,
            "silent_days": SILENT_DAYS,
            "high": INTERVENE_FROM,
            "lifetime_months": LIFETIME_MONTHS,
            "bands": make_bands(counts.bands),
            "filters": FILTERS,
            "leasts": LEASTS,
            "startable": startable,
            "card": card,
            "next_cursor": write_place_cursor(more, query.sorted_by) if more else "",
            "at": now,
        }

    return await share_page(request, me, "churn.html", read)


@router.get("/churn.csv")
async def export(request: Request, edge: EdgeHere, me: Reader) -> Response:
    """All predictions of the same query, as a table for other programs."""
    query = read_query(request.query_params)
    catalogue = load_catalogue()

    async def write() -> AsyncIterator[bytes]:
        yield write_line(EXPORTED)
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            async for rows in export_churn(
                connection, query.wanted, now, sort=query.sort, descending=query.descending
            ):
                yield b"".join(write_line(_cells(describe_risk(row, catalogue))) for row in rows)

    return answer_csv(in_turn(request.app.state.exports, write()), "churn.csv")


def describe_risk(row: ChurnRow, catalogue: Catalogue) -> ListedRisk:
    """A prediction with its strongest reasons, how urgent it is, and what to do."""
    urgency = urgency_of(row.probability)
    return ListedRisk(
        row,
        urgency,
        [tell_reason(Reason(one["signal"], one["effect"]), catalogue) for one in row.reasons[:REASONS]],
        choose_actions(row.factors, row.level, urgency, row.probability > MULTI_CHANNEL_ABOVE),
    )


def make_bands(counted: Sequence[int]) -> list[Band]:
    """The bars of the distribution, ten of them, in order of probability."""
    step = BANDS // 10
    sums = [sum(counted[start : start + step]) for start in range(0, BANDS, step)]
    most = max(sums, default=0) or 1
    return [
        Band(
            10 * place,
            10 * place + 10,
            customers,
            customers / most,
            "critical" if place >= 8 else "high" if place >= 6 else "medium" if place >= 4 else "low",
        )
        for place, customers in enumerate(sums)
    ]


async def _read_card(connection: Connection) -> ModelCard:
    champions = {one.kind: one for one in await list_models(connection) if one.state == "champion"}
    policy = await load_policy(connection)
    champion = champions.get("model") or champions.get("health")
    kind = champion.kind if champion else ""
    horizon = policy.churn.horizon_days
    tried = [
        one for one in (champion.metrics.get("reports", []) if champion else []) if one["days"] == horizon
    ]
    found = await read_latest_report(connection)
    report: Mapping[str, Any] = found[1] if found else {}
    alerts = [one for one in await load_open_alerts(connection) if one.kind in MODEL_ALERTS]
    return ModelCard(
        champion=champion,
        fallback=champions.get("health") if kind == "model" else None,
        horizon_days=horizon,
        judged=next((one for one in tried if one["forecaster"] == kind), None),
        majority=next((one for one in tried if one["forecaster"] == "base_rate"), None),
        report_at=found[0] if found else None,
        status=str(report.get("status", "unknown")),
        why=report.get("why", []),
        since=(report.get("matured") or {}).get("untreated"),
        alerts=alerts,
    )


def _cells(risk: ListedRisk) -> Sequence[object]:
    row = risk.row
    return (
        row.user_id, row.name, row.plan, row.segment, row.csm, row.monthly_price, row.health_score, row.probability,
        row.level, row.expected, row.earliest, row.latest, row.ltv_at_risk, row.prevention_cost, risk.urgency,
        "; ".join(f"{one.signal} {one.effect:+.2f}" for one in risk.reasons), "; ".join(risk.actions), row.source,
        row.confidence, row.model_version, row.calculated_at,
    )  # fmt: skip
