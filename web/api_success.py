"""`/api/customer-success`: the health of a customer, and who is likely to leave."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Query, Request

from schemas.access import Principal
from schemas.catalogue import load_catalogue
from schemas.errors import UnavailableError
from scoring.assessment import Assessment
from scoring.breakdown import factor_shares, percents, weights_of
from scoring.recommendations import recommend
from scoring.trajectory import project
from store.churn_predictions import RiskFilter, list_predictions
from store.customer_health import load_health_history
from web.api_customers import UserId
from web.api_runs import Limit, Word
from web.cohorts import CohortCounter, place
from web.cursors import read_risk_cursor, write_cursor
from web.edge import Edge, EdgeHere, caller_of, may, own_or
from web.etags import note_moments
from web.risk_totals import RiskCounter
from web.success_answers import HealthAnswer, HealthScore, PredictionAnswer, PredictionList, Projection
from web.success_telling import (
    in_camel,
    tell_cohort,
    tell_day,
    tell_explanation,
    tell_prediction,
    tell_stored,
    why_not,
)

router = APIRouter(prefix="/api/customer-success", tags=["customer success"])
Own = Depends(own_or("read"))
TimeRange = Annotated[Literal["7d", "30d", "90d"], Query(alias="timeRange")]
IncludeBreakdown = Annotated[bool, Query(alias="includeBreakdown")]
IncludeExplanation = Annotated[bool, Query(alias="includeExplanation")]
# What is the operators' alone.
KEPT: Mapping[str, object] = {
    "recommended_actions": [], "ltv_at_risk": None, "prevention_cost": None, "intervention_urgency": None,
    "intervention_recommended": None, "intervention_priority": None, "multi_channel": None,
}  # fmt: skip
REVIEWED_AFTER = timedelta(days=7)


@router.get("/health-score/{userId:path}", summary="A customer's health", dependencies=[Own])
async def health_score(
    request: Request,
    edge: EdgeHere,
    user_id: UserId,
    time_range: TimeRange = "30d",
    include_breakdown: IncludeBreakdown = False,
) -> HealthAnswer:
    """As of this moment: time alone changes it. The history has a row per UTC day."""
    note_moments(request, "calculatedAt")
    return await _tell_health(request, edge, user_id, time_range, include_breakdown, record=False)


@router.post(
    "/health-score/{userId:path}", summary="Score a customer now", dependencies=[Depends(may("act"))]
)
async def score(
    request: Request,
    edge: EdgeHere,
    user_id: UserId,
    time_range: TimeRange = "30d",
    include_breakdown: IncludeBreakdown = True,
) -> HealthAnswer:
    """The same, written down as the day's latest; playbooks hear of what changed."""
    return await _tell_health(request, edge, user_id, time_range, include_breakdown, record=True)


@router.get("/churn-predictions", summary="Who is likely to leave", dependencies=[Depends(caller_of)])
async def predictions(
    request: Request,
    edge: EdgeHere,
    risk_level: Annotated[
        Literal["low", "medium", "high", "critical"] | None, Query(alias="riskLevel")
    ] = None,
    least: Annotated[float | None, Query(alias="minProbability", ge=0, le=1)] = None,
    source: Literal["model", "health", "rule_of_thumb"] | None = None,
    segment: Word = None,
    limit: Limit = 50,
    cursor: Word = None,
) -> PredictionList:
    """The most value at risk first, and those without a price after them by probability."""
    note_moments(request, "countedAt")
    chosen = RiskFilter(level=risk_level, least_probability=least, source=source, segment=segment)
    totals, counted_at = await cast(RiskCounter, request.app.state.risk_totals).read(chosen)
    async with edge.database.reading() as lane:
        rows = await list_predictions(lane, chosen, limit=limit + 1, after=read_risk_cursor(cursor))
    last = rows[limit - 1] if len(rows) > limit else None
    catalogue = load_catalogue()
    return PredictionList(
        predictions=[tell_stored(row, catalogue) for row in rows[:limit]],
        total=totals.customers,
        total_at_risk=totals.at_risk,
        total_ltv_at_risk=totals.ltv_at_risk,
        counted_at=counted_at,
        next_cursor=write_cursor(repr(last.worth), repr(last.probability), last.day.customer_id)
        if last
        else None,
    )


@router.get("/churn-predictions/{userId:path}", summary="How likely a customer is to leave, and why")
async def prediction(
    request: Request,
    edge: EdgeHere,
    user_id: UserId,
    caller: Annotated[Principal, Own],
    include_explanation: IncludeExplanation = True,
) -> PredictionAnswer:
    """As of this moment, features included. Says which signals count and how much, never what their values are.

    Customers aren't told what they are worth and what is to be done about them: those fields are null or empty then.
    """
    note_moments(request, "calculatedAt")
    assessed = await _assess(edge, user_id, record=False)
    made, catalogue = assessed.prediction, load_catalogue()
    told = tell_prediction(assessed.user_id, made, assessed.at, catalogue) if made else None
    return PredictionAnswer(
        user_id=assessed.user_id,
        prediction=told if told is None or caller.may("read") else told.model_copy(update=KEPT),
        explanation=tell_explanation(made, catalogue) if made and include_explanation else None,
        not_predicted=why_not(assessed),
    )


async def _assess(edge: Edge, user_id: str, *, record: bool) -> Assessment:
    if edge.assess is None:
        raise UnavailableError("This process can't score.", remedy="Use `holdfast score --customer`.")
    return await edge.assess(user_id, record)


async def _tell_health(
    request: Request, edge: Edge, user_id: str, time_range: str, include_breakdown: bool, *, record: bool
) -> HealthAnswer:
    assessed = await _assess(edge, user_id, record=record)
    today, id_, health = assessed.at.date(), assessed.customer_id, assessed.health
    back = timedelta(days=int(time_range.removesuffix("d")))
    cohorts = await cast(CohortCounter, request.app.state.cohorts).read()
    async with edge.database.reading() as source:
        history = await load_health_history(source, id_, today - back, today)
    scores = dict(assessed.scores)
    if health.score is not None:
        scores[today] = health.score
    path = project(scores, today)
    shares = factor_shares(assessed.model, health, assessed.plan)
    advice = recommend(assessed.model, shares, weights_of(assessed.model, health.segment, assessed.plan))
    return HealthAnswer(
        user_id=assessed.user_id,
        health_score=HealthScore(
            current=health.score,
            previous=assessed.previous_score,
            trend=assessed.trend,
            risk_level=health.risk_level,
            enhanced_score=assessed.enhanced_score,
            influencer=assessed.influencer,
            breakdown=in_camel(percents(shares)) if include_breakdown else None,
            recommendations=[one.text for one in advice],
            next_review_date=today + REVIEWED_AFTER,
            calculated_at=assessed.at,
            model=assessed.model.name,
            history=[tell_day(one) for one in history],
            cohort=tell_cohort(place(cohorts, assessed)),
            projection=Projection(
                slope_per_day=path.slope,
                in_days=path.ahead_days,
                expected=path.expected,
                lower=path.lower,
                upper=path.upper,
                based_on_days=path.scores,
            )
            if path
            else None,
        ),
    )
