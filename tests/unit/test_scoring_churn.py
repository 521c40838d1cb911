"""The rule of thumb for churn, to the digit, and what follows from a probability."""

from __future__ import annotations

import pytest

from schemas.condition import Value
from scoring.churn import churn_signals, estimate_churn, level_of, urgency_of

CONTENT: dict[str, Value] = {
    "days_since_last_login": 1, "unique_features_used": 6, "health_trend": "stable", "avg_health_30d": 80,
    "days_since_last_milestone": 5, "monthly_price": 49, "account_age_days": 200,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "probability"),
    [
        ({}, 0.0),
        ({"days_since_last_login": 3}, 0.0),
        ({"days_since_last_login": 4}, 0.05),
        ({"days_since_last_login": 7}, 0.05),
        ({"days_since_last_login": 8}, 0.15),
        ({"days_since_last_login": 14}, 0.15),
        ({"days_since_last_login": 15}, 0.30),
        ({"unique_features_used": 4}, 0.0),
        ({"unique_features_used": 3}, 0.10),
        ({"unique_features_used": 1}, 0.20),
        ({"health_trend": "declining"}, 0.25),
        ({"avg_health_30d": 49.9}, 0.15),
        ({"avg_health_30d": 50}, 0.0),
        ({"health_trend": "improving", "avg_health_30d": 20}, 0.0),
        ({"days_since_last_milestone": 30}, 0.0),
        ({"days_since_last_milestone": 31}, 0.10),
    ],
)
def test_each_line_of_the_rule(changed: dict[str, Value], probability: float) -> None:
    assert estimate_churn({**CONTENT, **changed}).probability == pytest.approx(probability)


def test_all_lines_together() -> None:
    worst: dict[str, Value] = {"days_since_last_login": 40, "health_trend": "declining", "monthly_price": 100}
    churn = estimate_churn(worst)
    assert churn.probability == 0.85
    assert (churn.level, churn.urgency, churn.confidence) == ("critical", "immediate", "medium")
    assert churn.points == {"absence": 30, "few_features": 20, "failing_health": 25, "old_milestones": 10}
    assert churn.ltv_at_risk == pytest.approx(0.85 * 1800)
    assert churn.prevention_cost == pytest.approx(153)


def test_missing_signals_count_as_none_and_a_missing_trend_scores_nothing() -> None:
    churn = estimate_churn({})
    assert churn.points == {"absence": 30, "few_features": 20, "failing_health": 0, "old_milestones": 10}
    assert churn.ltv_at_risk is None


def test_prevention_may_cost_500_at_most() -> None:
    churn = estimate_churn({**CONTENT, "days_since_last_login": 60, "monthly_price": 2000})
    assert churn.prevention_cost == 500


def test_levels_and_urgency_begin_at_their_bounds() -> None:
    assert [level_of(p) for p in (0.39, 0.4, 0.6, 0.79, 0.8)] == ["low", "medium", "high", "high", "critical"]
    assert [urgency_of(p) for p in (0.59, 0.6, 0.8)] == ["monitor", "urgent", "immediate"]


def test_the_first_week_and_the_cancelled_get_no_prediction() -> None:
    assert churn_signals({**CONTENT, "account_age_days": 6}) == {}
    assert churn_signals({**CONTENT, "subscription_status": "cancelled"}) == {}
    assert churn_signals({**CONTENT, "account_age_days": 7})["churn_probability"] == 0
