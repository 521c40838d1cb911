"""The rule of thumb for churn, to the digit, and what follows from a probability."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas.catalogue import load_catalogue
from schemas.condition import Value
from schemas.policy import ChurnPolicy
from scoring.churn import level_of, priority_of, probability_of, score_points, urgency_of
from scoring.prediction import Prediction
from scoring.predictors import Predictors, churn_signals, predict_one

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
CONTENT: dict[str, Value] = {
    "days_since_last_login": 1, "unique_features_used": 6, "health_trend": "stable", "avg_health_30d": 80,
    "days_since_last_milestone": 5, "monthly_price": 49, "account_age_days": 200,
}  # fmt: skip


def predict(signals: dict[str, Value], policy: ChurnPolicy = ChurnPolicy()) -> Prediction | None:  # noqa: B008
    return predict_one(Predictors(policy=policy), signals, NOW, load_catalogue())


def told(signals: dict[str, Value], policy: ChurnPolicy = ChurnPolicy()) -> Prediction:  # noqa: B008
    found = predict(signals, policy)
    assert found is not None
    return found


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
    assert told({**CONTENT, **changed}).probability == pytest.approx(probability)


def test_all_lines_together() -> None:
    worst: dict[str, Value] = {"days_since_last_login": 40, "health_trend": "declining", "monthly_price": 100}
    churn = told(worst)
    assert churn.probability == 0.85
    assert (churn.level, churn.urgency, churn.confidence) == ("critical", "immediate", "medium")
    assert (churn.source, churn.version, churn.within, churn.expected) == (
        "rule_of_thumb", "rule-of-thumb", None, None,
    )  # fmt: skip
    assert [(one.signal, one.effect) for one in churn.reasons] == [
        ("days_since_last_login", 0.30), ("health_trend", 0.25), ("unique_features_used", 0.20),
        ("days_since_last_milestone", 0.10),
    ]  # fmt: skip
    assert churn.ltv_at_risk == pytest.approx(0.85 * 1800)
    assert churn.prevention_cost == pytest.approx(153)


def test_missing_signals_count_as_none_and_a_missing_trend_scores_nothing() -> None:
    assert score_points({}) == {
        "days_since_last_login": 30, "unique_features_used": 20, "health_trend": 0, "days_since_last_milestone": 10,
    }  # fmt: skip
    assert told({}).ltv_at_risk is None
    assert told({}).prevention_cost is None


def test_prevention_may_cost_500_at_most() -> None:
    dear: dict[str, Value] = {**CONTENT, "days_since_last_login": 60, "monthly_price": 2000}
    assert told(dear).prevention_cost == 500


def test_the_policy_says_what_a_customer_is_worth_and_what_prevention_may_cost() -> None:
    policy = ChurnPolicy(lifetime_months=24, prevention_share=0.2, prevention_limit=70)
    churn = told({**CONTENT, "days_since_last_login": 60}, policy)
    assert churn.ltv_at_risk == pytest.approx(0.3 * 24 * 49)
    assert churn.prevention_cost == pytest.approx(70)
    assert told({**CONTENT, "days_since_last_login": 5}, policy).prevention_cost == pytest.approx(
        0.2 * 0.05 * 24 * 49
    )


def test_levels_urgency_and_priority_begin_at_their_bounds() -> None:
    assert [level_of(p) for p in (0.39, 0.4, 0.6, 0.79, 0.8)] == ["low", "medium", "high", "high", "critical"]
    assert [urgency_of(p) for p in (0.59, 0.6, 0.8)] == ["monitor", "urgent", "immediate"]
    assert [priority_of(p) for p in (0, 0.19, 0.2, 0.4, 0.6, 0.8, 1)] == [1, 1, 2, 3, 4, 5, 5]
    assert probability_of({"more": 60, "than": 60}) == 0.95


def test_the_first_week_and_the_cancelled_get_no_prediction() -> None:
    assert predict({**CONTENT, "account_age_days": 6}) is None
    assert predict({**CONTENT, "subscription_status": "cancelled"}) is None
    assert churn_signals(None) == {}
    assert churn_signals(predict({**CONTENT, "account_age_days": 7}))["churn_probability"] == 0
