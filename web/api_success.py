"""`/api/customer-success`: the health of a customer, and who is likely to leave."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from schemas.catalogue import load_catalogue
from schemas.errors import UnavailableError
from scoring.assessment import Assessment
from scoring.breakdown import factor_shares, percents, weights_of
from scoring.churn import INTERVENE_FROM
from scoring.recommendations import recommend
from scoring.trajectory import WINDOW_DAYS, project
from store.churn_predictions import RiskFilter, list_predictions, sum_risk
from store.customer_health import compare_with_cohort, load_health_history, load_midnight_scores
from web.api_customers import UserId
from web.api_runs import Limit, Word
from web.cursors import read_risk_cursor, write_cursor
from web.edge import Edge, EdgeHere, caller_of
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

router = APIRouter(
    prefix="/api/customer-success", tags=["customer success"], dependencies=[Depends(caller_of)]
)
TimeRange = Annotated[Literal["7d", "30d", "90d"], Query(alias="timeRange")]
IncludeBreakdown = Annotated[bool, Query(alias="includeBreakdown")]
IncludeExplanation = Annotated[bool, Query(alias="includeExplanation")]
REVIEWED_AFTER = timedelta(days=7)


@router.get("/health-score/{userId:path}", summary="A customer's health")
async def health_score(
    edge: EdgeHere,
    user_id: UserId,
    time_range: TimeRange = "30d",
    include_breakdown: IncludeBreakdown = False,
) -> HealthAnswer:
    """As of this moment: time alone changes it. The history has a row per UTC day."""
    return await _tell_health(edge, user_id, time_range, include_breakdown, record=False)


@router.post("/health-score/{userId:path}", summary="Score a customer now")
async def score(
    edge: EdgeHere, user_id: UserId, time_range: TimeRange = "30d", include_breakdown: IncludeBreakdown = True
) -> HealthAnswer:
    """The same, written down as the day's latest; playbooks hear of what changed."""
    return await _tell_health(edge, user_id, time_range, include_breakdown, record=True)


@router.get("/churn-predictions", summary="Who is likely to leave")
async def predictions(
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
    chosen = RiskFilter(level=risk_level, least_probability=least, source=source, segment=segment)
    async with edge.database.transaction() as connection:
        rows = await list_predictions(connection, chosen, limit=limit + 1, after=read_risk_cursor(cursor))
        totals = await sum_risk(connection, chosen, at_risk_from=INTERVENE_FROM)
    last = rows[limit - 1] if len(rows) > limit else None
    catalogue = load_catalogue()
    return PredictionList(
        predictions=[tell_stored(row, catalogue) for row in rows[:limit]],
        total=totals.customers,
        total_at_risk=totals.at_risk,
        total_ltv_at_risk=totals.ltv_at_risk,
        next_cursor=write_cursor(repr(last.sort_worth), repr(last.sort_probability), last.customer_id)
        if last
        else None,
    )


@router.get("/churn-predictions/{userId:path}", summary="How likely a customer is to leave, and why")
async def prediction(
    edge: EdgeHere, user_id: UserId, include_explanation: IncludeExplanation = True
) -> PredictionAnswer:
    """As of this moment, features included. Says which signals count and how much, never what their values are."""
    assessed = await _assess(edge, user_id, record=False)
    made, catalogue = assessed.prediction, load_catalogue()
    return PredictionAnswer(
        user_id=assessed.user_id,
        prediction=tell_prediction(assessed.user_id, made, assessed.at, catalogue) if made else None,
        explanation=tell_explanation(made, catalogue) if made and include_explanation else None,
        not_predicted=why_not(assessed),
    )


async def _assess(edge: Edge, user_id: str, *, record: bool) -> Assessment:
    if edge.assess is None:
        raise UnavailableError("This process can't score.", remedy="Use `holdfast score --customer`.")
    return await edge.assess(user_id, record)


async def _tell_health(
    edge: Edge, user_id: str, time_range: str, include_breakdown: bool, *, record: bool
) -> HealthAnswer:
    assessed = await _assess(edge, user_id, record=record)
    today, id_, health = assessed.at.date(), assessed.customer_id, assessed.health
    back = timedelta(days=int(time_range.removesuffix("d")))
    async with edge.database.transaction() as connection:
        history = await load_health_history(connection, id_, today - back, today)
        cohort = await compare_with_cohort(connection, id_, health.score, assessed.at)
        scores = (
            await load_midnight_scores(connection, [id_], today - timedelta(days=WINDOW_DAYS), today)
        ).get(id_, {})
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
            cohort=tell_cohort(cohort),
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
