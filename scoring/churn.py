"""Churn by rule of thumb: what serves while no fitted model is fit to serve (`confidence: medium`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from schemas.condition import Value
from scoring.health import NEVER_DAYS, Signals, read_number

Level = Literal["low", "medium", "high", "critical"]
Urgency = Literal["monitor", "urgent", "immediate"]

HIGHEST = 0.95
LIFETIME_MONTHS = 18
PREVENTION_SHARE = 0.10
PREVENTION_LIMIT = 500.0
YOUNGEST_DAYS = 7
INTERVENE_FROM = 0.6
MULTI_CHANNEL_ABOVE = 0.7


@dataclass(frozen=True, slots=True)
class Churn:
    """A probability from 0 to 1, where it comes from in points, and what it puts at stake in account
    currency.

    `ltv_at_risk` and `prevention_cost` are None where no monthly price is known.
    """

    probability: float
    level: Level
    urgency: Urgency
    points: dict[str, int]
    ltv_at_risk: float | None
    prevention_cost: float | None
    confidence: Literal["medium"] = "medium"
    model: Literal["rule-of-thumb"] = "rule-of-thumb"


def estimate_churn(signals: Signals) -> Churn:
    """The rule of thumb: points for absence, few features, failing health and old milestones, over 100, at
    most .95.

    Missing counts are 0, missing recencies 999 days, a missing trend is unknown and scores nothing.
    """
    scored = _score_points(signals)
    probability = min(HIGHEST, sum(scored.values()) / 100)
    at_risk = cost = None
    price: Any = signals.get("monthly_price")
    if isinstance(price, (int, float)) and not isinstance(price, bool):
        at_risk = probability * LIFETIME_MONTHS * price
        cost = min(PREVENTION_SHARE * at_risk, PREVENTION_LIMIT)
    return Churn(probability, level_of(probability), urgency_of(probability), scored, at_risk, cost)


def churn_signals(signals: Signals) -> dict[str, Value]:
    """The catalogue's churn signals; none in the first 7 days, and none once the customer has cancelled."""
    if read_number(signals, "account_age_days", NEVER_DAYS) < YOUNGEST_DAYS:
        return {}
    if signals.get("subscription_status") == "cancelled":
        return {}
    churn = estimate_churn(signals)
    found: dict[str, Value] = {"churn_probability": churn.probability, "churn_risk_level": churn.level}
    if churn.ltv_at_risk is not None:
        found["ltv_at_risk"] = churn.ltv_at_risk
    return found


def level_of(probability: float) -> Level:
    """From .8 critical, from .6 high, from .4 medium, else low."""
    if probability >= 0.8:
        return "critical"
    return "high" if probability >= 0.6 else "medium" if probability >= 0.4 else "low"


def urgency_of(probability: float) -> Urgency:
    """From .8 immediate, from .6 urgent, else monitor."""
    return "immediate" if probability >= 0.8 else "urgent" if probability >= 0.6 else "monitor"


def _score_points(signals: Signals) -> dict[str, int]:
    absent = read_number(signals, "days_since_last_login", NEVER_DAYS)
    features = read_number(signals, "unique_features_used", 0)
    average = read_number(signals, "avg_health_30d", 100)
    trend = signals.get("health_trend")
    failing = 25 if trend == "declining" else 15 if trend == "stable" and average < 50 else 0
    return {
        "absence": 30 if absent > 14 else 15 if absent > 7 else 5 if absent > 3 else 0,
        "few_features": 20 if features < 2 else 10 if features < 4 else 0,
        "failing_health": failing,
        "old_milestones": 10 if read_number(signals, "days_since_last_milestone", NEVER_DAYS) > 30 else 0,
    }
