"""What is told beside a score: the viral boost, breakdown, recommendations, and where it is heading."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from schemas.condition import Value
from schemas.health_model import Bands, Constant, Factor, HealthModel
from scoring.breakdown import factor_shares, percents, weights_of
from scoring.health import Scorer, shipped_scorer
from scoring.recommendations import recommend
from scoring.trajectory import project
from scoring.viral import enhance_score, viral_boost

TODAY = date(2026, 3, 2)


@pytest.mark.parametrize(
    ("signals", "boost"),
    [
        ({}, 0),
        ({"referrals": 1}, 3),
        ({"referrals": 5}, 15),
        ({"referrals": 900}, 15),
        ({"recent_viral_activity": True}, 5),
        ({"referrals": 2, "recent_viral_activity": True}, 11),
        ({"referrals": 50, "recent_viral_activity": True}, 20),
        ({"referrals": -4, "recent_viral_activity": False}, 0),
    ],
)
def test_the_viral_boost(signals: dict[str, Value], boost: int) -> None:
    assert viral_boost(signals) == boost
    assert enhance_score(40, signals) == 40 + boost
    assert enhance_score(95, signals) == min(100, 95 + boost)


WEAK: dict[str, Value] = {
    "days_since_last_login": 12, "features_adopted": 2, "clients_total": 10, "clients_active_30d": 4,
    "subscription_status": "active", "account_age_days": 100, "critical_milestones_total": 4,
    "critical_milestones_done": 3,
}  # fmt: skip


def test_the_breakdown_is_in_whole_numbers_of_100() -> None:
    scorer = shipped_scorer()
    assert percents(factor_shares(scorer.model, scorer(WEAK), None)) == {
        "login_frequency": 14, "feature_adoption": 25, "client_engagement": 40, "support_health": 100,
        "billing_health": 100, "onboarding_progress": 75,
    }  # fmt: skip


def test_a_model_of_points_breaks_down_into_shares_all_the_same() -> None:
    scorer = shipped_scorer("points")
    health = scorer(
        {"days_since_last_login": 5, "forms_created": 1, "clients_total": 4, "clients_active_30d": 1}
    )
    assert percents(factor_shares(scorer.model, health, None)) == {
        "login_recency": 67, "adoption": 25, "client_activity": 25, "form_completion": 0, "journey_performance": 0,
    }  # fmt: skip


def test_the_costliest_shortfalls_are_recommended_in_words() -> None:
    scorer = shipped_scorer()
    health = scorer(WEAK)
    weights = weights_of(scorer.model, health.segment, None)
    assert weights["feature_adoption"] == 25
    found = recommend(scorer.model, factor_shares(scorer.model, health, None), weights)
    assert [(one.factor, one.points) for one in found] == [
        ("feature_adoption", 18.8), ("login_frequency", 17.1), ("client_engagement", 15.0),
    ]  # fmt: skip
    assert found[0].text == "Show them a core feature that they don't use yet."


def test_a_customer_in_full_health_is_recommended_nothing() -> None:
    scorer = shipped_scorer()
    full = dict.fromkeys((factor.name for factor in scorer.model.factors), 1.0) | {"onboarding_progress": 0.5}
    assert recommend(scorer.model, full, weights_of(scorer.model, "established", None)) == []


def test_ones_own_factors_are_told_by_what_their_file_says() -> None:
    about = "The more often they post, the better."
    model = HealthModel(
        name="ours", factors=(Factor(name="social_posts", about=about, shape=Constant(share=0.5)),),
        weights={"everyone": {"social_posts": 100}}, bands=Bands(healthy=70, at_risk=40),
    )  # fmt: skip
    health = Scorer(model)({})
    [found] = recommend(model, factor_shares(model, health, None), weights_of(model, "established", "pro"))
    assert (found.text, found.points) == (f"Work on social posts. {about}", 50.0)


def test_a_plans_own_row_weighs_its_customers() -> None:
    factors = (Factor(name="a", shape=Constant(share=1)), Factor(name="b", shape=Constant(share=0)))
    model = HealthModel(
        name="ours", factors=factors, weights={"everyone": {"a": 100}},
        plans={"pro": {"everyone": {"a": 60, "b": 40}}}, bands=Bands(healthy=70, at_risk=40),
    )  # fmt: skip
    assert weights_of(model, "new_user", "pro") == {"a": 60, "b": 40}
    assert weights_of(model, "new_user", "free") == weights_of(model, "new_user", None) == {"a": 100, "b": 0}


def test_a_straight_line_goes_on_as_it_did() -> None:
    path = project({TODAY - timedelta(days=back): 70 + back for back in range(10)}, TODAY)
    assert path is not None
    assert (path.slope, path.expected, path.lower, path.upper, path.scores) == (-1.0, 40.0, 40.0, 40.0, 10)


def test_noise_makes_it_less_sure_and_scores_stay_scores() -> None:
    noisy = {TODAY - timedelta(days=back): 20 + back + (15 if back % 2 else -15) for back in range(20)}
    path = project(noisy, TODAY)
    assert path is not None
    assert path.lower == 0.0
    assert 0.0 < path.upper <= 100.0
    calm = {TODAY - timedelta(days=back): 50 + (1 if back % 3 else -1) for back in range(20)}
    wide = {TODAY - timedelta(days=back): 50 + (10 if back % 3 else -10) for back in range(20)}
    one, other = project(calm, TODAY), project(wide, TODAY)
    assert one is not None
    assert other is not None
    assert one.upper - one.lower < other.upper - other.lower


def test_the_interval_is_that_of_least_squares() -> None:
    # statsmodels' OLS: get_prediction([[1, 30]]).summary_frame(alpha=0.2) of these, the bounds of an observation.
    scores = {TODAY - timedelta(days=back): y for back, y in enumerate([52, 55, 51, 58, 56, 60, 57, 61])}
    path = project(scores, TODAY)
    assert path is not None
    assert (path.expected, path.lower, path.upper) == pytest.approx((17.2, 0.1, 34.2))


def test_too_few_scores_lead_nowhere_and_old_ones_dont_count() -> None:
    assert project({TODAY - timedelta(days=back): 50 for back in range(6)}, TODAY) is None
    assert project({TODAY - timedelta(days=30 + back): 50 for back in range(40)}, TODAY) is None
