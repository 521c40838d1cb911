"""Health scores to the digit of the published formulas."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.condition import Value
from scoring.health import average_health, long_trend, points, score_trend, segment_of, segment_weighted

FULL: dict[str, Value] = {
    "segment": "established",
    "days_since_last_login": 0,
    "features_adopted": 8,
    "clients_active_30d": 10,
    "clients_total": 10,
    "support_tickets_30d": 0,
    "subscription_status": "active",
    "critical_milestones_done": 4,
    "critical_milestones_total": 4,
}


def test_a_customer_with_everything_scores_100() -> None:
    health = segment_weighted(FULL)
    assert (health.score, health.risk_level) == (100, "healthy")
    assert set(health.factors.values()) == {1.0}


def test_a_customer_of_whom_nothing_is_known() -> None:
    # No login, features or clients; no tickets (1) and nothing to do (1); not active (.2): .15 + .02 + .05
    health = segment_weighted({})
    assert (health.score, health.risk_level, health.segment) == (22, "critical", "established")
    assert health.factors["billing_health"] == 0.2


@pytest.mark.parametrize(
    ("segment", "weights"),
    [
        ("new_user", (25, 20, 15, 15, 5, 20)),
        ("established", (20, 25, 25, 15, 10, 5)),
        ("power_user", (15, 30, 30, 10, 10, 5)),
    ],
)
def test_each_segment_has_its_weights(segment: str, weights: tuple[int, ...]) -> None:
    known: dict[str, Value] = {
        "segment": segment,
        "days_since_last_login": 9,
        "features_adopted": 2,
        "clients_active_30d": 3,
        "clients_total": 12,
        "support_tickets_30d": 2,
        "avg_support_rating_30d": 3.5,
        "subscription_status": "past_due",
        "critical_milestones_done": 1,
        "critical_milestones_total": 4,
    }
    factors = (5 / 14, 2 / 8, 3 / 12, 3.5 / 5, 0.2, 1 / 4)
    exact = sum(factor * weight for factor, weight in zip(factors, weights, strict=True))
    assert segment_weighted(known).score == int(exact + 0.5)


@pytest.mark.parametrize(
    ("rating", "expected"), [(5, 1.0), (4, 0.8), (1, 0.3), (1.5, 0.3), (None, 0.6), ("good", 0.6)]
)
def test_support_is_the_mean_rating_held_above_three_tenths_and_three_of_five_when_unrated(
    rating: Value | None, expected: float
) -> None:
    known: dict[str, Value] = {**FULL, "support_tickets_30d": 1}
    if rating is not None:
        known["avg_support_rating_30d"] = rating
    assert segment_weighted(known).factors["support_health"] == pytest.approx(expected)


def test_ratings_without_tickets_do_not_count() -> None:
    assert segment_weighted({**FULL, "avg_support_rating_30d": 1}).factors["support_health"] == 1.0


@pytest.mark.parametrize(
    ("done", "total", "expected"),
    [(1, 4, 0.25), (5, 4, 1.0), (None, 4, 0.0), (2, None, 1.0), (0, 0, 1.0)],
)
def test_onboarding(done: int | None, total: int | None, expected: float) -> None:
    known = {name: value for name, value in FULL.items() if not name.startswith("critical")}
    if done is not None:
        known["critical_milestones_done"] = done
    if total is not None:
        known["critical_milestones_total"] = total
    assert segment_weighted(known).factors["onboarding_progress"] == expected


@pytest.mark.parametrize(("days", "expected"), [(0, 1.0), (7, 0.5), (14, 0.0), (30, 0.0), (-1, 1.0)])
def test_login_frequency_is_held_between_0_and_1(days: int, expected: float) -> None:
    assert segment_weighted({**FULL, "days_since_last_login": days}).factors["login_frequency"] == expected


@pytest.mark.parametrize(
    ("signals", "segment"),
    [
        ({"account_age_days": 29}, "new_user"),
        ({"account_age_days": 30}, "established"),
        ({}, "established"),
        ({"account_age_days": 400, "features_adopted": 6, "active_days_30d": 20}, "power_user"),
        ({"account_age_days": 400, "features_adopted": 6, "active_days_30d": 19}, "established"),
        ({"account_age_days": 400, "features_adopted": 5, "active_days_30d": 30}, "established"),
        ({"account_age_days": 20, "features_adopted": 8, "active_days_30d": 20}, "new_user"),
    ],
)
def test_segments(signals: dict[str, Value], segment: str) -> None:
    assert segment_of(signals) == segment


def test_a_missing_segment_goes_by_age_alone() -> None:
    powerful: dict[str, Value] = {"features_adopted": 8, "active_days_30d": 30, "account_age_days": 100}
    assert segment_weighted(powerful).segment == "established"
    assert segment_weighted({**powerful, "account_age_days": 3}).segment == "new_user"


def _exactly(days: int, features: int, active: int, total: int, rating: int, done: int) -> int:
    """The established score in exact fractions, rounded half up."""
    score = (
        20 * max(Fraction(0), min(Fraction(1), Fraction(14 - days, 14)))
        + 25 * Fraction(features, 8)
        + 25 * Fraction(active, total)
        + 15 * max(Fraction(3, 10), Fraction(rating, 5))
        + 10
        + 5 * Fraction(done, 4)
    )
    return int(score + Fraction(1, 2))


@given(
    days=st.integers(0, 20),
    features=st.integers(0, 8),
    clients=st.integers(1, 60).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))),
    rating=st.integers(1, 5),
    done=st.integers(0, 4),
)
def test_scores_round_half_up_as_exact_arithmetic_does(
    days: int, features: int, clients: tuple[int, int], rating: int, done: int
) -> None:
    active, total = clients
    known: dict[str, Value] = {
        **FULL, "days_since_last_login": days, "features_adopted": features, "clients_active_30d": active,
        "clients_total": total, "support_tickets_30d": 1, "avg_support_rating_30d": rating,
        "critical_milestones_done": done,
    }  # fmt: skip
    health = segment_weighted(known)
    assert health.score == _exactly(days, features, active, total, rating, done)
    assert health.risk_level == (
        "healthy" if health.score >= 75 else "at_risk" if health.score >= 50 else "critical"
    )


def test_an_exact_half_rounds_up_where_binary_fractions_fall_short() -> None:
    # 10 + 0 + 7.5 + 15 + 10 + 5 = 47.5, of which the floating-point sum is 47.49999999999999.
    known: dict[str, Value] = {
        **FULL,
        "days_since_last_login": 7,
        "features_adopted": 0,
        "clients_active_30d": 3,
    }
    assert 100 * (0.5 * 0.2 + 0.3 * 0.25 + 0.15 + 0.1 + 0.05) < 47.5
    assert segment_weighted(known).score == 48


@pytest.mark.parametrize(
    ("days", "recency"), [(2, 30), (3, 20), (6, 20), (7, 10), (13, 10), (14, 5), (29, 5), (30, 0), (None, 0)]
)
def test_points_for_recency(days: int | None, recency: int) -> None:
    known: dict[str, Value] = {} if days is None else {"days_since_last_login": days}
    assert points(known).factors["login_recency"] == recency


def test_points_add_up() -> None:
    known: dict[str, Value] = {
        "days_since_last_login": 1, "forms_created": 2, "clients_imported": 7, "journeys_created": 0,
        "clients_active_30d": 3, "clients_total": 4, "form_completion_rate": 0.85, "journey_performance": 0.4,
    }  # fmt: skip
    health = points(known)
    assert health.factors == {
        "login_recency": 30, "adoption": 12.5, "client_activity": 18.75, "form_completion": 8.5,
        "journey_performance": 4,
    }  # fmt: skip
    assert (health.score, health.risk_level) == (74, "healthy")


@pytest.mark.parametrize(
    ("completion", "score", "risk"), [(0.95, 40, "at_risk"), (0.94, 39, "critical"), (5, 40, "at_risk")]
)
def test_points_risk_is_taken_from_the_rounded_score(completion: float, score: int, risk: str) -> None:
    known: dict[str, Value] = {"days_since_last_login": 0, "form_completion_rate": completion}
    health = points(known)
    assert (health.score, health.risk_level) == (score, risk)


def test_the_short_trend_calls_five_points_stable() -> None:
    assert [score_trend(60, previous) for previous in (55, 54, 65, 66, None)] == [
        "stable", "improving", "stable", "declining", "stable",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("per_day", "trend"), [(1, "stable"), (2, "improving"), (-1, "stable"), (-2, "declining"), (0, "stable")]
)
def test_the_long_trend_is_the_slope_of_thirty_days(per_day: int, trend: str) -> None:
    today = date(2026, 6, 30)
    scores = {today - timedelta(days=back): 50 - per_day * back for back in range(30)}
    assert long_trend(scores, today) == trend
    # What lies further back has no say.
    assert long_trend({**scores, today - timedelta(days=30): 10_000 * per_day}, today) == trend


def test_there_is_no_long_trend_in_a_few_days() -> None:
    today = date(2026, 6, 30)
    scores = {today - timedelta(days=back): 90 - 5 * back for back in range(6)}
    assert long_trend(scores, today) is None
    assert average_health(scores, today) == pytest.approx(77.5)
