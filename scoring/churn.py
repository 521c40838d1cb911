"""Churn by rule of thumb (what serves while no fitted model is fit to serve), and the levels of any probability."""

from __future__ import annotations

from typing import Literal

from scoring.health import NEVER_DAYS, Signals, read_number

Level = Literal["low", "medium", "high", "critical"]
Urgency = Literal["monitor", "urgent", "immediate"]

HIGHEST = 0.95
LIFETIME_MONTHS = 18
YOUNGEST_DAYS = 7
INTERVENE_FROM = 0.6
MULTI_CHANNEL_ABOVE = 0.7
PRIORITY_STEPS = (0.2, 0.4, 0.6, 0.8)


def score_points(signals: Signals) -> dict[str, int]:
    """The rule of thumb's points for absence, few features, failing health and old milestones, by the signal they
    come from; those of 0 among them. They add up to at most 85.

    Missing counts are 0, missing recencies 999 days, a missing trend is unknown and scores nothing.
    """
    absent = read_number(signals, "days_since_last_login", NEVER_DAYS)
    features = read_number(signals, "unique_features_used", 0)
    average = read_number(signals, "avg_health_30d", 100)
    trend = signals.get("health_trend")
    failing = 25 if trend == "declining" else 15 if trend == "stable" and average < 50 else 0
    return {
        "days_since_last_login": 30 if absent > 14 else 15 if absent > 7 else 5 if absent > 3 else 0,
        "unique_features_used": 20 if features < 2 else 10 if features < 4 else 0,
        "health_trend": failing,
        "days_since_last_milestone": (
            10 if read_number(signals, "days_since_last_milestone", NEVER_DAYS) > 30 else 0
        ),
    }


def probability_of(points: dict[str, int]) -> float:
    """Points over 100, at most .95."""
    return min(HIGHEST, sum(points.values()) / 100)


def level_of(probability: float) -> Level:
    """From .8 critical, from .6 high, from .4 medium, else low."""
    if probability >= 0.8:
        return "critical"
    return "high" if probability >= 0.6 else "medium" if probability >= 0.4 else "low"


def urgency_of(probability: float) -> Urgency:
    """From .8 immediate, from .6 urgent, else monitor."""
    return "immediate" if probability >= 0.8 else "urgent" if probability >= 0.6 else "monitor"


def priority_of(probability: float) -> int:
    """1 (least) to 5: from .2, .4, .6 and .8 one more each."""
    return 1 + sum(probability >= step for step in PRIORITY_STEPS)
