"""What the API answers of health and churn: scores, shares and reasons, and never what they were worked out from."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from store.reading_rows import Row
from web.answers import Answer


class HealthOfDay(Row):
    """The health of one UTC day, as it was found last."""

    day: date
    score: int | None
    risk_level: str | None
    enhanced_score: int | None


class CohortPlace(Row):
    """Where the score stands among the others of the same segment, plan and band of account age.

    `percentile` is the share of them that score less, in per cent; those who score the same count half. Null where
    there are none. Of more than 20,000 customers in all it is told from a sample, and `customers` is about so many.
    """

    customers: int
    median: float | None
    percentile: float | None


class Projection(Row):
    """Where a line through the scores of the last 30 days leads; it stays between `lower` and `upper` 8 times of 10."""

    slope_per_day: float
    in_days: int
    expected: float
    lower: float
    upper: float
    based_on_days: int


class HealthScore(Row):
    """Health by the model that is live. `current` is null, and the risk `unknown`, where too little is known.

    `previous` is the last score of an earlier day, `trend` the change against it; `enhanced_score` has the viral boost.
    `breakdown` says of each of the model's factors how full it is, 0–100.
    """

    current: int | None
    previous: int | None
    trend: Literal["improving", "stable", "declining"] | None
    risk_level: Literal["healthy", "at_risk", "critical", "unknown"]
    enhanced_score: int | None
    influencer: bool | None
    breakdown: dict[str, int] | None = Field(
        description="By factor, camelCase: loginFrequency, featureAdoption, clientEngagement, supportHealth, "
        "billingHealth, onboardingProgress where the model is segment-weighted. Null unless includeBreakdown."
    )
    recommendations: list[str]
    next_review_date: date | None
    calculated_at: datetime
    model: str
    history: list[HealthOfDay]
    cohort: CohortPlace
    projection: Projection | None


class HealthAnswer(Answer):
    """The health of one customer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "success": True,
                    "userId": "supplier-1",
                    "healthScore": {
                        "current": 47, "previous": 55, "trend": "declining", "riskLevel": "critical",
                        "enhancedScore": 50, "influencer": False,
                        "breakdown": {"loginFrequency": 14, "featureAdoption": 25, "clientEngagement": 40,
                                      "supportHealth": 60, "billingHealth": 100, "onboardingProgress": 75},
                        "recommendations": ["Show them a core feature that they don't use yet."],
                        "nextReviewDate": "2026-03-09", "calculatedAt": "2026-03-02T09:00:00Z",
                        "model": "segment-weighted",
                        "history": [{"day": "2026-03-02", "score": 47, "riskLevel": "critical", "enhancedScore": 50}],
                        "cohort": {"customers": 212, "median": 68.0, "percentile": 11.3},
                        "projection": {"slopePerDay": -0.8, "inDays": 30, "expected": 23.0, "lower": 9.5,
                                       "upper": 36.5, "basedOnDays": 30},
                    },
                }
            ]
        }
    )  # fmt: skip

    user_id: str
    health_score: HealthScore


class NamedFactor(Row):
    """One of the six named factors, 0 to 1, and what it weighs in the rule-of-thumb composite."""

    name: str
    value: float
    weight: float


class NamedReason(Row):
    """What one signal (or several together) adds to the score: above 0 towards leaving. An association, not a cause."""

    signal: str
    about: str
    effect: float


class Explanation(Row):
    """What the score is made of: `base` and all effects add up to `score`.

    `scale`: log_odds of leaving in the coming week, or points over 100 where the rule of thumb tells.
    """

    scale: Literal["log_odds", "points"]
    base: float
    score: float
    composite: float = Field(description="The named factors by their weights, 0 to 1.")
    reasons: list[NamedReason]


class PredictionAnswerRow(Row):
    """How likely one customer is to leave within the policy's horizon, and what to do about it.

    `source`: model, health (the score alone, recalibrated) or rule_of_thumb. `within` is by days, of models only. Money
    is in the account's currency, null where no price is known. Worth and what is to be done are null to customers.
    """

    user_id: str
    churn_probability: float
    risk_level: Literal["low", "medium", "high", "critical"]
    predicted_churn_date: date | None
    earliest_churn_date: date | None
    latest_churn_date: date | None
    within: dict[str, float] | None
    factors: list[NamedFactor]
    reasons: list[NamedReason]
    recommended_actions: list[str]
    ltv_at_risk: float | None
    prevention_cost: float | None
    confidence: Literal["high", "medium", "low"]
    intervention_urgency: Literal["monitor", "urgent", "immediate"] | None
    intervention_recommended: bool | None
    intervention_priority: int | None
    multi_channel: bool | None
    source: Literal["model", "health", "rule_of_thumb"]
    model_version: str
    calculated_at: datetime


_EXAMPLE: JsonDict = {
    "userId": "supplier-1", "churnProbability": 0.73, "riskLevel": "high", "predictedChurnDate": "2026-04-20",
    "earliestChurnDate": "2026-03-15", "latestChurnDate": "2026-06-12",
    "within": {"30": 0.41, "60": 0.61, "90": 0.73},
    "factors": [{"name": "declining_health_score", "value": 0.7, "weight": 0.25}],
    "reasons": [{"signal": "health_score", "about": "Health by the active model.", "effect": 0.9}],
    "recommendedActions": ["Start a multi-channel rescue", "Call now", "Offer a personal onboarding session"],
    "ltvAtRisk": 643.86, "preventionCost": 64.39, "confidence": "high", "interventionUrgency": "urgent",
    "interventionRecommended": True, "interventionPriority": 4, "multiChannel": True, "source": "model",
    "modelVersion": "3f6c1a0d9e2b4c57", "calculatedAt": "2026-03-02T09:00:00Z",
}  # fmt: skip


class PredictionList(Answer):
    """Who is at risk, the most value at risk first; totals are over everybody who matches.

    `total_at_risk` counts those for whom an intervention is recommended, `total_ltv_at_risk` is their value at risk.
    They were counted at `counted_at`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "success": True, "predictions": [_EXAMPLE], "total": 412, "totalAtRisk": 37,
                    "totalLtvAtRisk": 18230.5, "countedAt": "2026-03-02T09:00:00Z", "nextCursor": None,
                }
            ]
        }
    )  # fmt: skip

    predictions: list[PredictionAnswerRow]
    total: int
    total_at_risk: int
    total_ltv_at_risk: float
    counted_at: datetime
    next_cursor: str | None


class PredictionAnswer(Answer):
    """What is predicted of one customer now; null, with the reason, of whom nothing is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "success": True, "userId": "supplier-1", "prediction": _EXAMPLE,
                    "explanation": {"scale": "log_odds", "base": -4.1, "score": -2.4, "composite": 0.31,
                                    "reasons": [{"signal": "health_score", "about": "Health by the active model.",
                                                 "effect": 1.7}]},
                    "notPredicted": None,
                }
            ]
        }
    )  # fmt: skip

    user_id: str
    prediction: PredictionAnswerRow | None
    explanation: Explanation | None
    not_predicted: Literal["younger_than_7_days", "cancelled"] | None
