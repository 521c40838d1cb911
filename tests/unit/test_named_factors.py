"""The six named factors, what they weigh, and the actions that answer them."""

from __future__ import annotations

import pytest

from schemas.condition import Value
from schemas.policy import MarketRow
from scoring.named_factors import WEIGHTS, choose_actions, composite, name_factors, press


def factors(**signals: Value) -> dict[str, float]:
    return name_factors(signals, 11)


def test_the_weights_are_those_of_the_domain() -> None:
    assert dict(WEIGHTS) == {
        "declining_health_score": 0.25, "low_engagement": 0.20, "billing_issues": 0.20,
        "support_dissatisfaction": 0.15, "competitor_activity": 0.10, "seasonal_factors": 0.10,
    }  # fmt: skip
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert composite(dict.fromkeys(WEIGHTS, 1.0)) == pytest.approx(1)
    assert list(factors()) == list(WEIGHTS)


@pytest.mark.parametrize(
    ("signals", "value"),
    [
        ({}, 0.0),
        ({"health_score": 90, "avg_health_30d": 85}, 0.0),
        ({"health_score": 80, "avg_health_30d": 80, "health_trend": "declining"}, 0.5),
        ({"health_score": 80, "avg_health_30d": 90, "health_trend": "declining"}, 0.75),
        ({"health_score": 30, "avg_health_30d": 30, "health_trend": "declining"}, 0.75),
        ({"health_score": 30, "avg_health_30d": 40, "health_trend": "stable"}, 0.3 + 0.25 + 0.25),
        ({"health_score": 0, "avg_health_30d": 60, "health_trend": "declining"}, 1.0),
    ],
)
def test_declining_health(signals: dict[str, Value], value: float) -> None:
    assert factors(**signals)["declining_health_score"] == pytest.approx(value)


@pytest.mark.parametrize(
    ("signals", "value"),
    [
        ({"days_since_last_login": 3, "unique_features_used": 4}, 0.0),
        ({"days_since_last_login": 30, "unique_features_used": 4}, 0.4),
        ({"days_since_last_login": 3, "unique_features_used": 0}, 0.3),
        ({"days_since_last_login": 3, "unique_features_used": 9, "usage_drop_percent": 50}, 0.15),
        ({"usage_drop_percent": 100}, 1.0),
        ({"days_since_last_login": 1, "unique_features_used": 9, "usage_drop_percent": -80}, 0.0),
    ],
)
def test_low_engagement(signals: dict[str, Value], value: float) -> None:
    assert factors(**signals)["low_engagement"] == pytest.approx(value)


@pytest.mark.parametrize(
    ("signals", "billing", "support"),
    [
        ({"subscription_status": "past_due", "failed_payments_30d": 1}, 0.8, 0.0),
        ({"subscription_status": "active", "failed_payments_30d": 1}, 0.2, 0.0),
        ({"failed_payments_30d": 9}, 1.0, 0.0),
        ({"avg_support_rating_30d": 1}, 0.0, 0.7),
        ({"last_support_rating": 2.5, "open_tickets": 1}, 0.0, 0.45),
        ({"avg_support_rating_30d": 5, "last_support_rating": 1}, 0.0, 0.0),
        ({"open_tickets": 40}, 0.0, 0.5),
        ({"open_tickets": -2}, 0.0, 0.0),
    ],
)
def test_billing_and_support(signals: dict[str, Value], billing: float, support: float) -> None:
    found = factors(**signals)
    assert (found["billing_issues"], found["support_dissatisfaction"]) == pytest.approx((billing, support))


def test_the_most_exact_row_of_the_market_holds_each_word_by_itself() -> None:
    market = (
        MarketRow(seasonal_factors=0.1, competitor_activity=0.05),
        MarketRow(month=11, seasonal_factors=0.2),
        MarketRow(vendor_type="venue", competitor_activity=0.3),
        MarketRow(vendor_type="venue", month=11, seasonal_factors=0.4),
    )
    assert press(market, "venue", 11) == (0.3, 0.4)
    assert press(market, "venue", 5) == (0.3, 0.1)
    assert press(market, "florist", 11) == (0.05, 0.2)
    assert press(market, None, 5) == (0.05, 0.1)
    assert press((), "venue", 11) == (0.0, 0.0)
    named = name_factors({"vendor_type": "venue"}, 11, market)
    assert (named["competitor_activity"], named["seasonal_factors"]) == (0.3, 0.4)


@pytest.mark.parametrize(
    ("name", "bound", "action"),
    [
        ("declining_health_score", 0.6, "Call now"),
        ("low_engagement", 0.5, "Send feature discovery mails"),
        ("billing_issues", 0.3, "Settle the billing issue"),
        ("support_dissatisfaction", 0.4, "Assign a dedicated CSM"),
    ],
)
def test_a_factor_above_its_bound_calls_for_its_actions(name: str, bound: float, action: str) -> None:
    assert action in choose_actions({name: bound + 0.01}, "high", "urgent", False)
    assert action not in choose_actions({name: bound}, "medium", "monitor", False)


def test_where_no_factor_stands_out_level_and_urgency_decide() -> None:
    assert choose_actions({}, "low", "monitor", False) == ()
    assert choose_actions({}, "medium", "monitor", False) == ("Check in with a personal message",)
    assert choose_actions({}, "high", "urgent", False) == ("Call within two days",)
    assert choose_actions({}, "critical", "immediate", True) == ("Start a multi-channel rescue", "Call now")
