"""Who is likely to leave: predictions, what is at stake, what to do about each, and how far they can be believed."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import math
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse
from starlette.datastructures import QueryParams
from starlette.requests import Request

from schemas.catalogue import Catalogue, load_catalogue
from schemas.errors import InputError
from scoring.churn import INTERVENE_FROM, MULTI_CHANNEL_ABOVE, urgency_of
from scoring.hazard.outlook import Reason
from scoring.named_factors import choose_actions
from store.alerts import Alert, load_open_alerts
from store.churn_models import StoredModel, list_models
from store.database import Connection
from store.playbooks import load_policy
from store.reading_churn import (
    BANDS,
    DIMENSIONS,
    SILENT_DAYS,
    SORTS,
    ChurnFilter,
    ChurnPlace,
    ChurnRow,
    export_churn,
    list_churn,
    list_startable,
    read_latest_report,
)
from web.churn_counts import PROTECTED_DAYS, ChurnCounter
from web.edge import EdgeHere, Reader
from web.rendering import render
from web.success_answers import NamedReason
from web.success_telling import tell_reason

router = APIRouter(include_in_schema=False)
ROWS = 25
REASONS = 3
LONGEST = 200
# Probabilities that a list may begin at: where bands begin.
LEASTS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9)
FILTERS = (("level", "Level"), ("source", "Source"), ("segment", "Segment"), ("csm", "CSM"))
MODEL_ALERTS = ("model_drift", "model_stale", "scoring_stale", "model_critical")
EXPORTED = (
    "userId", "businessName", "subscriptionTier", "segment", "csm", "monthlyRevenue", "healthScore", "churnProbability",
    "riskLevel", "predictedChurnDate", "earliestChurnDate", "latestChurnDate", "ltvAtRisk", "preventionCost",
    "interventionUrgency", "reasons", "recommendedActions", "source", "confidence", "modelVersion", "calculatedAt",
)  # fmt: skip


@dataclass(frozen=True)
class ChurnQuery:
    """One list: whose predictions, in which order, from where on."""

    wanted: ChurnFilter
    sort: str = "ltv"
    descending: bool = True
    after: ChurnPlace | None = None

    @property
    def sorted_by(self) -> str:
        """The order as a query says it."""
        return f"-{self.sort}" if self.descending else self.sort

    @property
    def filtered(self) -> bool:
        """Whether not everybody is asked for."""
        return bool(self.wanted.values) or self.wanted.least > 0

    def encoded(self) -> str:
        """The query that asks for this list from its beginning."""
        pairs = dict(self.wanted.values)
        if self.wanted.least:
            pairs["least"] = f"{self.wanted.least:g}"
        if self.sorted_by != "-ltv":
            pairs["sort"] = self.sorted_by
        return urlencode(pairs)


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
    counts, protected = await cast(ChurnCounter, request.app.state.churn).read(query.wanted)
    catalogue = load_catalogue()
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        rows = await list_churn(
            connection, query.wanted, now, sort=query.sort, descending=query.descending, limit=ROWS + 1,
            after=query.after,
        )  # fmt: skip
        startable = await list_startable(connection) if me.may("act") else []
        card = await _read_card(connection)
    more = rows[ROWS - 1].place if len(rows) > ROWS else None
    return render(
        request,
        "churn.html",
        risks=[describe_risk(row, catalogue) for row in rows[:ROWS]],
        query=query,
        counts=counts,
        protected=protected,
        protected_days=PROTECTED_DAYS,
        silent_days=SILENT_DAYS,
        high=INTERVENE_FROM,
        bands=make_bands(counts.bands),
        filters=FILTERS,
        leasts=LEASTS,
        startable=startable,
        card=card,
        next_cursor=write_place(more, query.sorted_by) if more else "",
        at=now,
    )


@router.get("/churn.csv")
async def export(request: Request, edge: EdgeHere, me: Reader) -> Response:
    """All predictions of the same query, as a table for other programs."""
    query = read_query(request.query_params)
    catalogue = load_catalogue()

    async def write() -> AsyncIterator[bytes]:
        yield _line(EXPORTED)
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            async for rows in export_churn(
                connection, query.wanted, now, sort=query.sort, descending=query.descending
            ):
                yield b"".join(_line(_cells(describe_risk(row, catalogue))) for row in rows)

    return StreamingResponse(
        write(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="churn.csv"'},
    )


def read_query(given: QueryParams) -> ChurnQuery:
    """The list that a query asks for; what is empty is as if it weren't there. Raises InputError.

    Names are those of DIMENSIONS, `least` (one of LEASTS), `sort` (see SORTS, with a minus for descending), `cursor`.
    """
    values: dict[str, str] = {}
    for name in DIMENSIONS:
        value = given.get(name, "")
        if len(value) > LONGEST or "\x00" in value:
            raise InputError(f"{name} can't be read.", remedy=f"At most {LONGEST} characters.")
        if value:
            values[name] = value
    least = 0.0
    if written := given.get("least", ""):
        try:
            least = next(one for one in LEASTS if written == f"{one:g}")
        except StopIteration:
            shown = ", ".join(f"{one:g}" for one in LEASTS)
            raise InputError("No list begins at that probability.", remedy=f"Use one of {shown}.") from None
    sort = given.get("sort", "") or "-ltv"
    if sort.removeprefix("-") not in SORTS:
        raise InputError(f"There is no order {sort[:50]!r}.", remedy=f"Use one of {', '.join(SORTS)}.")
    cursor = given.get("cursor", "")
    return ChurnQuery(
        ChurnFilter(values, least),
        sort.removeprefix("-"),
        sort.startswith("-"),
        _read_place(cursor, sort) if cursor else None,
    )


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


def write_place(place: ChurnPlace, sorted_by: str) -> str:
    """A cursor: where the next page begins, in this order."""
    value = place.value.isoformat() if isinstance(place.value, date) else place.value
    return base64.urlsafe_b64encode(msgspec.json.encode([sorted_by, value, place.id])).decode().rstrip("=")


def _read_place(cursor: str, sorted_by: str) -> ChurnPlace:
    refused = InputError(
        "cursor is none of ours, or of another order.", remedy="Open the list from its beginning."
    )
    try:
        written = base64.b64decode(cursor[:1000] + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        order, value, id_ = msgspec.json.decode(written, type=tuple[str, float | str | None, str])
        place = ChurnPlace(_typed(value, SORTS[sorted_by.removeprefix("-")][1]), str(uuid.UUID(id_)))
    except (ValueError, OverflowError, binascii.Error, msgspec.MsgspecError):
        raise refused from None
    if order != sorted_by:
        raise refused
    return place


def _typed(value: float | str | None, kind: str) -> float | date | None:
    if value is None:
        return None
    if kind == "date":
        return date.fromisoformat(str(value))
    if isinstance(value, str) or not math.isfinite(value):
        raise ValueError(value)
    return value


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


def _line(cells: Sequence[object]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerow([_cell(cell) for cell in cells])
    return written.getvalue().encode()


def _cell(cell: object) -> object:
    if isinstance(cell, datetime):
        return cell.isoformat(timespec="seconds")
    # A spreadsheet would take it for a formula, and work it out.
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
