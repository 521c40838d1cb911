"""Health by the two models that ship, from signals alone.

Missing activity or adoption counts as none, missing tickets as none, missing milestones as none to do, a
missing subscription as not active; a value of the wrong type counts as missing. Ratios are held to 0–1,
scores round half up, and risk is taken from the rounded score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from schemas.condition import Value

RiskLevel = Literal["healthy", "at_risk", "critical"]
Trend = Literal["improving", "stable", "declining"]
Segment = Literal["new_user", "established", "power_user"]
Signals = Mapping[str, Value]

NEVER_DAYS = 999
CORE_FEATURES = 8
NEW_USER_DAYS = 30
TREND_DAYS = 30
# A slope through fewer days says more about the weekend than about the customer.
TREND_MIN_SCORES = 7

# Weights in the order login, features, engagement, support, billing, onboarding.
FACTORS = (
    "login_frequency",
    "feature_adoption",
    "client_engagement",
    "support_health",
    "billing_health",
    "onboarding_progress",
)
WEIGHTS: dict[str, tuple[float, ...]] = {
    "new_user": (0.25, 0.20, 0.15, 0.15, 0.05, 0.20),
    "established": (0.20, 0.25, 0.25, 0.15, 0.10, 0.05),
    "power_user": (0.15, 0.30, 0.30, 0.10, 0.10, 0.05),
}


@dataclass(frozen=True, slots=True)
class Health:
    """A score from 0 to 100, its risk, and the factors behind it (0–1, or points in the model `points`)."""

    score: int
    risk_level: RiskLevel
    factors: dict[str, float]
    segment: Segment


def segment_of(signals: Signals) -> Segment:
    """new_user below 30 days of account age; power_user with 6 of 8 features adopted and 20 active days of
    30.
    """
    if read_number(signals, "account_age_days", NEW_USER_DAYS) < NEW_USER_DAYS:
        return "new_user"
    powerful = (
        read_number(signals, "features_adopted", 0) >= 6 and read_number(signals, "active_days_30d", 0) >= 20
    )
    return "power_user" if powerful else "established"


def segment_weighted(signals: Signals) -> Health:
    """Health model `segment-weighted`: six factors, weighted by segment; from 75 healthy, from 50 at risk."""
    days = read_number(signals, "days_since_last_login", NEVER_DAYS)
    values = (
        _clamp((14 - days) / 14),
        _clamp(read_number(signals, "features_adopted", 0) / CORE_FEATURES),
        _ratio(read_number(signals, "clients_active_30d", 0), read_number(signals, "clients_total", 0)),
        _support_health(signals),
        1.0 if signals.get("subscription_status") == "active" else 0.2,
        _onboarding_progress(signals),
    )
    segment = _given_segment(signals)
    weights = WEIGHTS[segment]
    score = _round_score(100 * sum(value * weight for value, weight in zip(values, weights, strict=True)))
    risk: RiskLevel = "healthy" if score >= 75 else "at_risk" if score >= 50 else "critical"
    return Health(score, risk, dict(zip(FACTORS, values, strict=True)), segment)


def points(signals: Signals) -> Health:
    """Health model `points`: recency, adoption, clients, forms, journeys; below 40 critical, below 70 at
    risk.
    """
    days = read_number(signals, "days_since_last_login", NEVER_DAYS)
    adopted = sum(
        1
        for name in ("forms_created", "clients_imported", "journeys_created", "templates_used")
        if read_number(signals, name, 0) > 0
    )
    clients = _ratio(read_number(signals, "clients_active_30d", 0), read_number(signals, "clients_total", 0))
    factors = {
        "login_recency": float(
            30 if days < 3 else 20 if days < 7 else 10 if days < 14 else 5 if days < 30 else 0
        ),
        "adoption": 25 * adopted / 4,
        "client_activity": 25 * clients,
        "form_completion": 10 * _clamp(read_number(signals, "form_completion_rate", 0)),
        "journey_performance": 10 * _clamp(read_number(signals, "journey_performance", 0)),
    }
    score = _round_score(sum(factors.values()))
    risk: RiskLevel = "critical" if score < 40 else "at_risk" if score < 70 else "healthy"
    return Health(score, risk, factors, _given_segment(signals))


MODELS: dict[str, Callable[[Signals], Health]] = {"segment_weighted": segment_weighted, "points": points}


def score_trend(score: int, previous: int | None) -> Trend:
    """The change against the previous score: up to 5 points either way is stable."""
    change = 0 if previous is None else score - previous
    return "stable" if abs(change) <= 5 else "improving" if change > 0 else "declining"


def long_trend(scores: Mapping[date, int], today: date) -> Trend | None:
    """The slope of the daily score over the 30 days up to `today`: above 1 a day improving, below −1
    declining.

    Least squares over the days that have a score; None with fewer than 7 of them.
    """
    days = _window(scores, today)
    if len(days) < TREND_MIN_SCORES:
        return None
    mean_x = sum(x for x, _ in days) / len(days)
    mean_y = sum(y for _, y in days) / len(days)
    spread = sum((x - mean_x) ** 2 for x, _ in days)
    # Rounded, so that a slope of exactly 1 isn't 1.0000000000000002.
    slope = round(sum((x - mean_x) * (y - mean_y) for x, y in days) / spread, 9)
    return "improving" if slope > 1 else "declining" if slope < -1 else "stable"


def average_health(scores: Mapping[date, int], today: date) -> float:
    """The mean daily score of the 30 days up to `today`, which has a score."""
    days = _window(scores, today)
    return sum(score for _, score in days) / len(days)


def _window(scores: Mapping[date, int], today: date) -> list[tuple[int, int]]:
    """Days before today (negative) and scores, of the last 30 days."""
    ordinal = today.toordinal()
    placed = ((day.toordinal() - ordinal, score) for day, score in scores.items())
    return [(x, score) for x, score in placed if -TREND_DAYS < x <= 0]


def _support_health(signals: Signals) -> float:
    if read_number(signals, "support_tickets_30d", 0) <= 0:
        return 1.0
    return _clamp(max(0.3, read_number(signals, "avg_support_rating_30d", 3) / 5))


def _onboarding_progress(signals: Signals) -> float:
    total = read_number(signals, "critical_milestones_total", 0)
    return 1.0 if total <= 0 else _clamp(read_number(signals, "critical_milestones_done", 0) / total)


def _given_segment(signals: Signals) -> Segment:
    match signals.get("segment"):
        case "new_user":
            return "new_user"
        case "established":
            return "established"
        case "power_user":
            return "power_user"
    young = read_number(signals, "account_age_days", NEW_USER_DAYS) < NEW_USER_DAYS
    return "new_user" if young else "established"


def read_number(signals: Signals, name: str, missing: float) -> float:
    """The signal as a finite number, or `missing` where it is missing or isn't one."""
    value: Any = signals.get(name)
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return float(value)
    return missing


def _ratio(part: float, whole: float) -> float:
    return _clamp(part / whole) if whole > 0 else 0.0


def _clamp(value: float) -> float:
    return 0.0 if value < 0 else 1.0 if value > 1 else value


def _round_score(exact: float) -> int:
    """Half up; the inner rounding takes back what binary fractions do to a score that is exactly a half."""
    return math.floor(round(exact, 9) + 0.5)
